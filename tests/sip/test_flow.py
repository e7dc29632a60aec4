"""Via stamping (RFC 3261 18.2.1, RFC 3581 4), NAT seen in Via, response destination (18.2.2)."""

from __future__ import annotations

import pytest

from sip.errors import HeaderError
from sip.flow import Flow, behind_nat, response_flow, stamp_via
from sip.headers import Via
from sip.message import Request, parse_datagram

SOURCE = Flow("UDP", "10.0.0.1", 5060, "10.0.0.7", 41000)
SOURCE6 = Flow("UDP", "2001:db8::1", 5060, "2001:db8::7", 41000)


def request(via: str) -> Request:
    message = parse_datagram(f"OPTIONS sip:h SIP/2.0\r\nX-First: 1\r\n{via}\r\n\r\n".encode())
    assert isinstance(message, Request)
    return message


# ------------------------------------------------------------------------------------------------ stamping


@pytest.mark.parametrize(
    ("via", "stamped"),
    [
        # 18.2.1: the sent-by host is the source: nothing to say.
        ("Via: SIP/2.0/UDP 10.0.0.7:5070;branch=x", "Via: SIP/2.0/UDP 10.0.0.7:5070;branch=x"),
        # A name, or another address: received.
        ("Via: SIP/2.0/UDP pc.example;branch=x", "Via: SIP/2.0/UDP pc.example;branch=x;received=10.0.0.7"),
        ("v:SIP/2.0/UDP 192.168.1.5:5070", "v: SIP/2.0/UDP 192.168.1.5:5070;received=10.0.0.7"),
        # RFC 3581 4: rport is filled in where it stands, and received is added even if the hosts agree.
        ("Via: SIP/2.0/UDP 10.0.0.7;rport", "Via: SIP/2.0/UDP 10.0.0.7;rport=41000;received=10.0.0.7"),
        (
            "Via: SIP/2.0/UDP 192.168.1.5;rport;branch=x",
            "Via: SIP/2.0/UDP 192.168.1.5;rport=41000;branch=x;received=10.0.0.7",
        ),
        ("Via: SIP/2.0/UDP 10.0.0.7; RPORT = ;x", "Via: SIP/2.0/UDP 10.0.0.7;rport=41000;x;received=10.0.0.7"),
        # What the peer writes there is not believed.
        ("Via: SIP/2.0/UDP 10.0.0.7;rport=9;a=b", "Via: SIP/2.0/UDP 10.0.0.7;rport=41000;a=b;received=10.0.0.7"),
        ("Via: SIP/2.0/UDP 10.0.0.7;rport=junk;a", "Via: SIP/2.0/UDP 10.0.0.7;rport=41000;a;received=10.0.0.7"),
        ("Via: SIP/2.0/UDP 10.0.0.7;received=6.6.6.6;a", "Via: SIP/2.0/UDP 10.0.0.7;a"),
        ("Via: SIP/2.0/UDP 10.0.0.7;received;a", "Via: SIP/2.0/UDP 10.0.0.7;a"),
        ("Via: SIP/2.0/UDP h;Received = 6.6.6.6 ;a", "Via: SIP/2.0/UDP h;a;received=10.0.0.7"),
        (
            "Via: SIP/2.0/UDP 10.0.0.7;received=1.1.1.1;received=2.2.2.2;rport;rport=1",
            "Via: SIP/2.0/UDP 10.0.0.7;rport=41000;rport=41000;received=10.0.0.7",
        ),
        # Parameters that only look like it.
        ("Via: SIP/2.0/UDP 10.0.0.7;rportx;xreceived=1", "Via: SIP/2.0/UDP 10.0.0.7;rportx;xreceived=1"),
        (
            "Via: SIP/2.0/UDP h;rports=1;rport",
            "Via: SIP/2.0/UDP h;rports=1;rport=41000;received=10.0.0.7",
        ),
        (
            'Via: SIP/2.0/UDP h;a="\\";rport;b=c";rport;d=";received=e"',
            'Via: SIP/2.0/UDP h;a="\\";rport;b=c";rport=41000;d=";received=e";received=10.0.0.7',
        ),
        (
            'Via: SIP/2.0/UDP 10.0.0.7;received="1;rport=2";d=";received=e"',
            'Via: SIP/2.0/UDP 10.0.0.7;d=";received=e"',
        ),
        # A ";" at the end, folds, several values on the line: the others stay to the letter.
        ("Via: SIP/2.0/UDP h;branch=x;", "Via: SIP/2.0/UDP h;branch=x;received=10.0.0.7"),
        ("Via: SIP/2.0/UDP h\r\n ;rport", "Via: SIP/2.0/UDP h ;rport=41000;received=10.0.0.7"),
        (
            "Via: SIP/2.0/UDP h;rport\r\n ,\tSIP/2.0/UDP i;rport;received=1.1.1.1\r\nVia: SIP/2.0/UDP j;rport",
            "Via: SIP/2.0/UDP h;rport=41000;received=10.0.0.7,\tSIP/2.0/UDP i;rport;received=1.1.1.1",
        ),
    ],
)
def test_18_2_1_and_rfc3581_4_stamp(via: str, stamped: str) -> None:
    message = request(via)
    lines = message.headers.lines
    last = list(lines[2:])
    stamp_via(message, SOURCE)
    assert message.headers.lines == ["X-First: 1", stamped, *last]
    assert message.via == Via.parse(message.headers.first_value("via") or ""), "the remembered Via is what is written"


