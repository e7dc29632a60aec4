"""One media stream of a call: who may send on each side, what was sent, what is worth telling. Pure.

Relay thread only, but for `drain_events`, `pulse` and `snapshot`, which any thread may call: they read values that are
replaced in one step, and a deque.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from rtp.figures import MediaEvent, MediaEventKind, StreamSnapshot
from rtp.keys import EVENT_KEYS, SHORTEST_S, KeyPress
from rtp.latch import Address, RtcpLatch, RtpLatch, Verdict
from rtp.packet import Buffer, classify
from rtp.payload_types import Codec
from rtp.pulse import NO_PULSE, Pulse
from rtp.rtcp import Report, ReportBlock, RtcpError, parse_reports, round_trip_s
from rtp.stats import StreamStats

ACTIVE_S = 5.0
"""A stream is active when a packet came within this time."""

MAX_EVENTS = 64
MAX_REPORTED_SOURCES = 8


class Description(NamedTuple):
    """What a session description of one side says."""

    rtp: Address | None = None
    rtcp: Address | None = None
    hosts: frozenset[str] = frozenset()
    codecs: Mapping[int, Codec] = {}


class Side:
    """One side as a sender: its latches and the figures of what it sends.

    `rejected` and `dropped` are what the latch made of packets; those that passed it are counted in `stats`.
    """

    __slots__ = (
        "_events",
        "_key",
        "_key_at",
        "_reported_sources",
        "codecs",
        "dropped",
        "last_rtcp_at",
        "number",
        "rejected",
        "remote",
        "round_trip_s",
        "rtcp_latch",
        "rtp_latch",
        "sr_passed",
        "stats",
    )

    def __init__(self, number: int, events: deque[MediaEvent]) -> None:
        self.number = number
        self.rtp_latch = RtpLatch()
        self.rtcp_latch = RtcpLatch()
        self.stats = StreamStats(self.on_new_ssrc)
        self.codecs: Mapping[int, Codec] = {}
        self.rejected = 0
        self.dropped = 0
        self.last_rtcp_at: float | None = None
        self.sr_passed: tuple[int, float] | None = None  # NTP middle of this side's last SR, when it passed
        self.remote: ReportBlock | None = None  # what the other side last reported of this side's stream
        self.round_trip_s: float | None = None  # relay to this side and back
        self._events = events
        self._reported_sources: set[Address] = set()
        self._key: KeyPress | None = None
        self._key_at = 0.0

    def announce(self, rtp: Address | None, rtcp: Address | None, hosts: frozenset[str], now: float) -> None:
        """Take this side's addresses from its session description."""
        self.rtcp_latch.announce(rtcp)
        old = self.rtp_latch.source
        if (rtp, hosts) == (self.rtp_latch.announced, self.rtp_latch.hosts):
            return
        if self.rtp_latch.announce(rtp, hosts):
            self._tell(now, MediaEventKind.RELEARNING, f"the {self.name}'s media moves away from {_text(old)}")
        if self.rtp_latch.source is None:
            self.rtcp_latch.forget()
            self._reported_sources.clear()

    def has_said(self, description: Description) -> bool:
        """Whether this side's last description said the same."""
        latch = self.rtp_latch
        return description == Description(latch.announced, self.rtcp_latch.announced, latch.hosts, self.codecs)

    def judge_rtp(self, source: Address, packet: Buffer, now: float) -> Verdict:
        """Verdict on a packet at this side's RTP port, counted and told where it matters."""
        verdict = self.rtp_latch.judge(source, classify(packet), packet)
        if verdict is Verdict.LATCHED:
            self.rtcp_latch.follow(source)
            self._tell(now, MediaEventKind.LATCHED, self._latched_text("media", source, self.rtp_latch.announced))
        elif verdict is Verdict.UNPROVEN:
            self.dropped += 1
        elif verdict is Verdict.REJECTED:
            self._reject(source, now)
        return verdict

    def judge_rtcp(self, source: Address, packet: Buffer, now: float) -> Verdict:
        """Verdict on a packet at this side's RTCP port."""
        verdict = self.rtcp_latch.judge(source, classify(packet), self.rtp_latch.source)
        if verdict is Verdict.LATCHED:
            self._tell(now, MediaEventKind.LATCHED, self._latched_text("RTCP", source, self.rtcp_latch.announced))
        elif verdict is Verdict.REJECTED:
            self._reject(source, now)
        return verdict

    @property
    def name(self) -> str:
        """The side in words."""
        return "callee" if self.number else "caller"

    def _latched_text(self, what: str, source: Address, announced: Address | None) -> str:
        if source == announced:
            return f"the {self.name}'s {what} comes from {_text(source)}, as announced"
        return f"the {self.name}'s {what} comes from {_text(source)}, announced was {_text(announced)}"

    def _reject(self, source: Address, now: float) -> None:
        self.rejected += 1
        if source in self._reported_sources or len(self._reported_sources) >= MAX_REPORTED_SOURCES:
            return
        self._reported_sources.add(source)
        text = f"packets from {_text(source)} are refused: they are not the {self.name}'s media"
        self._tell(now, MediaEventKind.REJECTED, text)

    def on_new_ssrc(self, old: int, new: int, now: float) -> None:
        """Another synchronisation source has taken this side's stream over."""
        self.remote = None
        text = f"the {self.name} sends with another synchronisation source: {new:#010x} instead of {old:#010x}"
        self._tell(now, MediaEventKind.NEW_SSRC, text)

    def note_key(self, key: KeyPress, now: float) -> bool:
        """A key was pressed on this side's phone; whether that is news. The server and a worker may both have seen it,
        when a stream changed hands."""
        if key == self._key or 0.0 <= now - self._key_at < SHORTEST_S:
            return False
        self._key, self._key_at = key, now
        text = f"the {self.name} has pressed a key"
        self._events.append(MediaEvent(now, self.number, MediaEventKind.KEY, text, EVENT_KEYS[key[0]]))
        return True

    def _tell(self, now: float, kind: MediaEventKind, text: str) -> None:
        self._events.append(MediaEvent(now, self.number, kind, text))

    def destination(self) -> Address | None:
        """Where packets for this side go: nowhere when it wants none, else the learnt address, else the announced."""
        return None if self.rtp_latch.announced is None else self.rtp_latch.source or self.rtp_latch.announced

    def rtcp_destination(self) -> Address | None:
        """Where RTCP for this side goes."""
        return None if self.rtcp_latch.announced is None else self.rtcp_latch.source or self.rtcp_latch.announced

    def last_seen(self) -> float | None:
        """When this side last sent RTP or RTCP that was taken; monotonic seconds."""
        at, rtcp_at = self.stats.last_at, self.last_rtcp_at
        return at if rtcp_at is None or (at is not None and at > rtcp_at) else rtcp_at


