"""The fixed headers of the last RTP packets of one direction, for captures; what was said is not among them. Pure.

Belongs to the thread that serves the stream, but for `copy`, which any thread may call: it may catch one packet half
written.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from rtp.latch import Address
from rtp.packet import FIXED_HEADER_LENGTH, Buffer

RECORD = Struct("!dHB12s")
"""When (monotonic seconds), the length of the packet, the index of its source, its fixed header (RFC 3550 5.1)."""

MAX_PACKETS = 3_000
"""A minute of speech in packets of 20 ms: 69 kilobytes."""
MAX_SOURCES = 256

_UNKNOWN: Address = ("", 0)


class LoggedHeaders(NamedTuple):
    """`records` are `RECORD`s, oldest first, whose times become wall clock by adding `wall_offset_s`; `dropped` came
    before them. `side` sent them, 0 the caller, to `relay_port`."""

    side: int
    relay_port: int
    sources: tuple[Address, ...]
    records: bytes
    dropped: int
    wall_offset_s: float


class HeaderLog:
    """A ring: `_noted` packets were noted, the last MAX_PACKETS of them are there."""

    __slots__ = ("_noted", "_records", "_source", "_sources")

    def __init__(self) -> None:
        self._records = bytearray(RECORD.size * MAX_PACKETS)
        self._noted = 0
        self._sources: list[Address] = [_UNKNOWN]
        self._source = 0

    def heard_from(self, source: Address) -> None:
        """Packets come from there from now on."""
        if source in self._sources:
            self._source = self._sources.index(source)
        elif len(self._sources) < MAX_SOURCES:
            self._source = len(self._sources)
            self._sources.append(source)

    def note(self, now: float, length: int, buffer: Buffer) -> None:
        """A packet of that length, whose first bytes are in the buffer."""
        place = RECORD.size * (self._noted % MAX_PACKETS)
        RECORD.pack_into(self._records, place, now, length, self._source, buffer[:FIXED_HEADER_LENGTH])
        self._noted += 1

    def copy(self, side: int, relay_port: int, wall_offset_s: float) -> LoggedHeaders:
        noted, records = self._noted, self._records
        place = RECORD.size * (noted % MAX_PACKETS)
        kept = records[place:] + records[:place] if noted >= MAX_PACKETS else records[:place]
        dropped = max(0, noted - MAX_PACKETS)
        return LoggedHeaders(side, relay_port, tuple(self._sources), bytes(kept), dropped, wall_offset_s)
