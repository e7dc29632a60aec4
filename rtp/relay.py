"""The media relay as the rest of the program sees it: open a stream, say where its two sides are, read figures, close.

Any thread may call anything here. What changes a stream is handed to the thread `rtp-relay`, which alone touches
latches, routes and statistics; nobody waits for it. Two things are done at once by the caller: `open` binds the ports,
`close` frees them, so that they can be bound again when it returns. The leaf lock `_lock` guards the table of open
sessions and the totals of closed ones.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from rtp.figures import MediaEvent, RelayTotals, StreamSnapshot
from rtp.latch import Address
from rtp.leg import Legs
from rtp.loop import RelayLoop
from rtp.payload_types import Codec
from rtp.ports import NoPortsAvailable, PortAllocator, PortPair
from rtp.session import MediaSession

log = logging.getLogger(__name__)

_SIDES = 2

__all__ = ["RelaySession", "RtpRelay"]


class RelaySession:
    """One open media stream of a call; after `close` its figures stand still."""

    def __init__(self, relay: RtpRelay, loop: RelayLoop, media: MediaSession, pairs: tuple[PortPair, PortPair]) -> None:
        self.ports = media.ports
        self.final: tuple[StreamSnapshot, StreamSnapshot] | None = None  # set once, under the relay's lock
        self._relay = relay
        self._loop = loop
        self._described: set[int] = set()
        self._media = media
        self._legs = Legs(loop, media, pairs)

    def set_peer(
        self,
        side: int,
        rtp: Address | None,
        rtcp: Address | None,
        hosts: frozenset[str],
        codecs: Mapping[int, Codec],
    ) -> None:
        """What a session description of `side` says; the same again changes nothing. Never blocks.

        `rtp`, `rtcp`: where it receives; None sends it nothing (rejected, or held by c=0.0.0.0). `hosts`: IP addresses
        its packets may come from. `codecs`: payload type to encoding name and clock rate.
        """
        codecs = dict(codecs)
        self._described.add(side)
        # Until both sides have described themselves no packet is passed on, so the loop need not be woken.
        self._loop.post(lambda: self._set_peer(side, rtp, rtcp, hosts, codecs), may_wait=len(self._described) < _SIDES)

    def last_packet_at(self) -> float | None:
        """When the last RTP or RTCP packet of either side was taken; monotonic seconds."""
        return self._media.last_packet_at()

    def drain_events(self) -> list[MediaEvent]:
        """What changed since last asked, oldest first; bounded, the oldest go first."""
        return self._media.drain_events()

    def close(self) -> tuple[StreamSnapshot, StreamSnapshot]:
        """Free the ports and give the final figures, those of side 0's packets first; again: the same figures."""
        return self._relay.close(self)

    def snapshots(self, now: float, wall_offset_s: float, *, is_open: bool) -> tuple[StreamSnapshot, StreamSnapshot]:
        """Both directions as they are at `now`."""
        return (
            self._media.snapshot(0, now, wall_offset_s, is_open=is_open),
            self._media.snapshot(1, now, wall_offset_s, is_open=is_open),
        )

    def attach(self) -> None:
        """Begin to relay."""
        self._loop.post(self._legs.attach, may_wait=True)

    def vacate(self, null_fd: int) -> None:
        """Free the ports; the relay thread closes what is left of the sockets."""
        self._legs.vacate(null_fd)
        self._loop.post(self._legs.detach, may_wait=True)

    def _set_peer(
        self,
        number: int,
        rtp: Address | None,
        rtcp: Address | None,
        hosts: frozenset[str],
        codecs: Mapping[int, Codec],
    ) -> None:
        assert self._loop.is_own_thread()
        if self.final is not None:
            return
        side = self._media.sides[number]
        side.announce(rtp, rtcp, hosts, self._loop.clock())
        if codecs != side.codecs:
            self._media.set_codecs(number, codecs)
        self._legs.relearn(number)


