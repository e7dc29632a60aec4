"""A stream of RTP that the server sends itself (RFC 3550 5.1), from notes or from what a phone has sent. Pure."""

from __future__ import annotations

from rtp.packet import FIXED_HEADER, MARKER_BIT, Buffer, RtpHeader
from rtp.sounds import SAMPLE_RATE_HZ

_VERSION_2 = 0x8000
_PADDING_BIT = 0x2000

MAX_STEP = 3000
"""A source whose sequence numbers or seconds jump further has begun anew."""
_MAX_STEP_SAMPLES = 60 * SAMPLE_RATE_HZ


class OutgoingStream:
    """Sequence numbers and timestamps go on over everything that is sent, whatever it is made of."""

    def __init__(self, ssrc: int, sequence_number: int, rtp_timestamp: int, now: float) -> None:
        self.ssrc = ssrc
        self.packets = 0
        self.octets = 0
        self._next_sequence = sequence_number
        self._first_timestamp = rtp_timestamp
        self._next_timestamp = rtp_timestamp
        self._started_at = now
        self._needs_marker = True
        self._source: tuple[int, int, int] | None = None
        """SSRC of what is sent back, and what to add to its sequence numbers and timestamps."""
        self._source_last = (0, 0)

    def timestamp_at(self, now: float) -> int:
        """RTP timestamp of this moment (RFC 3550 6.4.1)."""
        return (self._first_timestamp + round((now - self._started_at) * SAMPLE_RATE_HZ)) & 0xFFFFFFFF

    def skip(self, samples: int) -> None:
        """So much sound was left out: the next packet begins a talkspurt (RFC 3551 4.1)."""
        self._next_timestamp = (self._next_timestamp + samples) & 0xFFFFFFFF
        self._needs_marker = True

    def play(self, payload_type: int, payload: bytes) -> bytes:
        """The next packet of our own sound, one sample to a byte."""
        self._source = None
        marker = MARKER_BIT if self._needs_marker else 0
        packet = self._packet(marker | payload_type, self._next_sequence, self._next_timestamp, payload)
        self._next_sequence = (self._next_sequence + 1) & 0xFFFF
        self._next_timestamp = (self._next_timestamp + len(payload)) & 0xFFFFFFFF
        return packet

    def pause(self) -> None:
        """Nothing is sent for a while: what comes then follows what was sent last."""
        self._source = None
        self._needs_marker = True

    def send_back(self, header: RtpHeader, packet: Buffer, now: float) -> bytes:
        """A phone's own packet for it, payload untouched. Steps of its numbers and times stay as they are: what got
        lost on the way here is missing on the way back, what overtook still does, and the packets of a key press keep
        their common timestamp (RFC 4733 2.5.1)."""
        source = self._source
        if source is None or source[0] != header.ssrc or self._has_jumped(header):
            source = self._follow(header, now)
        self._source_last = header.sequence_number, header.rtp_timestamp
        sequence_number = (header.sequence_number + source[1]) & 0xFFFF
        timestamp = (header.rtp_timestamp + source[2]) & 0xFFFFFFFF
        if (sequence_number - self._next_sequence) & 0xFFFF < 0x8000:
            self._next_sequence = (sequence_number + 1) & 0xFFFF
            self._next_timestamp = timestamp
        marker = MARKER_BIT if header.marker or self._needs_marker else 0
        padding = _PADDING_BIT if packet[0] & 0x20 else 0
        prefix = padding | marker | header.payload_type
        return self._packet(prefix, sequence_number, timestamp, bytes(packet[header.length :]))

    def _has_jumped(self, header: RtpHeader) -> bool:
        sequence_number, timestamp = self._source_last
        step = (header.sequence_number - sequence_number + 0x8000) & 0xFFFF
        samples = (header.rtp_timestamp - timestamp + 0x80000000) & 0xFFFFFFFF
        return abs(step - 0x8000) > MAX_STEP or abs(samples - 0x80000000) > _MAX_STEP_SAMPLES

    def _follow(self, header: RtpHeader, now: float) -> tuple[int, int, int]:
        """Another source, or one that has begun anew."""
        self._needs_marker = True
        ahead = (self.timestamp_at(now) - self._next_timestamp) & 0xFFFFFFFF
        timestamp = self._next_timestamp + (ahead if ahead < 0x80000000 else 0)
        offsets = self._next_sequence - header.sequence_number, timestamp - header.rtp_timestamp
        self._source = source = (header.ssrc, *offsets)
        return source

    def _packet(self, prefix: int, sequence_number: int, timestamp: int, payload: bytes) -> bytes:
        self._needs_marker = False
        self.packets += 1
        self.octets += len(payload)
        return FIXED_HEADER.pack(_VERSION_2 | prefix, sequence_number, timestamp, self.ssrc) + payload
