"""Packets through the ports of a session, over loopback sockets. Outcomes are waited for by blocking receives."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable

import pytest

from rtp.figures import MediaEventKind
from rtp.latch import LATCH_PACKETS
from rtp.relay import RtpRelay

Make = Callable[..., bytes]
IsSilent = Callable[[socket.socket], bool]
STUN = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
DTLS = b"\x16\xfe\xfd" + bytes(20)
JUNK = [b"", b"\x80", b"\x00" * 12, b"\x7f" * 200, b"\xff" * 1400, b"INVITE sip:100@host SIP/2.0\r\n\r\n", b"\x80\x00"]

pytestmark = pytest.mark.usefixtures(
    "twins"
)  # everything holds without and with connected sockets, and in a worker process


def test_packets_pass_both_ways_bit_exact_and_in_order(call, rtp: Make) -> None:
    rng = random.Random(7)
    there = [rtp(n, payload=rng.randbytes(rng.randrange(1, 1400))) for n in range(100)]
    back = [rtp(n, payload_type=8, ssrc=9, payload=rng.randbytes(160)) for n in range(65500, 65600)]
    call.caller.send(*there)
    assert [call.callee.receive() for _ in there] == there
    call.callee.send(*back)
    assert [call.caller.receive() for _ in back] == back
    first, second = call.session.close()
    assert (first.packets, first.bytes, first.lost, first.codec) == (100, sum(map(len, there)), 0, "PCMU")
    assert (second.packets, second.bytes, second.lost, second.codec) == (100, 100 * 172, 0, "PCMA")


def test_a_burst_before_the_relay_has_learnt_anything_keeps_its_order(unannounced_call, rtp: Make) -> None:
    call = unannounced_call
    packets = [rtp(n) for n in range(60)]
    blocked, go = threading.Event(), threading.Event()
    call.relay._place.loop.post(lambda: (blocked.set(), go.wait(10)))
    assert blocked.wait(10)
    call.announce()
    call.caller.send(*packets)
    go.set()
    assert [call.callee.receive() for _ in packets] == packets


def test_who_has_a_packet_finds_it_counted(call, rtp: Make) -> None:
    for number in range(50):
        call.caller.send(rtp(number))
        call.callee.receive()
        assert call.relay.totals().packets == number + 1
        assert call.session.pulses()[0].heard_at is not None


def test_snapshot_names_ports_and_addresses(call) -> None:
    call.talk()
    first, second = call.relay.snapshot()
    assert (first.side, second.side) == (0, 1)
    assert (first.relay_port, second.relay_port) == call.session.ports
    assert (first.from_address, first.from_port) == (second.to_address, second.to_port) == call.caller.address
    assert (second.from_address, second.from_port) == (first.to_address, first.to_port) == call.callee.address
    assert first.active
    assert second.active
    assert call.relay.totals().active_streams == 2


def test_announced_but_silent_side_is_sent_to(call, rtp: Make) -> None:
    call.caller.send(rtp(1), rtp(2))
    assert [call.callee.receive(), call.callee.receive()] == [rtp(1), rtp(2)]


def test_packets_without_a_destination_are_dropped_and_counted(unannounced_call, rtp: Make) -> None:
    call = unannounced_call
    call.say(0, call.caller.address, None, call.caller.hosts, {})
    call.caller.send(*(rtp(n) for n in range(5)))
    call.settle(5)
    first, _ = call.session.close()
    assert (first.packets, first.dropped, first.to_address) == (5, 5, None)


@pytest.mark.parametrize("address", [("phone.example", 4000), ("224.2.2.2", 4000), ("127.0.0.1", 70000)])
def test_an_address_that_cannot_be_sent_to_stops_nothing(
    call,
    rtp: Make,
    address: tuple[str, int],
) -> None:
    call.say(1, address, None, call.callee.hosts, {})
    call.caller.send(rtp(1))
    call.settle()
    assert call.relay.totals().dropped == 1
    call.callee.send(*(rtp(n) for n in range(LATCH_PACKETS)))
    call.caller.receive()
    call.caller.send(rtp(2))
    assert call.callee.receive() == rtp(2)


def test_foreign_source_is_rejected_and_diverts_nothing(
    call, stranger: socket.socket, rtp: Make, is_silent: IsSilent
) -> None:
    for when in ("before", "after"):
        for port in call.session.ports:
            for number in range(20):
                stranger.sendto(rtp(1000 + number, ssrc=0xBAD), ("127.0.0.1", port))
        call.settle(20)
        assert call.relay.totals().rejected == (40 if when == "before" else 80)
        call.talk()
        assert is_silent(call.caller.rtp)
        assert is_silent(call.callee.rtp)
        assert is_silent(stranger)
    rejected = [event for event in call.session.drain_events() if event.kind is MediaEventKind.REJECTED]
    assert sorted(event.side for event in rejected) == [0, 1]


def test_phone_behind_nat_is_learnt_from_another_port_and_gets_its_media_there(
    call, phone: Callable, rtp: Make, is_silent: IsSilent
) -> None:
    nat = phone()
    nat.relay_port = call.caller.relay_port
    packets = [rtp(n) for n in range(LATCH_PACKETS + 3)]
    nat.send(*packets)
    assert [call.callee.receive() for _ in packets[LATCH_PACKETS - 1 :]] == packets[LATCH_PACKETS - 1 :]
    call.callee.send(rtp(50))
    assert nat.receive() == rtp(50)
    assert is_silent(call.caller.rtp)


def test_likely_source_yields_to_the_announced_address(call, phone: Callable, rtp: Make, is_silent: IsSilent) -> None:
    neighbour = phone()
    neighbour.relay_port = call.caller.relay_port
    neighbour.send(*(rtp(n, ssrc=0xBAD) for n in range(LATCH_PACKETS)))
    call.callee.receive()
    call.caller.send(rtp(1), rtp(2))
    # The first may come while the neighbour is given a socket of its own, and be found there when that is given up.
    assert sorted([call.callee.receive(), call.callee.receive()]) == [rtp(1), rtp(2)]
    call.settle()
    neighbour.send(rtp(LATCH_PACKETS, ssrc=0xBAD))
    call.settle()
    call.callee.send(rtp(3))
    assert call.caller.receive() == rtp(3)
    assert is_silent(neighbour.rtp)
    assert is_silent(call.callee.rtp)
    assert call.session.close()[0].rejected == 1


def test_a_phone_that_moves_by_reinvite_is_followed(call, phone: Callable, rtp: Make, is_silent: IsSilent) -> None:
    call.talk()
    new = phone("127.0.0.5")
    new.relay_port = call.caller.relay_port
    call.say(0, new.address, new.rtcp_address, new.hosts, {})
    call.callee.send(rtp(10))
    assert new.receive() == rtp(10)
    new.send(rtp(11))
    assert call.callee.receive() == rtp(11)
    while not call.relay.totals().rejected:  # the kernel may lose one while the port gets another socket
        call.caller.send(rtp(12))
        call.settle()
    assert is_silent(call.callee.rtp)
    kinds = [event.kind for event in call.session.drain_events() if event.side == 0]
    assert kinds == [
        MediaEventKind.LATCHED,
        MediaEventKind.RELEARNING,
        MediaEventKind.LATCHED,
        MediaEventKind.REJECTED,
    ]


def test_the_same_description_again_keeps_what_was_learnt(call, phone: Callable, rtp: Make) -> None:
    nat = phone()
    nat.relay_port = call.caller.relay_port
    nat.send(*(rtp(n) for n in range(LATCH_PACKETS)))
    call.callee.receive()
    call.announce()
    call.callee.send(rtp(1))
    assert nat.receive() == rtp(1)


def test_hold_sends_nothing_and_resume_goes_on(call, rtp: Make, is_silent: IsSilent) -> None:
    call.talk()
    call.settle()
    call.say(0, None, None, call.caller.hosts, {})
    call.callee.send(rtp(1))
    call.caller.send(rtp(1))
    assert call.callee.receive() == rtp(1)
    call.settle()
    assert is_silent(call.caller.rtp)
    call.say(0, call.caller.address, call.caller.rtcp_address, call.caller.hosts, {})
    call.callee.send(rtp(2))
    assert call.caller.receive() == rtp(2)
    call.caller.send(rtp(2))
    assert call.callee.receive() == rtp(2)
    assert call.session.close()[1].dropped == 1


def test_both_phones_may_announce_the_same_address(relay: RtpRelay, phone: Callable, rtp: Make) -> None:
    both = phone()
    session = relay.open("call-1", "audio")
    assert session is not None
    for side in (0, 1):
        session.set_peer(side, both.address, both.rtcp_address, both.hosts, {})
    for port in session.ports * 3:
        both.relay_port = port
        both.send(rtp(1))
        packet, source = both.rtp.recvfrom(2000)
        assert packet == rtp(1)
        assert source[1] == sum(session.ports) - port


def test_packets_to_another_address_of_this_machine_are_taken_too(call, rtp: Make) -> None:
    call.talk()
    call.caller.rtp.sendto(rtp(1), ("127.0.0.3", call.caller.relay_port))
    assert call.callee.receive() == rtp(1)


def test_rtcp_passes_both_ways_on_the_odd_ports_and_is_not_counted_as_media(call, report: Make) -> None:
    call.talk()
    call.caller.send_rtcp(report(1, ntp_middle=5))
    assert call.callee.rtcp.recv(2000) == report(1, ntp_middle=5)
    call.callee.send_rtcp(report(2, packet_type=201))
    assert call.caller.rtcp.recv(2000) == report(2, packet_type=201)
    assert [stream.packets for stream in call.session.close()] == [1, 1]


def test_rtcp_of_a_stranger_is_rejected(call, stranger: socket.socket, report: Make, is_silent: IsSilent) -> None:
    for _ in range(5):
        stranger.sendto(report(1), ("127.0.0.1", call.caller.relay_port + 1))
    call.settle(5)
    call.caller.send_rtcp(report(7))
    assert call.callee.rtcp.recv(2000) == report(7)
    assert is_silent(call.callee.rtcp)
    assert call.relay.totals().rejected == 5


def test_rfc5761_rtcp_on_the_rtp_port_goes_to_the_rtp_address(call, report: Make, block: Make) -> None:
    call.talk()
    packet = report(1, blocks=block(0x1234, lost=3), packet_type=201)
    call.callee.send(packet)
    assert call.caller.receive() == packet
    call.settle()
    first, second = call.session.close()
    assert (first.remote_lost, second.packets) == (3, 1)


@pytest.mark.parametrize("packet", [STUN, DTLS], ids=["STUN", "DTLS"])
def test_stun_and_dtls_pass_from_an_accepted_source_and_teach_nothing(
    call, phone: Callable, packet: bytes, is_silent: IsSilent
) -> None:
    neighbour = phone()
    neighbour.relay_port = call.caller.relay_port
    neighbour.send(*[packet] * 6)
    call.settle(6)
    call.caller.send(packet)
    assert call.callee.receive() == packet
    assert is_silent(call.callee.rtp)
    assert call.session.drain_events()[0].kind is MediaEventKind.REJECTED
    first, _ = call.session.close()
    assert (first.packets, first.rejected) == (0, 6)


def test_junk_stops_nothing_and_is_passed_to_nobody(call, rtp: Make, is_silent: IsSilent) -> None:
    for number in range(3):
        call.caller.send(*JUNK, rtp(number))
        call.caller.send_rtcp(*JUNK)
        assert call.callee.receive() == rtp(number)
    call.settle(len(JUNK))
    assert is_silent(call.callee.rtcp)
    assert call.session.close()[0].rejected == 6 * len(JUNK)


@pytest.mark.parametrize("seed", range(3))
def test_random_packets_never_stop_the_relay(call, rtp: Make, seed: int) -> None:
    rng = random.Random(seed)
    call.talk()
    for number in range(1, 200):
        packet = bytearray(rtp(number, payload=rng.randbytes(rng.randrange(30))))
        for _ in range(rng.randrange(4)):
            packet[rng.randrange(12)] = rng.randrange(256)
        call.caller.send(bytes(packet[: rng.randrange(len(packet) + 1)]))
        call.caller.send_rtcp(bytes(packet))
        call.settle()
    assert call.relay._thread.is_alive()
    assert call.relay._place.loop._faults.met == 0
    call.callee.send(rtp(1))
    assert call.caller.receive() == rtp(1)


def test_a_vanished_phone_costs_only_its_packets(call, rtp: Make) -> None:
    call.talk()
    call.callee.rtp.close()
    for number in range(1, 6):
        call.caller.send(rtp(number))  # the kernel answers with ECONNREFUSED
        call.settle(2)
    assert call.relay._place.loop._faults.met == 0
    first, _ = call.session.close()
    assert first.packets == 6
