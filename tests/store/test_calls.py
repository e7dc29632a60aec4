"""Calls on their way into the database."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from sip.snapshots import CallRecord, CallState, HistoryQuery, TerminationReason
from store import calls, history
from store.backlog import apply
from store.calls import EndCall, PutCall
from store.sql import Connection
from tests.support.stored import LIVE_CALL, MEDIA, NOON_AT, ended_call

ALL = HistoryQuery(None, None, None, 100, 0)


def records(connection: Connection) -> list[CallRecord]:
    return history.next_records(connection, ALL, None, 100)[0]


def count(connection: Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_call_comes_back_as_it_went_in(connection: Connection) -> None:
    call = ended_call("call-1", NOON_AT, ringing_at=NOON_AT - 65)
    back = replace(MEDIA, side=1, mos=None, codec=None, from_address=None, first_packet_at=None)
    apply(connection, EndCall(call, (MEDIA, back)))
    assert records(connection) == [CallRecord(call, (MEDIA, back))]


def test_many_calls_that_begin_or_end_together_are_told_apart(connection: Connection) -> None:
    """Of one Call-ID at two times, and of one time under names with any bytes."""
    begun = [LIVE_CALL._replace(call_id=f"call-{number}") for number in range(20)]
    apply(connection, *(PutCall(call) for call in begun))
    names = [f"call-{number}" for number in range(18)] + ["\udcff\x00'", "юг", "call-0"]
    ended = [
        ended_call(name, NOON_AT + 60, invited_at=NOON_AT + (place >= 20), to_number=str(place))
        for place, name in enumerate(names)
    ]
    apply(
        connection,
        *(EndCall(call, (replace(MEDIA, call_id=call.call_id, packets=place),)) for place, call in enumerate(ended)),
    )
    found = {record.call: [media.packets for media in record.media] for record in records(connection)}
    assert found == {call: [place] for place, call in enumerate(ended)}
    for place, call in enumerate(ended):
        assert history.page(connection, HistoryQuery(None, None, str(place), 10, 0)).calls == (call,)
    left = connection.execute("SELECT call_id FROM live_call ORDER BY call_id").fetchall()
    assert left == [("call-18",), ("call-19",)]


@pytest.mark.parametrize("reason", TerminationReason)
def test_every_reason_can_be_kept(connection: Connection, reason: TerminationReason) -> None:
    call = ended_call("call-1", NOON_AT, answered=False, termination_reason=reason)
    apply(connection, EndCall(call, ()))
    assert records(connection) == [CallRecord(call, ())]


def test_hostile_text_comes_back_to_the_byte(connection: Connection) -> None:
    call = ended_call("\udcff\x00'", NOON_AT, from_number="\udc80", to_number="100%", reason_text="☎\udcfe")
    apply(connection, EndCall(call, ()))
    assert records(connection) == [CallRecord(call, ())]
    of_caller = history.page(connection, HistoryQuery(None, None, "\udc80", 10, 0))
    assert of_caller.calls == (call,)


def test_the_end_of_a_call_closes_its_live_row_and_no_other(connection: Connection) -> None:
    later = LIVE_CALL._replace(invited_at=NOON_AT + 1.0)
    for call in (LIVE_CALL, later):
        apply(connection, PutCall(call))
    apply(connection, EndCall(ended_call("call-1", NOON_AT + 70.0), ()))
    assert calls.has_live(connection)
    assert connection.execute("SELECT invited_at FROM live_call").fetchall() == [(NOON_AT + 1.0,)]


def test_beginning_and_end_are_about_the_same_subject() -> None:
    put, end = PutCall(LIVE_CALL), EndCall(ended_call("call-1", NOON_AT + 70.0), ())
    assert put.key == end.key
    assert (put.renewed, end.renewed) == (False, False)


def test_the_rating_of_a_call_is_the_mean_of_its_directions(connection: Connection) -> None:
    apply(connection, EndCall(ended_call("rated", NOON_AT), (MEDIA, replace(MEDIA, mos=3.3), replace(MEDIA, mos=None))))
    apply(connection, EndCall(ended_call("unrated", NOON_AT + 1), (replace(MEDIA, mos=None),)))
    (rated,), (unrated,) = connection.execute("SELECT mos FROM call ORDER BY id").fetchall()
    assert rated == pytest.approx(3.8)
    assert unrated is None


class TestAfterACrash:
    def test_a_live_call_is_closed_at_the_last_sign_of_life(self, connection: Connection) -> None:
        answered = LIVE_CALL._replace(state=CallState.ESTABLISHED, answered_at=NOON_AT + 5, status=200)
        apply(connection, PutCall(LIVE_CALL))
        apply(connection, PutCall(answered))
        calls.beat(connection, NOON_AT)
        calls.beat(connection, NOON_AT + 30)
        assert calls.close_interrupted(connection) == 1
        (record,) = records(connection)
        assert record.call == answered._replace(
            state=CallState.TERMINATED,
            ended_at=NOON_AT + 30,
            termination_reason=TerminationReason.INTERRUPTED,
            reason_text=record.call.reason_text,
            ended_by="server",
        )
        assert "the server stopped without warning" in record.call.reason_text
        assert not calls.has_live(connection)
        assert calls.close_interrupted(connection) == 0

    def test_a_call_younger_than_the_last_sign_of_life_ends_when_it_was_last_heard_of(
        self, connection: Connection
    ) -> None:
        calls.beat(connection, NOON_AT - 3)
        apply(connection, PutCall(LIVE_CALL._replace(ringing_at=NOON_AT + 1)))
        calls.close_interrupted(connection)
        assert records(connection)[0].call.ended_at == NOON_AT + 1

    def test_without_any_sign_of_life_too(self, connection: Connection) -> None:
        apply(connection, PutCall(LIVE_CALL))
        calls.close_interrupted(connection)
        assert records(connection)[0].call.ended_at == NOON_AT


class TestTakenForDead:
    """A server that was silent for a while ends its calls after another one has closed them."""

    def test_the_end_that_its_server_tells_replaces_the_one_that_was_assumed(self, connection: Connection) -> None:
        apply(connection, PutCall(LIVE_CALL, "two"))
        apply(connection, PutCall(LIVE_CALL._replace(call_id="call-2")))
        assert calls.close_interrupted(connection, "two") == 1
        call = ended_call("call-1", NOON_AT + 70, invited_at=NOON_AT)
        apply(connection, EndCall(call, (MEDIA,), "two"))
        assert records(connection) == [CallRecord(call, (MEDIA,))]
        assert (count(connection, "party"), count(connection, "live_call")) == (2, 1)

    def test_what_did_end_stays(self, connection: Connection) -> None:
        """A number that comes again, and a call that was cut off before."""
        apply(connection, EndCall(ended_call("call-1", NOON_AT, invited_at=NOON_AT), ()))
        apply(connection, PutCall(LIVE_CALL._replace(invited_at=NOON_AT + 1)))
        calls.close_interrupted(connection)
        apply(connection, EndCall(ended_call("call-1", NOON_AT + 9, invited_at=NOON_AT + 5), (), "two"))
        assert len(records(connection)) == 3

    def test_one_of_several_that_end_together(self, connection: Connection) -> None:
        dead, living = LIVE_CALL, LIVE_CALL._replace(call_id="call-2")
        apply(connection, PutCall(dead, "two"))
        assert calls.close_interrupted(connection, "two") == 1
        apply(connection, PutCall(living, "two"))
        ended = [ended_call(call.call_id, NOON_AT + 70, invited_at=NOON_AT) for call in (living, dead)]
        apply(connection, *(EndCall(call, (), "two") for call in ended))
        assert {record.call for record in records(connection)} == set(ended)
        assert (count(connection, "call"), count(connection, "live_call")) == (2, 0)

    def test_it_is_found_by_its_call_id(self, sqlite: sqlite3.Connection) -> None:
        steps = sqlite.execute(f"EXPLAIN QUERY PLAN {calls.TAKEN_FOR_DEAD}", ("call-1", NOON_AT))
        assert [row[3] for row in steps] == ["SEARCH call USING INDEX call_of_id (call_id=? AND invited_at=?)"]


def test_calls_that_end_are_not_sought_among_all_that_live(sqlite: sqlite3.Connection) -> None:
    steps = sqlite.execute(f"EXPLAIN QUERY PLAN {calls.END_LIVE.statements[2]}", ("call-1", NOON_AT, "call-2", NOON_AT))
    searches = [row[3] for row in steps if row[3].startswith(("SEARCH", "SCAN"))]
    assert searches == ["SEARCH live_call USING PRIMARY KEY (call_id=? AND invited_at=?)"] * 2


class TestPruning:
    def test_the_oldest_go_first_with_all_that_belongs_to_them(self, connection: Connection) -> None:
        for number in range(5):
            apply(connection, EndCall(ended_call(f"call-{number}", NOON_AT + number), (MEDIA,)))
        assert calls.prune(connection, NOON_AT + 4, most=3) == 3
        assert [record.call.call_id for record in records(connection)] == ["call-4", "call-3"]
        assert (count(connection, "call"), count(connection, "party"), count(connection, "media")) == (2, 4, 2)
        assert calls.prune(connection, NOON_AT + 4, most=3) == 1
        assert calls.prune(connection, NOON_AT + 4, most=3) == 0
        assert [record.call.call_id for record in records(connection)] == ["call-4"]

    def test_a_call_to_oneself_has_one_party(self, connection: Connection) -> None:
        apply(connection, EndCall(ended_call("call-1", NOON_AT, to_number="100"), ()))
        assert count(connection, "party") == 1
        calls.prune(connection, NOON_AT + 1, most=10)
        assert count(connection, "party") == 0
