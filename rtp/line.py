"""A line: the middle of a settled stream, two sockets each connected to its phone, and nothing between them to decide.

Relay thread, but for `refresh`. A line can be lent to a worker process, which then copies the packets and counts them
in memory that both have mapped. The server keeps its own handles of the sockets: taking a line back costs no packet,
and losing the worker none but the one it had in hand. Whatever is not plain (other sources, RTCP on its own port, a new
description) meets the server as if the line had never left.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Lock
from typing import Protocol

from rtp import shared_stats
from rtp.direction import Direction
from rtp.loop import RelayLoop
from rtp.packet import Buffer
from rtp.session import MediaSession

SIDES = (0, 1)


class Borrower(Protocol):
    """A worker process that serves a line in one of its slots."""

    def record(self, slot: int, number: int) -> tuple[memoryview, int]:
        """Where the figures of what side `number` of that line sends stand."""

    def claim(self, slot: int) -> None:
        """Want that line back; its `come_back` is called when the worker has let go of it, dead or alive."""


class Lender(Protocol):
    """Who decides which line is lent to whom."""

    def offer(self, line: Line) -> None:
        """The line may be lent from now on."""

    def withdraw(self, line: Line) -> None:
        """It may not."""


class Line:
    """`twins` are the trusted sockets of both sides, None where there is none; a line that `is_lent` has both, and the
    relay's loop does not serve them. `lock`, the session's, guards who counts: this process or the borrower."""

    __slots__ = (
        "_borrower",
        "_directions",
        "_lender",
        "_lock",
        "_loop",
        "_may_leave",
        "_slot",
        "_wishes",
        "media",
        "twins",
    )

    def __init__(
        self,
        loop: RelayLoop,
        lender: Lender,
        media: MediaSession,
        directions: tuple[Direction, Direction],
        lock: Lock,
    ) -> None:
        self._loop = loop
        self._lender = lender
        self._directions = directions
        self._lock = lock
        self._borrower: Borrower | None = None
        self._slot = 0
        self._may_leave = True
        self._wishes: list[Callable[[], None]] = []  # of those who wait for it to come back
        self.media = media
        self.twins: list[socket.socket | None] = [None, None]

    @property
    def is_lent(self) -> bool:
        return self._borrower is not None

    def settle(self, number: int, twin: socket.socket) -> None:
        """Side `number` is heard at `twin` alone from now on."""
        self.twins[number] = twin
        self._loop.add(twin, self._directions[number].on_twin)
        self.offer()

    def unsettle(self, number: int) -> None:
        """Side `number` is about to lose its twin."""
        assert not self.is_lent
        self.twins[number] = None

    def offer(self) -> None:
        """Let it be lent if it is one on which packets go both ways."""
        if self._may_leave and None not in self.twins and all(side.destination() for side in self.media.sides):
            self._lender.offer(self)

    def withdraw(self, then: Callable[[], None]) -> None:
        """Have it here, at least until it is offered again, and run `then`: at once, or after a moment in which its
        packets wait. They are counted without a gap."""
        self._lender.withdraw(self)
        if self._borrower is None:
            then()
            return
        self._wishes.append(then)
        if len(self._wishes) == 1:
            self._borrower.claim(self._slot)

    def keep(self) -> None:
        """Have it here for good: its packets do not come where a worker listens."""
        if self._may_leave:
            self._may_leave = False
            self.withdraw(lambda: None)

    def go(self, borrower: Borrower, slot: int) -> tuple[socket.socket, ...]:
        """Leave the line to `borrower`; its sockets."""
        twins = tuple(twin for twin in self.twins if twin is not None)
        for twin in twins:
            self._loop.leave(twin)
        with self._lock:
            for number in SIDES:
                shared_stats.write(self._directions[number].stats.state(), *borrower.record(slot, number))
            self._borrower, self._slot = borrower, slot
        return twins

    def come_back(self) -> None:
        """The borrower serves it no longer."""
        with self._lock:
            self.refresh()
            self._borrower = None
        for twin, direction in zip(self.twins, self._directions, strict=True):
            if twin is not None:
                self._loop.add(twin, direction.on_twin)
        wishes, self._wishes = self._wishes, []
        for wish in wishes:
            wish()

    def refresh(self) -> None:
        """Bring the figures up to what the borrower has counted. Any thread that holds the session's lock."""
        assert self._lock.locked()
        if self._borrower is not None:
            for number in SIDES:
                self._directions[number].stats.resume(shared_stats.read(*self._borrower.record(self._slot, number)))

    def on_rtcp(self, number: int, packet: Buffer, now: float) -> None:
        """Note what an RTCP packet taken from side `number` reports."""
        with self._lock:
            self.refresh()
        self.media.on_rtcp(number, packet, now)
