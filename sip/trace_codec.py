"""What a call leaves as masked bytes to be kept, and back as a `TraceRecord`.  Pure.

One line of JSON, then the times of the entries, the messages and the RTP headers as they are, all of it compressed: a
call of a dozen messages takes little more than a kilobyte.  It is made from the journal itself: a record between would
take longer than all the rest.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import fields
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Any

from sip.flow import Flow
from sip.journal import NO_DETAILS, EntryKind
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

FORMAT = 2
"""Kept beside the bytes, so that a later version can tell how to read them."""

_LEVEL = 3
"""Of zlib: two thirds of the work of the default for a twentieth more bytes."""
_WINDOW = 13
"""Messages repeat those just before them; a larger window only takes more memory to be cleared for each call."""

_sample_values = attrgetter(*(each.name for each in fields(QualitySample)))
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class UnreadableTrace(ValueError):
    """The bytes are no record of this format."""


def pack(source: TraceSource) -> bytes:
    """The bytes of `record_of(source)`."""
    texts = masked_messages([entry.data for entry in source.entries])
    headers = [headers_of(log) for log in source.headers]
    flows: dict[Flow, int] = {}
    values = {
        "entries": [
            (kind, text, fact, dict(details))
            if flow is None
            else (kind, flows.setdefault(flow, len(flows)), size, len(data))
            for (_, kind, flow, size, _, text, fact, details), data in zip(source.entries, texts, strict=True)
        ],
        "flows": list(flows),
        "dropped": source.dropped,
        "streams": source.describe(),
        "quality": [_quality_values(series) for series in source.quality],
        "headers": [(each.side, each.relay_port, each.sources, len(each.records), each.dropped) for each in headers],
    }
    head = _encode(values).encode()
    times = _times(len(texts)).pack(*[entry.at for entry in source.entries])
    return zlib.compress(b"".join((head, b"\n", times, *texts, *[each.records for each in headers])), _LEVEL, _WINDOW)


def unpack(data: bytes) -> TraceRecord:
    """Raises `UnreadableTrace`."""
    try:
        head, _, body = zlib.decompress(data).partition(b"\n")
        values = json.loads(head)
        flows = [Flow(*each) for each in values["flows"]]
        entries, headers = values["entries"], values["headers"]
        times = _times(len(entries))
        lengths = [0 if _is_note(each) else each[3] for each in entries] + [each[3] for each in headers]
        parts = [body[start:end] for start, end in pairwise(accumulate(lengths, initial=times.size))]
        told = zip(times.unpack_from(body), entries, parts, strict=False)
        return TraceRecord(
            entries=tuple(_entry(at, each, flows, part) for at, each, part in told),
            dropped=values["dropped"],
            streams=tuple(_stream(each) for each in values["streams"]),
            quality=tuple(_quality(each) for each in values["quality"]),
            headers=tuple(_headers(each, part) for each, part in zip(headers, parts[len(entries) :], strict=True)),
        )
    except (zlib.error, struct.error, ValueError, LookupError, TypeError) as error:
        raise UnreadableTrace(f"the record of a call can't be read: {error}") from error


def _times(count: int) -> struct.Struct:
    """Of so many entries; as text they would take longer than all else of them."""
    return struct.Struct(f"!{count}d")


def _is_note(values: list[Any]) -> bool:
    """A decision or a change of media, where a message has the index of its flow."""
    return isinstance(values[1], str)


def _entry(at: float, values: list[Any], flows: list[Flow], data: bytes) -> TraceEntry:
    if _is_note(values):
        kind, text, fact, details = values
        return TraceEntry(at, EntryKind(kind), text=text, fact=fact, details=details or NO_DETAILS)
    kind, place, size, _ = values
    flow = flows[place]
    return TraceEntry(at, EntryKind(kind), flow.transport, flow.local, flow.remote, size, data)


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
