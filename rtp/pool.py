"""Port pairs between calls: bound and watched already, so that a call that comes and goes costs no system call.

Any thread. What arrives at a pair that no call holds is read and forgotten; so a call never meets what waited for the
one before it, and needs not drain anything. There is no lock: the resting pairs are a deque.
"""

from __future__ import annotations

import socket
from collections import deque
from functools import partial

from rtp.loop import RelayLoop
from rtp.ports import NoPortsAvailable, PortAllocator, PortPair

MAX_RESTING = 64
"""More pairs than these are closed: they are what an office with 32 calls at once needs."""


class PairPool:
    """Pairs of one loop. Each is served by the loop from when it is bound until it is closed: by what a call has
    given the loop for it between `take` and `give_back`, and until then by us, who tell the call of its first packet.
    The one that has rested longest is taken first, so that a late packet of an ended call seldom meets a new one."""

    def __init__(self, loop: RelayLoop, ports: PortAllocator) -> None:
        self._loop = loop
        self._ports = ports
        self._resting: deque[PortPair] = deque()

    def take(self) -> PortPair:
        """A pair nobody holds; NoPortsAvailable when the range or the process's descriptors are used up."""
        try:
            return self._resting.popleft()
        except IndexError:
            pair = self._ports.allocate()
        for sock in (pair.rtp, pair.rtcp):
            self._loop.add(sock, partial(self._first_packet, pair, sock))
        return pair

    def take_two(self) -> tuple[PortPair, PortPair]:
        """A pair for each side; NoPortsAvailable when there are not two."""
        first = self.take()
        try:
            return first, self.take()
        except NoPortsAvailable:
            self.give_back(first)
            raise

    def give_back(self, pair: PortPair) -> None:
        """The call is done with `pair`.  When nothing has come, it was ours all the time."""
        if pair.on_first is None:
            for sock in (pair.rtp, pair.rtcp):
                self._loop.serve(sock, partial(self._first_packet, pair, sock))
        pair.on_first = None
        self._resting.append(pair)
        if len(self._resting) > MAX_RESTING:
            self._loop.post(self._close_one, may_wait=True)

    def _first_packet(self, pair: PortPair, sock: socket.socket, now: float) -> None:
        """Something is at a socket that nobody serves yet: whoever holds the pair sees to it, or it is forgotten."""
        on_first = pair.on_first
        if on_first is not None:
            on_first(now)
        else:
            self._loop.throw_away(sock)

    def close(self) -> None:
        """Free the ports of all resting pairs: from the loop's thread, or when it has ended."""
        while self._resting:
            self._close_one()

    def _close_one(self) -> None:
        try:
            pair = self._resting.popleft()
        except IndexError:
            return
        self._loop.remove(pair.rtp)
        self._loop.remove(pair.rtcp)
        self._ports.release(pair.port)
