"""What a call leaves as masked bytes to be kept, and back as a `TraceRecord`.  Pure.

One line of JSON, then the times of the entries, the messages and the RTP headers as they are, all of it compressed: a
call of a dozen messages takes less than a kilobyte.  It is made from the journal itself: a record between would take
longer than all the rest.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Any

from sip.flow import Flow
from sip.journal import NO_DETAILS, Entry, EntryKind
from sip.masking import masked_messages
from sip.media_stream import SideDescription, StreamDescription
from sip.sdp_values import Direction
from sip.trace import (
    QualitySample,
    QualitySeries,
    RtpHeaders,
    StreamQuality,
    TraceEntry,
    TraceRecord,
    TraceSource,
    headers_of,
)
from sip.trace_words import WORDS

FORMAT = 2
"""Kept beside the bytes, so that a later version can tell how to read them."""

_LEVEL = 3
"""Of zlib: two thirds of the work of the default for a twentieth more bytes."""
_WINDOW = 13
_MEMORY = 5
"""Messages repeat those just before them; more memory would only take longer to be cleared for each call."""

_sample_values = attrgetter(*(each.name for each in fields(QualitySample)))
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

_NO_COLUMNS: tuple[tuple[()], ...] = ((),) * len(Entry._fields)
"""Of a journal without entries."""


class UnreadableTrace(ValueError):
    """The bytes are no record of this format."""


def pack(source: TraceSource) -> bytes:
    """The bytes of `record_of(source)`."""
    # By columns, which takes hardly a step of the interpreter for each entry.
    times, kinds, flows, sizes, datas, *_ = tuple(zip(*source.entries, strict=True)) or _NO_COLUMNS
    texts = masked_messages(datas)
    lengths = tuple(map(len, texts))
    headers = [headers_of(log) for log in source.headers]
    places = {flow: place for place, flow in enumerate(dict.fromkeys(flows))}
    values = {
        "kinds": " ".join(kinds),
        "flows": [*places],
        "places": [*map(places.__getitem__, flows)],
        "lengths": lengths,
        "sizes": None if sizes == lengths else sizes,
        "notes": [(each.text, each.fact, dict(each.details)) for each in source.entries if each.flow is None],
        "dropped": source.dropped,
        "streams": source.describe(),
        "quality": [_quality_values(series) for series in source.quality],
        "headers": [(each.side, each.relay_port, each.sources, len(each.records), each.dropped) for each in headers],
    }
    head = _encode(values).encode()
    parts = (head, b"\n", _times(len(times)).pack(*times), *texts, *[each.records for each in headers])
    return _compressed(b"".join(parts))


def unpack(data: bytes) -> TraceRecord:
    """Raises `UnreadableTrace`."""
    try:
        head, _, body = _decompressed(data).partition(b"\n")
        values = json.loads(head)
        lengths, headers = values["lengths"], values["headers"]
        times = _times(len(lengths))
        places = accumulate([*lengths, *(each[3] for each in headers)], initial=times.size)
        parts = [body[start:end] for start, end in pairwise(places)]
        return TraceRecord(
            entries=tuple(_entries(values, times.unpack_from(body), parts)),
            dropped=values["dropped"],
            streams=tuple(_stream(each) for each in values["streams"]),
            quality=tuple(_quality(each) for each in values["quality"]),
            headers=tuple(_headers(each, part) for each, part in zip(headers, parts[len(lengths) :], strict=True)),
        )
    except (zlib.error, struct.error, ValueError, LookupError, TypeError) as error:
        raise UnreadableTrace(f"the record of a call can't be read: {error}") from error


def _compressed(data: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zdict=WORDS)
    return compressor.compress(data) + compressor.flush()


def _decompressed(data: bytes) -> bytes:
    """Raises `zlib.error` and `ValueError`."""
    decompressor = zlib.decompressobj(zdict=WORDS)
    found = decompressor.decompress(data)
    if not decompressor.eof:
        raise ValueError("its end is missing")
    return found


def _times(count: int) -> struct.Struct:
    """Of so many entries; as text they would take longer than all else of them."""
    return struct.Struct(f"!{count}d")


def _entries(values: dict[str, Any], times: Sequence[float], datas: Sequence[bytes]) -> Iterator[TraceEntry]:
    flows = [None if each is None else Flow(*each) for each in values["flows"]]
    sizes, notes = values["sizes"] or values["lengths"], values["notes"][::-1]
    columns = values["kinds"].split(), values["places"], sizes
    for at, data, kind, place, size in zip(times, datas, *columns, strict=False):
        flow = flows[place]
        if flow is None:
            text, fact, details = notes.pop()
            yield TraceEntry(at, EntryKind(kind), text=text, fact=fact, details=details or NO_DETAILS)
        else:
            yield TraceEntry(at, EntryKind(kind), flow.transport, flow.local, flow.remote, size, data)


def _stream(values: list[Any]) -> StreamDescription:
    place, kind, protocol, caller, callee, ports = values
    relay_ports = None if ports is None else (ports[0], ports[1])
    return StreamDescription(place, kind, protocol, _side(caller), _side(callee), relay_ports)


def _side(values: list[Any] | None) -> SideDescription | None:
    if values is None:
        return None
    address, codecs, direction, secure, rejected = values
    return SideDescription(address, tuple(codecs), Direction(direction), secure, rejected)


def _quality_values(series: QualitySeries) -> tuple[object, ...]:
    samples = [_sample_values(sample) for sample in series.samples]
    return series.kind, series.side, series.relay_port, series.codec, samples


def _quality(values: list[Any]) -> StreamQuality:
    kind, side, relay_port, codec, samples = values
    return StreamQuality(kind, side, relay_port, codec, tuple(QualitySample(*sample) for sample in samples))


def _headers(values: list[Any], records: bytes) -> RtpHeaders:
    side, relay_port, sources, _, dropped = values
    return RtpHeaders(side, relay_port, tuple((host, port) for host, port in sources), records, dropped)
