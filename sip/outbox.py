"""What waits to be written to one TCP or TLS connection.

Any thread puts in, the connection's tx thread takes out; a leaf lock guards both.  Putting in never waits.
"""

from __future__ import annotations

import threading
from collections import deque

Item = tuple[bytes, object]
"""Bytes, and the token under which they are reported when they can't be delivered."""


class Outbox:
    """Invariant: at most `max_items` items and `max_bytes` bytes wait, but one item is always taken in when none
    waits."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._finished = False
        self._aborted = False
        self._changed = threading.Condition(threading.Lock())

    def __len__(self) -> int:
        """Items that wait; read without the lock."""
        return len(self._items)

    def put(self, data: bytes, token: object) -> bool:
        """False when there is no room, or nothing is taken in any more."""
        with self._changed:
            if self._finished:
                return False
            if self._items and (len(self._items) >= self._max_items or self._bytes + len(data) > self._max_bytes):
                return False
            self._items.append((data, token))
            self._bytes += len(data)
            self._changed.notify()
            return True

    def take(self) -> Item | None:
        """The next item; waits for it.  None at the end: after `abort` at once, after `finish` when all is taken."""
        with self._changed:
            while not (self._items or self._finished):
                self._changed.wait()
            if self._aborted or not self._items:
                return None
            item = self._items.popleft()
            self._bytes -= len(item[0])
            return item

    def finish(self) -> None:
        """Take in no more."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Take in no more and give out no more."""
        with self._changed:
            self._finished = self._aborted = True
            self._changed.notify_all()

    def rest(self) -> list[Item]:
        """What was never taken; it is gone from here."""
        with self._changed:
            items = list(self._items)
            self._items.clear()
            self._bytes = 0
            return items
