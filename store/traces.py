"""Traces of ended calls in the database: written, read, and forgotten when they are too old or too many.

The changes are made by any thread and applied by `store-writer`, which masks and packs them there; the functions run in
whichever thread reads or writes.  A trace that was forgotten leaves a row that says when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sip.snapshots import CallSnapshot
from sip.trace import CLOCK_ERROR_S, MILLISECOND_S, CallTrace, TraceSource, trace_of
from sip.trace_codec import FORMAT, pack, unpack
from store import history
from store.sql import TEXT, Connection, ForRows, values

_EVER = float("inf")

FIND_NEWEST = f"""
SELECT id FROM call WHERE call_id = {TEXT} AND invited_at >= ? AND invited_at < ?
ORDER BY call_id DESC, invited_at DESC LIMIT 1
"""  # noqa: S608
OLDEST = "SELECT call, ended_at, size FROM trace WHERE size > 0 ORDER BY ended_at LIMIT ?"
KEPT_BYTES = "SELECT coalesce(sum(size), 0) FROM trace WHERE size > 0"
_GIVEN = ("call_id", "invited_at", "size", "data")
_GET = "SELECT format, data, forgotten_at FROM trace WHERE call = ?"
_FORGET = "UPDATE trace SET size = 0, data = NULL, forgotten_at = ? WHERE call = ?"


def _put(rows: int) -> str:
    given = values(_GIVEN, frozenset({"call_id"}), rows)
    return f"""
INSERT INTO trace (call, ended_at, format, size, data)
SELECT call.id, call.ended_at, {FORMAT}, given.column3, given.column4
FROM ({given}) AS given JOIN call ON call.call_id = given.column1 AND call.invited_at = given.column2 WHERE true
ON CONFLICT (call) DO UPDATE SET format = excluded.format, size = excluded.size, data = excluded.data
"""  # noqa: S608


PUT = ForRows(_put)


@dataclass(frozen=True, slots=True)
class PutTrace:
    """What a call has left, or has left by now: the last word says all that was said before."""

    call: CallSnapshot
    source: TraceSource

    @property
    def key(self) -> tuple[object, ...]:
        return "trace", self.call.call_id, self.call.invited_at

    @property
    def renewed(self) -> bool:
        return False

    @property
    def weight(self) -> int:
        return self.source.size

    @staticmethod
    def apply_all(connection: Connection, works: Sequence[PutTrace]) -> None:
        packed = [(work.call, pack(work.source)) for work in works]
        PUT.run(connection, [(call.call_id, call.invited_at, len(data), data) for call, data in packed])


def find(connection: Connection, call_id: str, invited_at: float | None) -> CallTrace | None:
    """All about the newest call of that Call-ID, or about the one that was invited in the millisecond that begins at
    `invited_at`; None when there is no such call.  Raises `UnreadableTrace`."""
    since_at, until_at = -_EVER, _EVER
    if invited_at is not None:
        since_at, until_at = invited_at - CLOCK_ERROR_S, invited_at + MILLISECOND_S - CLOCK_ERROR_S
    row = connection.execute(FIND_NEWEST, (call_id, since_at, until_at)).fetchone()
    if row is None:
        return None
    record = history.record(connection, row[0])
    found = connection.execute(_GET, row).fetchone()
    if found is None:
        return CallTrace(record.call, record.media, is_kept=False)
    format_, data, forgotten_at = found
    if data is None or format_ != FORMAT:
        return CallTrace(record.call, record.media, is_kept=False, forgotten_at=forgotten_at)
    return replace(trace_of(record.call, (), unpack(data)), media=record.media)


def forget(connection: Connection, before_at: float, max_bytes: int, now_at: float, most: int) -> int:
    """Forget up to `most` traces, the oldest first: those of calls that ended before `before_at`, and as many as it
    takes for the others to fit into `max_bytes`; how many."""
    surplus = connection.execute(KEPT_BYTES).fetchone()[0] - max_bytes
    forgotten = 0
    for call, ended_at, size in connection.execute(OLDEST, (most,)).fetchall():
        if ended_at >= before_at and surplus <= 0:
            break
        connection.execute(_FORGET, (now_at, call))
        surplus -= size
        forgotten += 1
    return forgotten
