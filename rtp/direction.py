"""One direction of a media stream: packets of one side counted and sent to the other, unchanged.

Belongs to the thread of the loop that serves the stream, be it in the server or in a worker process. `on_twin` is the
hot path: nearly every packet goes through it, `pass_on` and `StreamStats.on_packet`, and through nothing else that is
written in Python.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from rtp.header_log import HeaderLog
from rtp.keys import KeyPress, read_key
from rtp.latch import Address
from rtp.packet import FIXED_HEADER, FIXED_HEADER_LENGTH, PAYLOAD_TYPE_MASK, PacketKind, classify
from rtp.stats import StreamStats
from rtp.udp import MAX_DATAGRAM

_unpack_header = FIXED_HEADER.unpack_from

Transmit = Callable[[bytes], object]
Receive = Callable[[int], bytes]
OnRtcp = Callable[[bytes, float], None]
OnKey = Callable[[KeyPress, float], None]


class NoDestination(OSError):
    """The other side has said that it wants nothing, or not yet where."""


def nowhere(_packet: bytes) -> None:
    """Sends nothing."""
    raise NoDestination


def _nothing(_size: int) -> bytes:
    raise BlockingIOError


class Direction:
    """`transmit` sends to the receiving side; `stats` counts what comes from the sending one."""

    __slots__ = ("_last_key", "_on_key", "_on_rtcp", "_receive", "stats", "transmit")

    def __init__(self, stats: StreamStats, on_rtcp: OnRtcp, on_key: OnKey) -> None:
        """`on_rtcp(packet, now)` is told of RTCP on the RTP port, `on_key(key, now)` of each key that is pressed."""
        self._on_rtcp = on_rtcp
        self._on_key = on_key
        self._last_key: KeyPress | None = None
        self._receive: Receive = _nothing
        self.stats = stats
        self.transmit: Transmit = nowhere

    def heard_from(self, source: Address) -> None:
        """What is passed on comes from there from now on."""

    def trust(self, twin: socket.socket) -> None:
        """Only the learnt source can be heard at `twin`, so `on_twin` need not look at it."""
        self._receive = twin.recv

    def on_twin(self, now: float) -> None:
        """A packet from the learnt source; the kernel has seen to that."""
        try:
            packet = self._receive(MAX_DATAGRAM)
        except OSError:  # an ICMP error answers something sent earlier; nothing is lost here
            return
        self.pass_on(packet, now)

    def pass_on(self, packet: bytes, now: float) -> None:
        """Count the packet and send it to the other side as it is: who has got it, finds it counted."""
        length = len(packet)
        if length < FIXED_HEADER_LENGTH:
            self._pass_on_other(classify(packet), packet, now)
            return
        prefix, sequence_number, rtp_timestamp, ssrc = _unpack_header(packet)
        stats = self.stats
        if prefix != stats.prefix:
            kind = classify(packet)
            if kind is not PacketKind.RTP:
                self._pass_on_other(kind, packet, now)
                return
        is_plain = stats.on_packet(prefix, sequence_number, rtp_timestamp, ssrc, length, now)
        try:
            self.transmit(packet)
        except OSError:
            stats.on_dropped()
        if not is_plain and prefix & PAYLOAD_TYPE_MASK in stats.key_types:
            self._note_key(packet, now)

    def _note_key(self, packet: bytes, now: float) -> None:
        """A packet of a key: the first one of each press is told."""
        key = read_key(packet)
        if key is not None and key != self._last_key:
            self._last_key = key
            self._on_key(key, now)

    def _pass_on_other(self, kind: PacketKind, packet: bytes, now: float) -> None:
        """RTCP on the RTP port (RFC 5761), STUN, ZRTP, DTLS: passed on, not counted as media."""
        if kind is PacketKind.UNKNOWN:
            self.stats.on_rejected()
            return
        if kind is PacketKind.RTCP:
            self._on_rtcp(packet, now)
        try:
            self.transmit(packet)
        except OSError:
            self.stats.on_dropped()


class LoggingDirection(Direction):
    """Also notes the header of every RTP packet."""

    __slots__ = ("_log",)

    def __init__(self, stats: StreamStats, on_rtcp: OnRtcp, on_key: OnKey, log: HeaderLog) -> None:
        super().__init__(stats, on_rtcp, on_key)
        self._log = log

    def heard_from(self, source: Address) -> None:
        self._log.heard_from(source)

    def pass_on(self, packet: bytes, now: float) -> None:
        if classify(packet) is PacketKind.RTP:
            self._log.note(now, len(packet), packet)
        super().pass_on(packet, now)
