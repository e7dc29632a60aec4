"""What the system may answer to a socket call, while phones register and call."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

import rtp.ports
from rtp.relay import RtpRelay
from tests.support.faulty import (
    FaultySocket,
    LogLines,
    fault,
    phones_register_and_call,
    problems,
    wait_for_problem,
    wait_until_well,
)
from tests.support.office import Office, eventually


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM])
def test_a_full_buffer_is_packet_loss(
    start: Callable[..., Office], udp_socket: FaultySocket, lines: LogLines, number: int
) -> None:
    office = start()
    alice, bob = office.phone("100", t1_s=0.1), office.phone("101", t1_s=0.1)
    udp_socket.failing["sendto"] = number
    call = alice.call("101")
    eventually(lambda: udp_socket.met >= 3, "three messages that can't be sent")
    udp_socket.failing.clear()

    bob.expect_call().answer()
    call.wait_answered()
    call.hang_up()

    assert office.last_ended()["terminationReason"] == "normal"
    assert len(lines.take("can't be sent: ")) == 1
    phones_register_and_call(office)


def test_a_phone_to_which_sending_is_forbidden_costs_only_its_own_calls(
    start: Callable[..., Office], udp_socket: FaultySocket, lines: LogLines
) -> None:
    """EPERM is what a packet filter makes of a message."""
    office = start()
    alice, bob = office.phones("100", "101")
    forbidden = int(bob.address.rpartition(":")[2])
    udp_socket.spares = lambda destination: destination[1] != forbidden
    udp_socket.failing["sendto"] = errno.EPERM

    for _ in range(3):
        assert alice.call("101").wait_rejected().status >= 400
    phones_register_and_call(office)

    assert udp_socket.met >= 3
    (line,) = lines.take("can't be sent: ")
    assert bob.address in line
    assert "not permitted" in line
    udp_socket.failing.clear()
    office.connect(alice, bob)


def test_icmp_errors_of_earlier_sends_are_no_event(start: Callable[..., Office], udp_socket: FaultySocket) -> None:
    office = start()
    udp_socket.failing["recvfrom"] = errno.ECONNREFUSED
    office.unregistered("100", t1_s=0.1).send_register()
    eventually(lambda: udp_socket.met >= 3, "three errors")
    assert problems(office) == []
    udp_socket.failing.clear()

    phones_register_and_call(office)


def test_a_socket_that_can_not_be_read_is_told_and_tried_again(
    start: Callable[..., Office], udp_socket: FaultySocket, lines: LogLines
) -> None:
    office = start()
    alice = office.unregistered("100", t1_s=0.1)
    udp_socket.failing["recvfrom"] = errno.ENOBUFS
    alice.send_register()
    wait_for_problem(office, "SIP over UDP can't be received")
    eventually(lambda: udp_socket.met >= 3, "three attempts")
    assert len(lines.take("receiving failed")) == 1
    udp_socket.failing.clear()

    phones_register_and_call(office)
    assert problems(office) == []


def test_without_descriptors_connections_wait_and_udp_goes_on(
    start: Callable[..., Office], listener: FaultySocket, lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.transport_tcp._ACCEPT_POLL_S", 0.01)
    office = start()
    listener.failing["accept"] = errno.EMFILE
    alice = office.unregistered("100", transport="TCP")
    request = alice.send_register()
    wait_for_problem(office, "no new connections can be accepted on TCP")
    phones_register_and_call(office)
    eventually(lambda: listener.met >= 3, "three attempts")
    assert len(lines.take("no connection can be accepted on TCP")) == 1
    listener.failing.clear()

    assert request.wait_final().status == 200
    wait_until_well(office)
    phones_register_and_call(office, transport="TCP")


def test_a_connection_that_was_gone_before_it_was_accepted_is_no_event(
    start: Callable[..., Office], listener: FaultySocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.transport_tcp._ACCEPT_POLL_S", 0.01)
    office = start()
    listener.failing["accept"] = errno.ECONNABORTED
    eventually(lambda: listener.met >= 3, "three of them")
    assert problems(office) == []
    listener.failing.clear()

    phones_register_and_call(office, transport="TCP")


def test_a_fault_while_a_connection_is_accepted_costs_that_connection(
    start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = start(sip_max_connections=4)
    with monkeypatch.context() as patch:
        patch.setattr("sip.transport_tcp.TcpTransport._new_codec", _broken)
        for number in range(100, 106):
            phone = office.unregistered(str(number), transport="TCP")
            phone.wait(lambda phone=phone: phone.link.closed_by_server, "the end of the connection")
    assert len(lines.take("a connection caused a fault before it was accepted")) == 1

    # More than so many have failed: none of them is counted any more.
    phones_register_and_call(office, transport="TCP")


def test_without_descriptors_for_media_the_call_is_refused_and_those_before_it_go_on(
    start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = start()
    alice, bob, carol = office.phones("100", "101", "102")
    call, ring = office.connect(alice, bob)
    with monkeypatch.context() as patch:
        patch.setattr(rtp.ports, "bind_udp", _no_descriptors)
        assert carol.call("100").wait_rejected().status >= 500
        wait_for_problem(office, "one more call would have no sound")
        packets = call.media.make_packets(3)
        call.media.send(*packets)
        assert [ring.media.receive() for _ in packets] == packets
    assert len(lines.take("no media relay for call")) == 1

    assert problems(office) == []
    phones_register_and_call(office)


def test_ports_that_are_used_up_are_told_before_a_call_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = RtpRelay("127.0.0.1", 40_000, 40_007)
    monkeypatch.setattr(rtp.ports, "bind_udp", lambda host, _port: _any_port(host))
    relay.start()
    try:
        first = relay.open("1", "audio")
        assert first is not None
        assert relay.shortage() == ""
        second = relay.open("2", "audio")
        assert second is not None
        assert "all 4 port pairs" in relay.shortage()
        second.close()
        assert relay.shortage() == ""
    finally:
        relay.stop()


_any_port_of = rtp.ports.bind_udp


def _any_port(host: str) -> object:
    return _any_port_of(host, 0)


def _no_descriptors(_host: str, _port: int) -> object:
    raise fault(errno.EMFILE)


def _broken(_transport: object) -> object:
    raise ValueError("a codec that can't be made")
