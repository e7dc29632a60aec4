"""What else arrives on a UDP port: keep-alives, STUN, scanners, broken and hostile messages (RFC 3261 18, RFC 5626)."""

from __future__ import annotations

import struct

import pytest

from tests.support.office import Office
from tests.support.phone import SoftPhone

STUN_BINDING_REQUEST = struct.pack("!HHI12s", 1, 0, 0x2112A442, b"x" * 12)

JUNK = {
    "empty": b"",
    "one zero": b"\0",
    "keep-alive": b"\r\n\r\n",
    "spaces": b"    ",
    "STUN": STUN_BINDING_REQUEST,
    "binary": bytes(range(256)) * 8,
    "RTP": b"\x80\x00" + bytes(170),
    "DNS": bytes.fromhex("1234010000010000000000000765786d706c6503636f6d0000010001"),
    "letters": b"A" * 60_000,
    "lines": b"A: 1\r\n" * 9_000,
    "no headers": b"INVITE sip:101@127.0.0.1 SIP/2.0\r\n\r\n",
    "endless headers": b"INVITE sip:101@127.0.0.1 SIP/2.0\r\n" + b"X: 1\r\n" * 9_000 + b"\r\n",
    "response to nothing": b"SIP/2.0 200 OK\r\n\r\n",
    "other version": b"INVITE sip:101@127.0.0.1 SIP/3.0\r\n\r\n",
    "negative length": b"OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n",
    "no UTF-8": b"OPTIONS sip:\xff\xfe SIP/2.0\r\nTo: \xff\r\nFrom: \xc3\x28\r\nVia: \x80\r\nCall-ID: \xff\r\n\r\n",
    "half a start line": b"INVITE sip:101@127",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
def test_junk_disturbs_nobody(office: Office, junk: bytes) -> None:
    """What follows in the same socket's queue is served: the thread got over the junk."""
    alice, bob = office.phones("100", "101")

    for _ in range(3):
        alice.link.send_bytes(junk)
    call, _ = office.connect(alice, bob)

    assert call.hang_up().status == 200
    assert office.numbers() == ["100", "101"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"), 400),
        (("CSeq: 1 OPTIONS", "CSeq: 99999999999 OPTIONS"), 400),
        (("Max-Forwards: 70", "Max-Forwards: many"), 400),
        (("Content-Length: 0", "Content-Length: 500"), 400),
        (("SIP/2.0\r\n", "SIP/7.0\r\n"), 505),
        (("OPTIONS sip:", "OPTIONS <sip:"), 400),
        (("Call-ID", "X-Call-ID"), 400),
    ],
)
def test_a_broken_request_is_answered_with_what_is_wrong(office: Office, change: tuple[str, str], status: int) -> None:
    """Without an answer the phone would repeat it for half a minute."""
    alice = office.phone("100")
    request = alice.make_request("OPTIONS", alice.server_uri, alice.server_uri).to_bytes().decode()
    assert change[0] in request

    alice.link.send_bytes(request.replace(*change, 1).encode())

    answer = alice.wait(lambda: next(iter(alice.messages("received", f"{status} *")), None), f"{status}")
    assert answer.reason


def test_8_2_1_an_unknown_method_is_answered(office: Office) -> None:
    alice, _ = office.phones("100", "101")

    response = alice.request("DANCE", alice.uri_of("101")).wait_final()

    assert response.status in (405, 501)
    assert "INVITE" in response["Allow"]


def test_a_scanner_gets_no_further(office: Office) -> None:
    """Numbers tried one after the other by somebody who is not registered."""
    office.phone("101")
    scanner = office.unregistered("1")

    assert [scanner.call(number).wait_rejected().status for number in ("101", "9011", "00441234")] == [403, 403, 403]


def test_options_to_the_server_are_answered(office: Office) -> None:
    stranger: SoftPhone = office.unregistered("100")

    response = stranger.request("OPTIONS", stranger.server_uri).wait_final()

    assert response.status == 200
    assert "INVITE" in response["Allow"]
