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

LEISURE_S = 0.25
"""How long changes wait that nobody waits for; a short call has begun, was answered and is over in one of them."""


class Work(Protocol):
    """One change.  A later one with the same `key` says all that an earlier one said.

    When there is no more room, those with a `weight`, about how many bytes they hold beyond the usual, are the first to
    go, and then those that are `renewed`: the phone will say them again of itself.

    `is_urgent`: somebody may wait until it is written."""

    @property
    def key(self) -> tuple[object, ...]: ...
    @property
    def renewed(self) -> bool: ...
    @property
    def weight(self) -> int: ...
    @property
    def is_urgent(self) -> bool: ...

    def apply(self, connection: Connection) -> None:
        """Inside a transaction."""


class Backlog:
    """Invariant: each key waits once, at most `limit` keys do, and together they weigh `_weight`, at most `max_weight`;
    what was taken and is not settled comes on top.

    A ticket is the number of a `put`.  It is settled when its change, or the one that replaced it, is written, or when
    it turned out that it can't be for now; then its owner has nothing to wait for.
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
        self._is_urgent = False
        self._is_dozing = False

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
            # Who sleeps for a moment only is woken only by what is urgent: to wake a thread costs more than to write.
            if work.is_urgent or self._is_dozing:
                self._is_urgent |= work.is_urgent
                self._changed.notify_all()
            return 0 if self._failing else self._last

    def wait_stored(self, timeout_s: float) -> bool:
        """Whether everything put so far is written, at the latest after `timeout_s`."""
        with self._changed:
            last = self._last
            if self._stored_to < last:
                self._is_urgent = True
                self._changed.notify_all()
            return self._changed.wait_for(lambda: self._stored_to >= last, timeout_s)

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
        self._weight += work.weight - self._weights.get(key, 0)
        if work.weight:
            self._weights[key] = work.weight
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
        """Until there is urgent work, some that has waited long enough, somebody wakes us, or the time is over; whether
        there is work."""
        leisure_s = min(LEISURE_S, timeout_s)
        with self._changed:
            if not self._sleep(leisure_s) and not self._waiting:
                self._is_dozing = True
                has_work = self._sleep(timeout_s - leisure_s)
                self._is_dozing = False
                if has_work:
                    self._sleep(leisure_s)
            self._woken = False
            return bool(self._waiting)

    def _sleep(self, timeout_s: float) -> bool:
        """Until there is what ends a sleep, or the time is over; whether there is."""
        return self._changed.wait_for(
            lambda: self._is_urgent or self._woken or (self._is_dozing and bool(self._waiting)), timeout_s
        )

    def take(self) -> list[Work]:
        """All that waits.  It is to be settled, by `stored` or `failed`, before more is taken."""
        with self._changed:
            self._taken = self._waiting
            self._clear()
            self._is_urgent = False
            self._taken_to = self._last
            return list(self._taken.values())

    def stored(self, lost: int = 0) -> int:
        """What was taken is written, but for `lost` changes that never can be; the highest ticket that is settled."""
        with self._changed:
            self._taken = {}
            self._lost += lost
            self._stored_to = self._taken_to
            self._failing = False
            self._changed.notify_all()
            return self._stored_to

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
