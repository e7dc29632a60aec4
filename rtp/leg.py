"""One side's RTP and RTCP ports: packets in, checked, counted and passed to the other side's ports.

Relay thread only, but for `Legs.vacate`. `RtpPort.on_twin` is the hot path: nearly every packet goes through it,
`_pass_on` and `StreamStats.on_packet`, and through nothing else that is written in Python.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from rtp.latch import Address, Verdict
from rtp.loop import RelayLoop
from rtp.packet import FIXED_HEADER, FIXED_HEADER_LENGTH, PacketKind, classify
from rtp.ports import PortPair
from rtp.session import MediaSession
from rtp.udp import CAN_TWIN, connected_twin, plain_address, socket_address, vacate

_unpack_header = FIXED_HEADER.unpack_from

Source = tuple[str, int]
Transmit = Callable[[memoryview], object]

MAX_HANDOVER_ROUNDS = 1024
"""Longest wait for a socket to fall silent; more packets than its buffer holds by default."""


class NoDestination(OSError):
    """The other side has said that it wants nothing, or not yet where."""


def _nowhere(_data: memoryview) -> None:
    raise NoDestination


class Life:
    """While `lock` is held and `is_over` is False, the sockets of a session are what they seem to be: no other thread
    takes their ports away. A leaf lock, taken when sockets come and go, never for a packet."""

    __slots__ = ("is_over", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_over = False


class RtpPort:
    """The RTP port facing one side: `transmit` sends to that side, `peer` is the port facing the other.

    `_sock` hears everybody. Once the side's source is learnt, a twin connected to it takes over what that source sends
    and what is sent to it; the kernel then does the filtering. The twin is a saving, never a condition: without it, and
    for packets that reach another address of this machine, `_sock` does the same by comparing the source.

    The twin takes over in two steps, each when a socket was found silent, so that packets keep their order and none is
    read without a look at its source that may have come before the twin was connected: first it is read with the source
    looked at, once `_sock` holds no older packets; then without.
    """

    __slots__ = (
        "_buffer",
        "_life",
        "_loop",
        "_number",
        "_recv_twin",
        "_rounds_left",
        "_session",
        "_side",
        "_sock",
        "_source",
        "_stats",
        "_twin",
        "_view",
        "_was_heard",
        "peer",
        "transmit",
    )

    peer: RtpPort

    def __init__(self, loop: RelayLoop, session: MediaSession, number: int, sock: socket.socket, life: Life) -> None:
        self._loop = loop
        self._life = life
        self._buffer = loop.buffer
        self._view = loop.view
        self._session = session
        self._number = number
        self._side = session.sides[number]
        self._stats = self._side.stats
        self._sock = sock
        self._twin: socket.socket | None = None
        self._recv_twin: Callable[[bytearray], int] = sock.recv_into
        self._source: Source | None = None
        self._was_heard = False
        self._rounds_left = 0
        self.transmit: Transmit = _nowhere

    def on_packet(self, now: float) -> None:
        """A packet from anybody."""
        self._take(self._sock, now)

    def on_twin(self, now: float) -> None:
        """A packet from the learnt source; the kernel has seen to that."""
        try:
            length = self._recv_twin(self._buffer)
        except OSError:  # an ICMP error answers something sent earlier; nothing is lost here
            return
        self._pass_on(length, now)

    def _pass_on(self, length: int, now: float) -> None:
        """Count the packet in the buffer and send it to the other side as it is: who has got it, finds it counted."""
        prefix, sequence_number, rtp_timestamp, ssrc = _unpack_header(self._buffer)
        stats = self._stats
        # Bytes behind a shorter packet are those of an earlier one.
        if prefix != stats.prefix or length < FIXED_HEADER_LENGTH:
            kind = classify(self._view[:length])
            if kind is not PacketKind.RTP:
                self._pass_on_other(kind, length, now)
                return
        stats.on_packet(prefix, sequence_number, rtp_timestamp, ssrc, length, now)
        try:
            self.peer.transmit(self._view[:length])
        except OSError:
            self._side.dropped += 1

    def _pass_on_other(self, kind: PacketKind, length: int, now: float) -> None:
        """RTCP on the RTP port (RFC 5761), STUN, ZRTP, DTLS: passed on, not counted as media."""
        if kind is PacketKind.UNKNOWN:
            self._side.rejected += 1
            return
        packet = self._view[:length]
        if kind is PacketKind.RTCP:
            self._session.on_rtcp(self._number, packet, now)
        try:
            self.peer.transmit(packet)
        except OSError:
            self._side.dropped += 1

    def _take(self, sock: socket.socket, now: float) -> None:
        """Read one packet with its source and pass it on if that may send."""
        self._was_heard = True
        try:
            length, source = sock.recvfrom_into(self._buffer)
        except OSError:
            return
        if source == self._source:
            self._pass_on(length, now)
            return
        verdict = self._side.judge_rtp(plain_address(source), self._view[:length], now)
        if verdict is Verdict.LATCHED:
            self._source = source
            self._drop_twin()
            self.route()
            if CAN_TWIN:
                self._loop.post(self._make_twin)
        if verdict in (Verdict.ACCEPTED, Verdict.LATCHED):
            self._pass_on(length, now)

    def _make_twin(self) -> None:
        """Have a connected socket take over from here."""
        source = self._source
        if source is None or self._twin is not None:
            return
        with self._life.lock:
            twin = self._twin = None if self._life.is_over else connected_twin(self._sock, source)
        if twin is not None:
            self._when_silent(twin, self._hear_twin)

    def _hear_twin(self, twin: socket.socket) -> None:
        """`_sock` holds nothing older than the twin's packets: read them too, looking at their source."""
        with self._life.lock:
            if self._life.is_over:
                return
            self._loop.add(twin, lambda now: self._take(twin, now))
        self.route()
        self._when_silent(twin, self._trust_twin)

    def _trust_twin(self, twin: socket.socket) -> None:
        """The twin's queue was empty since it was connected: only the learnt source can be heard there now."""
        self._recv_twin = twin.recv_into
        self._loop.replace(twin, self.on_twin)

    def _when_silent(self, twin: socket.socket, then: Callable[[socket.socket], None]) -> None:
        """Run `then(twin)` after a round of the loop, begun after now, in which `_take` found nothing to read; not at
        all when the twin is dropped in between."""

        def look() -> None:
            if self._twin is not twin:
                return
            if self._was_heard and self._rounds_left:
                self._was_heard = False
                self._rounds_left -= 1
                self._loop.post(look)
            else:
                then(twin)

        self._was_heard = True
        self._rounds_left = MAX_HANDOVER_ROUNDS
        self._loop.post(look)

    def _drop_twin(self) -> None:
        with self._life.lock:
            twin, self._twin = self._twin, None
        if twin is not None:
            self._loop.remove(twin)

    def relearn(self) -> None:
        """Follow the latch after the side was announced again: a source it has forgotten loses its twin."""
        if self._side.rtp_latch.source is None:
            self._source = None
            self._drop_twin()
        self.route()

    def route(self) -> None:
        """Work out how packets for this side are sent from now on."""
        destination = self._side.destination()
        if destination is not None and self._twin is not None:
            self.transmit = self._twin.send
        else:
            self.transmit = _sender(self._sock, destination)

    def attach(self) -> None:
        """Begin to serve."""
        self._loop.add(self._sock, self.on_packet)

    def detach(self) -> None:
        """End serving and close the sockets."""
        self._drop_twin()
        self._loop.remove(self._sock)

    def sockets(self) -> list[socket.socket]:
        """The sockets that hold the port, under the life's lock."""
        return [self._sock] if self._twin is None else [self._sock, self._twin]


