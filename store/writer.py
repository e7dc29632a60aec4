"""The one thread that changes the database, `store-writer`: what waits in the backlog in one transaction, a sign of
life every few seconds, and now and then the removal of what is too old.

A fault ends only the attempt in which it happened: the work stays in the backlog and is tried again, later each time.
`attempt` runs in that thread alone; `problems` may be asked by any.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from config import ConfigError
from faults import FaultLog
from lasting_thread import LastingThread
from store import calls, traces
from store.backlog import Backlog, Work, apply
from store.bindings import drop_expired
from store.interface import Settled, TraceLimits
from store.medium import Medium

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
"""How much later than its last sign of life a server may have died; also what a power cut may cost."""
PRUNE_S = 3600.0
PRUNE_BATCH = 500
"""Calls or traces forgotten in one transaction; other work comes between two of them."""
_FRESH_SHARE = 16
"""Traces may go beyond their limit by such a part of it before the oldest are forgotten."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_PRUNE_PAUSE_S = 0.05
_LAST_ATTEMPTS = 5
_STOP_TIMEOUT_S = 5.0
_DAY_S = 86_400.0


class Writer:
    """Invariant: while `_trouble` is not empty the last attempt failed, and the next one comes after `_pause_s`."""

    def __init__(
        self,
        database: Medium,
        backlog: Backlog,
        history_days: int,
        trace_limits: TraceLimits,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        server: str = "",
    ) -> None:
        """`clock` is monotonic; `history_days` 0 keeps calls for ever; `server` is whose calls these are."""
        self._database = database
        self._backlog = backlog
        self._history_days = history_days
        self._trace_limits = trace_limits
        self._fresh_bytes = 0
        self._clock = clock
        self._wall_clock = wall_clock
        self._server = server
        self._listeners: list[Settled] = []
        self._stopping = threading.Event()
        self._thread: LastingThread | None = None
        self._faults = FaultLog(log, "store-writer")
        self._trouble = ""
        self._pause_s = 0.0
        self._beat_due = 0.0
        self._prune_due = 0.0
        self._unsynced = False
        self._suspect = False

    def on_settled(self, listener: Settled) -> None:
        self._listeners.append(listener)

    @property
    def pause_s(self) -> float:
        """Until the next attempt; 0 when all is well."""
        return self._pause_s

    def problems(self) -> tuple[str, ...]:
        found = []
        if trouble := self._trouble:
            found.append(f"registrations and calls can't be stored, and are kept in memory for now: {trouble}")
        if lost := self._backlog.lost:
            found.append(f"{lost} changes of registrations and calls were never stored")
        found += self._database.problems()
        if self._thread is not None:
            found += self._thread.problems()
        return tuple(found)

    def retain(self, history_days: int, trace_limits: TraceLimits) -> None:
        """From the next look at what is too old, which comes now.  Any thread."""
        self._history_days, self._trace_limits = history_days, trace_limits
        self._prune_due = self._clock()
        self._backlog.wake()

    def check_soon(self) -> None:
        """A reader met something that makes no sense: have the file looked at, and set aside if it is damaged."""
        self._suspect = True
        self._backlog.wake()

    # -------------------------------------------------------------------------------------------- life

    def open(self) -> None:
        """Open the database before the thread begins.  Raises `ConfigError`; other faults are for the next attempt."""
        now, now_at = self._clock(), self._wall_clock()
        self._beat_due, self._prune_due = now, now
        try:
            self._open(now_at)
        except ConfigError:
            self._database.close()
            raise
        except self._database.faults as error:
            self._note(error)

    def start(self) -> None:
        self._thread = LastingThread("store-writer", self._run, self._stopping.is_set)
        self._thread.start()

    def stop(self) -> None:
        """Idempotent."""
        self._stopping.set()
        self._backlog.wake()
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)
            if self._thread.is_alive():
                log.error("the disk does not answer; what waits to be stored is lost")
                return
            self._thread = None
        if left := self._backlog.give_up():
            log.error("%d changes of registrations and calls could not be stored", left)
        self._database.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._pause_s:
                self._stopping.wait(self._pause_s)
            else:
                self._backlog.wait(max(0.0, min(self._beat_due, self._prune_due) - self._clock()))
            self.attempt()
        for _ in range(_LAST_ATTEMPTS):
            if self.attempt():
                return
            time.sleep(_FIRST_PAUSE_S)

    # -------------------------------------------------------------------------------------------- store-writer

    def attempt(self) -> bool:
        """Do what is due; whether that went well.  Never raises."""
        try:
            self._work(self._clock(), self._wall_clock())
        except BaseException as error:  # noqa: BLE001 - what was taken from the backlog must go back to it
            self._failed(error)
            return False
        self._recover()
        return True

    def _work(self, now: float, now_at: float) -> None:
        if now >= self._beat_due:
            self._database.keep_watch()
        if not self._database.is_open:
            self._open(now_at)
        if self._suspect:
            self._suspect = False
            self._database.examine()
        self._write_backlog()
        if now >= self._beat_due:
            self._beat_due = now + HEARTBEAT_S
            self._beat(now_at)
        if now >= self._prune_due or self._fresh_bytes * _FRESH_SHARE > self._trace_limits.max_bytes:
            self._prune(now, now_at)

    def _open(self, now_at: float) -> None:
        """Also ends the calls that the last server left open: those of this one have not been written yet."""
        self._database.open(now_at)
        try:
            with self._database.writing() as connection:
                ended = calls.close_interrupted(connection, self._server)
                drop_expired(connection, now_at)
        except BaseException:
            # The next attempt has to do it again.
            self._database.leave()
            raise
        if ended:
            log.warning("%d calls were cut off when the server last stopped without warning", ended)

    def _write_backlog(self) -> None:
        works = self._backlog.take(whole=self._stopping.is_set())
        lost = 0
        if works:
            try:
                self._write(works)
            except Exception as error:
                if self._database.is_passing(error):
                    raise
                lost = self._write_one_by_one(works)
            self._unsynced = True
            self._fresh_bytes += sum(work.weight for work in works)
            self._recover()
        settled = self._backlog.stored(lost)
        if works:
            self._tell(settled, stored=True)

    def _write(self, works: list[Work]) -> None:
        with self._database.writing() as connection:
            apply(connection, *works)
            self._database.announce(connection, [work.key for work in works])

    def _write_one_by_one(self, works: list[Work]) -> int:
        """One of them can't be written, whatever the state of the disk: it must not keep back the others.  How many are
        lost."""
        lost = 0
        for work in works:
            try:
                self._write([work])
            except Exception as error:
                if self._database.is_passing(error):
                    raise
                self._faults.note(error, self._clock(), "a change can't be stored and is lost: %r", work.key)
                lost += 1
        return lost

    def _beat(self, now_at: float) -> None:
        """The time of the last sign of life matters only to calls that are live; an idle server lets the disk sleep."""
        with self._database.reading() as connection:
            is_needed = self._unsynced or calls.has_live(connection, self._server)
        if is_needed:
            with self._database.syncing() as connection:
                calls.beat(connection, now_at, self._server)
            self._unsynced = False

    def _prune(self, now: float, now_at: float) -> None:
        days, max_bytes = self._trace_limits
        forgotten = 0
        with self._database.writing() as connection:
            if self._history_days:
                forgotten = calls.prune(connection, now_at - self._history_days * _DAY_S, PRUNE_BATCH)
            traces_forgotten = traces.forget(connection, now_at - days * _DAY_S, max_bytes, now_at, PRUNE_BATCH)
        self._fresh_bytes = 0
        is_through = max(forgotten, traces_forgotten) < PRUNE_BATCH
        self._prune_due = now + (PRUNE_S if is_through else _PRUNE_PAUSE_S)

    # -------------------------------------------------------------------------------------------- faults

    def _failed(self, error: BaseException) -> None:
        self._note(error)
        settled = self._backlog.failed()
        try:
            self._database.after_fault(error, self._wall_clock())
        except OSError as second:
            self._note(second)
        self._tell(settled, stored=False)

    def _note(self, error: BaseException) -> None:
        """Logged once for each kind of fault, not once for each attempt."""
        self._faults.count()
        trouble = self._database.clause(error)
        if trouble != self._trouble:
            log.error("registrations and calls can't be stored for now: %s", trouble, exc_info=error)
        self._trouble = trouble
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2 or _FIRST_PAUSE_S)

    def _recover(self) -> None:
        if self._trouble:
            log.warning("registrations and calls are stored again")
            self._trouble, self._pause_s = "", 0.0

    def _tell(self, ticket: int, *, stored: bool) -> None:
        for listener in self._listeners:
            try:
                listener(ticket, stored)
            except Exception as error:  # noqa: BLE001 - it is the listener's fault, and the others are told
                self._faults.note(error, self._clock(), "who waited for a write could not be told")
