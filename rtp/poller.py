"""Which sockets have something to read: epoll where there is one, else the best of `selectors`."""

from __future__ import annotations

import select
import selectors
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol


class Poller(Protocol):
    """Level-triggered. `poll()` waits until something can be read, `poll(0)` does not wait; pairs (fd, flags)."""

    poll: Callable[..., list[tuple[int, int]]]

    def register(self, fd: int) -> None: ...

    def unregister(self, fd: int) -> None: ...

    def close(self) -> None: ...


class SelectorPoller:
    """kqueue, poll or select, whichever `selectors` finds best."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.poll = self._poll

    def _poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        return [(key.fd, events) for key, events in self._selector.select(timeout)]

    def register(self, fd: int) -> None:
        self._selector.register(fd, selectors.EVENT_READ)

    def unregister(self, fd: int) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def close(self) -> None:
        self._selector.close()


if hasattr(select, "epoll"):

    class EpollPoller:
        """`poll` is epoll's own method: nothing lies between the loop and the kernel."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.poll = self._epoll.poll

        def register(self, fd: int) -> None:
            self._epoll.register(fd, select.EPOLLIN)

        def unregister(self, fd: int) -> None:
            with suppress(OSError):  # a vacated socket has left the set by itself
                self._epoll.unregister(fd)

        def close(self) -> None:
            self._epoll.close()


def new_poller() -> Poller:
    """The fastest poller of this system."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()
