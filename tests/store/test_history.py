"""Calls on their way out of the database, and how SQLite finds them."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace

import pytest

from sip.snapshots import CallSnapshot, HistoryQuery, TerminationReason
from store import history, traces
from store.backlog import apply
from store.calls import TAKEN_FOR_DEAD, EndCall
from store.postgres import PostgresConnection
from store.sql import Connection
from tests.support.stored import MEDIA, NOON_AT, ended_call


@pytest.fixture
def calls(connection: Connection) -> list[CallSnapshot]:
    """Twelve calls, the newest first; every third is between 102 and 103, two end at the same moment."""
    made = []
    for each in range(12):
        numbers = {"from_number": "102", "to_number": "103"} if each % 3 == 0 else {}
        ended_at = NOON_AT + (each if each != 5 else 4)
        made.append(ended_call(f"call-{each}", ended_at, answered=each % 2 == 0, **numbers))
        apply(connection, EndCall(made[-1], (replace(MEDIA, call_id=f"call-{each}", packets=each),)))
    return made[::-1]


def query(
    since_at: float | None = None,
    until_at: float | None = None,
    extension: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> HistoryQuery:
    return HistoryQuery(since_at, until_at, extension, limit, offset)


class TestPage:
    def test_newest_first_with_the_total_of_all(self, connection: Connection, calls: list[CallSnapshot]) -> None:
        page = history.page(connection, query(limit=5, offset=2))
        assert list(page.calls) == calls[2:7]
        assert page.total == 12

    def test_the_media_of_each_call_stand_at_its_place(self, connection: Connection, calls: list[CallSnapshot]) -> None:
        page = history.page(connection, query(limit=3))
        assert [[each.packets for each in media] for media in page.media] == [[11], [10], [9]]
        assert page.media[0][0].call_id == calls[0].call_id

    def test_pages_make_up_the_whole_even_where_calls_ended_together(
        self, connection: Connection, calls: list[CallSnapshot]
    ) -> None:
        pages = [history.page(connection, query(limit=1, offset=offset)).calls[0] for offset in range(12)]
        assert pages == calls

    def test_since_is_within_and_until_is_not(self, connection: Connection, calls: list[CallSnapshot]) -> None:
        page = history.page(connection, query(since_at=NOON_AT + 2, until_at=NOON_AT + 4))
        assert [call.ended_at for call in page.calls] == [NOON_AT + 3, NOON_AT + 2]
        assert page.total == 2

    @pytest.mark.parametrize("extension", ["102", "103"])
    def test_of_one_extension_whether_it_called_or_was_called(
        self, connection: Connection, calls: list[CallSnapshot], extension: str
    ) -> None:
        page = history.page(connection, query(extension=extension, limit=2, offset=1))
        assert [call.call_id for call in page.calls] == ["call-6", "call-3"]
        assert page.total == 4

    def test_of_one_extension_within_a_time(self, connection: Connection, calls: list[CallSnapshot]) -> None:
        page = history.page(connection, query(NOON_AT + 3, NOON_AT + 9, "102"))
        assert [call.call_id for call in page.calls] == ["call-6", "call-3"]
        assert page.total == 2

    @pytest.mark.parametrize(
        "empty", [query(extension="109"), query(since_at=NOON_AT + 100), query(until_at=NOON_AT), query(limit=0)]
    )
    def test_nothing_found(self, connection: Connection, calls: list[CallSnapshot], empty: HistoryQuery) -> None:
        assert history.page(connection, empty).calls == ()

    def test_beyond_the_end_there_is_only_the_total(self, connection: Connection, calls: list[CallSnapshot]) -> None:
        page = history.page(connection, query(offset=100))
        assert (page.calls, page.media, page.total) == ((), (), 12)


class TestAllOfThem:
    @pytest.mark.parametrize("most", [1, 5, 12, 100])
    def test_piece_by_piece(self, connection: Connection, calls: list[CallSnapshot], most: int) -> None:
        found, place = [], None
        while True:
            records, place = history.next_records(connection, query(limit=1, offset=3), place, most)
            found += [record.call for record in records]
            if place is None:
                break
        assert found == calls

    def test_a_call_that_ends_meanwhile_shifts_nothing(self, connection: Connection, calls: list[CallSnapshot]) -> None:
        _, place = history.next_records(connection, query(), None, 6)
        apply(connection, EndCall(ended_call("new", NOON_AT + 50), ()))
        records, _ = history.next_records(connection, query(), place, 6)
        assert [record.call for record in records] == calls[6:]


class TestSums:
    def test_of_a_period(self, connection: Connection, calls: list[CallSnapshot]) -> None:
        cut_off = ended_call("cut", NOON_AT + 20, termination_reason=TerminationReason.MEDIA_TIMEOUT)
        apply(connection, EndCall(cut_off, (replace(MEDIA, mos=None),)))
        figures = history.period_figures(connection, 1, NOON_AT + 6)
        assert (figures.days, figures.since_at) == (1, NOON_AT + 6)
        assert (figures.calls, figures.answered, figures.completed, figures.failed) == (7, 4, 3, 4)
        assert figures.by_reason == {"normal": 3, "busy": 3, "media-timeout": 1}
        assert figures.talk_s == pytest.approx(4 * 60.0)
        assert figures.average_mos == pytest.approx(4.3)
        assert figures.answer_rate == pytest.approx(4 / 7)

    def test_of_no_calls(self, connection: Connection) -> None:
        figures = history.period_figures(connection, 30, NOON_AT)
        assert (figures.calls, figures.talk_s, figures.by_reason) == (0, 0.0, {})
        assert (figures.average_mos, figures.answer_rate) == (None, None)

    def test_a_clock_that_was_set_back_makes_no_negative_talk(self, connection: Connection) -> None:
        apply(connection, EndCall(ended_call("odd", NOON_AT, answered_at=NOON_AT + 30), ()))
        assert history.period_figures(connection, 1, NOON_AT - 1).talk_s == 0.0

    @pytest.mark.parametrize(
        ("zone", "starts"),
        [
            ("UTC", [12 * 3600.0, 6 * 86400 + 12 * 3600.0, 29 * 86400 + 12 * 3600.0]),
            ("Asia/Kathmandu", [17.75 * 3600, 6 * 86400 + 17.75 * 3600, 29 * 86400 + 17.75 * 3600]),
        ],
    )
    def test_periods_begin_at_local_midnight(
        self, monkeypatch: pytest.MonkeyPatch, zone: str, starts: list[float]
    ) -> None:
        with local_zone(monkeypatch, zone):
            periods = list(history.period_starts(NOON_AT))
        assert [days for days, _ in periods] == [1, 7, 30]
        assert [NOON_AT - since_at for _, since_at in periods] == starts

    def test_also_when_the_clocks_were_changed_in_between(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In Berlin summer time began on 29 March 2026, so that day had 23 hours."""
        noon_at = 1_774_951_200.0  # 31 March 2026, 12:00 in Berlin
        with local_zone(monkeypatch, "Europe/Berlin"):
            starts = dict(history.period_starts(noon_at))
        assert noon_at - starts[7] == 6 * 86400 + 12 * 3600 - 3600


