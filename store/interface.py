"""What the server asks of whatever keeps its state; `store.database_store.DatabaseStore` implements it.

`put_binding`, `remove_binding`, `put_call`, `end_call`, `put_trace` and `hurry` never wait and never fail: they may be
called under the core lock.  All else may wait for the disk, and must not.  Wall times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sip.snapshots import (
    CallRecord,
    CallSnapshot,
    HistoryPage,
    HistoryQuery,
    NumberRecord,
    PeriodFigures,
    StoredBinding,
    TimelinePoint,
)
from sip.trace import CallTrace, TraceSource

if TYPE_CHECKING:
    from sip.media_relay import StreamFigures

Settled = Callable[[int, bool], None]
"""Told, by the writing thread and under no lock, that all tickets up to this one are settled; True: they are stored,
False: they can't be for now, and nobody should wait for them."""


class Neighbourhood(Protocol):
    """Told, by a thread of its own and under no lock, what other servers on the same database do.  The `server` of a
    binding is "" when this server holds it."""

    def peer_address(self, database_host: str) -> str:
        """Where others on the database at that address ("": on this machine) reach this server."""

    def set_neighbours(
        self, me: str, key: bytes, clock_offset: float, addresses: Mapping[str, tuple[str, int]]
    ) -> None:
        """`addresses` has those that are alive, `key` is what servers on this database prove themselves by, and its
        clock shows `clock_offset` more than ours."""

    def follow_bindings(
        self, changed: Sequence[StoredBinding], gone: Sequence[str], records: Sequence[NumberRecord]
    ) -> None:
        """`changed` stand in the database as they are now, with what is known of their numbers; those with the ids
        `gone` do not any more."""

    def reconcile_bindings(self, present: Sequence[StoredBinding], records: Sequence[NumberRecord]) -> None:
        """`present` and `records` are all that stands there."""


class StoreError(Exception):
    """What was asked for can't be read now; `str()` is a clause in plain words."""


class TraceLimits(NamedTuple):
    """How long traces of ended calls are kept, 0 days: not at all, and how many bytes they may take together."""

    days: int
    max_bytes: int


class Store(Protocol):
    """Tickets: each change has a number, higher than those before it, or 0 while nothing can be written."""

    def start(self) -> None:
        """Make what is kept readable, end the calls that a crash cut off, and begin to write.

        Raises `ConfigError` for what only a person can put right: a later version's data, another server on the same.
        Anything else is told by `problems`, and tried again."""

    def stop(self) -> None:
        """Write what waits, if it can be written within a few seconds, and close.  Idempotent."""

    def problems(self) -> tuple[str, ...]:
        """What hinders it, as clauses without capital and full stop that name no phone."""

    def pending(self) -> int:
        """Changes that wait to be written."""

    def on_settled(self, listener: Settled) -> None:
        """Call `listener` after each attempt to write.  To be said before `start`."""

    def hurry(self) -> None:
        """Have what was put written soon: an answer waits for it."""

    def retain(self, history_days: int, trace_limits: TraceLimits) -> None:
        """Keep calls and traces for so long from now on."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far is stored; whether it is."""

    # registrations

    def bindings(self, now_at: float) -> list[StoredBinding]:
        """Those that this server holds (`server` is "") and that have not expired; none when they can't be read."""

    def number_records(self) -> dict[str, NumberRecord]:
        """By number; none when they can't be read."""

    def put_binding(self, binding: StoredBinding, registrations: int) -> int:
        """Made or refreshed, by the REGISTER with this count of its number; the ticket."""

    def remove_binding(self, binding_id: str, server: str = "") -> int:
        """Expired or removed, and held by that server ("": by this one); the ticket."""

    # calls

    def put_call(self, call: CallSnapshot) -> int:
        """A call began, or rang, or was answered; the ticket."""

    def end_call(self, call: CallSnapshot, streams: Sequence[StreamFigures]) -> int:
        """A call that was put before, or never, is over; the ticket."""

    def put_trace(self, call: CallSnapshot, source: TraceSource) -> int:
        """The trace of a call whose end was put before; what was put of the same call before is replaced.  It is masked
        and packed when it is written.  The ticket; 0 where traces are not kept."""

    def call_trace(self, call_id: str, invited_at: float | None) -> CallTrace | None:
        """All about the ended call of that Call-ID; of several the newest, or the one that was invited in the
        millisecond that begins at `invited_at`.  None when the history has no such call.  Raises `StoreError`."""

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Raises `StoreError`."""

    def history_rows(self, query: HistoryQuery) -> Iterator[CallRecord]:
        """All calls that the query is about, newest first, without regard to its `limit` and `offset`; read piece by
        piece, so that a slow reader hinders nobody.  Raises `StoreError` on the way."""

    def statistics(self, now_at: float) -> tuple[PeriodFigures, ...]:
        """Today, the last 7 and the last 30 days, today included.  Raises `StoreError`."""

    def timeline(self, days: int, now_at: float) -> tuple[TimelinePoint, ...]:
        """The calls of today by hours (`days` 1), or of the last days, today included, by days; raises `StoreError`."""