class RtpRelay:
    """Every session in the table has its ports bound; a relay that is not running has no sessions and no sockets."""

    def __init__(self, host: str, first_port: int, last_port: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Relay on ports first_port..last_port of the local address `host`; `clock` is monotonic, in seconds."""
        self._clock = clock
        self._ports = PortAllocator(host, first_port, last_port)
        self._lock = threading.Lock()
        self._sessions: dict[RelaySession, None] = {}
        self._closed_totals = RelayTotals()
        self._loop: RelayLoop | None = None
        self._thread: threading.Thread | None = None
        self._null_fd = -1

    def start(self) -> None:
        """Start the thread `rtp-relay`."""
        assert self._thread is None
        self._null_fd = os.open(os.devnull, os.O_RDONLY)
        loop = RelayLoop(self._clock)
        self._thread = threading.Thread(target=loop.run, name="rtp-relay", daemon=True)
        self._thread.start()
        with self._lock:
            self._loop = loop

    def stop(self) -> None:
        """Close every session, end the thread, free every descriptor. Idempotent."""
        with self._lock:
            loop, self._loop = self._loop, None  # nothing is opened from here on
            sessions = list(self._sessions)
        if loop is None or self._thread is None:
            return
        for session in sessions:
            self.close(session)
        loop.stop()
        self._thread.join()
        self._thread = None
        loop.close()
        os.close(self._null_fd)

    def is_running(self) -> bool:
        """The relay thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def open(self, call_id: str, kind: str) -> RelaySession | None:
        """Bind two legs for a stream of `kind` ("audio", "video", ...); None when ports or descriptors are used up."""
        try:
            pairs = self._allocate_legs()
        except NoPortsAvailable as error:
            log.warning("no media relay for call %s: %s", call_id, error)
            return None
        media = MediaSession(call_id, kind, (pairs[0].port, pairs[1].port))
        with self._lock:
            loop = self._loop
            if loop is not None:
                session = RelaySession(self, loop, media, pairs)
                self._sessions[session] = None
                session.attach()
                return session
        for pair in pairs:
            self._discard(pair)
        return None

    def close(self, session: RelaySession) -> tuple[StreamSnapshot, StreamSnapshot]:
        """What `RelaySession.close` does."""
        with self._lock:
            if session.final is not None:
                return session.final
            del self._sessions[session]
            session.final = final = session.snapshots(*self._times(), is_open=False)
            self._closed_totals = self._closed_totals.plus(final[0]).plus(final[1])
        session.vacate(self._null_fd)
        for port in session.ports:
            self._ports.release(port)
        return final

    def snapshot(self) -> tuple[StreamSnapshot, ...]:
        """Both directions of every open session."""
        with self._lock:
            sessions = list(self._sessions)
        now, wall_offset_s = self._times()
        return tuple(stream for session in sessions for stream in session.snapshots(now, wall_offset_s, is_open=True))

    def totals(self) -> RelayTotals:
        """Sums since the relay was made."""
        with self._lock:
            totals = self._closed_totals
            sessions = list(self._sessions)
        # A session that closes from here on is in neither, so it is counted once: from its figures, which stay.
        now, wall_offset_s = self._times()
        for session in sessions:
            for stream in session.snapshots(now, wall_offset_s, is_open=True):
                totals = totals.plus(stream)
        return totals

    def _times(self) -> tuple[float, float]:
        """Now, and what turns monotonic into wall-clock seconds."""
        now = self._clock()
        return now, time.time() - now

    def _allocate_legs(self) -> tuple[PortPair, PortPair]:
        caller = self._ports.allocate()
        try:
            return caller, self._ports.allocate()
        except NoPortsAvailable:
            self._discard(caller)
            raise

    def _discard(self, pair: PortPair) -> None:
        """Take back a pair that no other thread has seen."""
        pair.rtp.close()
        pair.rtcp.close()
        self._ports.release(pair.port)
