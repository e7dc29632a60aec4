"""Figures of a stream that one process counts and another reads, in memory both have mapped. Pure.

One writer: the relay thread of the process that serves the stream. A reader may meet a packet half written down (its
octets not yet there, say); each number by itself is whole, because it is aligned and written in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from struct import Struct

from rtp.payload_types import Codec
from rtp.stats import StatsState, StreamStats

Memory = memoryview

_PER_PACKET = Struct("@QQdddq")
_SELDOM = Struct("@qqqqqdqqqdd")

_RECORD_LENGTH = 192  # three cache lines of its own for each direction


def record_offset(slot: int, side: int) -> int:
    """Where the figures stand of what side 0 or 1 of the line in `slot` sends."""
    return (2 * slot + side) * _RECORD_LENGTH


def memory_length(slots: int) -> int:
    """Bytes for so many lines."""
    return record_offset(slots, 0)


class SharedStats(StreamStats):
    """Everything counted stands in the record before `on_packet` returns, and so before the packet is passed on."""

    __slots__ = ("_memory", "_offset")

    def __init__(
        self,
        on_new_ssrc: Callable[[int, int, float], None],
        codecs: Mapping[int, Codec],
        memory: Memory,
        offset: int,
    ) -> None:
        """Goes on from what the record at `offset` says."""
        super().__init__(on_new_ssrc)
        self.set_codecs(codecs)
        self._memory = memory
        self._offset = offset
        self._write = partial(_PER_PACKET.pack_into, memory, offset)
        self.resume(read(memory, offset))

    def on_dropped(self) -> None:
        super().on_dropped()
        self._publish()

    def on_rejected(self) -> None:
        super().on_rejected()
        self._publish()

    def _publish(self) -> None:
        write(self.state(), self._memory, self._offset)


def write(state: StatsState, memory: Memory, offset: int) -> None:
    """Make the record at `offset` say `state`."""
    _PER_PACKET.pack_into(memory, offset, *state[:6])
    _SELDOM.pack_into(memory, offset + _PER_PACKET.size, *state[6:])


def read(memory: Memory, offset: int) -> StatsState:
    """What the record at `offset` says."""
    seldom = _SELDOM.unpack_from(memory, offset + _PER_PACKET.size)
    return StatsState(*_PER_PACKET.unpack_from(memory, offset), *seldom)
