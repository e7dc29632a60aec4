"""What waits to be written: bounded, the last word on each subject only, never in the way of those who put it there.

Any thread puts, under whatever lock it holds; `store-writer` alone takes.  `_changed`, a leaf, guards everything here.
"""

from __future__ import annotations

import threading
from typing import Protocol

from store.sql import Connection

LIMIT = 50_000
"""Subjects that may wait: some fifty megabytes of memory, and half an hour of an office that is busy beyond reason."""
MAX_WEIGHT = 32 * 1024 * 1024
"""Bytes that those may hold which have a weight."""

REST_S = 0.02
"""From the end of one transaction to the next, so that what comes at short intervals shares one."""
ENOUGH = 8
"""Unless so many wait for the next one; with fewer to a transaction a busy server would be slowed down."""
MOST_HEAVY = 32
"""Changes with a weight in one transaction: they take so long that others would wait for them."""
LEISURE_S = 0.25
"""How long changes wait that nobody waits for: the beginning of a call that rings for a while, its answer, and its end
if it was short, share a transaction."""


class Work(Protocol):
    """One change.  A later one with the same `key` says all that an earlier one said.

    When there is no more room, those with a `weight`, about how many bytes they hold beyond the usual, are the first to
    go, and then those that are `renewed`: the phone will say them again of itself."""

    @property
    def key(self) -> tuple[object, ...]: ...
    @property
    def renewed(self) -> bool: ...
    @property
    def weight(self) -> int: ...

    def apply(self, connection: Connection) -> None:
        """Inside a transaction."""


class Backlog:
    """Invariant: each key waits once, at most `limit` keys do, and together they weigh `_weight`, at most `max_weight`;
    what was taken and is not settled comes on top.

    A ticket is the number of a `put`.  It is settled when its change, or the one that replaced it, is written, or when
    it turned out that it can't be for now; then its owner has nothing to wait for.  Of a change with a weight it may be
    settled earlier: nobody waits for one.
    """

    def __init__(self, limit: int = LIMIT, max_weight: int = MAX_WEIGHT) -> None:
        self._limit = limit
        self._max_weight = max_weight
        self._changed = threading.Condition(threading.Lock())
        self._waiting: dict[tuple[object, ...], Work] = {}
        self._renewed: dict[tuple[object, ...], None] = {}
        self._weights: dict[tuple[object, ...], int] = {}
        self._weight = 0
        self._taken: dict[tuple[object, ...], Work] = {}
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
        self._wakes_at = 0
        """So much urgency ends the sleep of the writer; at 0 any work does."""

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting) + len(self._taken)

    @property
    def lost(self) -> int:
        """Changes that nobody will ever write."""
        with self._changed:
            return self._lost

    # -------------------------------------------------------------------------------------------- any thread

    def put(self, work: Work) -> int:
        """The ticket; 0 while nothing can be written, since waiting for it would take too long."""
        key = work.key
        with self._changed:
            self._last += 1
            if key not in self._waiting and len(self._waiting) >= self._limit:
                self._make_room()
            self._waiting[key] = work
            self._class(key, work)
            while self._weight > self._max_weight:
                self._make_room()
            if not self._wakes_at:
                self._changed.notify_all()
            return 0 if self._failing else self._last

    def hurry(self) -> None:
        """Somebody waits for something that was put.  Without that a change is written at leisure, since waking the
        writer for each one costs more than writing it."""
        with self._changed:
            self._hurry()

    def wait_stored(self, timeout_s: float) -> bool:
        """Whether everything put so far is written, at the latest after `timeout_s`."""
        with self._changed:
            last = self._last
            if self._stored_to < last:
                self._hurry()
            return self._changed.wait_for(lambda: self._stored_to >= last, timeout_s)

    def _hurry(self) -> None:
        self._urgency += 1
        if self._urgency >= self._wakes_at:
            self._changed.notify_all()

    def wake(self) -> None:
        """Have `wait` return although there is no work."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def _class(self, key: tuple[object, ...], work: Work) -> None:
        """Note in which order it would have to go."""
        if work.renewed:
            self._renewed[key] = None
        else:
            self._renewed.pop(key, None)
        weight = work.weight
        self._weight += weight - self._weights.get(key, 0)
        if weight:
            self._weights[key] = weight
        else:
            self._weights.pop(key, None)

    def _make_room(self) -> None:
        """The oldest change goes, heavy ones first, then those that will be said again."""
        victim = next(iter(self._weights or self._renewed or self._waiting))
        del self._waiting[victim]
        self._renewed.pop(victim, None)
        self._weight -= self._weights.pop(victim, 0)
        self._lost += 1

    # -------------------------------------------------------------------------------------------- store-writer

    def wait(self, timeout_s: float) -> bool:
        """Until there is work that is urgent, or has waited long enough, or somebody wakes us, or the time is over;
        whether there is work."""
        with self._changed:
            is_over = self._sleep(REST_S, ENOUGH) or self._is_behind or self._sleep(LEISURE_S, 1) or self._waiting
            if not is_over and self._sleep(timeout_s - LEISURE_S - REST_S, 0):
                self._sleep(LEISURE_S, 1)
            self._woken = False
            return bool(self._waiting)

    def _sleep(self, timeout_s: float, wakes_at: int) -> bool:
        """Until there is work of that urgency, somebody wakes us, or the time is over; False when it is."""
        self._wakes_at = wakes_at
        return self._changed.wait_for(
            lambda: self._woken or (bool(self._waiting) and self._urgency >= wakes_at), timeout_s
        )

    def take(self, *, whole: bool = False) -> list[Work]:
        """All that waits, but for what has a weight beyond `MOST_HEAVY`, unless the whole is asked for.  It is to be
        settled, by `stored` or `failed`, before more is taken."""
        with self._changed:
            left = [] if whole else list(self._weights)[MOST_HEAVY:]
            self._taken = self._waiting
            waiting = {key: self._taken.pop(key) for key in left}
            self._clear()
            self._waiting = waiting
            for key, work in waiting.items():
                self._class(key, work)
            self._urgency = 0
            self._is_behind = bool(left)
            self._taken_to = self._last
            return list(self._taken.values())

    def stored(self, lost: int = 0) -> int:
        """What was taken is written, but for `lost` changes that never can be; the highest ticket that is settled."""
        with self._changed:
            self._taken = {}
            self._lost += lost
            if not self._is_behind:
                self._stored_to = self._taken_to
            self._failing = False
            self._changed.notify_all()
            return self._taken_to

    def failed(self) -> int:
        """What was taken waits again, unless something newer has replaced it; the highest ticket that is settled, which
        is that of the last `put`: until something is `stored`, nobody need wait."""
        with self._changed:
            waiting = {**self._taken, **self._waiting}
            self._clear()
            self._waiting, self._taken = waiting, {}
            for key, work in waiting.items():
                self._class(key, work)
            while len(self._waiting) > self._limit or self._weight > self._max_weight:
                self._make_room()
            self._failing = True
            return self._last

    def give_up(self) -> int:
        """Nothing more will be written; how many changes that costs."""
        with self._changed:
            count = len(self._waiting)
            self._clear()
            self._lost += count
            return count

    def _clear(self) -> None:
        self._waiting, self._renewed, self._weights, self._weight = {}, {}, {}, 0
