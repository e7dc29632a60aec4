"""Deadlines of the signalling core and the durations of RFC 3261 (table 4), RFC 6026 8.11 and RFC 4320 4.1.

Pure: time is the argument `now`, monotonic seconds.  Run by whichever thread holds the core lock, which guards
every object here.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heappush
from math import ceil
from typing import Final, Generic, TypeVar, TypeVarTuple, Unpack

from faults import FaultLog

logger = logging.getLogger(__name__)

_COMPACTION_FLOOR: Final = 64
"""So many cancelled entries may lie in the heap before it is worth looking."""

_EXTRA_FIRINGS: Final = 100
"""Timers started during a `fire_due` and due at once that one call still fires, beyond those it found."""


@dataclass(frozen=True, slots=True)
class TimerSettings:
    """The durations of every timer, in seconds, under the letters of the RFC.

    A, E and G are first intervals; the transactions double them.  D, I, J and K hold for unreliable transports and are
    0 on reliable ones, which the transactions see to.
    """

    t1_s: float = 0.5
    t2_s: float = 4.0
    t4_s: float = 5.0
    timer_d_s: float = 32.0
    """At least 32 s whatever T1 is: the server's T1 is not known (17.1.1.2)."""
    timer_c_s: float = 181.0
    """More than three minutes (16.6 step 11)."""
    gather_s: float = 0.0
    """How much later than its time may fire what nobody waits for: the end of a transaction that only absorbs copies
    (timers D and I to M), say.  So a thread that is woken for each deadline is woken for many at once."""

    @property
    def timer_a_s(self) -> float:
        return self.t1_s

    @property
    def timer_b_s(self) -> float:
        return 64 * self.t1_s

    @property
    def timer_e_s(self) -> float:
        return min(self.t1_s, self.t2_s)

    @property
    def timer_f_s(self) -> float:
        return 64 * self.t1_s

    @property
    def timer_g_s(self) -> float:
        return min(self.t1_s, self.t2_s)

    @property
    def timer_h_s(self) -> float:
        return 64 * self.t1_s

    @property
    def timer_i_s(self) -> float:
        return self.t4_s

    @property
    def timer_j_s(self) -> float:
        return 64 * self.t1_s

    @property
    def timer_k_s(self) -> float:
        return self.t4_s

    @property
    def timer_l_s(self) -> float:
        return 64 * self.t1_s

    @property
    def timer_m_s(self) -> float:
        return 64 * self.t1_s

    @property
    def cancel_s(self) -> float:
        """How long a cancelled INVITE may stay without a final response (9.1)."""
        return 64 * self.t1_s

    @property
    def expiry_s(self) -> float:
        """When the client of a non-INVITE request has given up, counted from the request (RFC 4320 2.2)."""
        return 64 * self.t1_s

    @property
    def trying_s(self) -> float:
        """When a client's Timer E reaches T2: the time for 100 to a non-INVITE request (RFC 4320 4.1)."""
        return _elapsed_at_cap(self.timer_e_s, self.t2_s)


@lru_cache(maxsize=8)
def _elapsed_at_cap(interval_s: float, cap_s: float) -> float:
    """How long it takes until an interval that is doubled each time has reached its cap."""
    elapsed_s = 0.0
    while interval_s < cap_s:
        elapsed_s += interval_s
        interval_s = min(2 * interval_s, cap_s)
    return elapsed_s


Arguments = TypeVarTuple("Arguments")


class Timer:
    """One deadline.  Invariant: after firing or `cancel` it holds no reference to callback, arguments or queue."""

    __slots__ = ("_arguments", "_callback", "_queue")

    def __init__(self, queue: TimerQueue, callback: Callable[..., None], arguments: tuple[object, ...]) -> None:
        self._queue: TimerQueue | None = queue
        self._callback: Callable[..., None] | None = callback
        self._arguments = arguments

    @property
    def active(self) -> bool:
        """Neither fired nor cancelled."""
        return self._queue is not None

    def cancel(self) -> None:
        """Harmless when it fired or was cancelled before."""
        queue = self._queue
        if queue is not None:
            self._queue = self._callback = None
            self._arguments = ()
            queue._cancelled += 1
            if queue._cancelled > _COMPACTION_FLOOR and 2 * queue._cancelled > len(queue._heap):
                queue._compact()

    def _take(self) -> tuple[Callable[..., None] | None, tuple[object, ...]]:
        """Callback and arguments, which the timer then lets go; no callback when cancelled."""
        taken = self._callback, self._arguments
        self._queue = self._callback = None
        self._arguments = ()
        return taken


