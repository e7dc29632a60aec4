from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from rtp.direction import Direction, LoggingDirection
from rtp.header_log import RECORD, HeaderLog
from rtp.stats import StreamStats

Make = Callable[..., bytes]


class Ends:
    """A direction between two pairs of sockets: what is written to `phone` comes out at `other`."""

    def __init__(self) -> None:
        self.phone, self.twin = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sending, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.rtcp: list[tuple[bytes, float]] = []
        self.keys: list[tuple[int, int, float]] = []
        self.stats = StreamStats(lambda _old, _new, _now: None)
        self.direction = Direction(
            self.stats,
            lambda packet, now: self.rtcp.append((packet, now)),
            lambda key, now: self.keys.append((*key, now)),
        )
        self.direction.trust(self.twin)
        self.direction.transmit = self.sending.send
        for sock in (self.twin, self.other):
            sock.setblocking(False)

    def pass_on(self, packet: bytes) -> None:
        self.phone.send(packet)
        self.direction.on_twin(5.0)

    def close(self) -> None:
        for sock in (self.phone, self.twin, self.sending, self.other):
            sock.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def test_a_packet_is_counted_and_passed_on_as_it_is(ends: Ends, rtp: Make) -> None:
    ends.pass_on(rtp(1, payload=b"x" * 1400))
    ends.pass_on(rtp(2))
    assert [ends.other.recv(2000), ends.other.recv(2000)] == [rtp(1, payload=b"x" * 1400), rtp(2)]
    assert (ends.stats.packets, ends.stats.octets) == (2, 1412 + 172)


def test_before_the_other_side_is_known_packets_are_dropped(ends: Ends, rtp: Make) -> None:
    direction = Direction(ends.stats, lambda _packet, _now: None, lambda _key, _now: None)
    direction.trust(ends.twin)
    ends.phone.send(rtp(1))
    direction.on_twin(5.0)
    assert (ends.stats.packets, ends.stats.dropped) == (1, 1)


@pytest.mark.parametrize(
    "code", [errno.ECONNREFUSED, errno.EAGAIN, errno.ENETUNREACH, errno.EPERM, errno.ENOBUFS, errno.EMSGSIZE]
)
def test_a_send_error_ends_only_that_packet(ends: Ends, rtp: Make, code: int) -> None:
    def fail(_packet: bytes) -> None:
        raise OSError(code, os.strerror(code))

    transmit, ends.direction.transmit = ends.direction.transmit, fail
    ends.pass_on(rtp(1))
    ends.direction.transmit = transmit
    ends.pass_on(rtp(2))
    assert ends.other.recv(2000) == rtp(2)
    assert (ends.stats.packets, ends.stats.dropped) == (2, 1)


def test_a_receive_error_is_no_packet(ends: Ends, rtp: Make) -> None:
    ends.direction.on_twin(5.0)  # nothing is there: EAGAIN
    ends.pass_on(rtp(1))
    assert (ends.stats.packets, ends.other.recv(2000)) == (1, rtp(1))


def test_a_short_packet_behind_a_good_one_is_not_taken_for_it(ends: Ends, rtp: Make) -> None:
    ends.pass_on(rtp(1))
    ends.other.recv(2000)
    ends.pass_on(rtp(2)[:11])
    with pytest.raises(BlockingIOError):
        ends.other.recv(2000)
    assert (ends.stats.packets, ends.stats.rejected) == (1, 1)


def test_rfc5761_rtcp_is_passed_on_told_and_not_counted(ends: Ends, report: Make) -> None:
    ends.pass_on(report(7))
    assert ends.other.recv(2000) == report(7)
    assert (ends.rtcp, ends.stats.packets) == ([(report(7), 5.0)], 0)


def test_a_logging_direction_notes_rtp_and_nothing_else_and_passes_all_on(ends: Ends, rtp: Make) -> None:
    log = HeaderLog()
    direction = LoggingDirection(ends.stats, lambda _packet, _now: None, lambda _key, _now: None, log)
    direction.trust(ends.twin)
    direction.transmit = ends.sending.send
    direction.heard_from(("192.0.2.10", 4000))
    stun = b"\x00\x01\x00\x00" + bytes(16)
    rtcp = bytes.fromhex("80c90001 00000001")
    for number, packet in enumerate((rtp(1), stun, rtcp, b"\x80\x00", rtp(2, payload=b"x" * 20))):
        ends.phone.send(packet)
        direction.on_twin(5.0 + number)
    assert [ends.other.recv(2000) for _ in range(4)] == [rtp(1), stun, rtcp, rtp(2, payload=b"x" * 20)]
    assert list(RECORD.iter_unpack(log.copy(0, 0, 0.0).records)) == [
        (5.0, 172, 1, rtp(1)[:12]),
        (9.0, 32, 1, rtp(2)[:12]),
    ]
    assert ends.stats.packets == 2


# ------------------------------------------------------------------------------------------------ keys


def key_packet(rtp: Make, sequence: int, event: int, timestamp: int, *, ended: bool = False) -> bytes:
    """RFC 4733 2.3, payload type 101."""
    payload = bytes([event, 0x80 | 10 if ended else 10, 0, 160])
    packet = bytearray(rtp(sequence, payload=payload))
    packet[1] = 101
    packet[4:8] = timestamp.to_bytes(4, "big")
    return bytes(packet)


def press(ends: Ends, rtp: Make, first: int, event: int, timestamp: int) -> list[bytes]:
    """As phones do: one packet every 20 ms, the last one three times."""
    packets = [key_packet(rtp, first + n, event, timestamp, ended=n > 2) for n in range(6)]
    for packet in packets:
        ends.pass_on(packet)
    return packets


def test_a_key_is_told_once_however_many_packets_it_has_and_they_are_passed_on(ends: Ends, rtp: Make) -> None:
    ends.stats.set_codecs({101: ("telephone-event", 8000)})
    packets = press(ends, rtp, 1, 5, 1600) + press(ends, rtp, 7, 5, 4800) + press(ends, rtp, 13, 11, 8000)
    assert ends.keys == [(5, 1600, 5.0), (5, 4800, 5.0), (11, 8000, 5.0)]
    assert [ends.other.recv(2000) for _ in packets] == packets


def test_what_signalling_does_not_call_a_key_is_none(ends: Ends, rtp: Make) -> None:
    press(ends, rtp, 1, 5, 1600)
    ends.stats.set_codecs({101: ("telephone-event", 8000)})
    press(ends, rtp, 7, 16, 1600)  # the hook
    ends.pass_on(key_packet(rtp, 13, 5, 3200)[:-1])
    ends.pass_on(rtp(14))
    assert ends.keys == []


def test_keys_between_sound_are_told(ends: Ends, rtp: Make) -> None:
    ends.stats.set_codecs({101: ("telephone-event", 8000)})
    for number in range(1, 10):
        ends.pass_on(rtp(number))
    press(ends, rtp, 10, 0, 1600)
    for number in range(16, 20):
        ends.pass_on(rtp(number))
    assert ends.keys == [(0, 1600, 5.0)]
