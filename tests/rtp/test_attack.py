"""RTP Bleed: somebody who knows the range of ports, and nothing else, sends to all of it all the time. He must neither
hear nor be heard, whatever he sends and whenever he began (the issue allows him fewer than five packets)."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from rtp.figures import MediaEventKind
from rtp.relay import RtpRelay

Make = Callable[..., bytes]
IsSilent = Callable[[socket.socket], bool]
PORTS = 40
STUN = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"attackattack"
DTLS = b"\x16\xfe\xfd" + b"attack" * 4
ZRTP = b"\x10\x00" + b"attack" * 4
ROUNDS = 16

pytestmark = pytest.mark.usefixtures("twins")


class Attacker:
    """Sprays packets of one kind, with sequence numbers that go on as those of a phone do."""

    def __init__(self, sock: socket.socket, first_port: int, make: Callable[[int], bytes]) -> None:
        self.sock = sock
        self.first_port = first_port
        self.make = make
        self.sequence_number = 0

    def spray(self, times: int = 1) -> None:
        for _ in range(times):
            for port in range(self.first_port, self.first_port + PORTS):
                self.sock.sendto(self.make(self.sequence_number), ("127.0.0.1", port))
            self.sequence_number += 1


@pytest.fixture(params=["RTP", "RTCP", "STUN", "DTLS", "ZRTP", "mixed"])
def make(request: pytest.FixtureRequest, rtp: Make, report: Make) -> Callable[[int], bytes]:
    kinds: dict[str, Callable[[int], bytes]] = {
        "RTP": lambda number: rtp(number, ssrc=0xBAD, payload=b"attack"),
        "RTCP": lambda _number: report(0xBAD),
        "STUN": lambda _number: STUN,
        "DTLS": lambda _number: DTLS,
        "ZRTP": lambda _number: ZRTP,
    }
    kinds["mixed"] = lambda number: list(kinds.values())[number % 5](number)
    return kinds[request.param]


@pytest.fixture
def attacker(relay: RtpRelay, stranger: socket.socket, make: Callable[[int], bytes]) -> Attacker:
    return Attacker(stranger, relay._ports._range.start, make)


def test_who_sprays_all_ports_before_and_during_a_call_neither_hears_nor_is_heard(
    relay: RtpRelay,
    new_call: Callable,
    attacker: Attacker,
    rtp: Make,
    report: Make,
    wait: Callable,
    is_silent: IsSilent,
) -> None:
    earlier = new_call(relay)  # its ports rest afterwards, still bound
    earlier.talk()
    wait(relay)
    earlier.session.close()
    attacker.spray(5)
    call = new_call(relay)
    attacker.spray(5)
    wait(relay, 5)
    for number in range(ROUNDS):
        attacker.spray()
        call.caller.send(rtp(number))
        call.callee.send(rtp(number))
        assert [call.callee.receive(), call.caller.receive()] == [rtp(number), rtp(number)]
        if number % 10 == 5:
            call.caller.send_rtcp(report(number))
            assert call.callee.rtcp.recv(2000) == report(number)
    call.say(0, None, None, call.caller.hosts, {})
    attacker.spray(5)
    wait(relay, ROUNDS + 5)
    for phone in (earlier.caller, earlier.callee, call.caller, call.callee):
        assert is_silent(phone.rtp)
        assert is_silent(phone.rtcp)
    assert is_silent(attacker.sock)
    sources = [event.text for event in call.session.drain_events() if event.kind is MediaEventKind.LATCHED]
    assert not [text for text in sources if "127.0.0.66" in text]
    assert [stream.packets for stream in call.session.close()] == [ROUNDS, ROUNDS]


def test_a_phone_that_never_speaks_is_spoken_to_and_nobody_else(
    relay: RtpRelay, new_call: Callable, attacker: Attacker, rtp: Make, wait: Callable, is_silent: IsSilent
) -> None:
    call = new_call(relay)
    for number in range(ROUNDS):
        attacker.spray()
        call.caller.send(rtp(number))
        assert call.callee.receive() == rtp(number)
    wait(relay, ROUNDS)
    assert is_silent(attacker.sock)
    assert is_silent(call.caller.rtp)
    assert is_silent(call.callee.rtp)


@pytest.mark.parametrize("packet", [STUN, DTLS, ZRTP], ids=["STUN", "DTLS", "ZRTP"])
def test_rfc7983_what_is_no_rtp_passes_from_a_phone_and_teaches_nothing(
    relay: RtpRelay, new_call: Callable, phone: Callable, packet: bytes, rtp: Make, wait: Callable
) -> None:
    call = new_call(relay)
    neighbour = phone()  # on the phone's host, where RTP in sequence would be learnt
    neighbour.relay_port = call.caller.relay_port
    neighbour.send(*[packet] * 10)
    wait(relay, 10)
    call.callee.send(rtp(1))
    assert call.caller.receive() == rtp(1)
    call.caller.send(packet)
    assert call.callee.receive() == packet
    call.talk()
    wait(relay)
    call.caller.send(packet)
    assert call.callee.receive() == packet
    assert call.session.close()[0].rejected == 10
