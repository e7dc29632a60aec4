"""The event bus: the last events of this run, and readers that wait for the next.

A driver.  Its lock `_lock`, with the condition `_news` on it, is a leaf: it is taken under the core lock to append one
event, and by readers to copy what they have not seen.  Nobody is called back.  Readers are woken only when they sleep,
and gather for a moment before they read, so that a burst of events costs no burst of wake-ups.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import deque
from typing import Final

from sip.events import Batch, Content, Event, EventType

KEPT: Final = 1_000
"""Events remembered for readers that were away."""

GATHER_S: Final = 0.05
"""After the first news a reader lets more come for so long."""

_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})")


class EventBus:
    """Numbers events and remembers the last `KEPT`.  Event ids are `instance-number`; the instance is another one with
    each start of the server, so that an id of an earlier run is recognised."""

    def __init__(self, kept: int = KEPT) -> None:
        self.instance = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._events: deque[Event] = deque(maxlen=kept)
        self._number = 0
        self._sleepers = 0
        self._is_closed = False

    # -------------------------------------------------------------------------------------------- writing

    def emit(self, kind: EventType, at: float, content: Content) -> None:
        """One more event; any thread, also under the core lock."""
        with self._lock:
            self._number += 1
            self._events.append(Event(self._number, kind, at, content))
            if self._sleepers:
                self._news.notify_all()

    def close(self) -> None:
        """Readers get what there is and then an end; whoever waits wakes up."""
        with self._lock:
            self._is_closed = True
            self._news.notify_all()

    # -------------------------------------------------------------------------------------------- reading

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def newest(self) -> int:
        """The number of the last event; 0 before the first."""
        return self._number

    def id_of(self, number: int) -> str:
        return f"{self.instance}-{number}"

    def number_of(self, event_id: str) -> int | None:
        """The number of an event of this run; None for an id of another one.  Raises `ValueError`: it is no id."""
        match = _ID.fullmatch(event_id)
        if match is None:
            raise ValueError(event_id)
        number = int(match[2])
        return number if match[1] == self.instance and number <= self._number else None

    def read(self, after: int, limit: int = KEPT) -> Batch:
        """The first `limit` events after that number, of those that are remembered."""
        with self._lock:
            new = self._number - after
            first = max(0, len(self._events) - new)
            missed = max(0, new - len(self._events))
            events = tuple(self._events)[first : first + limit] if new > 0 else ()
        return Batch(events, missed)

    def wait(self, after: int, timeout_s: float) -> bool:
        """Sleep until there is an event after that number, at most `timeout_s`; whether there is one, or the end has
        come."""
        with self._lock:
            if self._number > after or self._is_closed:
                return True
            self._sleepers += 1
            try:
                self._news.wait_for(lambda: self._number > after or self._is_closed, timeout_s)
            finally:
                self._sleepers -= 1
            found = self._number > after or self._is_closed
        if found and not self._is_closed:
            time.sleep(GATHER_S)
        return found
