"""Messages: parsing, serialising, and those derived from a request (RFC 3261 7, 8.2.6, 9.1, 17.1.1.3, 18.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sip.constants import MAX_HEADER_LINES, MAX_MESSAGE_SIZE, REASON_PHRASES
from sip.errors import HeaderError, LocalProtocolError, MessageTooLarge, ParseError
from sip.headers import Headers
from sip.message import (
    MalformedMessage,
    Message,
    Request,
    Response,
    make_ack,
    make_cancel,
    make_response,
    parse_datagram,
)
from sip.stream import StreamParser
from sip.uri import Uri
from sip.validation import validate_request

LINES = (
    "INVITE sip:102@10.0.0.1 SIP/2.0",
    "Via: SIP/2.0/UDP 10.0.0.7:5070;branch=z9hG4bK1;rport",
    "Max-Forwards: 70",
    'From: "Alice, A" <sip:101@10.0.0.1>;tag=a1',
    "To: <sip:102@10.0.0.1>",
    "Call-ID: c1@10.0.0.7",
    "CSeq: 7 INVITE",
    "Contact: <sip:101@10.0.0.7:5070;ob>",
)


def wire(*lines: str, body: bytes = b"") -> bytes:
    head = "".join(f"{line}\r\n" for line in [*lines, f"Content-Length: {len(body)}"])
    return f"{head}\r\n".encode("utf-8", "surrogateescape") + body


def changed(**replacements: str) -> bytes:
    """The INVITE above with lines replaced, by their number (`l3="To: x"`)."""
    return wire(*(replacements.get(f"l{at}", line) for at, line in enumerate(LINES)))


def whole(data: bytes) -> Request | Response:
    return parse_datagram(data)


def byte_by_byte(data: bytes) -> Request | Response:
    parser = StreamParser()
    got = [item for at in range(len(data)) for item in parser.feed(data[at : at + 1])]
    assert [raw for _, raw in got] == [data]
    return got[0][0]


def with_trailing_data(data: bytes) -> Request | Response:
    return parse_datagram(data + b"INVITE sip:noise@h SIP/2.0\r\n\r\n")


def behind_line_ends(data: bytes) -> Request | Response:
    return parse_datagram(b"\r\n\r\n\n\r\n" + data)


Reader = Callable[[bytes], Request | Response]
every_way = pytest.mark.parametrize("read", [whole, byte_by_byte, with_trailing_data, behind_line_ends])


def request(data: bytes) -> Request:
    message = parse_datagram(data)
    assert isinstance(message, Request)
    return message


# ------------------------------------------------------------------------------------------------ parsing


@every_way
def test_request(read: Reader) -> None:
    data = wire(*LINES, body=b"v=0\r\n")
    message = read(data)
    assert isinstance(message, Request)
    assert (message.method, message.uri_text, message.body) == ("INVITE", "sip:102@10.0.0.1", b"v=0\r\n")
    assert (message.via.host, message.via.port, message.via.branch) == ("10.0.0.7", 5070, "z9hG4bK1")
    assert (message.from_.display_name, message.from_.tag, message.to.tag) == ("Alice, A", "a1", None)
    assert (message.call_id, message.cseq.number, message.max_forwards) == ("c1@10.0.0.7", 7, 70)
    assert message.uri.number == "102"
    assert message.to_bytes() == data


@every_way
def test_response(read: Reader) -> None:
    data = wire("SIP/2.0 486 Busy Here", *LINES[1:])
    message = read(data)
    assert isinstance(message, Response)
    assert (message.status, message.reason, message.body) == (486, "Busy Here", b"")
    assert message.to_bytes() == data


@every_way
def test_7_3_1_folds_everywhere(read: Reader) -> None:
    data = wire(
        LINES[0],
        "Via:\r\n SIP\r\n /2.0/UDP\r\n\t10.0.0.7\r\n ;branch\r\n =\r\n z9hG4bK1",
        'From: "Alice\r\n\tA" \r\n <sip:101@10.0.0.1>\r\n ;tag=a1',
        "To:\r\n <sip:102@10.0.0.1>",
        "Call-ID:\r\n   c1@10.0.0.7",
        "CSeq: 7\r\n \r\n\tINVITE",
        "Max-Forwards:\r\n 70",
        "Subject: one\r\n  two\r\n\tthree",
    )
    message = read(data)
    assert isinstance(message, Request)
    validate_request(message)
    assert (message.via.host, message.via.branch) == ("10.0.0.7", "z9hG4bK1")
    assert (message.from_.display_name, message.from_.tag) == ("Alice A", "a1")
    assert (message.cseq.number, message.cseq.method, message.call_id) == (7, "INVITE", "c1@10.0.0.7")
    assert (message.max_forwards, message.headers.get("subject")) == (70, "one two three")
    assert message.to_bytes() == data


@every_way
def test_7_3_3_compact_forms_any_case_and_white_space_before_the_colon(read: Reader) -> None:
    data = (
        b"INVITE sip:102@10.0.0.1 SIP/2.0\r\nv :SIP/2.0/UDP h;branch=x\r\nF\t: <sip:a@h>;tag=1\r\nt:sip:b@h\r\n"
        b"I: c1\r\ncSEQ: 1 INVITE\r\nM: <sip:a@h>\r\nK: 100rel\r\nC: Application/SDP ;x=y\r\ne:\r\nL : 3\r\n\r\nabc"
    )
    message = read(data)
    assert isinstance(message, Request)
    validate_request(message)
    assert (message.call_id, message.to.uri.text, message.body) == ("c1", "sip:b@h", b"abc")
    assert (message.content_type, message.option_tags("supported")) == ("application/sdp", ["100rel"])
    assert message.headers.get("content-encoding") == ""
    assert message.to_bytes() == data


@every_way
def test_several_vias_on_one_line(read: Reader) -> None:
    message = read(changed(l1='Via: SIP/2.0/UDP a;branch=1;x="p,q" , SIP/2.0/TCP b;branch=2,SIP/2.0/UDP c'))
    hosts = []
    for _ in range(3):
        hosts.append((message.via.host, message.via.transport))
        message.pop_via()
    assert hosts == [("a", "UDP"), ("b", "TCP"), ("c", "UDP")]
    with pytest.raises(HeaderError, match="Via: missing"):
        _ = message.via


@every_way
@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xed\xb2\x80", b"caf\xe9", "Привет".encode(), b"\xc3"])
def test_bytes_that_are_no_utf8_are_kept(read: Reader, value: bytes) -> None:
    marker = b"@@"
    data = changed(l2='From: "@@" <sip:101@h;x=@@>;tag=a@@', l7="X-Any: @@").replace(marker, value)
    message = read(data)
    assert message.from_.tag is not None
    assert message.copy().to_bytes() == data


@every_way
def test_unknown_headers_and_empty_values_are_kept(read: Reader) -> None:
    data = changed(l2='X-Unknown-!%*: ;;,,;\r\n "<', l7="Subject:")
    message = read(data)
    assert message.headers.get("x-unknown-!%*") == ';;,,; "<'
    assert message.headers.get("subject") == ""
    assert message.to_bytes() == data


def test_version_in_any_case_goes_out_as_the_rfc_writes_it() -> None:
    assert request(changed(l0="OPTIONS sip:h sip/2.0")).start_line == "OPTIONS sip:h SIP/2.0"
    message = parse_datagram(changed(l0="Sip/2.0 200 OK"))
    assert isinstance(message, Response)
    assert message.start_line == "SIP/2.0 200 OK"


@pytest.mark.parametrize(("line", "reason"), [("SIP/2.0 200", ""), ("SIP/2.0 200 ", ""), ("SIP/2.0 200  a ", " a ")])
def test_reason_phrase(line: str, reason: str) -> None:
    message = parse_datagram(changed(l0=line))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, reason)


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "INVITE",
        "INVITE sip:h",
        "INVITE sip:h HTTP/1.1",
        "GET / HTTP/1.1",
        "IN(VITE sip:h SIP/2.0",
        "INVITE sip:h SIP/2",
        "INVITE sip:h SIP/2.0x",
        "INV\x00ITE sip:h SIP/2.0",
        "INVITE sip:h\x00 SIP/2.0",
        "SIP/2.0",
        "SIP/2.0 99 x",
        "SIP/2.0 700 x",
        "SIP/2.0 2000 x",
        "SIP/2.0 20x OK",
        "SIP/2.0  200 OK",
        "SIP/x 200 OK",
        "SIP/2.0 ٢٠٠ OK",
        "SIP/2.0 200 O\x00K",
        "\u017fIP/2.0 200 OK",
    ],
)
def test_start_line_that_is_not_sip(line: str) -> None:
    with pytest.raises(ParseError) as raised:
        parse_datagram(changed(l0=line))
    assert raised.value.status == 400
    assert not isinstance(raised.value, MalformedMessage)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("INVITE  sip:h SIP/2.0", 400),
        ("INVITE sip:h  SIP/2.0", 400),
        ("INVITE sip:h SIP/2.0 ", 400),
        ("INVITE\tsip:h\tSIP/2.0", 400),
        ("INVITE sip:h; lr SIP/2.0", 400),
        ("INVITE sip:h SIP/7.0", 505),
        ("INVITE sip:h SIP/2.1", 505),
        ("INVITE sip:h SIP/12345678901234567890.0", 505),
        ("INVITE a b c SIP/3.0", 505),
    ],
)
def test_request_line_with_a_fault_can_be_answered(line: str, status: int) -> None:
    with pytest.raises(MalformedMessage) as raised:
        parse_datagram(changed(l0=line))
    assert raised.value.status == status
    assert raised.value.message.call_id == "c1@10.0.0.7"


def test_response_of_another_version_is_no_message() -> None:
    with pytest.raises(ParseError) as raised:
        parse_datagram(changed(l0="SIP/3.0 200 OK"))
    assert raised.value.status == 505


@pytest.mark.parametrize("line", ["no colon here", "Bad Name: x", ": x", "\x00: x", "Vïa: x"])
@pytest.mark.parametrize("read", [whole, byte_by_byte])
def test_unreadable_header_line_can_be_answered_without_it(read: Reader, line: str) -> None:
    with pytest.raises(MalformedMessage) as raised:
        read(changed(l7=line))
    assert raised.value.status == 400
    answer = make_response(_bad_request(raised.value), 400)
    assert answer.headers.names == ["via", "from", "to", "call-id", "cseq", "content-length"]


def _bad_request(error: MalformedMessage) -> Request:
    assert isinstance(error.message, Request)
    return error.message


def test_unreadable_line_among_folded_ones() -> None:
    with pytest.raises(MalformedMessage, match="malformed header name") as raised:
        parse_datagram(changed(l2="Bad Name: x", l7="Subject: a\r\n b"))
    assert raised.value.message.headers.get("subject") == "a b"


def test_white_space_before_the_first_header_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        parse_datagram(changed(l1=" Via: SIP/2.0/UDP h"))


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\r\rb", "a\n\n b", "\n"])
def test_cr_or_lf_on_its_own_is_refused(bad: str) -> None:
    with pytest.raises(ParseError, match="CR or LF"):
        parse_datagram(changed(l7=f"Subject: {bad}"))


def test_missing_empty_line_can_be_answered() -> None:
    for data in (wire(*LINES)[:-2], wire(*LINES)[:-4]):
        with pytest.raises(MalformedMessage, match="no empty line") as raised:
            parse_datagram(data)
        assert raised.value.message.headers.names[-1] == "content-length"


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"\n\n\n",
        b"\x00",
        b"\x00" * 1000,
        b"\x00\x01\x00\x00!\x12\xa4B" + bytes(12),
        b"\x80\x00\x12\x34" + bytes(168),
        b"hello",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        bytes(range(256)),
        b"\r\n\r\n" * 4096,
    ],
)
def test_junk_is_a_parse_error_without_a_message(junk: bytes) -> None:
    with pytest.raises(ParseError) as raised:
        parse_datagram(junk)
    assert not isinstance(raised.value, MalformedMessage)


# ------------------------------------------------------------------------------------------------ length and limits


HEAD = b"\r\n".join(line.encode() for line in LINES) + b"\r\n"


@pytest.mark.parametrize(
    ("lines", "body", "expected"),
    [
        (b"", b"", b""),
        (b"", b"all there is", b"all there is"),
        (b"Content-Length: 3\r\n", b"abc", b"abc"),
        (b"Content-Length: 3\r\n", b"abcdef", b"abc"),
        (b"Content-Length: 0\r\n", b"noise", b""),
        (b"l:0003\r\n", b"abc", b"abc"),
        (b"Content-Length:\r\n  3\r\n", b"abc", b"abc"),
        (b"Content-Length: 3\r\nL: 3\r\n", b"abc", b"abc"),
        (b"Content-Length: 4\r\n", b"\x00\xff\r\n\r\n", b"\x00\xff\r\n"),
    ],
)
def test_18_3_content_length_over_udp(lines: bytes, body: bytes, expected: bytes) -> None:
    assert request(HEAD + lines + b"\r\n" + body).body == expected


BAD_LENGTHS = [
    b"Content-Length: -1\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Content-Length: 0x3\r\n",
    b"Content-Length: 3 3\r\n",
    b"Content-Length: 3\r\nContent-Length: 4\r\n",
    b"Content-Length: \xd9\xa3\r\n",
]


@pytest.mark.parametrize("lines", BAD_LENGTHS)
def test_bad_content_length_is_400_over_udp_and_tcp(lines: bytes) -> None:
    for read in (parse_datagram, StreamParser().feed):
        with pytest.raises(MalformedMessage, match="Content-Length") as raised:
            read(HEAD + lines + b"\r\nabc")
        assert raised.value.status == 400
        assert raised.value.message.call_id == "c1@10.0.0.7"


@pytest.mark.parametrize("length", [b"4", b"99999", b"9" * 20, b"9" * 5000])
def test_18_3_content_length_beyond_the_datagram_is_400(length: bytes) -> None:
    with pytest.raises(MalformedMessage, match="3 came") as raised:
        parse_datagram(HEAD + b"Content-Length: " + length + b"\r\n\r\nabc")
    assert raised.value.status == 400


def test_largest_datagram() -> None:
    room = MAX_MESSAGE_SIZE - len(HEAD) - 2
    assert len(request(HEAD + b"\r\n" + bytes(room)).body) == room
    with pytest.raises(MessageTooLarge) as raised:
        parse_datagram(HEAD + b"\r\n" + bytes(room + 1))
    assert raised.value.status == 513


@pytest.mark.parametrize("fold", ["", "\r\n folded"])
def test_header_count_limit(fold: str) -> None:
    extra = MAX_HEADER_LINES - len(LINES)  # the start line is none, Content-Length is one
    assert len(request(wire(*LINES, *[f"X-A: 1{fold}"] * extra)).headers.lines) == MAX_HEADER_LINES
    with pytest.raises(MalformedMessage) as raised:
        parse_datagram(wire(*LINES, *[f"X-A: 1{fold}"] * (extra + 1)))
    assert raised.value.status == 513
    assert raised.value.message.call_id == "c1@10.0.0.7"


def test_thousands_of_folds_are_one_header() -> None:
    message = request(changed(l7="X-A: 0" + "\r\n 1" * 10_000))
    assert message.headers.get("x-a") == "0" + " 1" * 10_000


# ------------------------------------------------------------------------------------------------ typed reading


@pytest.mark.parametrize(
    ("name", "line"),
    [("via", "v"), ("from_", "f"), ("to", "t"), ("cseq", "CSeq"), ("call_id", "i")],
)
def test_missing_or_empty_header_is_named(name: str, line: str) -> None:
    shown = {"via": "Via", "from_": "From", "to": "To", "cseq": "CSeq", "call_id": "Call-ID"}[name]
    missing = request(b"OPTIONS sip:h SIP/2.0\r\nX-A: 1\r\n\r\n")
    empty = request(f"OPTIONS sip:h SIP/2.0\r\n{line}: \r\n\r\n".encode())
    for message, reason in ((missing, "missing"), (empty, "empty")):
        with pytest.raises(HeaderError) as raised:
            getattr(message, name)
        assert (raised.value.header, raised.value.status) == (shown, 400)
        assert str(raised.value) == f"{shown}: {reason}"


def test_optional_headers_when_absent() -> None:
    message = request(b"OPTIONS sip:h SIP/2.0\r\nX-A: 1\r\n\r\n")
    assert (message.contacts, message.contact, message.routes) == ([], None, [])
    assert (message.expires, message.max_forwards) == (None, None)
    assert (message.content_type, message.user_agent, message.option_tags("require")) == ("", "", [])


def test_contacts() -> None:
    message = request(changed(l7='Contact: "x, y" <sip:a@h>;q=0.5, sip:b@h;expires=60\r\nm: <sip:c@h>'))
    assert [contact.uri.user for contact in message.contacts] == ["a", "b", "c"]
    assert message.contact == message.contacts[0]
    star = request(changed(l7="Contact: *"))
    assert (star.contacts, star.contact) == ([], None)
    with pytest.raises(HeaderError, match="Contact: "):
        _ = request(changed(l7="Contact: nobody")).contacts


def test_routes() -> None:
    message = request(changed(l7="Route: <sip:a;lr>, <sip:b>\r\nRoute: <sip:c;lr>"))
    assert [(route.uri.host, route.uri.is_loose_router) for route in message.routes] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]
    with pytest.raises(HeaderError, match="Route: "):
        _ = request(changed(l7="Route: <sip:a")).routes


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("0068", 68), ("255", 255)])
def test_20_22_max_forwards(value: str, number: int) -> None:
    assert request(changed(l2=f"Max-Forwards: {value}")).max_forwards == number


@pytest.mark.parametrize("value", ["256", "300", "-1", "", "x", "7 0", "9" * 5000])
def test_20_22_bad_max_forwards_is_400(value: str) -> None:
    with pytest.raises(HeaderError, match="Max-Forwards"):
        _ = request(changed(l2=f"Max-Forwards: {value}")).max_forwards


def test_user_agent_or_server() -> None:
    assert request(changed(l7="User-Agent: a/1")).user_agent == "a/1"
    assert request(changed(l7="Server: b/1")).user_agent == "b/1"


# ------------------------------------------------------------------------------------------------ changing


def test_via_is_read_anew_after_each_change() -> None:
    message = request(wire(*LINES))
    message.headers.push("Via", "SIP/2.0/TCP p:1;branch=b2")
    assert (message.via.host, message.via.branch) == ("p", "b2")
    message.replace_top_via("SIP/2.0/TCP q:1;branch=b3")
    assert message.via.host == "q"
    message.pop_via()
    assert message.via.host == "10.0.0.7"
    assert message.to_bytes() == wire(*LINES)


def test_set_uri() -> None:
    message = request(wire(*LINES))
    assert message.uri.number == "102"
    message.set_uri(Uri.parse("sip:103@10.9.9.9:5070;ob"))
    assert (message.uri.number, message.start_line) == ("103", "INVITE sip:103@10.9.9.9:5070;ob SIP/2.0")


@pytest.mark.parametrize("length_line", ["l: 3", "Content-Length: 3\r\nContent-Length: 3", "X-A: 1"])
def test_set_body_gives_one_right_content_length(length_line: str) -> None:
    message = request(HEAD + length_line.encode() + b"\r\nc: text/plain\r\n\r\nabc")
    message.set_body(b"v=0\r\n")
    assert message.headers.get_all("content-length") == ["5"]
    assert (message.content_type, request(message.to_bytes()).body) == ("text/plain", b"v=0\r\n")
    message.set_body(b"", "application/sdp")
    assert (message.content_type, message.headers.get("content-length")) == ("application/sdp", "0")


@pytest.mark.parametrize("data", [wire(*LINES, body=b"x"), wire("SIP/2.0 200 OK", *LINES[1:], body=b"x")])
def test_a_copy_is_independent(data: bytes) -> None:
    message = parse_datagram(data)
    assert message.via.host == "10.0.0.7"
    copy = message.copy()
    assert type(copy) is type(message)
    copy.headers.push("Via", "SIP/2.0/UDP p;branch=x")
    copy.set_body(b"longer")
    assert message.to_bytes() == data
    assert message.via.host == "10.0.0.7"
    assert copy.via.host == "p"


def test_missing_content_length_is_added() -> None:
    assert request(HEAD + b"\r\nabc").to_bytes() == HEAD + b"Content-Length: 3\r\n\r\nabc"


def test_a_message_without_headers_is_written_as_one() -> None:
    assert parse_datagram(b"OPTIONS sip:h SIP/2.0\r\n\r\nabc").to_bytes() == (
        b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 3\r\n\r\nabc"
    )


@pytest.mark.parametrize("bad", ["a\r\nX: y", "a\nb", "a\rb", "a\x00b"])
def test_start_line_never_lets_anything_out(bad: str) -> None:
    messages: list[Message] = [
        Request("INVITE", f"sip:{bad}", Headers()),
        Request(f"INVITE{bad}", "sip:h", Headers()),
        Response(200, bad, Headers()),
    ]
    for message in messages:
        with pytest.raises(LocalProtocolError):
            message.to_bytes()


def test_repr_is_short() -> None:
    assert repr(request(wire(*LINES))) == "<Request INVITE 'sip:102@10.0.0.1'>"
    assert repr(Response(200, "OK", Headers())) == "<Response 200 'OK'>"


# ------------------------------------------------------------------------------------------------ responses (8.2.6)


def test_8_2_6_2_response_copies_and_tags() -> None:
    received = request(changed(l1="Via: SIP/2.0/UDP a;branch=1\r\nv: SIP/2.0/UDP b\r\n ;x", l2="Timestamp: 54"))
    response = make_response(received, 180, to_tag="t9", headers=[("Contact", "<sip:s@h>")], body=b"")
    assert response.to_bytes() == (
        b"SIP/2.0 180 Ringing\r\n"
        b"Via: SIP/2.0/UDP a;branch=1\r\n"
        b"v: SIP/2.0/UDP b\r\n ;x\r\n"
        b'From: "Alice, A" <sip:101@10.0.0.1>;tag=a1\r\n'
        b"To: <sip:102@10.0.0.1>;tag=t9\r\n"
        b"Call-ID: c1@10.0.0.7\r\n"
        b"CSeq: 7 INVITE\r\n"
        b"Contact: <sip:s@h>\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("To: <sip:b@h>", "To: <sip:b@h>;tag=t9"),
        ("t: sip:b@h", "t: sip:b@h;tag=t9"),
        ("To: <sip:b@h>;", "To: <sip:b@h>;tag=t9"),
        ("To: <sip:b@h>\r\n ", "To: <sip:b@h>;tag=t9"),
        ("To: <sip:b@h;tag=no>", "To: <sip:b@h;tag=no>;tag=t9"),
        ('To: "x;tag=no" <sip:b@h>', 'To: "x;tag=no" <sip:b@h>;tag=t9'),
        ("To: <sip:b@h>;tag=there", "To: <sip:b@h>;tag=there"),
        ("To: <sip:b@h> ; TAG = there", "To: <sip:b@h> ; TAG = there"),
        ("To: <sip:b@h>;tag=", "To: <sip:b@h>;tag="),
        ('To: "broken <sip:b@h>', 'To: "broken <sip:b@h>'),
    ],
)
def test_8_2_6_2_to_tag_is_added_once(to: str, expected: str) -> None:
    response = make_response(request(changed(l4=to)), 200, to_tag="t9")
    assert response.headers.line("to") == expected


def test_8_2_6_1_timestamp_goes_into_100_only() -> None:
    received = request(changed(l7="Timestamp: 54\r\n  0.5"))
    assert make_response(received, 100).headers.line("timestamp") == "Timestamp: 54\r\n  0.5"
    assert "timestamp" not in make_response(received, 180).headers


def test_response_to_a_request_that_lacks_everything() -> None:
    response = make_response(request(b"OPTIONS sip:h SIP/2.0\r\nX-A: 1\r\n\r\n"), 400, to_tag="t")
    assert response.to_bytes() == b"SIP/2.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


def test_response_to_repeated_headers_is_itself_in_order() -> None:
    response = make_response(request(changed(l7="To: <sip:other@h>\r\nCSeq: 8 INVITE")), 400, to_tag="t")
    assert response.headers.names == ["via", "from", "to", "call-id", "cseq", "content-length"]
    assert (response.to.uri.user, response.to.tag, response.cseq.number) == ("102", "t", 7)


def test_reason_and_body() -> None:
    received = request(wire(*LINES))
    assert make_response(received, 404, "No such number").start_line == "SIP/2.0 404 No such number"
    assert {make_response(received, status).reason for status in REASON_PHRASES} == set(REASON_PHRASES.values())
    assert make_response(received, 299).start_line == "SIP/2.0 299 Unknown"
    with_body = make_response(received, 200, headers=[("Content-Type", "application/sdp")], body=b"v=0\r\n")
    parsed = parse_datagram(with_body.to_bytes())
    assert (parsed.body, parsed.content_type) == (b"v=0\r\n", "application/sdp")


def test_building_a_response_refuses_injection() -> None:
    received = request(wire(*LINES))
    with pytest.raises(LocalProtocolError):
        make_response(received, 404, "No\r\nX: y").to_bytes()
    with pytest.raises(LocalProtocolError):
        make_response(received, 404, headers=[("Warning", "399 h x\r\nX: y")])
    with pytest.raises(LocalProtocolError):
        make_response(received, 404, headers=[("X\r\nY", "z")])


def test_the_request_is_not_changed_by_its_response() -> None:
    received = request(wire(*LINES))
    response = make_response(received, 200, to_tag="t9")
    response.pop_via()
    response.headers.set("From", "x")
    assert received.to_bytes() == wire(*LINES)


# ------------------------------------------------------------------------------------------------ ACK and CANCEL


def sent_invite() -> Request:
    invite = request(changed(l7="Route: <sip:r1;lr>,\r\n <sip:r2;lr>\r\nRoute: <sip:r3;lr>\r\nRequire: 100rel"))
    invite.headers.push("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKours")
    return invite


def test_17_1_1_3_ack_for_a_non_2xx() -> None:
    invite = sent_invite()
    response = make_response(invite, 486, to_tag="callee")
    assert make_ack(invite, response).to_bytes() == (
        b"ACK sip:102@10.0.0.1 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKours\r\n"
        b"Route: <sip:r1;lr>,\r\n <sip:r2;lr>\r\n"
        b"Route: <sip:r3;lr>\r\n"
        b'From: "Alice, A" <sip:101@10.0.0.1>;tag=a1\r\n'
        b"Call-ID: c1@10.0.0.7\r\n"
        b"To: <sip:102@10.0.0.1>;tag=callee\r\n"
        b"CSeq: 7 ACK\r\n"
        b"Max-Forwards: 70\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_9_1_cancel() -> None:
    invite = sent_invite()
    cancel = make_cancel(invite)
    assert cancel.to_bytes() == (
        b"CANCEL sip:102@10.0.0.1 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKours\r\n"
        b"Route: <sip:r1;lr>,\r\n <sip:r2;lr>\r\n"
        b"Route: <sip:r3;lr>\r\n"
        b'From: "Alice, A" <sip:101@10.0.0.1>;tag=a1\r\n'
        b"Call-ID: c1@10.0.0.7\r\n"
        b"To: <sip:102@10.0.0.1>\r\n"
        b"CSeq: 7 CANCEL\r\n"
        b"Max-Forwards: 70\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    validate_request(cancel)


def test_ack_and_cancel_take_only_the_topmost_of_several_vias_on_a_line() -> None:
    invite = request(changed(l1="Via: SIP/2.0/UDP ours;branch=1, SIP/2.0/UDP phone;branch=2"))
    ack, cancel = make_ack(invite, make_response(invite, 486)), make_cancel(invite)
    assert ack.headers.get_all("via") == cancel.headers.get_all("via") == ["SIP/2.0/UDP ours;branch=1"]


def test_ack_for_a_response_without_to_has_none() -> None:
    response = make_response(sent_invite(), 486)
    response.headers.remove("to")
    assert "to" not in make_ack(sent_invite(), response).headers


def test_9_1_only_invite_is_cancelled() -> None:
    with pytest.raises(LocalProtocolError):
        make_cancel(request(changed(l0="BYE sip:h SIP/2.0", l6="CSeq: 7 BYE")))
