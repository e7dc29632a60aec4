"""What the server and a worker process say to one another: short messages over a pair of Unix sockets, in order."""

from __future__ import annotations

import marshal
import socket
import struct
from array import array
from enum import IntEnum
from typing import Any

_MAX_MESSAGE = 1 << 17
_MAX_SOCKETS = 2
_SEND_LIMIT_S = 1

Message = tuple[Any, ...]
"""A `Word` and what belongs to it."""


class Word(IntEnum):
    """The first of every message; what follows stands behind it."""

    READY = 0
    """Worker: how many lines more it can be lent now."""
    LEND = 1
    """Server: a slot, the payload types of both directions, and the two sockets of a line."""
    RELEASE = 2
    """Server: a slot whose line is no longer yours."""
    RELEASED = 3
    """Worker: that slot; its sockets are closed and its record is not written to any more."""
    RTCP = 4
    """Worker: slot, side, when, and a packet that came on the RTP port (RFC 5761)."""
    NEW_SSRC = 5
    """Worker: slot, side, when, old and new synchronisation source."""
    KEY = 6
    """Worker: slot, side, when, and a key that was pressed (`rtp.keys.KeyPress`)."""


class Channel:
    """One end. Any thread may send; each message goes whole or not at all."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", _SEND_LIMIT_S, 0))

    def send(self, word: Word, *values: Any, sockets: tuple[socket.socket, ...] = (), wait: bool = False) -> None:
        """OSError when the other end is gone, or so far behind that there is no room; told to `wait`, that it has made
        none for a second."""
        message = marshal.dumps((int(word), *values))
        flags = 0 if wait else socket.MSG_DONTWAIT
        # `socket.send_fds` and `socket.recv_fds` take flags and forget them (Python 3.11).
        if sockets:
            descriptors = array("i", (sock.fileno() for sock in sockets))
            self.sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)], flags)
        else:
            self.sock.send(message, flags)

    def receive(self) -> tuple[Message, list[socket.socket]] | None:
        """The next message and the sockets that came with it, None when the other end is gone; BlockingIOError when
        there is none now."""
        room = socket.CMSG_SPACE(_MAX_SOCKETS * array("i").itemsize)
        try:
            data, ancillary, _, _ = self.sock.recvmsg(_MAX_MESSAGE, room, socket.MSG_DONTWAIT)
        except ConnectionError:
            return None
        if not data:
            return None
        descriptors = array("i")
        for level, kind, values in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(values[: len(values) - len(values) % descriptors.itemsize])
        return marshal.loads(data), [socket.socket(fileno=descriptor) for descriptor in descriptors]  # noqa: S302

    def close(self) -> None:
        self.sock.close()
