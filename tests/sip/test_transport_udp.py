"""sip/transport_udp.py: what goes wrong on a UDP socket is told to the sender and harms nobody else."""

from __future__ import annotations

import queue
import socket
import sys
from collections.abc import Iterator

import pytest

from sip.addresses import AddressBook
from sip.errors import ParseError
from sip.flow import Flow
from sip.icmp import Undelivered
from sip.message import Request, Response
from sip.transport_udp import UdpTransport

OPTIONS = b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n"
WAIT_S = 5.0


class Receiver:
    """Whom the transport hands its messages to; the first may be made to fail."""

    def __init__(self) -> None:
        self.messages: queue.Queue[tuple[bytes, Flow]] = queue.Queue()
        self.malformed: queue.Queue[ParseError] = queue.Queue()
        self.undelivered: queue.Queue[Undelivered] = queue.Queue()
        self.faults = 0
        self.shut_out: set[str] = set()

    def transport(self) -> UdpTransport:
        return UdpTransport(
            "127.0.0.1",
            0,
            AddressBook(),
            self.lets_in,
            self.on_message,
            self.on_malformed,
            self.undelivered.put,
        )

    def lets_in(self, host: str) -> bool:
        return host not in self.shut_out

    def on_message(self, message: Request | Response, data: bytes, flow: Flow) -> None:
        if self.faults:
            self.faults -= 1
            raise RuntimeError("a fault in the core")
        self.messages.put((data, flow))

    def on_malformed(self, error: ParseError, flow: Flow) -> None:
        self.malformed.put(error)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def transport(receiver: Receiver) -> Iterator[UdpTransport]:
    udp = receiver.transport()
    udp.start()
    yield udp
    udp.stop()


@pytest.fixture
def peer(transport: UdpTransport) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(("127.0.0.1", transport.port))
        sock.settimeout(WAIT_S)
        yield sock


def test_a_message_comes_with_the_flow_it_came_by(
    transport: UdpTransport, receiver: Receiver, peer: socket.socket
) -> None:
    peer.send(OPTIONS)
    data, flow = receiver.messages.get(timeout=WAIT_S)
    assert data == OPTIONS
    assert flow == Flow("UDP", "127.0.0.1", transport.port, *peer.getsockname())


def test_bytes_go_out_by_a_flow(transport: UdpTransport, peer: socket.socket) -> None:
    assert transport.send(transport.flow_to(*peer.getsockname()), b"hello", None) is None
    assert peer.recv(100) == b"hello"


@pytest.mark.parametrize(
    ("host", "port", "size", "why"),
    [
        ("127.0.0.1", 5060, 70_000, "too long"),
        ("127.0.0.1", 70_000, 10, "port"),
        ("2001:db8::1", 5060, 10, ""),
    ],
    ids=["EMSGSIZE", "port out of range", "other family"],
)
def test_what_cannot_be_sent_is_told_and_does_not_raise(
    transport: UdpTransport, host: str, port: int, size: int, why: str
) -> None:
    reason = transport.send(Flow("UDP", "127.0.0.1", 5060, host, port), bytes(size), None)
    assert reason is not None
    assert why in reason.lower()


def test_a_peer_that_is_gone_does_not_end_the_receiving(
    transport: UdpTransport, receiver: Receiver, peer: socket.socket
) -> None:
    """The ICMP error that comes back may surface at the socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    for _ in range(3):
        transport.send(transport.flow_to(*address), b"anybody there", None)
    peer.send(OPTIONS)
    assert receiver.messages.get(timeout=WAIT_S)[0] == OPTIONS


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems don't tell")
def test_what_comes_back_is_passed_on_with_its_beginning(transport: UdpTransport, receiver: Receiver) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    assert transport.send(transport.flow_to(*address), OPTIONS, None) is None
    undelivered = receiver.undelivered.get(timeout=WAIT_S)
    assert undelivered == Undelivered(*address, OPTIONS, "port unreachable")


def test_an_error_of_one_peer_keeps_no_message_from_another(transport: UdpTransport, peer: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    for count in range(50):
        transport.send(transport.flow_to(*address), b"anybody there", None)
        assert transport.send(transport.flow_to(*peer.getsockname()), b"%d" % count, None) is None
        assert peer.recv(100) == b"%d" % count


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems don't tell")
def test_what_the_sender_meets_can_be_asked_for(receiver: Receiver) -> None:
    """Nobody waits in recvfrom here, so the next sending meets the error."""
    udp = receiver.transport()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    assert udp.take_undelivered() == []
    udp.send(udp.flow_to(*address), OPTIONS, None)
    udp.send(udp.flow_to(*address), OPTIONS, None)
    assert Undelivered(*address, OPTIONS, "port unreachable") in udp.take_undelivered()
    udp.stop()


@pytest.mark.parametrize(
    "junk",
    [b"", b"\r\n\r\n", b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), bytes(range(128, 256)), b"\0" * 100],
    ids=["empty", "CRLF keep-alive", "STUN", "binary", "zeros"],
)
def test_junk_reaches_nobody(receiver: Receiver, peer: socket.socket, junk: bytes) -> None:
    peer.send(junk)
    peer.send(OPTIONS)
    assert receiver.messages.get(timeout=WAIT_S)[0] == OPTIONS
    assert receiver.messages.empty()
    assert receiver.malformed.empty()


def test_a_malformed_message_is_reported(receiver: Receiver, peer: socket.socket) -> None:
    peer.send(b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nno colon here\r\n\r\n")
    assert "colon" in str(receiver.malformed.get(timeout=WAIT_S))


def test_a_fault_above_ends_only_that_message(receiver: Receiver, peer: socket.socket) -> None:
    receiver.faults = 1
    peer.send(OPTIONS)
    peer.send(OPTIONS)
    assert receiver.messages.get(timeout=WAIT_S)[0] == OPTIONS
    assert receiver.messages.empty()


def test_stop_ends_the_thread_and_frees_the_port(receiver: Receiver) -> None:
    udp = receiver.transport()
    udp.start()
    port = udp.port
    udp.stop()
    assert not udp.is_running()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", port))


def test_what_is_not_let_in_is_not_even_parsed(receiver: Receiver, peer: socket.socket) -> None:
    receiver.shut_out.add("127.0.0.1")
    peer.send(OPTIONS)
    peer.send(b"NONSENSE without any sense")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        other.sendto(OPTIONS, peer.getpeername())
        _, flow = receiver.messages.get(timeout=WAIT_S)
        assert flow.remote == other.getsockname()
    assert receiver.messages.empty()
    assert receiver.malformed.empty()
