"""One side's RTP and RTCP ports: packets in, their source checked, handed to the direction they go.

Relay thread only. Nearly every RTP packet takes the way of `Direction.on_twin` and does not come by here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from threading import Lock

from rtp.direction import Direction, LoggingDirection, Transmit, nowhere
from rtp.header_log import HeaderLog, LoggedHeaders
from rtp.latch import Address, Verdict
from rtp.line import Lender, Line
from rtp.loop import RelayLoop
from rtp.packet import PacketKind, classify
from rtp.ports import PortPair
from rtp.session import Description, MediaSession
from rtp.udp import CAN_TWIN, MAX_DATAGRAM, connected_twin, part_from_peer, plain_address, socket_address

Source = tuple[str, int]

MAX_OLD_PACKETS = 1024
"""More packets than a socket's buffer holds by default: after so many nothing old is left in it."""

_AT_ONCE = 64
"""Packets read from one socket before the others have their turn."""


class RtpPort:
    """The RTP port facing one side: `inward` takes what that side sends, `outward` sends to it.

    `_sock` hears everybody. Once the side's source is learnt, a twin connected to it takes over what that source sends
    and what is sent to it; the kernel then does the filtering. The twin is a saving, never a condition: without it, and
    for packets that reach another address of this machine, `_sock` does the same by comparing the source.

    Before the twin takes over, both sockets are emptied, so that packets keep their order and none is read without a
    look at its source that may have come before the twin was connected: first `_sock`, which holds what is older, then
    the twin. From then on it belongs to the line. With hundreds of calls that begin at once nobody waits for a moment
    of silence, which would not come before they are handed over.
    """

    __slots__ = (
        "_inward",
        "_line",
        "_loop",
        "_number",
        "_outward",
        "_side",
        "_sock",
        "_source",
        "_twin",
    )

    def __init__(
        self, loop: RelayLoop, line: Line, number: int, sock: socket.socket, inward: Direction, outward: Direction
    ) -> None:
        self._loop = loop
        self._line = line
        self._number = number
        self._inward = inward
        self._outward = outward
        self._side = line.media.sides[number]
        self._sock = sock
        self._twin: socket.socket | None = None
        self._source: Source | None = None

    def on_packet(self, now: float) -> None:
        """A packet from anybody."""
        self._take(self._sock, now)

    def _take(self, sock: socket.socket, now: float) -> bool:
        """Read one packet with its source and pass it on if that may send; False when there is none."""
        try:
            packet, source = sock.recvfrom(MAX_DATAGRAM)
        except BlockingIOError:
            return False
        except OSError:  # an ICMP error, behind which there may be packets
            return True
        if source == self._source:
            if self._line.is_lent:
                self._line.keep()
            self._inward.pass_on(packet, now)
            return True
        verdict = self._side.judge_rtp(plain_address(source), packet, now)
        if verdict is Verdict.LATCHED:
            self._line.withdraw(partial(self._learn, source))
        if verdict in (Verdict.ACCEPTED, Verdict.LATCHED):
            self._inward.pass_on(packet, now)
        return True

    def _learn(self, source: Source) -> None:
        """The latch has settled on `source`."""
        self._drop_twin()
        self._source = source
        self._inward.heard_from(plain_address(source))
        self.route()
        if CAN_TWIN:  # when an earlier twin has been emptied, in the next round, and closed
            self._loop.post(partial(self._loop.post, self._make_twin))

    def _make_twin(self) -> None:
        """Have a connected socket take over from here."""
        if self._source is None or self._twin is not None:
            return
        twin = self._twin = connected_twin(self._sock, self._source)
        if twin is not None:
            self._empty_before(twin, self._sock, MAX_OLD_PACKETS)

    def _empty_before(self, twin: socket.socket, sock: socket.socket, left: int) -> None:
        """Read what is old in `sock`, at most `left` packets; then let the twin take over, unless it was dropped in
        between."""
        for _ in range(_AT_ONCE):
            if not self._take(sock, self._loop.clock()):
                left = 0
            if self._twin is not twin:
                return
            if not left:
                break
            left -= 1
        if left:
            self._loop.post(partial(self._empty_before, twin, sock, left))
        elif sock is not twin:
            self._empty_before(twin, twin, MAX_OLD_PACKETS)
        else:
            self._trust_twin(twin)

    def _trust_twin(self, twin: socket.socket) -> None:
        """The twin's queue was empty since it was connected: only the learnt source can be heard there now."""
        self._inward.trust(twin)
        self.route()
        self._line.settle(self._number, twin)

    def _drop_twin(self) -> None:
        """The source is another from now on, or nobody."""
        self._source = None
        if self._twin is not None:
            self._line.unsettle(self._number)
            self._loop.leave(self._twin)
            self._loop.post(partial(self._empty, self._twin))
            self._twin = None

    def _empty(self, twin: socket.socket) -> None:
        """Close a twin that is no longer needed; what anybody sent before it was connected may still be in it, and what
        the old source sends now."""
        part_from_peer(twin)
        for _ in range(MAX_OLD_PACKETS):
            if not self._take(twin, self._loop.clock()):
                break
        self._loop.remove(twin)

    def relearn(self) -> None:
        """Follow the latch after the side was announced again: a source it has forgotten loses its twin."""
        if self._side.rtp_latch.source is None:
            self._drop_twin()
        self.route()

    def route(self) -> None:
        """Work out how packets for this side are sent from now on."""
        destination = self._side.destination()
        if destination is not None and self._twin is not None:
            self._outward.transmit = self._twin.send
        else:
            self._outward.transmit = _sender(self._sock, destination)

    def attach(self) -> None:
        """Begin to serve."""
        self._loop.serve(self._sock, self.on_packet)

    def detach(self) -> None:
        """Close what was opened here."""
        self._source = None
        if self._twin is not None:
            self._loop.remove(self._twin)
            self._twin = None


