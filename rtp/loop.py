"""The relay's loop: waits for packets, calls the handler of each ready socket, runs commands of other threads.

The loop is no thread of its own: whoever calls `run` is its thread until `stop`. `post`, `stop`, `add` and `serve` may
be called from any thread; all else belongs to the loop's thread. There is no lock: the inbox is a deque, a handler is
replaced in one step.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush

from faults import FaultLog
from rtp.poller import Poller, new_poller

log = logging.getLogger(__name__)

Command = Callable[[], None]
Handler = Callable[[float], object]

MAX_WAITING = 64
"""So many commands that may wait gather at most while the loop sleeps."""


class RelayLoop:
    """Invariant: every socket that the poller watches has a handler."""

    def __init__(self, clock: Callable[[], float], poller: Poller | None = None) -> None:
        self.clock = clock
        self._poller = poller or new_poller()
        self._handlers: dict[int, Handler] = {}
        self._inbox: deque[Command] = deque()
        self._timers: list[tuple[float, int, Handler]] = []  # a heap; the number keeps the order of equal times
        self._timers_set = 0
        self._doomed: list[socket.socket] = []
        self._may_sleep = False
        self._is_stopping = False
        self._thread_id: int | None = None
        self._faults = FaultLog(log, "rtp-relay")
        self._wake_rx, self._wake_tx = socket.socketpair()
        for end in (self._wake_rx, self._wake_tx):
            end.setblocking(False)
        self._poller.register(self._wake_rx.fileno())
        self._handlers[self._wake_rx.fileno()] = self._on_wake

    # any thread

    def wall_offset_s(self) -> float:
        """What turns the loop's monotonic into wall-clock seconds, now."""
        return time.time() - self.clock()

    def post(self, command: Command, *, may_wait: bool = False) -> None:
        """Have the loop's thread run `command` soon, after those posted before, and before it reads any packet that was
        sent after this call. Posted by the loop's thread, it runs in the next round.

        One that `may_wait` runs when the loop is awake anyway, or when some dozens have gathered: to wake a thread for
        each costs more than all that a call does here.
        """
        self._inbox.append(command)
        if may_wait and len(self._inbox) < MAX_WAITING:
            return
        # `run` says that it may sleep before it looks into the inbox for the last time: one of the two sees the other.
        if self._may_sleep:
            self._may_sleep = False
            with suppress(OSError):  # a full pipe wakes as well; a closed one has nobody to wake
                self._wake_tx.send(b"\0")

    def add(self, sock: socket.socket, handler: Handler) -> None:
        """Call `handler(now)` whenever `sock` has something to read; it must read it, or have another handler do so."""
        self._handlers[sock.fileno()] = handler
        register = partial(self._poller.register, sock.fileno())
        if self.is_own_thread():
            register()
        else:
            self.post(register)

    def serve(self, sock: socket.socket, handler: Handler) -> None:
        """From now on `handler` serves `sock`, which was added before."""
        self._handlers[sock.fileno()] = handler

    def stop(self) -> None:
        """Make `run` return once the commands posted so far have run."""
        self.post(self._stop)

    # the loop's thread

    def is_stopping(self) -> bool:
        return self._is_stopping

    def run(self) -> None:
        """Serve until `stop`. A fault in a handler costs the packet it met, never the loop; one that ends the thread
        itself gets through, and `run` may be called anew."""
        self._thread_id = threading.get_ident()
        try:
            while not self._is_stopping:
                try:
                    self._serve()
                except Exception as error:  # noqa: BLE001 - logged, at a rate that packets cannot drive
                    self._faults.note(error, self.clock(), "the media relay drops a packet or a command")
        finally:
            self._thread_id = None

    def call_at(self, when: float, handler: Handler) -> None:
        """Call `handler(now)` once the clock says `when`, after the packets of that round. There is no taking it back:
        a handler that has become idle does nothing."""
        assert self.is_own_thread()
        self._timers_set += 1
        heappush(self._timers, (when, self._timers_set, handler))

    def leave(self, sock: socket.socket) -> None:
        """Stop serving `sock` and leave it open, until it is added again."""
        assert self.is_own_thread()
        self._poller.unregister(sock.fileno())
        self._handlers[sock.fileno()] = _ignore

    def throw_away(self, sock: socket.socket) -> None:
        """A packet at a socket nobody uses: read and forget."""
        with suppress(OSError):
            sock.recv(1)

    def remove(self, sock: socket.socket) -> None:
        """Stop serving `sock`; it is closed after this round, in which it may still be called ready."""
        self.leave(sock)
        self._doomed.append(sock)

    def is_own_thread(self) -> bool:
        """Whether the caller is the loop's thread, or nobody is."""
        return self._thread_id is None or self._thread_id == threading.get_ident()

    def close(self) -> None:
        """Run what is left in the inbox and free the loop's descriptors, after `run` has returned."""
        assert self._thread_id is None
        while self._inbox:
            self._run_commands()
        self._close_doomed()
        self._poller.close()
        self._wake_rx.close()
        self._wake_tx.close()

    def _serve(self) -> None:
        poll, clock, handlers = self._poller.poll, self.clock, self._handlers
        inbox, timers = self._inbox, self._timers
        while not self._is_stopping:
            self._may_sleep = True
            ready = poll(self._patience_s()) if inbox or timers else poll()
            self._may_sleep = False
            now = clock()
            if inbox:
                self._run_commands()
            for fd, _ in ready:
                handlers[fd](now)
            if timers and timers[0][0] <= now:
                self._call_due(now)
            if self._doomed:
                self._close_doomed()

    def _patience_s(self) -> float:
        """How long to wait for a packet when there are commands or timers."""
        return 0.0 if self._inbox else max(0.0, self._timers[0][0] - self.clock())

    def _run_commands(self) -> None:
        for _ in range(len(self._inbox)):  # what these post themselves waits for the next round
            self._inbox.popleft()()

    def _call_due(self, now: float) -> None:
        """One handler that fails leaves the others for the next round, as does whoever sets itself anew the round."""
        timers, last = self._timers, self._timers_set
        while timers and timers[0][0] <= now and timers[0][1] <= last:
            heappop(timers)[2](now)

    def _close_doomed(self) -> None:
        while self._doomed:
            sock = self._doomed.pop()
            del self._handlers[sock.fileno()]
            sock.close()

    def _stop(self) -> None:
        self._is_stopping = True

    def _on_wake(self, _now: float) -> None:
        with suppress(BlockingIOError):
            self._wake_rx.recv(4096)


def _ignore(_now: float) -> None:
    """Handler of a socket that was given up in this round."""