class TimerQueue:
    """Timers in the order of their deadlines, those of one deadline in the order they were started.

    Invariant: `_cancelled` of the entries in `_heap` belong to cancelled timers, and no more than half of a heap beyond
    `_COMPACTION_FLOOR` entries.
    """

    __slots__ = ("_cancelled", "_faults", "_gather_s", "_heap", "_started")

    def __init__(self, gather_s: float = 0.0) -> None:
        """`gather_s` is explained in `TimerSettings`."""
        self._gather_s = gather_s
        self._heap: list[tuple[float, int, Timer]] = []
        self._faults = FaultLog(logger, "sip-timer")
        self._cancelled = 0
        self._started = 0

    def __len__(self) -> int:
        """Live timers."""
        return len(self._heap) - self._cancelled

    def start(
        self,
        deadline: float,
        callback: Callable[[Unpack[Arguments], float], None],
        *arguments: *Arguments,
    ) -> Timer:
        """Have `callback(*arguments, now)` called by the first `fire_due` at or after `deadline` (monotonic)."""
        timer = Timer(self, callback, arguments)
        # The running number keeps the order of equal deadlines and the comparison away from Timer.
        self._started += 1
        heappush(self._heap, (deadline, self._started, timer))
        return timer

    def start_gathered(
        self,
        deadline: float,
        callback: Callable[[Unpack[Arguments], float], None],
        *arguments: *Arguments,
    ) -> Timer:
        """As `start`, but up to `gather_s` later, together with all others that were started so."""
        if self._gather_s:
            deadline = ceil(deadline / self._gather_s) * self._gather_s
        return self.start(deadline, callback, *arguments)

    def next_deadline(self) -> float | None:
        """Monotonic seconds; None when nothing waits."""
        heap = self._heap
        while heap:
            deadline, _, timer = heap[0]
            if timer._queue is not None:
                return deadline
            heappop(heap)
            self._cancelled -= 1
        return None

    def fire_due(self, now: float) -> int:
        """Fire what is due, earliest deadline first; the number of timers fired.

        Timers that callbacks start with a due deadline fire too, up to a bound; the rest stays for the next call.  A
        callback that raises is logged and does not stop the others.
        """
        heap = self._heap
        fired = 0
        limit = len(self) + _EXTRA_FIRINGS
        while heap and heap[0][0] <= now and fired < limit:
            callback, arguments = heappop(heap)[2]._take()
            if callback is None:
                self._cancelled -= 1
                continue
            fired += 1
            try:
                callback(*arguments, now)
            except Exception as error:  # noqa: BLE001 - logged, at a rate that packets cannot drive
                self._faults.note(error, now, "timer callback failed")
        return fired

    def _compact(self) -> None:
        """Drop the cancelled timers."""
        # In place: fire_due may be iterating over this very list.
        self._heap[:] = [entry for entry in self._heap if entry[2]._queue is not None]
        heapify(self._heap)
        self._cancelled = 0


Item = TypeVar("Item")


class TimerLane(Generic[Item]):
    """Any number of waits of one and the same length, for the price of one timer, which is gathered with others.

    Equal waits end in the order they began, so a FIFO does for them what a heap would do, without its cost per entry.
    Invariant: while items wait, one timer is started, due when the oldest of them may wait no longer.
    """

    __slots__ = ("_deadlines", "_expire", "_gather_s", "_items", "_timer", "_timers", "_wait_s")

    def __init__(
        self, timers: TimerQueue, wait_s: float, expire: Callable[[Item, float], None], gather_s: float = 0.0
    ) -> None:
        """`expire(item, now)` is called once for each item, after `wait_s` seconds or by `expire_oldest`.  With
        `gather_s` it may come so much earlier, so that what began within that time ends together."""
        self._timers = timers
        self._wait_s = wait_s - gather_s
        self._gather_s = gather_s
        self._expire = expire
        # Side by side: no tuple per item for the garbage collector to visit.
        self._items: deque[Item] = deque()
        self._deadlines: deque[float] = deque()
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._items)

    def append(self, item: Item, now: float) -> None:
        deadline = now + self._wait_s
        self._items.append(item)
        self._deadlines.append(deadline)
        if self._timer is None:
            self._timer = self._timers.start_gathered(deadline + self._gather_s, self._fire)

    def expire_oldest(self, now: float) -> None:
        """End the longest wait early; there must be one."""
        item = self._take_oldest()
        if not self._items and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._expire(item, now)

    def _take_oldest(self) -> Item:
        self._deadlines.popleft()
        return self._items.popleft()

    def _fire(self, now: float) -> None:
        deadlines = self._deadlines
        try:
            while deadlines and deadlines[0] <= now:
                self._expire(self._take_oldest(), now)
        finally:
            # Only now: until here the spent timer keeps `append` from starting one that is not for the oldest item.
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._timers.start_gathered(deadlines[0] + self._gather_s, self._fire) if deadlines else None
