"""Calls on their way out of the database: pages, all of them one after the other, and sums over days.

Any thread, with a connection lent to it.  What a page needs comes from an index, in its order, whatever the size of the
history; a test looks at the plans.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

from sip.snapshots import (
    CallRecord,
    CallSnapshot,
    CallState,
    HistoryPage,
    HistoryQuery,
    MediaFigures,
    PeriodFigures,
    TerminationReason,
    TimelinePoint,
)
from store.calls import CALL_COLUMNS, MEDIA_COLUMNS
from store.sql import TEXT, Connection

PERIODS_DAYS = (1, 7, 30)
"""The periods of the statistics: today, and today with the 6 or 29 days before it."""

_EVER = float("inf")

# A place in the history is (ended_at, id).  What lies before (until, 0) ended before `until`: no id is below 1.
COUNT_ALL = "SELECT count(*) FROM call WHERE ended_at >= ?"
COUNT_OF_NUMBER = f"SELECT count(*) FROM party WHERE number = {TEXT} AND ended_at >= ?"  # noqa: S608
PLACES_OF_ALL = """
SELECT ended_at, id FROM call WHERE ended_at >= ? AND (ended_at, id) < (?, ?)
ORDER BY ended_at DESC, id DESC LIMIT ? OFFSET ?
"""
PLACES_OF_NUMBER = f"""
SELECT ended_at, call FROM party WHERE number = {TEXT} AND ended_at >= ? AND (ended_at, call) < (?, ?)
ORDER BY ended_at DESC, call DESC LIMIT ? OFFSET ?
"""  # noqa: S608
CALLS = f"SELECT id, {', '.join(CALL_COLUMNS)} FROM call WHERE id IN "  # noqa: S608
MEDIA = f"SELECT call, {', '.join(MEDIA_COLUMNS)} FROM media WHERE call IN "  # noqa: S608
IN_MEDIA_ORDER = " ORDER BY call, place"
SUMS = """
SELECT termination_reason, count(*), count(answered_at),
    sum(CASE WHEN ended_at > answered_at THEN ended_at - answered_at ELSE 0.0 END), coalesce(sum(mos), 0.0), count(mos)
FROM call WHERE ended_at >= ? GROUP BY termination_reason
"""

SUMS_BETWEEN = """
SELECT count(*), count(answered_at), coalesce(sum(mos), 0.0), count(mos) FROM call WHERE ended_at >= ? AND ended_at < ?
"""

_HOUR_S = 3600.0

_Place = tuple[float, int]


def page(connection: Connection, query: HistoryQuery) -> HistoryPage:
    """The calls that the query asks for, with their media figures."""
    places = _places(connection, query, _end(query), query.limit, query.offset)
    records = _records(connection, places)
    total = _count_from(connection, query, _start(query))
    if query.until_at is not None:
        # Two counts without an upper bound are five times as fast as one with.
        total -= _count_from(connection, query, query.until_at)
    return HistoryPage(tuple(each.call for each in records), max(0, total), tuple(each.media for each in records))


def next_records(
    connection: Connection, query: HistoryQuery, after: _Place | None, most: int
) -> tuple[list[CallRecord], _Place | None]:
    """Up to `most` of the calls that the query is about, whatever its page, newest first, beginning with those after
    the place `after` (None: with the newest); and the place to go on from, None when there are no more."""
    places = _places(connection, query, after or _end(query), most, 0)
    return _records(connection, places), places[-1] if len(places) == most else None


def record(connection: Connection, row: int) -> CallRecord:
    """The call in that row, which there must be."""
    return _records(connection, [(0.0, row)])[0]


def _start(query: HistoryQuery) -> float:
    return -_EVER if query.since_at is None else query.since_at


def _end(query: HistoryQuery) -> _Place:
    return (_EVER if query.until_at is None else query.until_at), 0


def _count_from(connection: Connection, query: HistoryQuery, since_at: float) -> int:
    """Calls that ended at `since_at` or later."""
    sql, values = (COUNT_ALL, ()) if query.extension is None else (COUNT_OF_NUMBER, (query.extension,))
    return int(connection.execute(sql, (*values, since_at)).fetchone()[0])


def _places(connection: Connection, query: HistoryQuery, end: _Place, limit: int, offset: int) -> list[_Place]:
    sql, values = (PLACES_OF_ALL, ()) if query.extension is None else (PLACES_OF_NUMBER, (query.extension,))
    return connection.execute(sql, (*values, _start(query), *end, limit, offset)).fetchall()


def _records(connection: Connection, places: Sequence[_Place]) -> list[CallRecord]:
    """In the order of `places`."""
    if not places:
        return []
    ids = [row for _, row in places]
    marks = f"({', '.join('?' * len(ids))})"
    calls = {row: _call(values) for row, *values in connection.execute(CALLS + marks, ids)}
    figures = {
        row: tuple(MediaFigures(calls[row].call_id, *values) for _, *values in group)
        for row, group in groupby(connection.execute(MEDIA + marks + IN_MEDIA_ORDER, ids), key=lambda each: each[0])
    }
    return [CallRecord(calls[row], figures.get(row, ())) for row in ids]


def _call(row: Sequence[Any]) -> CallSnapshot:
    values = dict(zip(CALL_COLUMNS, row, strict=True))
    values["termination_reason"] = TerminationReason(values["termination_reason"])
    return CallSnapshot(**values, state=CallState.TERMINATED)


# ------------------------------------------------------------------------------------------------ sums


def period_starts(now_at: float) -> Iterator[tuple[int, float]]:
    """Each period with the local midnight at which it began, whatever clocks were changed since."""
    for days in PERIODS_DAYS:
        yield days, _midnight(now_at, days - 1)


def _midnight(now_at: float, days_ago: int) -> float:
    today = datetime.fromtimestamp(now_at).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=days_ago)).timestamp()


def timeline(connection: Connection, days: int, now_at: float) -> tuple[TimelinePoint, ...]:
    """The calls of a period by local days, those of a single day by hours, up to the present one; oldest first."""
    if days == 1:
        midnight = _midnight(now_at, 0)
        starts = [midnight + _HOUR_S * hour for hour in range(int((now_at - midnight) // _HOUR_S) + 1)]
    else:
        starts = [_midnight(now_at, days_ago) for days_ago in range(days - 1, -1, -1)]
    return tuple(_point(connection, since_at, until_at) for since_at, until_at in pairwise([*starts, _EVER]))


def _point(connection: Connection, since_at: float, until_at: float) -> TimelinePoint:
    calls, answered, mos, rated = connection.execute(SUMS_BETWEEN, (since_at, until_at)).fetchone()
    return TimelinePoint(since_at, calls, answered, mos / rated if rated else None)


def period_figures(connection: Connection, days: int, since_at: float) -> PeriodFigures:
    by_reason: dict[str, int] = {}
    calls = answered = completed = rated = 0
    talk_s = mos = 0.0
    for reason, count, with_answer, seconds, mos_sum, with_mos in connection.execute(SUMS, (since_at,)):
        by_reason[reason] = count
        calls += count
        answered += with_answer
        talk_s += seconds
        mos += mos_sum
        rated += with_mos
        if reason in (TerminationReason.NORMAL, TerminationReason.ADMIN):
            completed += with_answer
    return PeriodFigures(
        days=days,
        since_at=since_at,
        calls=calls,
        answered=answered,
        completed=completed,
        failed=calls - completed,
        talk_s=talk_s,
        by_reason=by_reason,
        average_mos=mos / rated if rated else None,
    )
