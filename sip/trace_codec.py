"""A `TraceRecord` as bytes to be kept, and back.  Pure.

JSON, compressed: a call of a dozen messages takes some two kilobytes.  Text keeps the bytes that were no UTF-8.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sip.journal import NO_DETAILS, EntryKind
from sip.media_stream import SideDescription, StreamDescription
from sip.sdp_values import Direction
from sip.trace import QualitySample, RtpHeaders, StreamQuality, TraceEntry, TraceRecord

FORMAT = 1
"""Kept beside the bytes, so that a later version can tell how to read them."""

_LEVEL = 3
"""Of zlib: two thirds of the work of the default for a twentieth more bytes."""

_SAMPLE_FIELDS = tuple(each.name for each in fields(QualitySample))
_STREAM_FIELDS = tuple(each.name for each in fields(StreamDescription))
_SIDE_FIELDS = tuple(each.name for each in fields(SideDescription))

_encode = json.JSONEncoder(separators=(",", ":")).encode


class UnreadableTrace(ValueError):
    """The bytes are no record of this format."""


def pack(record: TraceRecord) -> bytes:
    values = {
        "entries": [_entry_values(entry) for entry in record.entries],
        "dropped": record.dropped,
        "streams": [_stream_values(stream) for stream in record.streams],
        "quality": [_quality_values(each) for each in record.quality],
        "headers": [{**asdict(each), "records": base64.b64encode(each.records).decode()} for each in record.headers],
    }
    return zlib.compress(_encode(values).encode(), _LEVEL)


def unpack(data: bytes) -> TraceRecord:
    """Raises `UnreadableTrace`."""
    try:
        values = json.loads(zlib.decompress(data))
        return TraceRecord(
            entries=tuple(_entry(each) for each in values["entries"]),
            dropped=values["dropped"],
            streams=tuple(_stream(each) for each in values["streams"]),
            quality=tuple(_quality(each) for each in values["quality"]),
            headers=tuple(_headers(each) for each in values["headers"]),
        )
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise UnreadableTrace(f"the record of a call can't be read: {error}") from error


def _entry_values(entry: TraceEntry) -> list[Any]:
    """Bytes as Latin-1, which gives every byte one character."""
    if entry.is_message:
        place = (entry.transport, entry.local, entry.remote)
        return [entry.at, entry.kind.value, *place, entry.size, entry.data.decode("latin-1")]
    return [entry.at, entry.kind.value, entry.text, entry.fact, dict(entry.details)]


def _entry(values: list[Any]) -> TraceEntry:
    at, kind, *others = values
    if len(others) == 3:
        text, fact, details = others
        return TraceEntry(at, EntryKind(kind), text=text, fact=fact, details=details or NO_DETAILS)
    transport, local, remote, size, data = others
    return TraceEntry(at, EntryKind(kind), transport, tuple(local), tuple(remote), size, data.encode("latin-1"))


def _stream_values(stream: StreamDescription) -> dict[str, Any]:
    """`asdict` of all fields, at a tenth of the time."""
    values = {name: getattr(stream, name) for name in _STREAM_FIELDS}
    for name in ("caller", "callee"):
        if (side := values[name]) is not None:
            values[name] = {each: getattr(side, each) for each in _SIDE_FIELDS}
    return values


def _stream(values: dict[str, Any]) -> StreamDescription:
    sides = {name: _side(values[name]) for name in ("caller", "callee")}
    ports = values["relay_ports"]
    return StreamDescription(**{**values, **sides, "relay_ports": None if ports is None else tuple(ports)})


def _side(values: Mapping[str, Any] | None) -> SideDescription | None:
    if values is None:
        return None
    changes = {"codecs": tuple(values["codecs"]), "direction": Direction(values["direction"])}
    return SideDescription(**{**values, **changes})


def _quality_values(quality: StreamQuality) -> list[Any]:
    samples = [[getattr(sample, name) for name in _SAMPLE_FIELDS] for sample in quality.samples]
    return [quality.kind, quality.side, quality.relay_port, quality.codec, samples]


def _quality(values: list[Any]) -> StreamQuality:
    kind, side, relay_port, codec, samples = values
    return StreamQuality(kind, side, relay_port, codec, tuple(QualitySample(*sample) for sample in samples))


def _headers(values: dict[str, Any]) -> RtpHeaders:
    sources = tuple((host, port) for host, port in values["sources"])
    return RtpHeaders(**{**values, "sources": sources, "records": base64.b64decode(values["records"])})
