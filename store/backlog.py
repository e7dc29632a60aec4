"""What waits to be written: bounded, the last word on each subject only, never in the way of those who put it there.

Any thread puts, under whatever lock it holds; `store-writer` alone takes.  `_lock`, a leaf, guards everything here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from math import inf
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from store.sql import Connection

LIMIT = 50_000
"""Subjects that may wait: some fifty megabytes of memory, and half an hour of an office that is busy beyond reason."""
MAX_WEIGHT = 32 * 1024 * 1024
"""Bytes that those may hold which have a weight."""

REST_S = 0.02
"""The longest rest from the end of one transaction to the next, so that what comes at short intervals shares one.  A
transaction that nobody waited for, or one alone, is followed by none."""
ENOUGH = 8
"""Unless so many wait for the next one; with fewer to a transaction a busy server would be slowed down.  When so many
have waited together, the rest is the longest."""
MOST_HEAVY = 8
"""Changes with a weight in one transaction, unless many wait: they take so long that others would wait for them."""
_SHARE = 16
"""Of many such a part is taken, so that more of them than that can come; of few too, when somebody waits for others."""
LEISURE_S = 0.25
"""How long changes wait that nobody waits for: the beginning of a call that rings for a while, its answer, and its end
if it was short, share a transaction."""

_Key = tuple[object, ...]


class Work(Protocol):
    """One change.  A later one with the same `key` says all that an earlier one said.

    When there is no more room, those with a `weight`, about how many bytes they hold beyond the usual, are the first to
    go, and then those that are `renewed`: the phone will say them again of itself."""

    @property
    def key(self) -> _Key: ...
    @property
    def renewed(self) -> bool: ...
    @property
    def weight(self) -> int: ...

    @staticmethod
    def apply_all(connection: Connection, works: Sequence[Any]) -> None:
        """Changes of this kind, no two with the same `key`, inside a transaction."""


def apply(connection: Connection, *works: Work) -> None:
    """Changes of any kind, no two with the same `key`, those of one kind together."""
    by_kind: dict[type[Work], list[Work]] = {}
    for work in works:
        by_kind.setdefault(work.__class__, []).append(work)
    for kind, alike in by_kind.items():
        kind.apply_all(connection, alike)


class Backlog:
    """Invariant: each key waits once, either in `_light` or, with a weight, in `_heavy`; at most `limit` keys do, and
    together they weigh `_weight`, at most `max_weight`; what was taken and is not settled comes on top.

    A ticket is the number of a `put`.  It is settled when its change, or the one that replaced it, is written, or when
    it turned out that it can't be for now; then its owner has nothing to wait for.  Of a change with a weight it may be
    settled earlier: nobody waits for one.
    """

    def __init__(
        self, limit: int = LIMIT, max_weight: int = MAX_WEIGHT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._max_weight = max_weight
        self._clock = clock
        self._lock = threading.Lock()
        self._stored = threading.Condition(self._lock)
        self._light: dict[_Key, Work] = {}
        self._heavy: dict[_Key, tuple[Work, int]] = {}
        """With their weights."""
        self._renewed: dict[_Key, None] = {}
        self._weight = 0
        self._taken: dict[_Key, Work] = {}
        self._waited = 0
        """How many waited for what was taken last."""
        self._rests_until = 0.0
        self._last = 0
        self._taken_to = 0
        self._stored_to = 0
        self._lost = 0
        self._failing = False
        self._woken = False
        self._is_behind = False
        """Something was left behind when the rest was taken last."""
        self._urgency = 0
        """How many wait for something that was put."""
        self._wakes_at = inf
        """So much urgency ends the sleep of the writer, at 0 any work does; without end while it is awake."""
        self._bell: SimpleQueue[None] = SimpleQueue()
        """What the writer sleeps by; to wait for the condition costs several times as much."""

    def __len__(self) -> int:
        with self._lock:
            return len(self._light) + len(self._heavy) + len(self._taken)

    @property
    def lost(self) -> int:
        """Changes that nobody will ever write."""
        with self._lock:
            return self._lost

    # -------------------------------------------------------------------------------------------- any thread

    def put(self, work: Work) -> int:
        """The ticket; 0 while nothing can be written, since waiting for it would take too long."""
        with self._lock:
            self._last += 1
            self._add(work.key, work, work.weight)
            if len(self._light) + len(self._heavy) > self._limit or self._weight > self._max_weight:
                self._make_room()
            if not self._wakes_at:
                self._ring()
            return 0 if self._failing else self._last

    def hurry(self) -> None:
        """Somebody waits for something that was put.  Without that a change is written at leisure, since waking the
        writer for each one costs more than writing it."""
        with self._lock:
            self._hurry()

    def wait_stored(self, timeout_s: float) -> bool:
        """Whether everything put so far is written, at the latest after `timeout_s`."""
        with self._lock:
            last = self._last
            if self._stored_to < last:
                self._hurry()
            return self._stored.wait_for(lambda: self._stored_to >= last, timeout_s)

    def _hurry(self) -> None:
        self._urgency += 1
        if self._urgency >= self._wakes_at:
            self._ring()

    def wake(self) -> None:
        """Have `wait` return although there is no work."""
        with self._lock:
            self._woken = True
            self._ring()

    def _ring(self) -> None:
        self._wakes_at = inf
        self._bell.put(None)

    def _add(self, key: _Key, work: Work, weight: int) -> None:
        """What waits keeps its place when it is said anew."""
        heavy, light = self._heavy, self._light
        if key in heavy:
            self._weight -= heavy[key][1]
        if weight:
            self._weight += weight
            heavy[key] = work, weight
            light.pop(key, None)
        else:
            light[key] = work
            heavy.pop(key, None)
        if work.renewed and not weight:
            self._renewed[key] = None
        else:
            self._renewed.pop(key, None)

    def _make_room(self) -> None:
        """The oldest changes go, heavy ones first, then those that will be said again."""
        while len(self._light) + len(self._heavy) > self._limit or self._weight > self._max_weight:
            victim = next(iter(self._heavy or self._renewed or self._light))
            _, weight = self._heavy.pop(victim, (None, 0))
            self._weight -= weight
            self._light.pop(victim, None)
            self._renewed.pop(victim, None)
            self._lost += 1

    # -------------------------------------------------------------------------------------------- store-writer

    def wait(self, timeout_s: float) -> bool:
        """Until there is work that is urgent, or has waited long enough, or somebody wakes us, or the time is over;
        whether there is work."""
        if not self._is_behind:
            is_urgent = self._sleep(LEISURE_S, 1)
            if not is_urgent and not self._has_work() and self._sleep(timeout_s - LEISURE_S, 0):
                self._sleep(LEISURE_S, 1)
        self._sleep(self.rest_s(), ENOUGH)
        with self._lock:
            self._woken = False
        return self._has_work()

    def rest_s(self) -> float:
        """How long the rest after the last transaction goes on."""
        return self._rests_until - self._clock()

    def _has_work(self) -> bool:
        return bool(self._light or self._heavy)

    def _sleep(self, timeout_s: float, wakes_at: int) -> bool:
        """Until there is work of that urgency, somebody wakes us, or the time is over; False when it is."""
        ends = self._clock() + timeout_s
        while True:
            with self._lock:
                is_over = self._woken or (self._has_work() and self._urgency >= wakes_at)
                self._wakes_at = inf if is_over or timeout_s <= 0 else wakes_at
            if is_over or timeout_s <= 0:
                return is_over
            try:
                self._bell.get(timeout=timeout_s)
                timeout_s = ends - self._clock()
            except Empty:
                timeout_s = 0.0

    def take(self, *, whole: bool = False) -> list[Work]:
        """All that waits, but only a portion of what has a weight, unless the whole is asked for.  It is to be settled,
        by `stored` or `failed`, before more is taken."""
        with self._lock:
            taken, self._light = self._light, {}
            self._renewed = {}
            if count := len(self._heavy):
                portion = max(-(-count // _SHARE), 1 if self._urgency else MOST_HEAVY)
                for key in list(islice(self._heavy, count if whole else portion)):
                    taken[key], weight = self._heavy.pop(key)
                    self._weight -= weight
            self._taken = taken
            self._waited, self._urgency = self._urgency, 0
            self._is_behind = bool(self._heavy)
            self._taken_to = self._last
            return list(taken.values())

    def stored(self, lost: int = 0) -> int:
        """What was taken is written, but for `lost` changes that never can be; the highest ticket that is settled."""
        with self._lock:
            self._rests_until = self._clock() + REST_S * max(0.0, min(1.0, (self._waited - 1) / (ENOUGH - 1)))
            self._taken = {}
            self._lost += lost
            if not self._is_behind:
                self._stored_to = self._taken_to
            self._failing = False
            self._stored.notify_all()
            return self._taken_to

    def failed(self) -> int:
        """What was taken waits again, unless something newer has replaced it; the highest ticket that is settled, which
        is that of the last `put`: until something is `stored`, nobody need wait."""
        with self._lock:
            waiting = {**self._taken, **{key: work for key, (work, _) in self._heavy.items()}, **self._light}
            self._clear()
            self._taken = {}
            for key, work in waiting.items():
                self._add(key, work, work.weight)
            self._make_room()
            self._failing = True
            return self._last

    def give_up(self) -> int:
        """Nothing more will be written; how many changes that costs."""
        with self._lock:
            count = len(self._light) + len(self._heavy)
            self._clear()
            self._lost += count
            return count

    def _clear(self) -> None:
        self._light, self._heavy, self._renewed, self._weight = {}, {}, {}, 0
