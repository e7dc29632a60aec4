"""Figures of one direction of an RTP stream: sequence, loss, jitter (RFC 3550 A.1, A.3, A.8). Pure; belongs to the
thread that serves the stream.

Three departures from the appendix, all for figures that people read. Losses are counted as they happen instead of
expected minus received, so a duplicate never hides a loss and the number survives a change of SSRC; without duplicates
and restarts it is the number of A.3. The first source counts from its first packet, because the latch has vouched for
it; A.1's probation guards a change of SSRC. Jitter is kept in seconds, so a change of clock rate leaves it true.

A gap is the time between two packets where others are missing between them, or where the second came late by its own
clock; the pause of a phone that sends nothing is none. It is looked at only there, so plain packets pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import copysign
from typing import NamedTuple

from rtp.packet import MARKER_BIT, PAYLOAD_TYPE_MASK
from rtp.payload_types import KEY_ENCODING, STATIC_CODECS, Codec, has_cadence

SEQUENCE_MODULUS = 1 << 16
MAX_DROPOUT = 3000
MAX_MISORDER = 100
TIMESTAMP_JUMP_S = 2.0
"""A larger step of the transit time is a pause or a new timestamp base, not jitter."""
LATE_S = 0.1
"""A packet is late when it comes by so much later than the one before it had let expect."""
GAP_MEMORY_S = 6.0
"""So long a gap is remembered, unless a longer one comes; whoever wants to know of each looks more often."""

_NEVER = -1
_UNKNOWN_S = float("inf")


class StatsState(NamedTuple):
    """All that one object counts and another goes on from, as numbers: -1 and infinity stand for what is not known.

    The first six change with every packet.
    """

    packets: int
    octets: int
    last_at: float
    jitter_s: float
    transit_s: float
    next_sequence: int
    lost: int
    out_of_order: int
    duplicates: int
    rejected: int
    dropped: int
    first_at: float
    ssrc: int
    payload_type: int
    late: int
    gap_s: float
    gap_at: float


class StreamStats:
    """Counters only grow; `prefix` is the first half-word (marker clear) that needs no second look, or -1. `key_types`
    are the payload types of telephone events."""

    __slots__ = (
        "_bad_sequence",
        "_challenger",
        "_codecs",
        "_first_sequence",
        "_missing",
        "_next_sequence",
        "_on_new_ssrc",
        "_packets_at_start",
        "_tick_s",
        "_transit_s",
        "_write",
        "codec",
        "dropped",
        "duplicates",
        "first_at",
        "gap_at",
        "gap_s",
        "jitter_s",
        "key_types",
        "last_at",
        "late",
        "lost",
        "octets",
        "out_of_order",
        "packets",
        "payload_type",
        "prefix",
        "rejected",
        "ssrc",
    )

    def __init__(self, on_new_ssrc: Callable[[int, int, float], None]) -> None:
        """`on_new_ssrc(old, new, now)` is called when another synchronisation source has taken the stream over."""
        self._on_new_ssrc = on_new_ssrc
        self._codecs: Mapping[int, Codec] = STATIC_CODECS
        self.key_types: frozenset[int] = frozenset()
        self.packets = 0
        self.octets = 0
        self.lost = 0
        self.out_of_order = 0
        self.duplicates = 0
        self.rejected = 0
        self.dropped = 0
        self.late = 0
        self.gap_s = 0.0
        """The longest gap of the last seconds ..."""
        self.gap_at = 0.0
        """... and when it was over."""
        self.jitter_s = 0.0
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.ssrc: int | None = None
        self.payload_type: int | None = None
        self.codec: Codec | None = None
        self.prefix = _NEVER
        self._next_sequence = _NEVER
        self._bad_sequence = _NEVER
        self._missing: dict[int, int] = {}  # sequence number -> `packets` when it was found missing
        self._first_sequence = _NEVER
        self._packets_at_start = 0
        self._challenger: tuple[int, int, int] | None = None
        self._tick_s = 0.0
        self._transit_s = _UNKNOWN_S
        self._write: Callable[[int, int, float, float, float, int], None] | None = None
        """Where somebody else reads the figures: notes the first six of the state."""

    @property
    def codecs(self) -> Mapping[int, Codec]:
        """Payload types as they are read now."""
        return self._codecs

    def set_codecs(self, codecs: Mapping[int, Codec]) -> None:
        """Payload types as the session description names them; static ones need not be among them."""
        self._codecs = {**STATIC_CODECS, **codecs}
        self.key_types = frozenset(number for number, (name, _) in codecs.items() if name.upper() == KEY_ENCODING)
        self.prefix = _NEVER  # the next packet looks its codec up again

    def state(self) -> StatsState:
        """What `resume` of another object goes on from."""
        return StatsState(
            self.packets,
            self.octets,
            _UNKNOWN_S if self.last_at is None else self.last_at,
            self.jitter_s,
            self._transit_s,
            self._next_sequence,
            self.lost,
            self.out_of_order,
            self.duplicates,
            self.rejected,
            self.dropped,
            _UNKNOWN_S if self.first_at is None else self.first_at,
            _NEVER if self.ssrc is None else self.ssrc,
            _NEVER if self.payload_type is None else self.payload_type,
            self.late,
            self.gap_s,
            self.gap_at,
        )

    def resume(self, state: StatsState) -> None:
        """Go on from what another object counted. Which packets are missing is not told: one of those that comes after
        all counts as a duplicate."""
        self.packets, self.octets, last_at, self.jitter_s, self._transit_s, self._next_sequence = state[:6]
        self.lost, self.out_of_order, self.duplicates, self.rejected, self.dropped, first_at = state[6:12]
        self.last_at = None if last_at == _UNKNOWN_S else last_at
        self.first_at = None if first_at == _UNKNOWN_S else first_at
        self.ssrc = None if state.ssrc == _NEVER else state.ssrc
        self.payload_type = None if state.payload_type == _NEVER else state.payload_type
        self.late, self.gap_s, self.gap_at = state.late, state.gap_s, state.gap_at
        self.codec = None if self.payload_type is None else self._codecs.get(self.payload_type)
        self._tick_s = 1.0 / self.codec[1] if self.codec is not None and self.codec[1] > 0 else 0.0
        self.prefix = _NEVER
        self._packets_at_start = self.packets - MAX_MISORDER - 1

    def on_packet(
        self, prefix: int, sequence_number: int, rtp_timestamp: int, ssrc: int, length: int, now: float
    ) -> bool:
        """Count one RTP packet of `length` bytes that arrived at `now`; `prefix` is its first 16 bits.

        True when it was plainly the next one, which changes only what changes with every packet.
        """
        self.packets += 1
        self.octets += length
        is_plain = sequence_number == self._next_sequence and prefix == self.prefix and ssrc == self.ssrc
        if is_plain:
            self._next_sequence = (sequence_number + 1) & 0xFFFF
        elif not self._is_timed(prefix, sequence_number, ssrc, now):
            self.last_at = now
            self._publish()
            return False
        # A.8 with both times in seconds.
        transit_s = now - rtp_timestamp * self._tick_s
        later_s = deviation_s = transit_s - self._transit_s
        self._transit_s = transit_s
        if deviation_s < 0.0:
            deviation_s = -deviation_s
        if deviation_s > LATE_S:
            is_plain = False
            deviation_s = self._unusual(later_s, now)
            if deviation_s > TIMESTAMP_JUMP_S:
                self.last_at = now
                self._publish()
                return False
        self.last_at = now
        self.jitter_s += (deviation_s - self.jitter_s) * 0.0625
        if not is_plain:
            self._publish()
        elif self._write is not None:
            self._write(self.packets, self.octets, now, self.jitter_s, transit_s, self._next_sequence)
        return is_plain

    def _publish(self) -> None:
        """Where somebody else reads the figures: note all of the state."""

    def _unusual(self, later_s: float, now: float) -> float:
        """The deviation of a packet that came much later, or earlier, than the one before had let expect."""
        if abs(later_s) > TIMESTAMP_JUMP_S:
            later_s -= copysign(self._tick_s * 4294967296.0, later_s)  # the timestamp has wrapped around
        if LATE_S < later_s <= TIMESTAMP_JUMP_S:
            self.late += 1
            self._note_gap(now)
        return abs(later_s)

    def _note_gap(self, now: float) -> None:
        """Since the packet before this one something was missing or late."""
        gap_s = 0.0 if self.last_at is None else now - self.last_at
        if gap_s >= self.gap_s or now - self.gap_at > GAP_MEMORY_S:
            self.gap_s, self.gap_at = gap_s, now

    def on_dropped(self) -> None:
        """A packet that was taken could not be passed on."""
        self.dropped += 1

    def on_rejected(self) -> None:
        """A packet was refused."""
        self.rejected += 1

    def _is_timed(self, prefix: int, sequence_number: int, ssrc: int, now: float) -> bool:
        """Sequence and codec of a packet that is not plainly the next one; whether it may be used for jitter."""
        if self.first_at is None:
            self.first_at = now
        if ssrc != self.ssrc and not self._take_over(sequence_number, ssrc, now):
            return False
        is_new = self._sequence(sequence_number, now)
        payload_type = prefix & PAYLOAD_TYPE_MASK
        codec = self._codecs.get(payload_type)
        if codec is None or codec[1] <= 0 or not has_cadence(codec[0]):
            if self.payload_type is None:
                self.payload_type, self.codec = payload_type, codec
            self.prefix = _NEVER
            return False
        if codec != self.codec:
            self.codec = codec
            self._tick_s = 1.0 / codec[1]
            self._transit_s = _UNKNOWN_S
        self.payload_type = payload_type
        self.prefix = prefix & ~MARKER_BIT
        return is_new

    def _take_over(self, sequence_number: int, ssrc: int, now: float) -> bool:
        """A.1's probation of another source: two of its packets in sequence and none of the old one between them."""
        old = self.ssrc
        if old is not None and self._challenger != (ssrc, sequence_number, self._next_sequence):
            self._challenger = (ssrc, (sequence_number + 1) & 0xFFFF, self._next_sequence)
            return False
        self.ssrc = ssrc
        self._start(sequence_number)
        if old is not None:
            self._on_new_ssrc(old, ssrc, now)
        return True

    def _start(self, sequence_number: int) -> None:
        """A.1's init_seq: forget the sequence, keep the totals."""
        self._next_sequence = sequence_number
        self._first_sequence = sequence_number
        self._bad_sequence = _NEVER
        self._challenger = None
        self._missing.clear()
        self._packets_at_start = self.packets
        self._transit_s = _UNKNOWN_S

    def _sequence(self, sequence_number: int, now: float) -> bool:
        """A.1's update_seq; False for a duplicate and for the first packet after a large jump."""
        ahead = (sequence_number - self._next_sequence) & 0xFFFF
        if ahead < MAX_DROPOUT - 1:
            if ahead:
                self._note_missing(sequence_number, ahead)
                self._note_gap(now)
            self._next_sequence = (sequence_number + 1) & 0xFFFF
            return True
        behind = SEQUENCE_MODULUS - ahead
        if behind <= MAX_MISORDER:
            return self._late(sequence_number, behind)
        if sequence_number != self._bad_sequence:
            self._bad_sequence = (sequence_number + 1) & 0xFFFF
            return False
        self._start(sequence_number)
        self._next_sequence = (sequence_number + 1) & 0xFFFF
        return True

    def _note_missing(self, sequence_number: int, count: int) -> None:
        """`count` packets before this one have not come; the last of them may still be late."""
        self.lost += count
        if len(self._missing) > MAX_MISORDER:
            near = {
                number: at
                for number, at in self._missing.items()
                if (sequence_number - number) & 0xFFFF <= MAX_MISORDER
            }
            self._missing = near
        for back in range(min(count, MAX_MISORDER), 0, -1):
            self._missing[(sequence_number - back) & 0xFFFF] = self.packets

    def _late(self, sequence_number: int, behind: int) -> bool:
        """A packet less than MAX_MISORDER behind: one that was missed, one from before the first, or a copy."""
        noted_at_packets = self._missing.pop(sequence_number, None)
        # An entry as old as a whole turn of the sequence numbers says nothing about this packet.
        if noted_at_packets is not None and self.packets - noted_at_packets <= MAX_MISORDER:
            self.lost -= 1
        elif not self._is_before_first(behind):
            self.duplicates += 1
            return False
        self.out_of_order += 1
        return True

    def _is_before_first(self, behind: int) -> bool:
        is_start = self.packets - self._packets_at_start <= MAX_MISORDER
        return is_start and behind > (self._next_sequence - self._first_sequence) & 0xFFFF
