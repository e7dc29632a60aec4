"""What the server asks of whatever keeps its state; `store.database_store.DatabaseStore` implements it.

`put_binding`, `remove_binding`, `put_call` and `end_call` never wait and never fail: they may be called under the core
lock.  All else may wait for the disk, and must not.  Wall times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

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

if TYPE_CHECKING:
    from sip.media import StreamFigures

Settled = Callable[[int, bool], None]
"""Told, by the writing thread and under no lock, that all tickets up to this one are settled; True: they are stored,
False: they can't be for now, and nobody should wait for them."""


class StoreError(Exception):
    """What was asked for can't be read now; `str()` is a clause in plain words."""


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

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far is stored; whether it is."""

    # registrations

    def bindings(self, now_at: float) -> list[StoredBinding]:
        """Those that have not expired; none when they can't be read."""

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

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Raises `StoreError`."""

    def history_rows(self, query: HistoryQuery) -> Iterator[CallRecord]:
        """All calls that the query is about, newest first, without regard to its `limit` and `offset`; read piece by
        piece, so that a slow reader hinders nobody.  Raises `StoreError` on the way."""

    def statistics(self, now_at: float) -> tuple[PeriodFigures, ...]:
        """Today, the last 7 and the last 30 days, today included.  Raises `StoreError`."""

    def timeline(self, days: int, now_at: float) -> tuple[TimelinePoint, ...]:
        """The calls of today by hours (`days` 1), or of the last days, today included, by days; raises `StoreError`."""
