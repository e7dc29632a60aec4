"""RFC 5118: its IPv6 torture messages, typed out from the text of section 4.

The Content-Lengths of its three messages with SDP disagree with their bodies in the RFC; here they are right, since
what these messages test is IPv6.
"""

from __future__ import annotations

import pytest

from sip.errors import ParseError
from sip.message import Request, parse_datagram
from sip.stream import StreamParser
from sip.uri import unbracket
from sip.validation import validate_request


def wire(head: str, body: str = "") -> bytes:
    payload = "".join(f"{line}\r\n" for line in body.splitlines()).encode()
    lines = head.strip().splitlines()
    return "".join(f"{line}\r\n" for line in [*lines, f"Content-Length: {len(payload)}", ""]).encode() + payload


def register(request_uri: str) -> bytes:
    return wire(
        f"""REGISTER {request_uri} SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
Contact: "Caller" <sip:caller@[2001:db8::1]>
CSeq: 98176 REGISTER"""
    )


MESSAGES: dict[str, bytes] = {
    "4.1 ipv6-good": register("sip:[2001:db8::10]"),
    "4.3 port-ambiguous": register("sip:[2001:db8::10:5070]"),
    "4.4 port-unambiguous": register("sip:[2001:db8::10]:5070"),
    "4.5 via-received-param-with-delim": wire(
        """BYE sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com;tag=bd76ya
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
CSeq: 321 BYE"""
    ),
    "4.5 via-received-param-no-delim": wire(
        """OPTIONS sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3
Call-ID: SSG95523997077@hlau_4100
Max-Forwards: 70
Contact: "Caller" <sip:caller@[2001:db8::9:1]>
CSeq: 921 OPTIONS"""
    ),
    "4.6 ipv6-in-sdp": wire(
        """INVITE sip:user@[2001:db8::10] SIP/2.0
To: sip:user@[2001:db8::10]
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "Caller" <sip:caller@[2001:db8::20]>
CSeq: 8612 INVITE
Max-Forwards: 70
Content-Type: application/sdp""",
        """v=0
o=assistant 971731711378798081 0 IN IP6 2001:db8::20
s=Live video feed for today's meeting
c=IN IP6 2001:db8::20
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
a=rtpmap:2 G726-32/8000
m=video 6024 RTP/AVP 107
a=rtpmap:107 H263-1998/90000""",
    ),
    "4.7 mult-ip-in-header": wire(
        """BYE sip:user@host.example.net SIP/2.0
Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144
Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200
Call-ID: 997077@lau_4100
Max-Forwards: 70
CSeq: 89187 BYE
To: sip:user@example.net;tag=9817--94
From: sip:user@example.com;tag=81x2"""
    ),
    "4.8 mult-ip-in-sdp": wire(
        """INVITE sip:user@[2001:db8::10] SIP/2.0
To: sip:user@[2001:db8::10]
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "Caller" <sip:caller@[2001:db8::9:1]>
Max-Forwards: 70
CSeq: 8912 INVITE
Content-Type: application/sdp""",
        """v=0
o=bob 280744730 28977631 IN IP4 host.example.com
s=
t=0 0
m=audio 22334 RTP/AVP 0
c=IN IP4 192.0.2.1
m=video 6024 RTP/AVP 107
c=IN IP6 2001:db8::1
a=rtpmap:107 H263-1998/90000""",
    ),
    "4.9 ipv4-mapped-ipv6": wire(
        """INVITE sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:user@east.example.com;tag=81x2
Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19
Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "T. desk phone" <sip:ted@[::ffff:192.0.2.2]>
CSeq: 612 INVITE
Max-Forwards: 70
Content-Type: application/sdp""",
        """v=0
o=assistant 971731711378798081 0 IN IP6 ::ffff:192.0.2.2
s=Call me soon, please!
c=IN IP6 ::ffff:192.0.2.2
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
a=rtpmap:2 G726-32/8000
m=video 6024 RTP/AVP 107
a=rtpmap:107 H263-1998/90000""",
    ),
    "4.10 ipv6-bug-abnf-3-colons": wire(
        """OPTIONS sip:user@[2001:db8:::192.0.2.1] SIP/2.0
To: sip:user@[2001:db8:::192.0.2.1]
From: sip:user@example.com;tag=810x2
Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111
Call-ID: G9559905523997077@hlau_4100
CSeq: 689 OPTIONS
Max-Forwards: 70"""
    ),
    "4.10 ipv6-correct-abnf-2-colons": wire(
        """OPTIONS sip:user@[2001:db8::192.0.2.1] SIP/2.0
To: sip:user@[2001:db8::192.0.2.1]
From: sip:user@example.com;tag=810x2
Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111
Call-ID: G9559905523997077@hlau_4100
CSeq: 689 OPTIONS
Max-Forwards: 70"""
    ),
}


def read(data: bytes) -> Request:
    message = parse_datagram(data)
    assert isinstance(message, Request)
    validate_request(message)
    return message


@pytest.mark.parametrize("name", MESSAGES)
def test_valid_and_unchanged(name: str) -> None:
    data = MESSAGES[name]
    message = read(data)
    assert len(message.contacts) == message.headers.count("contact")
    assert message.to_bytes() == data
    parser = StreamParser()
    assert [raw for at in range(len(data)) for _, raw in parser.feed(data[at : at + 1])] == [data]


def test_4_2_missing_brackets_is_400() -> None:
    message = parse_datagram(register("sip:2001:db8::10"))
    assert isinstance(message, Request)
    with pytest.raises(ParseError, match="malformed sip URI") as raised:
        validate_request(message)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("4.1 ipv6-good", "[2001:db8::10]", None),
        ("4.3 port-ambiguous", "[2001:db8::10:5070]", None),
        ("4.4 port-unambiguous", "[2001:db8::10]", 5070),
        # The extra colon of the old grammar is tolerated on the wire; as an address it reaches nobody.
        ("4.10 ipv6-bug-abnf-3-colons", "[2001:db8:::192.0.2.1]", None),
        ("4.10 ipv6-correct-abnf-2-colons", "[2001:db8::192.0.2.1]", None),
    ],
)
def test_request_uri(name: str, host: str, port: int | None) -> None:
    uri = read(MESSAGES[name]).uri
    assert (uri.host, uri.port) == (host, port)


@pytest.mark.parametrize("name", ["4.5 via-received-param-with-delim", "4.5 via-received-param-no-delim"])
def test_4_5_received_with_or_without_brackets(name: str) -> None:
    via = read(MESSAGES[name]).via
    assert via.host == "[2001:db8::9:1]"
    assert unbracket(via.received or "") == "2001:db8::9:255"


def test_4_7_and_4_9_sent_by() -> None:
    mixed, mapped = read(MESSAGES["4.7 mult-ip-in-header"]), read(MESSAGES["4.9 ipv4-mapped-ipv6"])
    assert (mixed.via.host, mixed.via.port, mixed.via.sent_by) == (
        "[2001:db8::9:1]",
        6050,
        "[2001:db8::9:1]:6050",
    )
    assert (mapped.via.host, mapped.via.port) == ("[::ffff:192.0.2.10]", 19823)
    contact = mapped.contact
    assert contact is not None
    assert (contact.display_name, contact.uri.host) == ("T. desk phone", "[::ffff:192.0.2.2]")
