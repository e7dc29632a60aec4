"""A worker process: the relay's loop without anything to decide, for lines that the server lends it.

Run by `rtp/crew.py` as a program of its own, with the descriptors of its channel and of the memory for figures. It ends
when the server does, because the channel ends then; Ctrl+C and SIGTERM, which reach it too, are the server's business.
"""

from __future__ import annotations

import gc
import mmap
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from rtp.channel import Channel, Message, Word
from rtp.direction import Direction
from rtp.keys import KeyPress
from rtp.loop import RelayLoop
from rtp.payload_types import Codec
from rtp.shared_stats import SharedStats, record_offset

_LINES_UNDER_WAY = 64
"""So many messages with sockets fit into a channel at once."""

Twins = tuple[socket.socket, socket.socket]


class LineServer:
    """The lines in this process's hands. Everything runs in the one thread."""

    def __init__(self, loop: RelayLoop, channel: Channel, memory: memoryview) -> None:
        self._loop = loop
        self._channel = channel
        self._memory = memory
        self._lines: dict[int, Twins] = {}
        self._taken = 0  # since the server was last told that there is room
        loop.add(channel.sock, self._on_messages)
        channel.send(Word.READY, _LINES_UNDER_WAY)

    def _on_messages(self, _now: float) -> None:
        """All there are: a round in which every line has packets is long."""
        with suppress(BlockingIOError):
            for _ in range(_LINES_UNDER_WAY):
                received = self._channel.receive()
                if received is None:
                    self._loop.stop()
                    return
                self._heed(*received)

    def _heed(self, message: Message, sockets: list[socket.socket]) -> None:
        if message[0] == Word.LEND:
            _, slot, *codecs = message
            self._serve(slot, (codecs[0], codecs[1]), (sockets[0], sockets[1]))
        elif message[0] == Word.RELEASE:
            self._release(message[1])

    def _serve(self, slot: int, codecs: tuple[Mapping[int, Codec], Mapping[int, Codec]], twins: Twins) -> None:
        self._lines[slot] = twins
        for side, (twin, other) in enumerate((twins, twins[::-1])):
            stats = SharedStats(
                partial(self._on_new_ssrc, slot, side), codecs[side], self._memory, record_offset(slot, side)
            )
            direction = Direction(stats, partial(self._on_rtcp, slot, side), partial(self._on_key, slot, side))
            direction.trust(twin)
            direction.transmit = other.send
            self._loop.add(twin, direction.on_twin)
        self._taken += 1
        if self._taken == _LINES_UNDER_WAY // 2:
            self._channel.send(Word.READY, self._taken, wait=True)
            self._taken = 0

    def _release(self, slot: int) -> None:
        for twin in self._lines.pop(slot):
            self._loop.remove(twin)
        # They are closed at the end of this round.
        self._loop.post(partial(self._channel.send, Word.RELEASED, slot, wait=True))

    def _on_rtcp(self, slot: int, side: int, packet: bytes, now: float) -> None:
        with suppress(OSError):
            self._channel.send(Word.RTCP, slot, side, now, packet)

    def _on_key(self, slot: int, side: int, key: KeyPress, now: float) -> None:
        with suppress(OSError):
            self._channel.send(Word.KEY, slot, side, now, key)

    def _on_new_ssrc(self, slot: int, side: int, old: int, new: int, now: float) -> None:
        with suppress(OSError):
            self._channel.send(Word.NEW_SSRC, slot, side, now, old, new)


def main(channel_fd: int, memory_fd: int) -> None:
    """Serve until the server hangs up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=channel_fd))
    memory = memoryview(mmap.mmap(memory_fd, 0))
    loop = RelayLoop(time.monotonic)
    gc.freeze()
    LineServer(loop, channel, memory)
    loop.run()
