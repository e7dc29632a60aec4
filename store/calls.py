"""Calls on their way into the database: live ones, ended ones, those that a crash cut off, and those too old to keep.

The changes are made by any thread and applied by `store-writer`; the functions run in the thread that writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sip.snapshots import CallSnapshot, CallState, TerminationReason
from store.sql import TEXT, Connection, ForRows, insert, plain, upsert, values_of

if TYPE_CHECKING:
    from sip.media_relay import StreamFigures

CALL_COLUMNS = (
    "call_id",
    "from_number",
    "to_number",
    "invited_at",
    "ringing_at",
    "answered_at",
    "ended_at",
    "from_address",
    "to_address",
    "status",
    "termination_reason",
    "reason_text",
    "ended_by",
)
MEDIA_COLUMNS = (
    "kind",
    "side",
    "from_address",
    "from_port",
    "to_address",
    "to_port",
    "relay_port",
    "packets",
    "bytes",
    "lost",
    "out_of_order",
    "duplicates",
    "rejected",
    "dropped",
    "jitter_ms",
    "codec",
    "mos",
    "first_packet_at",
    "last_packet_at",
)
_LIVE_COLUMNS = (
    "call_id",
    "invited_at",
    "from_number",
    "to_number",
    "ringing_at",
    "answered_at",
    "from_address",
    "to_address",
    "status",
)
_TEXTS = frozenset(
    {
        "call_id",
        "codec",
        "ended_by",
        "from_address",
        "from_number",
        "kind",
        "number",
        "reason_text",
        "termination_reason",
        "to_address",
        "to_number",
    }
)

_LIVE_KEY = ("call_id", "invited_at")
_PARTY_COLUMNS = ("number", "ended_at", "call")
_CALL_VALUES = tuple(column for column in CALL_COLUMNS if column != "termination_reason")
_ENDED_VALUES = (*_CALL_VALUES, "termination_reason", "mos")
_MEDIA_VALUES = ("call", "place", *MEDIA_COLUMNS)

_PUT_LIVE = ForRows(lambda rows: upsert("live_call", (*_LIVE_COLUMNS, "server"), _TEXTS, _LIVE_KEY, rows))
_IS_CALL = f"(call_id = {TEXT} AND invited_at = ?)"
END_LIVE = ForRows(lambda rows: f"DELETE FROM live_call WHERE {' OR '.join([_IS_CALL] * rows)}")  # noqa: S608
_LIVE = f"SELECT {', '.join(_LIVE_COLUMNS)} FROM live_call WHERE server = {TEXT} ORDER BY call_id, invited_at"  # noqa: S608
_ADD_CALL = ForRows(lambda rows: f"{insert('call', _ENDED_VALUES, _TEXTS, rows)} RETURNING call_id, invited_at, id")
_ADD_PARTY = ForRows(lambda rows: insert("party", _PARTY_COLUMNS, _TEXTS, rows))
_ADD_MEDIA = ForRows(lambda rows: insert("media", _MEDIA_VALUES, _TEXTS, rows))
_REMOVE_PARTY = f"DELETE FROM party WHERE number = {TEXT} AND ended_at = ? AND call = ?"  # noqa: S608
_BEAT = upsert("heartbeat", ("server", "at"), frozenset(), ("server",))
TAKEN_FOR_DEAD = f"""
SELECT id, ended_at, from_number, to_number FROM call
WHERE call_id = {TEXT} AND invited_at = ? AND termination_reason = 'interrupted'
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class _OfCall:
    """The last word on a call says all that was said of it before."""

    call: CallSnapshot

    @property
    def key(self) -> tuple[object, ...]:
        return "call", self.call.call_id, self.call.invited_at

    @property
    def renewed(self) -> bool:
        return False

    @property
    def weight(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class PutCall(_OfCall):
    """A call began, or one that is live has changed; `server` carries it."""

    server: str = ""

    @staticmethod
    def apply_all(connection: Connection, works: Sequence[PutCall]) -> None:
        _PUT_LIVE.run(connection, [(*values_of(work.call, _LIVE_COLUMNS), work.server) for work in works])


@dataclass(frozen=True, slots=True)
class EndCall(_OfCall):
    """A call is over; `streams` is what was counted of its media, `server` has carried it."""

    streams: Sequence[StreamFigures]
    server: str = ""

    @staticmethod
    def apply_all(connection: Connection, works: Sequence[EndCall]) -> None:
        names = [(work.call.call_id, work.call.invited_at) for work in works]
        if END_LIVE.run(connection, names) < len(names):
            # The server of one may have been silent for so long that another one has written that it was cut off.
            for name in [name for name, work in zip(names, works, strict=True) if work.server]:
                _forget(connection, connection.execute(TAKEN_FOR_DEAD, name).fetchall())
        _add_ended(connection, works)


def _add_ended(connection: Connection, works: Sequence[EndCall]) -> None:
    """To the history."""
    calls = [
        (*values_of(work.call, _CALL_VALUES), plain(work.call.termination_reason), _mean_mos(work.streams))
        for work in works
    ]
    rows = {(call_id, invited_at): row for call_id, invited_at, row in _ADD_CALL.fetch(connection, calls)}
    parties: list[Sequence[object]] = []
    media: list[Sequence[object]] = []
    for work in works:
        call = work.call
        row = rows[call.call_id, call.invited_at]
        parties += [(number, call.ended_at, row) for number in dict.fromkeys((call.from_number, call.to_number))]
        media += [(row, place, *values_of(stream, MEDIA_COLUMNS)) for place, stream in enumerate(work.streams)]
    _ADD_PARTY.run(connection, parties)
    _ADD_MEDIA.run(connection, media)


def _mean_mos(streams: Sequence[StreamFigures]) -> float | None:
    rated = [stream.mos for stream in streams if stream.mos is not None]
    return sum(rated) / len(rated) if rated else None


# ------------------------------------------------------------------------------------------------ after a crash


def has_live(connection: Connection, server: str = "") -> bool:
    found = connection.execute(f"SELECT 1 FROM live_call WHERE server = {TEXT} LIMIT 1", (server,))  # noqa: S608
    return found.fetchone() is not None


def beat(connection: Connection, now_at: float, server: str = "") -> None:
    """Note that the server was alive at `now_at`."""
    connection.execute(_BEAT, (server, now_at))


def close_interrupted(connection: Connection, server: str = "") -> int:
    """End the calls that were live when that server last died, at the last time it is known to have lived; how many."""
    beats = connection.execute(f"SELECT at FROM heartbeat WHERE server = {TEXT}", (server,)).fetchone()  # noqa: S608
    alive_at = beats[0] if beats is not None else 0.0
    ended = []
    for row in connection.execute(_LIVE, (server,)).fetchall():
        call = _interrupted(dict(zip(_LIVE_COLUMNS, row, strict=True)), alive_at)
        # Another server may be doing the same: who has taken the row writes the record.
        if END_LIVE.run(connection, [(call.call_id, call.invited_at)]):
            ended.append(EndCall(call, ()))
    _add_ended(connection, ended)
    return len(ended)


def _interrupted(values: dict[str, object], alive_at: float) -> CallSnapshot:
    call = CallSnapshot(
        **values,  # type: ignore[arg-type]
        state=CallState.TERMINATED,
        ended_at=None,
        termination_reason=TerminationReason.INTERRUPTED,
        reason_text="the server stopped without warning during the call; it may have gone on for longer than is known",
        ended_by="server",
    )
    known = (call.invited_at, call.ringing_at or 0.0, call.answered_at or 0.0, alive_at)
    return call._replace(ended_at=max(known))


# ------------------------------------------------------------------------------------------------ pruning


def prune(connection: Connection, before_at: float, most: int) -> int:
    """Forget up to `most` of the calls that ended before `before_at`, the oldest first; how many."""
    rows = connection.execute(
        "SELECT id, ended_at, from_number, to_number FROM call WHERE ended_at < ? ORDER BY ended_at, id LIMIT ?",
        (before_at, most),
    ).fetchall()
    _forget(connection, rows)
    return len(rows)


def _forget(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Calls, each by its id, its end and its numbers, with all that belongs to them."""
    for row, ended_at, *numbers in rows:
        for number in dict.fromkeys(numbers):
            connection.execute(_REMOVE_PARTY, (number, ended_at, row))
        connection.execute("DELETE FROM media WHERE call = ?", (row,))
        connection.execute("DELETE FROM trace WHERE call = ?", (row,))
        connection.execute("DELETE FROM call WHERE id = ?", (row,))
