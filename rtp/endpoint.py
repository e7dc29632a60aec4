"""A stream that ends in the server: `RtpEndpoint`, one pair of ports between a phone and a `Conversation`.

Any thread may call its methods; what they change is handed to the thread `rtp-relay`, which alone touches the
conversation. These calls are few, so every packet is looked at where it came from, and no worker ever sees them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import SystemRandom
from threading import Lock

from rtp.conversation import PHONE, SERVER, Conversation, Format
from rtp.figures import MediaEvent, StreamSnapshot
from rtp.latch import Address, Verdict
from rtp.loop import RelayLoop
from rtp.packet import PacketKind, classify
from rtp.payload_types import Codec
from rtp.pool import PairPool
from rtp.ports import PortPair
from rtp.program import Program
from rtp.pulse import Pulse
from rtp.series import QualityOverTime, StreamSeries
from rtp.session import MediaSession
from rtp.sounds import duration_s, said
from rtp.srtp import SrtpStream
from rtp.udp import MAX_DATAGRAM, plain_address, socket_address

Figures = tuple[StreamSnapshot, StreamSnapshot]


class RtpEndpoint:
    """`_lock`, a leaf, guards `final`; all else belongs to the relay thread."""

    __slots__ = (
        "_is_started",
        "_lock",
        "_loop",
        "_on_close",
        "_pair",
        "_pool",
        "_series",
        "_talk",
        "call_id",
        "final",
        "port",
    )

    port_pairs = 1

    def __init__(
        self,
        loop: RelayLoop,
        pool: PairPool,
        call_id: str,
        program: str,
        address: str,
        pair: PortPair,
        on_close: Callable[[RtpEndpoint, Figures], None],
        on_news: Callable[[str], None] | None = None,
    ) -> None:
        """`program` is a name of `rtp.program.Program`, `address` our host as the phone knows it."""
        self.call_id = call_id
        self.port = pair.port
        self.final: Figures | None = None
        self._loop = loop
        self._pool = pool
        self._pair = pair
        self._on_close = on_close
        self._lock = Lock()
        self._is_started = False
        self._series = StreamSeries(loop.clock())
        media = MediaSession(call_id, "audio", (pair.port, pair.port), on_news)
        media.sides[SERVER].announce((address, pair.port), None, frozenset(), loop.clock())
        random = SystemRandom()
        cname = f"{random.getrandbits(64):016x}@{address}"  # RFC 7022: nothing that tells calls of one phone together
        self._talk = Conversation(media, Program(program), cname, random)
        loop.serve(pair.rtp, self._on_rtp)
        loop.serve(pair.rtcp, self._on_rtcp)

    # -------------------------------------------------------------------------------------------- any thread

    def agree(
        self,
        rtp: Address | None,
        rtcp: Address | None,
        hosts: frozenset[str],
        codecs: Mapping[int, Codec],
        payload_type: int,
        is_a_law: bool,
        event_type: int | None,
        packet_ms: int,
        may_send: bool,
        is_vouched: bool,
        srtp: tuple[bytes, bytes, int] | None,
    ) -> None:
        """Terms, see `sip.endpoint.Terms`. Never blocks."""
        terms = Format(payload_type, is_a_law, event_type, packet_ms, may_send, is_vouched)
        talk, clock = self._talk, self._loop.clock
        # Made here, so that nobody's packets wait for keys.
        streams = None if srtp is None else (SrtpStream(srtp[0], srtp[2]), SrtpStream(srtp[1], srtp[2]))
        self._loop.post(lambda: talk.agree(rtp, rtcp, hosts, codecs, terms, streams, clock()))

    def start(self) -> None:
        """Begin to play."""
        self._loop.post(self._begin)

    def press(self, digit: str) -> None:
        """A key that signalling has told of."""
        self._loop.post(partial(self._talk.press, digit))

    def announce(self, verdicts: Sequence[str]) -> float:
        """Say these verdicts; how many seconds that takes."""
        self._loop.post(partial(self._talk.announce, verdicts))
        return duration_s(said(verdicts))

    def last_packet_at(self) -> float | None:
        """When the phone was last heard; monotonic seconds."""
        return self._talk.last_packet_at()

    def pulses(self) -> tuple[Pulse, Pulse]:
        """How what the phone and what the server sends is doing."""
        media = self._talk.media
        return media.pulse(PHONE), media.pulse(SERVER)

    def drain_events(self) -> list[MediaEvent]:
        """What changed since last asked."""
        return self._talk.media.drain_events()

    def figures(self) -> Figures:
        """Both directions as they are now."""
        with self._lock:
            return self.final or self._figures(is_open=True)

    def sample(self, now: float) -> None:
        """Note how both directions have done lately, if it is time to."""
        if not self._series.is_due(now):
            return
        with self._lock:
            if self.final is None:
                self._series.take(self._figures(is_open=True), self.pulses(), now, self._loop.wall_offset_s())

    def quality(self) -> tuple[QualityOverTime, ...]:
        """How both directions have gone over time; without those that have not been sampled yet."""
        with self._lock:
            return self._series.quality(self.final or self._figures(is_open=True))

    def close(self) -> Figures:
        """Give the ports back and give the final figures; again: the same figures."""
        with self._lock:
            if self.final is not None:
                return self.final
            self.final = final = self._figures(is_open=False)
            self._series.finish(final, self.pulses(), self._loop.clock(), self._loop.wall_offset_s())
        self._on_close(self, final)
        self._loop.post(self._end)
        return final

    def _figures(self, *, is_open: bool) -> Figures:
        assert self._lock.locked()
        loop = self._loop
        return self._talk.snapshots(loop.clock(), loop.wall_offset_s(), is_open=is_open)

    # -------------------------------------------------------------------------------------------- relay thread

    def _begin(self) -> None:
        if self.final is None and not self._is_started:
            self._is_started = True
            now = self._loop.clock()
            self._talk.begin(now)
            self._send_next(now)
            self._loop.call_at(now + self._talk.next_report_s(is_first=True), self._report)

    def _end(self) -> None:
        try:
            if self._is_started:
                self._send_report(self._loop.clock(), is_last=True)
        finally:
            self._pool.give_back(self._pair)

    def _send_next(self, now: float) -> None:
        """The packet that is due, and a wake-up for the next."""
        if self.final is not None:
            return
        packet = self._talk.next_packet(now)
        due = self._talk.next_packet_at()
        if due is not None:
            self._loop.call_at(due, self._send_next)
        if packet is not None:
            self._send(packet)

    def _send(self, packet: bytes) -> None:
        if not _send_to(self._pair.rtp, packet, self._talk.destination()):
            self._talk.on_unsent()

    def _report(self, now: float) -> None:
        if self.final is None:
            self._loop.call_at(now + self._talk.next_report_s(is_first=False), self._report)
            self._send_report(now, is_last=False)

    def _send_report(self, now: float, *, is_last: bool) -> None:
        destination = self._talk.rtcp_destination()
        if destination is not None:
            report = self._talk.report(now, self._loop.wall_offset_s(), is_last=is_last)
            _send_to(self._pair.rtcp, report, destination)

    def _on_rtp(self, now: float) -> None:
        """A packet from anybody at the RTP port."""
        try:
            packet, source = self._pair.rtp.recvfrom(MAX_DATAGRAM)
        except OSError:  # an ICMP error answers something sent earlier
            return
        verdict = self._talk.media.sides[PHONE].judge_rtp(plain_address(source), packet, now)
        if verdict in (Verdict.ACCEPTED, Verdict.LATCHED):
            reply = self._talk.on_rtp_port(packet, now)
            if reply is not None:
                self._send(reply)

    def _on_rtcp(self, now: float) -> None:
        try:
            packet, source = self._pair.rtcp.recvfrom(MAX_DATAGRAM)
        except OSError:
            return
        verdict = self._talk.media.sides[PHONE].judge_rtcp(plain_address(source), packet, now)
        if verdict is not Verdict.REJECTED and classify(packet) is PacketKind.RTCP:
            self._talk.on_rtcp(packet, now)


def _send_to(sock: socket.socket, packet: bytes, destination: Address | None) -> bool:
    """Whether it went out."""
    address = None if destination is None else socket_address(sock, destination)
    if address is None:
        return False
    try:
        sock.sendto(packet, address)
    except OSError:
        return False
    return True
