"""What the server and a worker say to one another."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from rtp.channel import Channel, Word
from rtp.crew import CAN_LEND

pytestmark = pytest.mark.skipif(not CAN_LEND, reason="needs Linux")


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield Channel(pair[0]), Channel(pair[1])
    for sock in pair:
        sock.close()


def test_sockets_come_with_their_message(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first, socket.socketpair()[0] as second:
        first.bind(("127.0.0.1", 0))
        ours.send(Word.LEND, 7, {0: ("PCMU", 8000)}, {}, sockets=(first, second))
        received = theirs.receive()
        assert received is not None
        message, sockets = received
        assert message == (Word.LEND, 7, {0: ("PCMU", 8000)}, {})
        assert sockets[0].getsockname() == first.getsockname()
        assert sockets[1].family == second.family
        for sock in sockets:
            sock.close()


def test_receiving_never_waits(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(BlockingIOError):
        ends[0].receive()


@pytest.mark.parametrize("lends", [False, True])
def test_sending_to_one_that_does_not_read_never_waits(ends: tuple[Channel, Channel], lends: bool) -> None:
    ours, _ = ends
    ours.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 0))  # it would wait for ever
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(BlockingIOError):
        while True:
            ours.send(Word.LEND, 7, sockets=(sock,) if lends else ())


def test_the_end_of_the_other_side_is_told(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    theirs.close()
    assert ours.receive() is None
    with pytest.raises(OSError):
        ours.send(Word.READY, 1)