class RtcpPort:
    """The RTCP port facing one side. RTCP is rare: one socket, the source looked at each time."""

    __slots__ = ("_loop", "_number", "_session", "_side", "_sock", "peer", "transmit")

    peer: RtcpPort

    def __init__(self, loop: RelayLoop, session: MediaSession, number: int, sock: socket.socket) -> None:
        self._loop = loop
        self._session = session
        self._number = number
        self._side = session.sides[number]
        self._sock = sock
        self.transmit: Transmit = _nowhere

    def on_packet(self, now: float) -> None:
        """A packet from anybody."""
        try:
            length, source = self._sock.recvfrom_into(self._loop.buffer)
        except OSError:
            return
        packet = self._loop.view[:length]
        verdict = self._side.judge_rtcp(plain_address(source), packet, now)
        if verdict is Verdict.REJECTED:
            return
        if verdict is Verdict.LATCHED:
            self.route()
        if classify(packet) is PacketKind.RTCP:
            self._session.on_rtcp(self._number, packet, now)
        try:
            self.peer.transmit(packet)
        except OSError:
            self._side.dropped += 1

    def route(self) -> None:
        """Work out how RTCP for this side is sent from now on."""
        self.transmit = _sender(self._sock, self._side.rtcp_destination())

    def attach(self) -> None:
        """Begin to serve."""
        self._loop.add(self._sock, self.on_packet)

    def detach(self) -> None:
        """End serving and close the socket."""
        self._loop.remove(self._sock)

    def sockets(self) -> list[socket.socket]:
        """The socket that holds the port."""
        return [self._sock]


class Legs:
    """The ports of one session, those facing side 0 first, from `attach` to `detach`."""

    def __init__(self, loop: RelayLoop, session: MediaSession, pairs: tuple[PortPair, PortPair]) -> None:
        self._life = Life()
        caller, callee = pairs
        self.rtp = (
            RtpPort(loop, session, 0, caller.rtp, self._life),
            RtpPort(loop, session, 1, callee.rtp, self._life),
        )
        self.rtcp = (RtcpPort(loop, session, 0, caller.rtcp), RtcpPort(loop, session, 1, callee.rtcp))
        self.rtp[0].peer, self.rtp[1].peer = self.rtp[1], self.rtp[0]
        self.rtcp[0].peer, self.rtcp[1].peer = self.rtcp[1], self.rtcp[0]

    def attach(self) -> None:
        """Begin to serve."""
        with self._life.lock:
            if not self._life.is_over:
                for port in (*self.rtp, *self.rtcp):
                    port.attach()

    def relearn(self, side: int) -> None:
        """Follow the latches of a side that was announced again."""
        self.rtp[side].relearn()
        self.rtcp[side].route()

    def vacate(self, null_fd: int) -> None:
        """Free the ports at once, from any thread; `detach` follows."""
        with self._life.lock:
            self._life.is_over = True
            for port in (*self.rtp, *self.rtcp):
                for sock in port.sockets():
                    vacate(sock, null_fd)

    def detach(self) -> None:
        """End serving and close the sockets."""
        for port in (*self.rtp, *self.rtcp):
            port.detach()


def _sender(sock: socket.socket, destination: Address | None) -> Transmit:
    address = None if destination is None else socket_address(sock, destination)
    if address is None:
        return _nowhere
    sendto = sock.sendto
    return lambda data: sendto(data, address)
