"""A call as rules look at it: its record, taken apart as far as they need it.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final, NamedTuple

from explain.finding import Evidence, EvidenceKind
from explain.networks import host_of
from sip.errors import ParseError
from sip.facts import Fact
from sip.journal import EntryKind
from sip.message import Request, Response, parse_datagram
from sip.sdp import MediaDescription, SessionDescription
from sip.snapshots import BanSnapshot, CallState, MediaFigures
from sip.sources import source_of
from sip.trace import CallTrace, QualitySample, TraceEntry
from sip.uri import bracket

CALLER: Final = 0
CALLEE: Final = 1

_MAX_TEXT = 200
_SDP: Final = "application/sdp"


class Spot(NamedTuple):
    """An entry of the record and its place in it, counted from 0."""

    place: int
    entry: TraceEntry


class Heard(NamedTuple):
    """A SIP message of the call; `message` is None where its text was dropped or can't be read."""

    place: int
    entry: TraceEntry
    message: Request | Response | None

    @property
    def is_received(self) -> bool:
        return self.entry.kind is EntryKind.RECEIVED

    @property
    def spot(self) -> Spot:
        return Spot(self.place, self.entry)


class Case:
    """One call, live or ended.  `bans` are those in force now, `now_at` is wall clock."""

    def __init__(self, trace: CallTrace, bans: Sequence[BanSnapshot], now_at: float) -> None:
        self.trace = trace
        self.call = trace.call
        self.bans = bans
        self.now_at = now_at

    # -------------------------------------------------------------------------------------------- the call

    @property
    def caller(self) -> str:
        return self.call.from_number

    @property
    def callee(self) -> str:
        return self.call.to_number

    @property
    def rang(self) -> bool:
        return self.call.ringing_at is not None

    @property
    def answered(self) -> bool:
        return self.call.answered_at is not None

    @property
    def is_over(self) -> bool:
        return self.call.state is CallState.TERMINATED

    @property
    def failed(self) -> bool:
        """Over without ever having been answered."""
        return self.is_over and not self.answered

    @property
    def talk_s(self) -> float:
        return self.call.duration_s(self.now_at)

    @property
    def until_at(self) -> float:
        """Its end, or now while it lasts."""
        return self.call.ended_at if self.call.ended_at is not None else self.now_at

    @property
    def is_complete(self) -> bool:
        """Every message of it is in the record, text included: what is not there has not happened."""
        return self.trace.is_kept and not self.trace.dropped and all(heard.entry.data for heard in self._messages)

    def number_of(self, side: int) -> str:
        """Of the caller (0) or the callee (1)."""
        return self.callee if side == CALLEE else self.caller

    # -------------------------------------------------------------------------------------------- the record

    def facts(self, *kinds: Fact) -> list[Spot]:
        """What the server has decided or noticed, of these kinds, in the order it happened."""
        wanted = frozenset(kind.value for kind in kinds)
        return [Spot(place, entry) for place, entry in enumerate(self.trace.entries) if entry.fact in wanted]

    def first(self, *kinds: Fact) -> Spot | None:
        return next(iter(self.facts(*kinds)), None)

    def called(self, address: str) -> Spot | None:
        """How the call was sent to the phone at that address."""
        return next((spot for spot in self.facts(Fact.CALLED) if spot.entry.details.get("address") == address), None)

    @cached_property
    def _messages(self) -> list[Heard]:
        return [
            Heard(place, entry, _parsed(entry.data))
            for place, entry in enumerate(self.trace.entries)
            if entry.is_message
        ]

    def requests(self, method: str, *, received: bool) -> list[Heard]:
        """Requests of that method that were received, or sent, in the order of the record."""
        return [
            heard
            for heard in self._messages
            if heard.is_received == received and isinstance(heard.message, Request) and heard.message.method == method
        ]

    def responses(self, method: str, low: int, high: int, *, received: bool) -> list[Heard]:
        """Responses to that method with a status from `low` to below `high`, received or sent."""
        return [
            heard
            for heard in self._messages
            if heard.is_received == received
            and isinstance(heard.message, Response)
            and low <= heard.message.status < high
            and _method(heard.message) == method
        ]

    def messages(self) -> Iterator[Heard]:
        """Those that can be read, in the order of the record."""
        return (heard for heard in self._messages if heard.message is not None)

    # -------------------------------------------------------------------------------------------- the media

    @cached_property
    def sound(self) -> tuple[MediaFigures | None, MediaFigures | None]:
        """Of what each side has sent: the stream of sound that most was heard of, None where there was none."""
        return self._loudest(CALLER), self._loudest(CALLEE)

    def _loudest(self, side: int) -> MediaFigures | None:
        found = [figures for figures in self.trace.media if figures.kind == "audio" and figures.side == side]
        return max(found, key=lambda figures: figures.packets, default=None)

    def is_to_send(self, side: int) -> bool:
        """Both phones meant that side to send sound, as far as they have said."""
        for stream in self.trace.streams:
            described = (stream.caller, stream.callee)
            own, other = described[side], described[1 - side]
            if stream.kind == "audio" and own is not None and other is not None:
                return own.direction in ("sendrecv", "sendonly") and other.direction in ("sendrecv", "recvonly")
        return True

    def direction_of(self, side: int) -> str:
        """What that side last said of its sound: sendrecv, sendonly, ...; "" where it has said nothing."""
        for stream in self.trace.streams:
            own = (stream.caller, stream.callee)[side]
            if stream.kind == "audio" and own is not None:
                return own.direction.value
        return ""

    def reported_lost(self, sound: MediaFigures) -> int | None:
        """Packets of that direction that the listening phone has missed, by its last report; None without one."""
        reports = [sample.remote_lost for sample in self._samples(sound) if sample.remote_lost is not None]
        return reports[-1] if reports else None

    def jitters(self, sound: MediaFigures) -> list[float]:
        """The highest jitter of that direction in each span of the record, milliseconds."""
        return [sample.jitter_ms for sample in self._samples(sound)]

    def _samples(self, sound: MediaFigures) -> list[QualitySample]:
        return [
            sample
            for series in self.trace.quality
            if (series.side, series.relay_port) == (sound.side, sound.relay_port)
            for sample in series.samples
        ]

    # -------------------------------------------------------------------------------------------- evidence

    def cite(self, spot: Spot) -> Evidence:
        """An entry as evidence."""
        place, entry = spot
        if not entry.is_message:
            return Evidence(EvidenceKind.DECISION, entry.text, entry=place, at=entry.at)
        assert entry.remote is not None
        first_line = entry.data.partition(b"\r\n")[0].decode("utf-8", "replace")[:_MAX_TEXT]
        way = "from" if entry.kind is EntryKind.RECEIVED else "to"
        peer = f"{entry.transport.lower()}:{bracket(entry.remote[0])}:{entry.remote[1]}"
        return Evidence(EvidenceKind.MESSAGE, f"{first_line} ({way} {peer})", entry=place, at=entry.at)

    def last_words(self) -> tuple[Evidence, ...]:
        """What the record says of the end; the history's own words where there is no record."""
        ended = self.facts(Fact.ENDED)
        if ended:
            return (self.cite(ended[-1]),)
        return (Evidence(EvidenceKind.DECISION, self.call.reason_text, at=self.call.ended_at),)

    def ban_of(self, address: str, at: float) -> BanSnapshot | None:
        """The ban that was in force for that host:port at that time, and still is."""
        host = host_of(address)
        source = source_of(host) if host else ""
        return next((ban for ban in self.bans if ban.address == source and ban.since_at <= at), None)


def is_at(entry: TraceEntry, address: str) -> bool:
    """The message went to, or came from, that host:port."""
    return entry.remote is not None and f"{bracket(entry.remote[0])}:{entry.remote[1]}" == address


def described(message: Request | Response | None) -> SessionDescription | None:
    """The session description in a message, None where there is none that can be read."""
    if message is None or not message.body or message.content_type.partition(";")[0].strip().lower() != _SDP:
        return None
    try:
        return SessionDescription.parse(message.body)
    except ParseError:
        return None


def audio_of(description: SessionDescription | None) -> list[MediaDescription]:
    return [] if description is None else [media for media in description.media if media.kind == "audio"]


def _parsed(data: bytes) -> Request | Response | None:
    if not data:
        return None
    try:
        return parse_datagram(data)
    except ParseError:
        return None


def _method(message: Response) -> str:
    try:
        return message.cseq.method
    except ParseError:
        return ""
