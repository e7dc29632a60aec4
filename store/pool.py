"""Connections that are lent to one thread at a time and kept for the next.

Any thread; `_lock`, a leaf, guards the list of idle ones.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Pool(Generic[C]):
    """Invariant: what is idle was made since the last `clear`; nothing is kept before `keep` or after `clear`."""

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: list[C] = []
        self._generation = 0
        self._is_kept = False

    def keep(self) -> None:
        """What is given back is lent again from now on."""
        with self._lock:
            self._is_kept = True

    def clear(self) -> None:
        """Close all that are idle now, and those that are lent when they are given back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._generation += 1
            self._is_kept = False
        for connection in idle:
            # What it was closed for may keep it from being closed well.
            with contextlib.suppress(Exception):
                connection.close()

    @contextlib.contextmanager
    def lend(self) -> Iterator[C]:
        """A connection; an exception closes it, since nobody knows its state then."""
        with self._lock:
            generation = self._generation
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if self._is_kept and generation == self._generation:
                self._idle.append(connection)
                return
        connection.close()