class TestTimeline:
    def test_of_today_by_the_hours_that_have_begun(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number, ended_at in enumerate((NOON_AT - 3601, NOON_AT - 3600, NOON_AT - 1, NOON_AT + 60)):
            apply(connection, EndCall(ended_call(f"call-{number}", ended_at), (MEDIA,)))
        with local_zone(monkeypatch, "UTC"):
            points = history.timeline(connection, 1, NOON_AT + 120)
        assert [point.since_at for point in points] == [NOON_AT + 3600 * hour for hour in range(-12, 1)]
        assert [point.calls for point in points[-3:]] == [1, 2, 1]
        assert (points[-1].answered, points[-1].average_mos) == (1, pytest.approx(MEDIA.mos))
        assert (points[0].calls, points[0].answered, points[0].average_mos) == (0, 0, None)

    def test_of_the_last_days_by_local_days(self, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
        """In Berlin 29 March 2026 had 23 hours: its end is 22:00 UTC, its beginning 23:00 UTC of the day before."""
        end_at = 1_774_821_600.0  # 30 March 2026, 00:00 in Berlin
        unanswered = {"answered_at": None, "termination_reason": TerminationReason.BUSY}
        for number, ended_at in enumerate((end_at - 23 * 3600 - 1, end_at - 23 * 3600, end_at - 1, end_at)):
            apply(connection, EndCall(ended_call(f"call-{number}", ended_at, **unanswered), ()))
        with local_zone(monkeypatch, "Europe/Berlin"):
            points = history.timeline(connection, 7, end_at + 7200)
        assert len(points) == 7
        assert [(point.calls, point.answered) for point in points[-3:]] == [(1, 0), (2, 0), (1, 0)]
        assert points[-1].since_at == end_at

    def test_each_point_is_one_stretch_of_an_index(self, sqlite: sqlite3.Connection) -> None:
        plan = sqlite.execute(f"EXPLAIN QUERY PLAN {history.SUMS_BETWEEN}", (0.0, 1.0)).fetchall()
        assert [row[-1] for row in plan] == ["SEARCH call USING INDEX call_ended (ended_at>? AND ended_at<?)"]


class local_zone:  # noqa: N801 - reads as what it does
    """The process is in that time zone within the block."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
        self._monkeypatch, self._zone = monkeypatch, zone

    def __enter__(self) -> None:
        self._monkeypatch.setenv("TZ", self._zone)
        time.tzset()

    def __exit__(self, *_: object) -> None:
        self._monkeypatch.undo()
        time.tzset()


class TestPlans:
    """No query reads the whole history or sorts it, however much of it there is."""

    EDGE = (NOON_AT, NOON_AT + 9, 0)

    @pytest.mark.parametrize(
        ("sql", "values", "access"),
        [
            (history.PLACES_OF_ALL, (*EDGE, 50, 0), "SEARCH call USING COVERING INDEX call_ended"),
            (history.COUNT_ALL, EDGE[:1], "SEARCH call USING COVERING INDEX call_ended"),
            (history.PLACES_OF_NUMBER, ("100", *EDGE, 50, 0), "SEARCH party USING PRIMARY KEY (number=? AND"),
            (history.COUNT_OF_NUMBER, ("100", *EDGE[:1]), "SEARCH party USING PRIMARY KEY (number=? AND"),
            (history.CALLS + "(?, ?)", (1, 2), "SEARCH call USING INTEGER PRIMARY KEY (rowid=?)"),
            (history.MEDIA + "(?, ?)" + history.IN_MEDIA_ORDER, (1, 2), "SEARCH media USING PRIMARY KEY (call=?)"),
        ],
    )
    def test_of_the_history(
        self, sqlite: sqlite3.Connection, sql: str, values: tuple[object, ...], access: str
    ) -> None:
        steps = [row[3] for row in sqlite.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert any(step.startswith(access) for step in steps), steps
        assert [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step] == []

    def test_of_the_sums_only_their_own_days_are_read(self, sqlite: sqlite3.Connection) -> None:
        steps = [row[3] for row in sqlite.execute(f"EXPLAIN QUERY PLAN {history.SUMS}", (NOON_AT,))]
        assert any(step.startswith("SEARCH call USING INDEX call_ended (ended_at>?)") for step in steps), steps


# Twenty thousand calls of a month.
_CALLS = """
INSERT INTO call (call_id, from_number, to_number, invited_at, ended_at, from_address, to_address, status,
    termination_reason, reason_text, ended_by)
SELECT 'call-' || each, (100 + mod(each, 40))::text, (140 + mod(each, 40))::text, ?, ? + each * 129.6, '', '', 200,
    'normal', '', 'caller'
FROM generate_series(1, 20000) AS each
"""
_PARTIES = "INSERT INTO party (number, ended_at, call) SELECT from_number, ended_at, id FROM call"
_MEDIA = "INSERT INTO media SELECT id, 0, 'audio', 0, '', 1, '', 1, 1, 1, 1, 0, 0, 0, 0, 0, 0.0 FROM call"
_TRACES = "INSERT INTO trace (call, ended_at, format, size, data) SELECT id, ended_at, 1, 9, ''::bytea FROM call"


def test_postgresql_too_reads_nothing_but_what_is_asked_for(postgres: PostgresConnection) -> None:
    postgres.execute(_CALLS, (NOON_AT, NOON_AT))
    postgres.execute(_PARTIES)
    postgres.execute(_MEDIA)
    postgres.execute(_TRACES)
    for table in ("call", "party", "media", "trace"):
        postgres.execute(f"ANALYZE {table}")
    late_at = NOON_AT + 2_580_000
    statements: list[tuple[str, tuple[object, ...], str]] = [
        (history.PLACES_OF_ALL, (NOON_AT, late_at, 0, 50, 0), "call_ended"),
        (history.COUNT_ALL, (late_at,), "call_ended"),
        (history.PLACES_OF_NUMBER, ("100", NOON_AT, late_at, 0, 50, 0), "party_pkey"),
        (history.COUNT_OF_NUMBER, ("100", NOON_AT), "party_pkey"),
        (history.CALLS + "(?, ?)", (1, 2), "call_pkey"),
        (history.MEDIA + "(?, ?)" + history.IN_MEDIA_ORDER, (1, 2), "media_pkey"),
        (history.SUMS, (late_at,), "call_ended"),
        (history.SUMS_BETWEEN, (late_at, late_at + 3600), "call_ended"),
        (TAKEN_FOR_DEAD, ("call-1", NOON_AT), "call_of_id"),
        (traces.PUT.statements[1], ("call-1", NOON_AT, 1, b""), "call_of_id"),
        (traces.FIND_NEWEST, ("call-1", NOON_AT, late_at), "call_of_id"),
        (traces.OLDEST, (5,), "trace_kept"),
    ]
    for sql, values, index in statements:
        plan = "\n".join(row[0] for row in postgres.execute(f"EXPLAIN {sql}", values))
        assert index in plan
        assert "Seq Scan" not in plan, plan
