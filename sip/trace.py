"""All that is known of one call, live or ended, as frozen values: what explanations, ladders, captures and figures over
time are made of.  Pure.

A `TraceSource` holds references to what the core and the relay never change again; making one costs next to nothing.
`record_of` turns it into a `TraceRecord`, which may be shown: everything in it is masked (`sip.masking`), as it is in
what is stored (`sip.trace_codec`).
Wall times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from struct import Struct
from typing import Final, NamedTuple, Protocol, TypeVar

from sip.journal import NO_DETAILS, Details, Entry, EntryKind
from sip.masking import masked_message
from sip.media_stream import Describe, StreamDescription
from sip.snapshots import CallSnapshot, MediaFigures

T = TypeVar("T")

Endpoint = tuple[str, int]
"""Host and port."""

MILLISECOND_S = 0.001
CLOCK_ERROR_S = 1e-6
"""Times are shown in milliseconds, cut off after they were rounded to microseconds."""

HEADER_RECORD = Struct("!dHB12s")
"""One packet in `RtpHeaders.records`: when, its whole length, the index of its source, and its fixed header (RFC 3550
5.1)."""


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One line of a call's journal (`sip.journal.Entry`), masked.

    Of a message: `transport` ("UDP", "TCP", "TLS"), `remote`, where the phone is, `local`, where that phone reaches the
    server, `size` in bytes on the wire, `data`, the masked text, empty when it was dropped for want of room.  Of a
    decision or a change of media: `text`, a sentence, `fact`, which kind it was, and `details`, its figures and names.
    """

    at: float
    kind: EntryKind
    transport: str = ""
    local: Endpoint | None = None
    remote: Endpoint | None = None
    size: int = 0
    data: bytes = b""
    text: str = ""
    fact: str = ""
    details: Details = field(default_factory=lambda: NO_DETAILS)

    @property
    def is_message(self) -> bool:
        return self.remote is not None


@dataclass(frozen=True, slots=True)
class QualitySample:
    """One direction of a stream during the `span_s` seconds before `at`.

    Counters are of that time alone and mean what they mean in `sip.media_relay.StreamFigures`; `late` packets came more
    than a tenth of a second later than the one before had let expect.  `jitter_ms` is the highest that was met (RFC
    3550 6.4.1), `gap_ms` the longest silence in which packets were missing or late.  `mos` is None where nothing came.
    `remote_lost`, `remote_jitter_ms` and `rtt_ms` are what the phone that listens last reported by RTCP; its losses
    count from the beginning.
    """

    at: float
    span_s: float
    packets: int
    lost: int
    out_of_order: int
    duplicates: int
    late: int
    dropped: int
    jitter_ms: float
    gap_ms: float
    mos: float | None
    remote_lost: int | None
    remote_jitter_ms: float | None
    rtt_ms: float | None


@dataclass(frozen=True, slots=True)
class StreamQuality:
    """One direction of a stream over time, oldest first; `side` sent it: 0 the caller, 1 the callee.  `relay_port` is
    where it sent to."""

    kind: str
    side: int
    relay_port: int
    codec: str | None
    samples: tuple[QualitySample, ...]


@dataclass(frozen=True, slots=True)
class RtpHeaders:
    """The last RTP packets of one direction, without what was said in them.

    `records` are `HEADER_RECORD`s, oldest first; `sources` are the addresses they came from, `relay_port` is where they
    arrived.  `dropped` packets before them were not kept."""

    side: int
    relay_port: int
    sources: tuple[Endpoint, ...]
    records: bytes
    dropped: int


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """What is stored of a call beside its line in the history.  `dropped` entries between the first and the last ones
    were not kept; `streams` is what was negotiated."""

    entries: tuple[TraceEntry, ...] = ()
    dropped: int = 0
    streams: tuple[StreamDescription, ...] = ()
    quality: tuple[StreamQuality, ...] = ()
    headers: tuple[RtpHeaders, ...] = ()


@dataclass(frozen=True, slots=True)
class CallTrace:
    """All about one call.  `media` are the figures of every direction of every stream.

    `is_kept`: there is a record.  Otherwise nothing but `call` and `media` is known: the record was forgotten at
    `forgotten_at`, or there never was one (None)."""

    call: CallSnapshot
    media: tuple[MediaFigures, ...] = ()
    entries: tuple[TraceEntry, ...] = ()
    dropped: int = 0
    streams: tuple[StreamDescription, ...] = ()
    quality: tuple[StreamQuality, ...] = ()
    headers: tuple[RtpHeaders, ...] = ()
    is_kept: bool = True
    forgotten_at: float | None = None


