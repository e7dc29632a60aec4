"""The store in a database: what the rest of the program sees of this package.

`put_*`, `remove_binding` and `end_call` may be called by any thread, under the core lock too: they only put into the
backlog.  Reading is done by the thread that asks, on a connection of its own; it never waits for the writer.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

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
from sip.trace_codec import UnreadableTrace
from store import history, traces
from store.backlog import LIMIT, Backlog
from store.bindings import PutBinding, RemoveBinding, live_bindings, number_records
from store.calls import EndCall, PutCall
from store.interface import Settled, StoreError, TraceLimits
from store.medium import Medium
from store.sql import Connection
from store.traces import PutTrace
from store.writer import Writer

if TYPE_CHECKING:
    from sip.media_relay import StreamFigures

log = logging.getLogger(__name__)

DEFAULT_TRACE_LIMITS = TraceLimits(7, 200 * 1024 * 1024)

ROWS_AT_ONCE = 500
"""Calls read in one piece when all of them are asked for."""


class DatabaseStore:
    """Implements `store.interface.Store`."""

    def __init__(
        self,
        database: Medium,
        history_days: int,
        trace_limits: TraceLimits = DEFAULT_TRACE_LIMITS,
        *,
        server: str = "",
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`history_days` 0 keeps calls for ever; `server` is the name of this server, where several share a database;
        `limit` bounds the backlog."""
        self._database = database
        self._server = server
        self._backlog = Backlog(limit)
        self._keeps_traces = trace_limits.days > 0
        self._writer = Writer(database, self._backlog, history_days, trace_limits, clock, wall_clock, server)

    # -------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        self._writer.open()
        self._writer.start()

    def stop(self) -> None:
        self._writer.stop()

    def problems(self) -> tuple[str, ...]:
        return self._writer.problems()

    def pending(self) -> int:
        return len(self._backlog)

    def on_settled(self, listener: Settled) -> None:
        self._writer.on_settled(listener)

    def hurry(self) -> None:
        self._backlog.hurry()

    def retain(self, history_days: int, trace_limits: TraceLimits) -> None:
        self._keeps_traces = trace_limits.days > 0
        self._writer.retain(history_days, trace_limits)

    def flush(self, timeout_s: float) -> bool:
        return self._backlog.wait_stored(timeout_s)

    # -------------------------------------------------------------------------------------------- registrations

    def bindings(self, now_at: float) -> list[StoredBinding]:
        try:
            with self._reading() as connection:
                return [replace(each, server="") for each in live_bindings(connection, now_at, self._server)]
        except StoreError as error:
            log.warning("phones have to register again before they can be called: %s", error)
            return []

    def number_records(self) -> dict[str, NumberRecord]:
        try:
            with self._reading() as connection:
                return number_records(connection)
        except StoreError as error:
            log.warning("earlier registrations are not counted: %s", error)
            return {}

    def put_binding(self, binding: StoredBinding, registrations: int) -> int:
        return self._backlog.put(PutBinding(replace(binding, server=self._server), registrations))

    def remove_binding(self, binding_id: str, server: str = "") -> int:
        return self._backlog.put(RemoveBinding(binding_id, server or self._server))

    # -------------------------------------------------------------------------------------------- calls

    def put_call(self, call: CallSnapshot) -> int:
        return self._backlog.put(PutCall(call, self._server))

    def end_call(self, call: CallSnapshot, streams: Sequence[StreamFigures]) -> int:
        return self._backlog.put(EndCall(call, streams, self._server))

    def put_trace(self, call: CallSnapshot, source: TraceSource) -> int:
        return self._backlog.put(PutTrace(call, source)) if self._keeps_traces else 0

    def call_trace(self, call_id: str, invited_at: float | None) -> CallTrace | None:
        try:
            with self._reading() as connection:
                return traces.find(connection, call_id, invited_at)
        except UnreadableTrace as error:
            raise StoreError(str(error)) from error

    def history(self, query: HistoryQuery) -> HistoryPage:
        with self._reading() as connection:
            return history.page(connection, query)

    def history_rows(self, query: HistoryQuery) -> Iterator[CallRecord]:
        place = None
        while True:
            with self._reading() as connection:
                records, place = history.next_records(connection, query, place, ROWS_AT_ONCE)
            yield from records
            if place is None:
                return

    def statistics(self, now_at: float) -> tuple[PeriodFigures, ...]:
        with self._reading() as connection:
            starts = history.period_starts(now_at)
            return tuple(history.period_figures(connection, days, since_at) for days, since_at in starts)

    def timeline(self, days: int, now_at: float) -> tuple[TimelinePoint, ...]:
        with self._reading() as connection:
            return history.timeline(connection, days, now_at)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        database = self._database
        try:
            with database.reading() as connection:
                yield connection
        except database.faults as error:
            if database.is_damage(error):
                self._writer.check_soon()
            raise StoreError(f"what is stored can't be read now: {database.clause(error)}") from error
