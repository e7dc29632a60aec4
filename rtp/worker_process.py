"""A worker process as the server sees it: how it is started and ended, its channel, its slots and their memory.

Linux."""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
from collections import deque
from pathlib import Path

from rtp import shared_stats
from rtp.channel import Channel

SLOTS = 4096
"""Lines one worker can have; memory is taken as they are used."""

_ROOT = str(Path(__file__).resolve().parent.parent)
_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from rtp.worker import main
main(int(sys.argv[2]), int(sys.argv[3]))
"""


class WorkerProcess:
    """Runs from construction until `end`. Relay thread only, but for `record`."""

    def __init__(self) -> None:
        """OSError when there is no process, memory or descriptor to be had."""
        self._slots = deque(range(SLOTS))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._map, self.pid = _start(theirs)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._memory = memoryview(self._map)
        self.channel = Channel(ours)
        self._has_ended = False

    def has_slot(self) -> bool:
        return bool(self._slots)

    def take_slot(self) -> int:
        return self._slots.popleft()

    def free_slot(self, slot: int) -> None:
        self._slots.append(slot)

    def record(self, slot: int, side: int) -> tuple[memoryview, int]:
        """Memory and offset of the figures of what a side of a line sends."""
        return self._memory, shared_stats.record_offset(slot, side)

    def kill(self) -> None:
        """Make an end of it; its channel ends too."""
        if not self._has_ended:
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it, if it still runs, and wait until it is gone, a matter of moments; it has nothing to save."""
        self.kill()
        os.waitpid(self.pid, 0)
        self._has_ended = True

    def close(self) -> None:
        """Free its channel and its memory, when nobody reads a record any more."""
        self.channel.close()
        self._memory.release()
        self._map.close()


def _start(theirs: socket.socket) -> tuple[mmap.mmap, int]:
    memory_fd = os.memfd_create("sipserver-media")
    try:
        os.ftruncate(memory_fd, shared_stats.memory_length(SLOTS))
        memory = mmap.mmap(memory_fd, 0)
        handed_over = (theirs.fileno(), memory_fd)
        for fd in handed_over:
            os.set_inheritable(fd, True)
        # No site packages: the worker needs none, and starts in half the time and memory.
        command = [sys.executable, "-S", "-E", "-c", _PROGRAM, _ROOT, *map(str, handed_over)]
        return memory, os.posix_spawn(sys.executable, command, os.environ)
    finally:
        os.close(memory_fd)
