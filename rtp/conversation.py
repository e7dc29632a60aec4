"""A phone talks to the server itself: what is sent to it, what is told of what it sends. Pure.

Relay thread only, but for `snapshots`, as with `rtp.session`. Side 0 is the phone, side 1 the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from rtp import quality
from rtp.figures import StreamSnapshot
from rtp.g711 import dbm0, energy
from rtp.keys import EVENT_KEYS
from rtp.latch import Address
from rtp.outgoing import OutgoingStream
from rtp.pacing import Pacer
from rtp.packet import FIXED_HEADER, Buffer, PacketKind, RtpError, RtpHeader, classify
from rtp.payload_types import Codec
from rtp.program import Program
from rtp.rtcp_writer import Reception, SenderInfo, ntp_time, report
from rtp.session import MediaSession
from rtp.sounds import SAMPLE_RATE_HZ
from rtp.srtp import SrtpError, SrtpStream

REPORT_INTERVAL_S = 5.0
"""RFC 3550 6.2: the shortest for a session with ordinary bandwidth."""
_RECONSIDERATION = 1.21828  # 6.3.1: e - 3/2

PHONE, SERVER = 0, 1


class Format(NamedTuple):
    """What was agreed on, see `sip.endpoint.Terms`."""

    payload_type: int
    is_a_law: bool
    event_type: int | None
    packet_ms: int
    may_send: bool
    is_vouched: bool


class Conversation:
    """Nothing is sent before `begin`, nor to an address that neither has sent anything nor is vouched for."""

    def __init__(self, media: MediaSession, program: Program, cname: str, random: Random) -> None:
        self.media = media
        self._phone, self._server = media.sides
        self._program = program
        self._cname = cname
        self._random = random
        self._ssrc = random.getrandbits(32)
        self._server.round_trip_s = 0.0
        self._format: Format | None = None
        self._stream: OutgoingStream | None = None
        self._pacer = Pacer(0.0)
        self._last_key: tuple[int, int] | None = None
        self._highest_sequence: tuple[int, int] | None = None
        self._reported = (0, 0)
        self._loudest = 0.0
        self._opener: SrtpStream | None = None
        self._sealer: SrtpStream | None = None
        self._is_encrypted = False

    # -------------------------------------------------------------------------------------------- what is agreed on

    def agree(
        self,
        rtp: Address | None,
        rtcp: Address | None,
        hosts: frozenset[str],
        codecs: Mapping[int, Codec],
        terms: Format,
        srtp: tuple[SrtpStream, SrtpStream] | None,
        now: float,
    ) -> None:
        """Terms of the phone's session description; `srtp` opens what the phone sends, and seals what is sent to it.
        Under the same keys the counters go on: they must never begin anew (RFC 3711 9.1)."""
        self._is_encrypted = srtp is not None
        if srtp is not None:
            self._opener, self._sealer = _kept(self._opener, srtp[0]), _kept(self._sealer, srtp[1])
        if codecs != self._phone.codecs:
            self.media.set_codecs(PHONE, codecs)
        self._phone.announce(rtp, rtcp, hosts, now)
        self._format = terms
        if self._stream is not None and not terms.may_send:
            self._stream.pause()

    def begin(self, now: float) -> None:
        """The call is up."""
        if self._stream is None:
            self._stream = OutgoingStream(self._ssrc, self._random.getrandbits(15), self._random.getrandbits(32), now)
            self._pacer = Pacer(now)

    def press(self, key: str) -> None:
        self._program.press(key)

    def announce(self, verdicts: Sequence[str]) -> None:
        self._program.announce(verdicts)

    def destination(self) -> Address | None:
        """Where RTP may go."""
        if self._format is None or not self._format.may_send:
            return None
        source = self._phone.rtp_latch.source
        return source or (self._phone.destination() if self._format.is_vouched else None)

    def rtcp_destination(self) -> Address | None:
        """Where RTCP may go; also on hold."""
        if self._format is None or not (self._format.is_vouched or self._phone.rtcp_latch.source):
            return None
        return self._phone.rtcp_destination()

    # -------------------------------------------------------------------------------------------- packets in

    def on_rtp_port(self, packet: Buffer, now: float) -> bytes | None:
        """A packet that the latch has let in; what to send to it in return."""
        kind = classify(packet)
        if kind is PacketKind.RTCP:
            self.on_rtcp(packet, now)
        if kind is not PacketKind.RTP:
            return None
        stats = self._phone.stats
        try:
            if self._is_encrypted and self._opener is not None:
                packet = self._opener.open(packet)
            header = RtpHeader.parse(packet)
        except (RtpError, SrtpError):
            stats.on_rejected()
            return None
        prefix, sequence_number, timestamp, ssrc = FIXED_HEADER.unpack_from(packet)
        stats.on_packet(prefix, sequence_number, timestamp, ssrc, len(packet), now)
        self._note_sequence(header)
        return self._hear(header, packet, now)

    def on_rtcp(self, packet: Buffer, now: float) -> None:
        """RTCP that a latch has let in."""
        if self._is_encrypted and self._opener is not None:
            try:
                packet = self._opener.open_rtcp(packet)
            except SrtpError:
                self._phone.stats.on_rejected()
                return
        self.media.on_rtcp(PHONE, packet, now)

    def _hear(self, header: RtpHeader, packet: Buffer, now: float) -> bytes | None:
        terms = self._format
        if terms is None or header.payload_type not in (terms.payload_type, terms.event_type):
            return None
        payload = bytes(packet[header.length :])
        if header.payload_type == terms.event_type:
            self._note_event(header, payload, now)
        else:
            self._loudest = max(self._loudest, energy(payload, is_a_law=terms.is_a_law))
        stream = self._stream
        if stream is None or not self._program.echoes or self.destination() is None:
            return None
        return self._sent(stream.send_back(header, packet, now), now)

    def _note_event(self, header: RtpHeader, payload: bytes, now: float) -> None:
        """All packets of one key press have its timestamp (RFC 4733 2.3)."""
        if len(payload) < 4 or payload[0] >= len(EVENT_KEYS):
            return
        key = payload[0], header.rtp_timestamp
        if key != self._last_key:
            self._last_key = key
            self._program.press(EVENT_KEYS[payload[0]])
            self.media.on_key(PHONE, key, now)

    def _note_sequence(self, header: RtpHeader) -> None:
        """Extended highest sequence number (RFC 3550 A.1), for reports."""
        known = self._highest_sequence
        if known is None or known[0] != header.ssrc:
            self._highest_sequence = header.ssrc, header.sequence_number
            self._reported = (self._phone.stats.packets - 1, self._phone.stats.lost)
            return
        ahead = (header.sequence_number - known[1]) & 0xFFFF
        if ahead < 0x8000:
            self._highest_sequence = header.ssrc, known[1] + ahead

    # -------------------------------------------------------------------------------------------- packets out

    def next_packet_at(self) -> float | None:
        """When `next_packet` has something to say again; None: not before a packet comes."""
        return self._pacer.next_at if self._program.is_playing else None

    def next_packet(self, now: float) -> bytes | None:
        """The packet that is due now; None on hold, or while nobody knows where to."""
        terms, stream = self._format, self._stream
        if terms is None or stream is None:
            return None
        count = terms.packet_ms * SAMPLE_RATE_HZ // 1000
        skipped = self._pacer.step(now, terms.packet_ms / 1000)
        if skipped:
            stream.skip(skipped * count)
        if self.destination() is None:
            self._program.read(count, is_a_law=terms.is_a_law)
            stream.skip(count)
            return None
        payload = self._program.read(count, is_a_law=terms.is_a_law)
        return self._sent(stream.play(terms.payload_type, payload), now)

    def _sent(self, packet: bytes, now: float) -> bytes | None:
        """Count a packet, and seal it; None for an echo that can't be sealed, because its number was used before."""
        if self._is_encrypted and self._sealer is not None:
            try:
                sealed = self._sealer.protect(packet)
            except SrtpError:
                self.on_unsent()
                return None
        else:
            sealed = packet
        prefix, sequence_number, timestamp, ssrc = FIXED_HEADER.unpack_from(packet)
        self._server.stats.on_packet(prefix, sequence_number, timestamp, ssrc, len(packet), now)
        return sealed

    def on_unsent(self) -> None:
        """The packet given out last could not be sent."""
        self._server.stats.on_dropped()

    # -------------------------------------------------------------------------------------------- RTCP

    def next_report_s(self, *, is_first: bool) -> float:
        """Seconds until the next report (RFC 3550 6.3.1); the first one comes in half the time."""
        interval_s = REPORT_INTERVAL_S / 2 if is_first else REPORT_INTERVAL_S
        return self._random.uniform(0.5, 1.5) * interval_s / _RECONSIDERATION

    def report(self, now: float, wall_offset_s: float, *, is_last: bool = False) -> bytes:
        """What is told to the phone about both directions."""
        sender = None
        stream = self._stream
        if stream is not None and stream.packets:
            ntp = ntp_time(now + wall_offset_s)
            sender = SenderInfo(ntp, stream.timestamp_at(now), stream.packets, stream.octets)
            self._server.sr_passed = (ntp >> 16 & 0xFFFFFFFF, now)
        packet = report(self._ssrc, self._cname, sender, self._reception(now), is_last=is_last)
        return self._sealer.protect_rtcp(packet) if self._is_encrypted and self._sealer is not None else packet

    def _reception(self, now: float) -> Reception | None:
        stats, highest = self._phone.stats, self._highest_sequence
        if highest is None or not stats.packets:
            return None
        packets, lost = self._reported
        new_lost = stats.lost - lost
        expected = stats.packets - packets + new_lost
        self._reported = stats.packets, stats.lost
        last_sr, delay = 0, 0
        if self._phone.sr_passed is not None:
            last_sr = self._phone.sr_passed[0]
            delay = round((now - self._phone.sr_passed[1]) * 65536)
        return Reception(
            ssrc=highest[0],
            fraction_lost=min(255, max(0, 256 * new_lost // expected)) if expected > 0 else 0,
            lost=stats.lost,
            highest_sequence=highest[1],
            jitter=round(stats.jitter_s * SAMPLE_RATE_HZ),
            last_sr=last_sr,
            delay_since_last_sr=delay,
        )

    # -------------------------------------------------------------------------------------------- figures

    def last_packet_at(self) -> float | None:
        """When the phone was last heard; monotonic seconds."""
        return self._phone.last_seen()

    def snapshots(self, now: float, wall_offset_s: float, *, is_open: bool) -> tuple[StreamSnapshot, StreamSnapshot]:
        """Of what the phone sends, and of what the server does; any thread."""
        incoming = self.media.snapshot(PHONE, now, wall_offset_s, is_open=is_open)
        outgoing = self.media.snapshot(SERVER, now, wall_offset_s, is_open=is_open)
        if self._loudest:
            incoming = incoming._replace(peak_dbm0=dbm0(self._loudest))
        return incoming, outgoing._replace(mos=_mos_at_phone(outgoing))


def _mos_at_phone(outgoing: StreamSnapshot) -> float | None:
    """By what the phone reports; None while it does not."""
    if outgoing.remote_lost is None or outgoing.remote_jitter_ms is None or not outgoing.packets:
        return None
    loss_percent = 100.0 * min(max(0, outgoing.remote_lost), outgoing.packets) / outgoing.packets
    delay_ms = quality.mouth_to_ear_ms(outgoing.rtt_ms or 0.0, outgoing.remote_jitter_ms)
    return quality.mos_from_r(quality.r_factor(outgoing.codec, loss_percent, delay_ms))


def _kept(known: SrtpStream | None, new: SrtpStream) -> SrtpStream:
    """The one that is there, if the keys are the same."""
    if known is None or known.master != new.master:
        return new
    known.tag_length = new.tag_length
    return known