def is_within(at: float, millisecond_at: float) -> bool:
    """Whether a time is shown as that one, to the millisecond."""
    return millisecond_at - CLOCK_ERROR_S <= at < millisecond_at + MILLISECOND_S - CLOCK_ERROR_S


def trace_of(call: CallSnapshot, media: Sequence[object], record: TraceRecord) -> CallTrace:
    """`media` are `sip.media_relay.StreamFigures`."""
    return CallTrace(
        call,
        tuple(_same_fields(MediaFigures, each) for each in media),
        record.entries,
        record.dropped,
        record.streams,
        record.quality,
        record.headers,
    )


# ------------------------------------------------------------------------------------------------ sources


class QualitySeries(Protocol):
    """One direction of a stream over time, as the relay keeps it; `samples` have the fields of `QualitySample`."""

    @property
    def kind(self) -> str: ...
    @property
    def side(self) -> int: ...
    @property
    def relay_port(self) -> int: ...
    @property
    def codec(self) -> str | None: ...
    @property
    def samples(self) -> Sequence[object]: ...


class HeaderLog(Protocol):
    """The RTP headers of one direction, as the relay keeps them: the fields of `RtpHeaders`, but for the times in
    `records`, which become wall clock by adding `wall_offset_s`."""

    @property
    def side(self) -> int: ...
    @property
    def relay_port(self) -> int: ...
    @property
    def sources(self) -> tuple[Endpoint, ...]: ...
    @property
    def records(self) -> bytes: ...
    @property
    def dropped(self) -> int: ...
    @property
    def wall_offset_s(self) -> float: ...


_ENTRY_SIZE: Final = 200
_SAMPLE_SIZE: Final = 200
"""About so many bytes beside the text of a message, and for each sample."""

NO_STREAMS: Final[Describe] = tuple
"""Describes nothing."""


class MediaRecord(NamedTuple):
    """What is known of the media of a call beside their figures."""

    describe: Describe = NO_STREAMS
    quality: tuple[QualitySeries, ...] = ()
    headers: tuple[HeaderLog, ...] = ()

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        samples = sum(len(series.samples) for series in self.quality)
        return samples * _SAMPLE_SIZE + sum(len(log.records) for log in self.headers)


NO_MEDIA = MediaRecord()


@dataclass(frozen=True, slots=True)
class TraceSource:
    """What a call leaves: nothing in it changes any more.  `describe` gives what was negotiated, `text_size` says how
    many bytes of messages the entries hold."""

    entries: tuple[Entry, ...] = ()
    dropped: int = 0
    describe: Describe = NO_STREAMS
    quality: tuple[QualitySeries, ...] = ()
    headers: tuple[HeaderLog, ...] = ()
    text_size: int = 0

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        media = MediaRecord(self.describe, self.quality, self.headers)
        return self.text_size + len(self.entries) * _ENTRY_SIZE + media.size


class LiveTrace(NamedTuple):
    """A call that the core still knows; `media` are `sip.media_relay.StreamFigures`."""

    call: CallSnapshot
    media: Sequence[object]
    source: TraceSource


def record_of(source: TraceSource) -> TraceRecord:
    """Masked.  Takes a good part of a millisecond: never to be called under a lock that anybody waits for."""
    return TraceRecord(
        entries=tuple(_entry(entry) for entry in source.entries),
        dropped=source.dropped,
        streams=source.describe(),
        quality=tuple(_quality(series) for series in source.quality),
        headers=tuple(headers_of(log) for log in source.headers),
    )


def _entry(entry: Entry) -> TraceEntry:
    flow = entry.flow
    if flow is None:
        return TraceEntry(entry.at, entry.kind, text=entry.text, fact=entry.fact, details=entry.details)
    return TraceEntry(
        entry.at,
        entry.kind,
        flow.transport,
        flow.local,
        flow.remote,
        entry.size,
        masked_message(entry.data),
    )


def _quality(series: QualitySeries) -> StreamQuality:
    samples = tuple(_same_fields(QualitySample, sample) for sample in series.samples)
    return StreamQuality(series.kind, series.side, series.relay_port, series.codec, samples)


def headers_of(log: HeaderLog) -> RtpHeaders:
    """With times by the wall clock."""
    moved = (
        HEADER_RECORD.pack(at + log.wall_offset_s, *values) for at, *values in HEADER_RECORD.iter_unpack(log.records)
    )
    return RtpHeaders(log.side, log.relay_port, log.sources, b"".join(moved), log.dropped)


def _same_fields(kind: type[T], source: object) -> T:
    return kind(**{each.name: getattr(source, each.name) for each in fields(kind)})  # type: ignore[arg-type]