class MediaSession:
    """Both sides of one media stream; what side 0 sends goes to side 1 and back."""

    __slots__ = ("_events", "_on_news", "call_id", "kind", "ports", "sides")

    def __init__(
        self, call_id: str, kind: str, ports: tuple[int, int], on_news: Callable[[str], None] | None = None
    ) -> None:
        """`on_news(call_id)` is told when an event should not wait until somebody asks."""
        self.call_id = call_id
        self.kind = kind
        self.ports = ports
        self._on_news = on_news
        self._events: deque[MediaEvent] = deque(maxlen=MAX_EVENTS)
        self.sides = (Side(0, self._events), Side(1, self._events))

    def on_key(self, side: int, key: KeyPress, now: float) -> None:
        """A key was pressed."""
        if self.sides[side].note_key(key, now) and self._on_news is not None:
            self._on_news(self.call_id)

    def tell(self, event: MediaEvent) -> None:
        """One more thing worth telling."""
        self._events.append(event)

    def set_codecs(self, side: int, codecs: Mapping[int, Codec]) -> None:
        """Payload types from a side's description. They say what it receives (RFC 3264 5.1), so the other side's
        packets are read by them first, and by the sender's own where they are silent."""
        self.sides[side].codecs = codecs
        for sender, receiver in (self.sides, self.sides[::-1]):
            sender.stats.set_codecs({**sender.codecs, **receiver.codecs})

    def on_rtcp(self, side: int, packet: Buffer, now: float) -> None:
        """Note what an RTCP packet taken from `side` reports; one that cannot be read (SRTCP) only counts as alive."""
        self.sides[side].last_rtcp_at = now
        try:
            reports = parse_reports(packet)
        except RtcpError:
            return
        for report in reports:
            self._note_report(side, report, now)

    def _note_report(self, side: int, report: Report, now: float) -> None:
        reporter, reported = self.sides[side], self.sides[1 - side]
        if report.ntp_middle is not None:
            reporter.sr_passed = (report.ntp_middle, now)
        for block in report.blocks:
            if block.ssrc != reported.stats.ssrc:
                continue
            reported.remote = block
            if reported.sr_passed is not None and block.last_sr == reported.sr_passed[0]:
                reporter.round_trip_s = round_trip_s(now, reported.sr_passed[1], block.delay_since_last_sr)

    def drain_events(self) -> list[MediaEvent]:
        """Events since last asked, oldest first; the oldest are lost when nobody asks."""
        events: list[MediaEvent] = []
        if not self._events:
            return events
        with suppress(IndexError):  # one deque operation at a time, so that no lock is needed
            while True:
                events.append(self._events.popleft())
        return events

    def snapshot(self, number: int, now: float, wall_offset_s: float, *, is_open: bool) -> StreamSnapshot:
        """Figures of what side `number` sends; `wall_offset_s` turns monotonic into wall-clock seconds."""
        side, receiver = self.sides[number], self.sides[1 - number]
        stats = side.stats
        source = side.rtp_latch.source or side.rtp_latch.announced
        destination = receiver.destination()
        last_at = stats.last_at
        remote = side.remote
        rtt_s = self._round_trip_s()
        codec = stats.codec
        return StreamSnapshot(
            call_id=self.call_id,
            kind=self.kind,
            side=number,
            from_address=source[0] if source else None,
            from_port=source[1] if source else None,
            to_address=destination[0] if destination else None,
            to_port=destination[1] if destination else None,
            relay_port=self.ports[number],
            packets=stats.packets,
            bytes=stats.octets,
            lost=stats.lost,
            out_of_order=stats.out_of_order,
            duplicates=stats.duplicates,
            rejected=side.rejected + stats.rejected,
            dropped=side.dropped + stats.dropped,
            jitter_ms=stats.jitter_s * 1000.0,
            codec=codec[0] if codec else None,
            payload_type=stats.payload_type,
            ssrc=stats.ssrc,
            first_packet_at=None if stats.first_at is None else stats.first_at + wall_offset_s,
            last_packet_at=None if last_at is None else last_at + wall_offset_s,
            remote_lost=remote.cumulative_lost if remote else None,
            remote_jitter_ms=remote.interarrival_jitter * 1000.0 / codec[1] if remote and codec else None,
            rtt_ms=None if rtt_s is None else rtt_s * 1000.0,
            mos=self.pulse(number).mos_since(NO_PULSE) if self.kind == "audio" else None,
            active=is_open and last_at is not None and now - last_at <= ACTIVE_S,
            late=stats.late,
            gap_ms=stats.gap_s * 1000.0,
            gap_ended_at=stats.gap_at + wall_offset_s if stats.gap_at else None,
        )

    def pulse(self, number: int) -> Pulse:
        """How what side `number` sends is doing."""
        side = self.sides[number]
        stats, remote = side.stats, side.remote
        received = max(0, stats.packets - stats.duplicates)
        return Pulse(
            packets=stats.packets,
            received=received,
            lost=max(stats.lost, min(remote.cumulative_lost, received + stats.lost) if remote else 0),
            rejected=side.rejected + stats.rejected,
            last_at=stats.last_at,
            jitter_ms=stats.jitter_s * 1000.0,
            rtt_ms=(self._round_trip_s() or 0.0) * 1000.0,
            codec=stats.codec[0] if stats.codec else None,
            heard_at=side.last_seen(),
        )

    def _round_trip_s(self) -> float | None:
        """Phone to phone and back, when RTCP of both sides tells."""
        caller, callee = self.sides
        if caller.round_trip_s is None or callee.round_trip_s is None:
            return None
        return caller.round_trip_s + callee.round_trip_s


def _text(address: Address | None) -> str:
    if address is None:
        return "nowhere"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
