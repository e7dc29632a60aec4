"""Even RTP port and the odd RTCP port above it (RFC 3550 11), found by really binding both.

Next-fit: the search goes on where the last one ended, so that a late packet of an ended call seldom meets a new one.
Any thread; the leaf lock `_lock` guards which ports are ours.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from rtp.udp import bind_udp

_HELD_BY_OTHERS = frozenset({errno.EADDRINUSE, errno.EACCES})


class NoPortsAvailable(Exception):
    """No pair can be had now; the text says whether ports or descriptors ran out."""


@dataclass(slots=True, eq=False)
class PortPair:
    """Two bound, non-blocking sockets on `port` and `port` + 1."""

    port: int
    rtp: socket.socket
    rtcp: socket.socket
    on_first: Callable[[float], object] | None = None
    """Who holds the pair and serves neither socket yet: called when something has come to one of them."""


class PortAllocator:
    """A port is in `_taken` from before it is bound until `release`."""

    def __init__(self, host: str, first_port: int, last_port: int) -> None:
        """Pairs lie wholly within first_port..last_port."""
        self._host = host
        self._range = range(first_port + first_port % 2, last_port, 2)
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        self._next = 0

    def __len__(self) -> int:
        """Pairs in the range, whoever holds them."""
        return len(self._range)

    def allocate(self) -> PortPair:
        """The next free pair; NoPortsAvailable when the range or the process's descriptors are used up."""
        for _ in self._range:
            port = self._take_next()
            pair = None
            try:
                pair = self._bind(port)
            finally:
                if pair is None:
                    self.release(port)
            if pair is not None:
                return pair
        raise self._exhausted()

    def release(self, port: int) -> None:
        """Give the pair at `port` back, its sockets being closed."""
        with self._lock:
            self._taken.discard(port)

    def _take_next(self) -> int:
        with self._lock:
            if len(self._taken) < len(self._range):
                for _ in self._range:
                    port = self._range[self._next]
                    self._next = (self._next + 1) % len(self._range)
                    if port not in self._taken:
                        self._taken.add(port)
                        return port
        raise self._exhausted()

    def _exhausted(self) -> NoPortsAvailable:
        ports = f"{self._range.start} to {self._range.stop}"
        return NoPortsAvailable(f"all {len(self._range)} port pairs from {ports} are in use")

    def _bind(self, port: int) -> PortPair | None:
        """Both sockets, or None when somebody else holds one of the ports."""
        rtp = None
        try:
            rtp = bind_udp(self._host, port)
            return PortPair(port, rtp, bind_udp(self._host, port + 1))
        except OSError as error:
            if rtp is not None:
                rtp.close()
            if error.errno in _HELD_BY_OTHERS:
                return None
            raise NoPortsAvailable(f"port {port} cannot be opened: {error.strerror or error}") from error