class RtcpPorts:
    """The RTCP ports facing both sides. RTCP is rare: one socket each, the source looked at each time."""

    __slots__ = ("_line", "_loop", "_sides", "_socks", "_transmits")

    def __init__(self, loop: RelayLoop, line: Line, socks: tuple[socket.socket, socket.socket]) -> None:
        self._loop = loop
        self._line = line
        self._sides = line.media.sides
        self._socks = socks
        self._transmits: list[Transmit] = [nowhere, nowhere]  # to side 0, to side 1

    def on_packet(self, number: int, now: float) -> None:
        """A packet from anybody at the port facing side `number`."""
        try:
            packet, source = self._socks[number].recvfrom(MAX_DATAGRAM)
        except OSError:
            return
        side = self._sides[number]
        verdict = side.judge_rtcp(plain_address(source), packet, now)
        if verdict is Verdict.REJECTED:
            return
        if verdict is Verdict.LATCHED:
            self.route(number)
        if classify(packet) is PacketKind.RTCP:
            self._line.on_rtcp(number, packet, now)
        try:
            self._transmits[1 - number](packet)
        except OSError:
            side.dropped += 1

    def route(self, number: int) -> None:
        """Work out how RTCP for side `number` is sent from now on."""
        self._transmits[number] = _sender(self._socks[number], self._sides[number].rtcp_destination())

    def attach(self) -> None:
        """Begin to serve."""
        for number, sock in enumerate(self._socks):
            self._loop.serve(sock, partial(self.on_packet, number))


class Legs:
    """The ports of one session, those facing side 0 first, from `attach` to `detach`."""

    __slots__ = ("_line", "_logs", "_loop", "_rtcp", "_rtp", "media")

    def __init__(
        self,
        loop: RelayLoop,
        lender: Lender,
        media: MediaSession,
        pairs: tuple[PortPair, PortPair],
        lock: Lock,
        *,
        logs_headers: bool = False,
    ) -> None:
        """`lock` guards who counts, see `Line`."""
        caller, callee = pairs
        self._logs = (HeaderLog(), HeaderLog()) if logs_headers else ()
        from_caller = self._direction(media, 0)
        from_callee = self._direction(media, 1)
        self.media = media
        self._loop = loop
        self._line = Line(loop, lender, media, (from_caller, from_callee), lock)
        self._rtp = (
            RtpPort(loop, self._line, 0, caller.rtp, inward=from_caller, outward=from_callee),
            RtpPort(loop, self._line, 1, callee.rtp, inward=from_callee, outward=from_caller),
        )
        self._rtcp = RtcpPorts(loop, self._line, (caller.rtcp, callee.rtcp))

    def _direction(self, media: MediaSession, number: int) -> Direction:
        """For what side `number` sends."""
        stats, told = media.sides[number].stats, (partial(media.on_rtcp, number), partial(media.on_key, number))
        return LoggingDirection(stats, *told, self._logs[number]) if self._logs else Direction(stats, *told)

    def headers(self, wall_offset_s: float) -> tuple[LoggedHeaders, ...]:
        """Of what side 0 and what side 1 sends, if they are kept; any thread."""
        ports = self.media.ports
        return tuple(log.copy(number, ports[number], wall_offset_s) for number, log in enumerate(self._logs))

    def attach(self) -> None:
        """Begin to serve."""
        for port in self._rtp:
            port.attach()
        self._rtcp.attach()

    def announce(self, number: int, description: Description) -> None:
        """Take what a session description of side `number` says."""
        if not self.media.sides[number].has_said(description):
            self._line.withdraw(partial(self._take_over, number, description))

    def _take_over(self, number: int, description: Description) -> None:
        side = self.media.sides[number]
        side.announce(description.rtp, description.rtcp, description.hosts, self._loop.clock())
        if description.codecs != side.codecs:
            self.media.set_codecs(number, description.codecs)
        self._rtp[number].relearn()
        self._rtcp.route(number)
        self._line.offer()

    def refresh(self) -> None:
        """Bring the figures up to date; any thread that holds the lock."""
        self._line.refresh()

    def detach(self, then: Callable[[], None]) -> None:
        """End serving; run `then` when the ports hold no socket but those of their pairs."""
        self._line.withdraw(partial(self._close, then))

    def _close(self, then: Callable[[], None]) -> None:
        for port in self._rtp:
            port.detach()
        then()


def _sender(sock: socket.socket, destination: Address | None) -> Transmit:
    address = None if destination is None else socket_address(sock, destination)
    if address is None:
        return nowhere
    sendto = sock.sendto
    return lambda data: sendto(data, address)
