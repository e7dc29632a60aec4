"""Phones on TCP, among themselves and with phones on UDP (RFC 3261 18, RFC 5658, RFC 5626)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.support.office import Office

TIMEOUT_S = 5.0


@pytest.fixture
def connect(office: Office) -> Iterator[Callable[[], socket.socket]]:
    """Plain TCP connections to the server."""
    made: list[socket.socket] = []

    def make() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", office.server.sip_port), TIMEOUT_S))
        return made[-1]

    yield make
    for sock in made:
        sock.close()


def test_a_tcp_phone_that_is_gone_is_unreachable_at_once(office: Office) -> None:
    alice, bob = office.phone("100"), office.phone("101", transport="TCP")
    bob.disconnect()
    bob.close()

    assert alice.call("101").wait_rejected().status == 480
    assert office.last_ended()["terminationReason"] == "unreachable"
    assert office.open_streams() == []


def test_a_phone_that_reconnects_is_reached_by_its_new_connection(office: Office) -> None:
    alice, bob = office.phone("100"), office.phone("101", transport="TCP")
    bob.reconnect()
    bob.register()

    office.connect(alice, bob)

    assert office.only_call()["toAddress"] == bob.address
    (user,) = (each for each in office.api.get("/api/users") if each["number"] == "101")
    assert [contact["uri"] for contact in user["contacts"]] == [f"sip:101@{bob.address};transport=tcp"]


def test_a_phone_may_use_udp_and_tcp_at_once(office: Office) -> None:
    alice = office.phone("100")
    desk = office.phone("101", transport="TCP")
    mobile = office.phone("101")
    call = alice.call("101")
    desk_ring, mobile_ring = desk.expect_call(), mobile.expect_call()

    desk_ring.answer()

    call.wait_answered()
    assert mobile_ring.wait_ended().method == "CANCEL"


def test_messages_in_one_segment_and_in_pieces(office: Office, connect: Callable[[], socket.socket]) -> None:
    sock = connect()
    one, two, three = (options(office, number) for number in range(3))

    sock.sendall(one + b"\r\n\r\n" + two + three[:40])
    assert read_until(sock, b"1 OPTIONS").count(b"SIP/2.0 200") == 2
    for index in range(40, len(three), 50):
        sock.sendall(three[index : index + 50])

    assert b"2 OPTIONS" in read_until(sock, b"2 OPTIONS")


def test_rfc_5626_a_ping_of_two_line_ends_gets_one(office: Office, connect: Callable[[], socket.socket]) -> None:
    sock = connect()

    sock.sendall(b"\r\n\r\n")

    assert sock.recv(100) == b"\r\n"


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n",
        bytes(range(256)) * 300,
        b"INVITE sip:101@127.0.0.1 SIP/2.0\r\n" + b"X-Endless: 1\r\n" * 20_000,
        b"A" * 200_000,
        b"INVITE sip:101@127.0.0.1 SIP/2.0\r\nContent-Length: 99999999\r\n\r\n",
    ],
    ids=["http", "tls", "binary", "endless headers", "endless line", "huge body"],
)
def test_junk_ends_its_connection_and_disturbs_nobody(
    office: Office, connect: Callable[[], socket.socket], junk: bytes
) -> None:
    alice, bob = office.phone("100", transport="TCP"), office.phone("101")
    call, _ = office.connect(alice, bob)
    sock = connect()

    wait_closed(sock, junk)
    assert call.hang_up().status == 200


def test_a_client_that_never_reads_is_dropped_and_disturbs_nobody(
    office: Office, connect: Callable[[], socket.socket]
) -> None:
    alice, bob = office.phones("100", "101")
    sock = connect()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    request = options(office, 1, padding=30_000)
    call = None

    with pytest.raises(ConnectionError):
        for number in range(5000):
            sock.sendall(request)
            if number == 20:
                call, _ = office.connect(alice, bob)

    assert call is not None
    assert call.hang_up().status == 200


def test_half_a_message_and_a_hang_up_disturb_nobody(office: Office, connect: Callable[[], socket.socket]) -> None:
    alice = office.phone("100", transport="TCP")
    sock = connect()
    sock.sendall(options(office, 1)[:60])
    sock.close()

    assert alice.request("OPTIONS", alice.server_uri).wait_final().status == 200


def test_many_connections_of_one_host_do_not_lock_out_the_phones(start_office: Callable[..., Office]) -> None:
    """One more than a host may have is turned away; those that are there keep working."""
    office = start_office(sip_max_connections_per_source=10)
    alice = office.phone("100", transport="TCP")
    idle = [socket.create_connection(("127.0.0.1", office.server.sip_port), TIMEOUT_S) for _ in range(10)]
    try:
        wait_closed(idle[-1])
        assert alice.register().status == 200
        assert office.phone("101").register().status == 200
    finally:
        for sock in idle:
            sock.close()


def options(office: Office, number: int, padding: int = 0) -> bytes:
    """An OPTIONS to the server itself; `padding` lengthens the Via, and with it the response."""
    lines = [
        f"OPTIONS sip:127.0.0.1:{office.server.sip_port} SIP/2.0",
        f"Via: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{number};rport;x={'x' * (padding + 1)}",
        "Max-Forwards: 70",
        "From: <sip:100@127.0.0.1>;tag=1",
        "To: <sip:127.0.0.1>",
        "Call-ID: plain",
        f"CSeq: {number} OPTIONS",
        "Content-Length: 0",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        piece = sock.recv(65_536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def wait_closed(sock: socket.socket, data: bytes = b"") -> None:
    """Send; then read until the server ends the connection.  TimeoutError when it does not."""
    try:
        sock.sendall(data)
        while sock.recv(65_536):
            pass
    except ConnectionError:
        pass