@pytest.mark.parametrize(
    ("host", "remote", "received"),
    [
        ("[2001:db8::7]", "2001:db8::7", None),
        ("[2001:DB8:0:0::7]", "2001:db8::7", None),
        ("[2001:db8::8]", "2001:db8::7", "2001:db8::7"),
        ("[::ffff:10.0.0.7]", "10.0.0.7", None),
        ("10.0.0.7", "::ffff:10.0.0.7", None),
        ("[2001:db8:::7]", "2001:db8::7", "2001:db8::7"),
        ("pc.example", "2001:db8::7", "2001:db8::7"),
        ("PC.example", "pc.example", None),
    ],
)
def test_18_2_1_ipv6_addresses_are_compared_not_their_spelling(host: str, remote: str, received: str | None) -> None:
    message = request(f"Via: SIP/2.0/UDP {host}")
    stamp_via(message, Flow("UDP", "::1", 5060, remote, 5060))
    assert message.via.received == received


def test_stamping_needs_a_via() -> None:
    with pytest.raises(HeaderError, match="Via: missing"):
        stamp_via(request("X: y"), SOURCE)


def test_64_kb_of_via_parameters_is_stamped() -> None:
    for filler in (";rport", "; ;", " ", ";", ";received", ";a=", "; rport ="):
        message = request("Via: SIP/2.0/UDP h;x=" + filler * (60_000 // len(filler)))
        try:
            stamp_via(message, SOURCE)
        except HeaderError:
            continue
        assert message.via.received == "10.0.0.7"


# ------------------------------------------------------------------------------------------------ NAT


@pytest.mark.parametrize(
    ("host", "flow", "seen"),
    [
        ("10.0.0.7", SOURCE, False),
        ("192.168.1.5", SOURCE, True),
        ("0.0.0.0", SOURCE, True),
        ("pc.example", SOURCE, False),
        ("12345", SOURCE, False),
        ("1.2.3.400", SOURCE, False),
        ("[2001:db8::7]", SOURCE6, False),
        ("[2001:DB8:0::0007]", SOURCE6, False),
        ("[fd00::1]", SOURCE6, True),
        ("10.0.0.7", SOURCE6, True),
        ("a" * 60_000, SOURCE, False),
    ],
)
def test_behind_nat(host: str, flow: Flow, seen: bool) -> None:
    assert behind_nat(Via.parse(f"SIP/2.0/UDP {host}:5060"), flow) is seen


# ------------------------------------------------------------------------------------------------ responses


@pytest.mark.parametrize(
    ("via", "remote"),
    [
        # Same host, no rport: the source address, the sent-by port or 5060.
        ("SIP/2.0/UDP 10.0.0.7:5070;branch=x", ("10.0.0.7", 5070)),
        ("SIP/2.0/UDP 10.0.0.7", ("10.0.0.7", 5060)),
        ("SIP/2.0/UDP 10.0.0.7:41000", ("10.0.0.7", 41000)),
        # A name: the response goes to received, with the sent-by port.
        ("SIP/2.0/UDP pc.example:5070", ("10.0.0.7", 5070)),
        # RFC 3581 4: rport: to where the request came from.
        ("SIP/2.0/UDP 10.0.0.7:5070;rport", ("10.0.0.7", 41000)),
        ("SIP/2.0/UDP pc.example:5070;rport", ("10.0.0.7", 41000)),
        # NAT seen: as if it had asked for rport.
        ("SIP/2.0/UDP 192.168.1.5:5070", ("10.0.0.7", 41000)),
        ("SIP/2.0/UDP 192.168.1.5", ("10.0.0.7", 41000)),
        # maddr comes first; a name or an address of the other family is no place to send to.
        ("SIP/2.0/UDP 10.0.0.7:5070;maddr=10.0.0.9;rport", ("10.0.0.9", 5070)),
        ("SIP/2.0/UDP 10.0.0.7;maddr=10.0.0.9", ("10.0.0.9", 5060)),
        ("SIP/2.0/UDP 10.0.0.7:5070;maddr=evil.example", ("10.0.0.7", 5070)),
        ("SIP/2.0/UDP 10.0.0.7:5070;maddr=a:b", ("10.0.0.7", 5070)),
        ("SIP/2.0/UDP 10.0.0.7:5070;maddr=[2001:db8::9]", ("10.0.0.7", 5070)),
        ("SIP/2.0/UDP 10.0.0.7:5070;maddr", ("10.0.0.7", 5070)),
    ],
)
def test_18_2_2_response_over_udp(via: str, remote: tuple[str, int]) -> None:
    message = request(f"Via: {via}")
    stamp_via(message, SOURCE)
    flow = response_flow(message.via, SOURCE)
    assert flow.remote == remote
    assert (flow.transport, flow.local_host, flow.local_port) == ("UDP", "10.0.0.1", 5060)


def test_18_2_2_maddr_over_ipv6() -> None:
    via = Via.parse("SIP/2.0/UDP [2001:db8::7]:5070;maddr=[2001:db8::9]")
    assert response_flow(via, SOURCE6).remote == ("2001:db8::9", 5070)


@pytest.mark.parametrize("via", ["SIP/2.0/TCP 192.168.1.5:5070;maddr=10.0.0.9", "SIP/2.0/TCP h;rport", "SIP/2.0/UDP h"])
def test_18_2_2_response_over_the_same_connection(via: str) -> None:
    flow = Flow("TCP", "10.0.0.1", 5060, "10.0.0.7", 41000, connection=3)
    assert response_flow(Via.parse(via), flow) is flow


# ------------------------------------------------------------------------------------------------ Flow


def test_flow_in_words() -> None:
    assert (str(SOURCE), SOURCE.sent_by, SOURCE.remote) == ("udp:10.0.0.7:41000", "10.0.0.1:5060", ("10.0.0.7", 41000))
    assert (str(SOURCE6), SOURCE6.sent_by) == ("udp:[2001:db8::7]:41000", "[2001:db8::1]:5060")
    assert [Flow(name, "a", 1, "b", 2).reliable for name in ("UDP", "TCP", "TLS")] == [False, True, True]
