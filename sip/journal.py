"""The record of one call: every SIP message in and out, every decision of the server, every change of media state.

History, statistics, explanations and traces read from it; nothing else keeps a copy.  Pure; guarded by the core lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from sip.flow import Flow

MAX_ENTRIES = 200
"""The first so many entries are kept ..."""
MAX_TAIL = 100
"""... and the last so many; what lies between is dropped and counted."""
MAX_BYTES = 256 * 1024
"""Bytes of message text kept in each of the two parts; entries beyond it keep their facts but lose their text."""


class EntryKind(StrEnum):
    RECEIVED = "received"
    SENT = "sent"
    DECISION = "decision"
    MEDIA = "media"


Details = Mapping[str, str | int | float]

NO_DETAILS: Final[Details] = MappingProxyType({})


class Entry(NamedTuple):
    """`at` is wall clock, seconds since the epoch.  `flow` and `data` belong to messages, `text` to the other kinds;
    `size` is that of the message on the wire, also where its text was dropped.

    `fact` names what kind of decision or change it was, "" where the text says it all, and `details` are its figures
    and names: what an explanation rests on, so that nobody has to read sentences back."""

    at: float
    kind: EntryKind
    flow: Flow | None
    size: int
    data: bytes
    text: str
    fact: str = ""
    details: Details = NO_DETAILS


_RECEIVED, _SENT = EntryKind.RECEIVED, EntryKind.SENT
_new_tuple = tuple.__new__
"""Makes an entry without the detour by the `__new__` of its named tuple: each message of a call is one."""


class Budget:
    """Bytes of message text that several journals may hold together.  Invariant: `used` is what they hold."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class Journal:
    """Append-only, bounded by count and bytes, its own and those of its budget: what goes beyond loses its text."""

    __slots__ = ("_budget", "_head", "_head_bytes", "_tail", "_tail_bytes", "dropped")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._head: list[Entry] = []
        self._head_bytes = 0
        self._tail: deque[Entry] = deque()
        self._tail_bytes = 0
        self.dropped = 0

    def received(self, at: float, flow: Flow, data: bytes) -> None:
        self._append(_new_tuple(Entry, (at, _RECEIVED, flow, len(data), data, "", "", NO_DETAILS)))

    def sent(self, at: float, flow: Flow, data: bytes) -> None:
        self._append(_new_tuple(Entry, (at, _SENT, flow, len(data), data, "", "", NO_DETAILS)))

    def decided(self, at: float, text: str, fact: str = "", details: Details = NO_DETAILS) -> None:
        """A decision of the server, as a sentence."""
        self._append(Entry(at, EntryKind.DECISION, None, 0, b"", text, fact, details))

    def media(self, at: float, text: str, fact: str = "", details: Details = NO_DETAILS) -> None:
        """A change of media state, as a sentence."""
        self._append(Entry(at, EntryKind.MEDIA, None, 0, b"", text, fact, details))

    @property
    def noted(self) -> int:
        """Entries ever appended."""
        return len(self._head) + len(self._tail) + self.dropped

    @property
    def size(self) -> int:
        """Bytes of message text held."""
        return self._head_bytes + self._tail_bytes

    def move_to(self, budget: Budget) -> None:
        """Count against another budget from now on."""
        size = self.size
        self._budget.used -= size
        self._budget = budget
        budget.used += size

    def clear(self) -> None:
        """Drop everything."""
        self._budget.used -= self.size
        self.dropped += len(self._head) + len(self._tail)
        self._head.clear()
        self._tail.clear()
        self._head_bytes = self._tail_bytes = 0

    def entries(self) -> tuple[Entry, ...]:
        """In the order they happened, without those dropped."""
        return (*self._head, *self._tail)

    def _append(self, entry: Entry) -> None:
        head, size = self._head, entry.size
        if len(head) >= MAX_ENTRIES:
            self._append_to_tail(entry)
            return
        if size:
            budget = self._budget
            held, used = self._head_bytes + size, budget.used + size
            if held > MAX_BYTES or used > budget.limit:
                entry = entry._replace(data=b"")
            else:
                self._head_bytes, budget.used = held, used
        head.append(entry)

    def _append_to_tail(self, entry: Entry) -> None:
        budget = self._budget
        if entry.size > MAX_BYTES or budget.used + entry.size > budget.limit:
            entry = entry._replace(data=b"")
        budget.used += len(entry.data)
        self._tail.append(entry)
        self._tail_bytes += len(entry.data)
        while len(self._tail) > MAX_TAIL or self._tail_bytes > MAX_BYTES:
            oldest = self._tail.popleft()
            self._tail_bytes -= len(oldest.data)
            budget.used -= len(oldest.data)
            self.dropped += 1
