"""The values inside headers, one kind each."""

from __future__ import annotations

import re
from contextlib import suppress

from sip.contact_rules import contact_fault
from sip.credentials import Credentials
from sip.digest import DigestAnswer, find_answer
from sip.errors import HeaderError, ParseError
from sip.flow import Flow, behind_nat, response_flow, stamp_via
from sip.grammar import PARAMETERS
from sip.headers import CSeq, Headers, NameAddr, Via, delta_seconds, parse_decimal, parse_parameters, split_commas
from sip.message import Request, content_length, make_response
from sip.nonces import Nonces
from sip.routing import Identity, prepare_strict_route, remove_own_routes, split_record_route
from sip.uri import Uri
from sip.validation import validate_request

FLOWS = (
    Flow("UDP", "10.0.0.1", 5060, "10.0.0.7", 41_000),
    Flow("UDP", "2001:db8::1", 5060, "2001:db8::9:1", 5060),
    Flow("TCP", "10.0.0.1", 5060, "10.0.0.7", 41_000, 3),
)


def text_of(data: bytes) -> str:
    """As it stands in a header: bytes that are no UTF-8 kept, line ends gone."""
    return data.replace(b"\r", b" ").replace(b"\n", b" ").decode("utf-8", "surrogateescape")


def lines_of(data: bytes) -> list[str]:
    return [text_of(line) for line in data.split(b"\n")]


def request(*headers: tuple[str, str]) -> Request:
    """With header lines as they come from the network, NUL and all."""
    store = Headers()
    for name, value in headers:
        store.append_line(f"{name}: {value}")
    return Request("OPTIONS", "sip:101@10.0.0.1", store)


# ------------------------------------------------------------------------------------------------ URIs


def check_uri(data: bytes) -> None:
    """Up to two URIs, one a line."""
    uris = []
    for text in lines_of(data)[:2]:
        with suppress(ParseError):
            uris.append(Uri.parse(text))
            check_one_uri(text, uris[-1])
    for uri in uris:
        for other in uris:
            assert uri.same_as(other) == other.same_as(uri), "the comparison of 19.1.4 is symmetric"


def check_one_uri(text: str, uri: Uri) -> None:
    assert str(uri) == text
    assert Uri.parse(str(uri)) == uri
    assert uri.same_as(uri)
    assert 0 < uri.effective_port < 65_536
    for part in (uri.number, uri.unescaped_user):
        part.encode("utf-8", "surrogateescape")
    assert uri.is_loose_router == (uri.parameter("lr") is not None)
    if uri.is_sip and uri.password is None and not uri.headers:
        rebuilt = Uri.sip(uri.user, uri.host, uri.port, uri.parameters)
        assert rebuilt._replace(scheme=uri.scheme, text=text) == uri


# ------------------------------------------------------------------------------------------------ Via


def check_via(data: bytes) -> None:
    """The stamp of 18.2.1 changes nothing but `received` and `rport`, and is the same the second time."""
    text = text_of(data).strip(" \t")
    try:
        via = Via.parse(text)
    except HeaderError:
        return
    assert (via.branch, via.received) == (via.parameters.get("branch") or "", via.parameters.get("received"))
    assert via.rport is None or 0 < via.rport < 65_536
    for flow in FLOWS:
        check_stamp(text, via, flow)


def check_stamp(text: str, via: Via, flow: Flow) -> None:
    message = request(("Via", text))
    if message.headers.first_value("via") != text:
        return  # Several values, or none.
    stamp_via(message, flow)
    stamped = message.via
    value = message.headers.first_value("via") or ""
    assert Via.parse(value) == stamped, "the Via is remembered otherwise than it was written"
    assert stamped[:3] == via[:3]
    own = {"received", "rport"}
    assert {name: item for name, item in stamped.parameters.items() if name not in own} == {
        name: item for name, item in via.parameters.items() if name not in own
    }
    assert stamped.received in (None, flow.remote_host)
    if "rport" in via.parameters:
        assert (stamped.received, stamped.rport) == (flow.remote_host, flow.remote_port)
    stamp_via(message, flow)
    assert message.headers.first_value("via") == value, "stamped twice is stamped once"
    behind_nat(stamped, flow)
    assert 0 < response_flow(stamped, flow).remote_port < 65_536


# ------------------------------------------------------------------------------------------------ addresses


def check_address(data: bytes) -> None:
    """From, To, Contact, Route and their like."""
    text = text_of(data).strip(" \t")
    try:
        address = NameAddr.parse(text)
    except ParseError:
        return
    assert address.tag is None or address.tag == address.parameters["tag"]
    assert address.expires is None or 0 <= address.expires < 2**32
    assert 0.0 <= address.q <= 1.0
    check_one_uri(address.uri.text, address.uri)
    for flow in FLOWS:
        contact_fault(address.uri, flow, is_own)
    # With anything in the list beside it, it is one item still (7.3.1).
    assert split_commas(f"{text}, <sip:x@h>;q=0.5") == [text, "<sip:x@h>;q=0.5"]
    message = request(("To", text), ("Contact", f"{text},<sip:x@h>"))
    assert message.contact == address
    assert message.headers.values("contact")[1:] == ["<sip:x@h>"]
    answered = make_response(message, 400, to_tag="ours")
    expected = address.parameters if "tag" in address.parameters else {**address.parameters, "tag": "ours"}
    assert answered.to == address._replace(parameters=expected, tag=expected["tag"] or None)


def check_routes(data: bytes) -> None:
    """Route sets: lists of addresses over several lines, taken apart value by value."""
    lines = lines_of(data)[:8]
    message = request(("From", "<sip:100@office.example>;tag=1"), *(("Route", line) for line in lines))
    check_list(message.headers)
    split_record_route(message.headers.values("route"), IDENTITY)
    try:
        routes = message.routes
    except ParseError:
        return
    for uri in (message.uri, Uri.parse("sip:10.0.0.1;lr")):
        ahead = message.copy()
        ahead.set_uri(uri)
        remove_own_routes(ahead, IDENTITY)
        assert len(ahead.routes) <= len(routes)
        ahead.to_bytes()
    strict = message.copy()
    prepare_strict_route(strict)
    if routes and not routes[0].uri.is_loose_router:
        assert strict.uri == routes[0].uri
        assert strict.routes[-1].uri == message.uri
        assert strict.routes[:-1] == routes[1:]


def is_own(host: str, port: int) -> bool:
    return host == "10.0.0.1" and port == 5060


IDENTITY = Identity(is_own)


def check_list(headers: Headers) -> None:
    """Taking values off the top one by one gives the values of the whole."""
    values = headers.values("route")
    replaced = headers.copy()
    if values and headers.values("route")[:1] == [headers.first_value("route")]:
        replaced.replace_first_value("route", "<sip:new@h>")
        assert replaced.values("route") == ["<sip:new@h>", *values[1:]]
    taken = headers.copy()
    for index in range(len(values)):
        taken.pop_first_value("route")
        assert taken.values("route") == values[index + 1 :]
    assert not values or "route" not in taken


# ------------------------------------------------------------------------------------------------ small ones


def check_cseq(data: bytes) -> None:
    text = text_of(data).strip(" \t")
    try:
        cseq = CSeq.parse(text)
    except HeaderError:
        return
    assert 0 <= cseq.number < 2**31
    assert CSeq.parse(str(cseq)) == cseq


def check_parameters(data: bytes) -> None:
    """Written anew, all values quoted, they are read as the same."""
    text = text_of(data)
    parameters = parse_parameters(text)
    if not PARAMETERS.fullmatch(text):
        return
    assert all(name and name == name.lower() for name in parameters)
    written = "".join(f";{name}" if value is None else f";{name}={quoted(value)}" for name, value in parameters.items())
    assert PARAMETERS.fullmatch(written)
    assert parse_parameters(written) == parameters


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def check_number(data: bytes) -> None:
    """Numbers wherever they stand, against what they mean."""
    text = text_of(data).strip(" \t")
    number = parse_decimal(text)
    expected = min(int(text), 10**20) if re.fullmatch("[0-9]{1,4000}", text) else None
    if len(text) <= 4000:
        assert number == expected
    seconds = delta_seconds(text)
    assert seconds is None or 0 <= seconds < 2**32
    message = request(("Content-Length", text), ("Expires", text), ("Max-Forwards", text))
    assert message.expires == seconds
    with suppress(ParseError):
        assert content_length(message) == number
    with suppress(ParseError):
        assert 0 <= (message.max_forwards or 0) <= 255


# ------------------------------------------------------------------------------------------------ credentials

REALM = "sipserver"
_NONCES = Nonces(b"secret of the fuzzer")
_CREDENTIALS = Credentials(REALM)


def check_digest(data: bytes) -> None:
    """Credentials, one header line for each line of the input; those that can be used are read back the same."""
    headers = Headers()
    for line in lines_of(data)[:8]:
        headers.append_line(f"Authorization: {line}")
    try:
        answer = find_answer(headers, "authorization", REALM)
    except HeaderError as error:
        assert error.reason.isascii(), error
        return
    if answer is None:
        return
    assert 0 <= answer.count < 2**32
    assert not _CREDENTIALS.accepts(answer, "REGISTER")
    assert not _NONCES.is_fresh(answer.nonce, "10.0.0.7", 1_000.0)
    assert not _NONCES.use(answer.nonce, answer.count, "10.0.0.7", 1_000.0)
    again = Headers()
    again.append("Authorization", written(answer))
    assert find_answer(again, "authorization", REALM) == answer


def written(answer: DigestAnswer) -> str:
    """In the form of RFC 7616 3.4."""
    strings = {name: getattr(answer, name) for name in ("username", "realm", "nonce", "uri", "response", "cnonce")}
    items = ", ".join(f"{name}={quoted(value)}" for name, value in strings.items())
    return f"Digest {items}, qop=auth, nc={answer.nc}, algorithm={answer.algorithm}"


# ------------------------------------------------------------------------------------------------ validation


def check_required(data: bytes) -> None:
    """From, To, Call-ID, CSeq and Via as the lines of the input: after `validate_request` all can be read."""
    names = ("From", "To", "Call-ID", "CSeq", "Via", "Max-Forwards")
    lines = lines_of(data)
    message = request(*((name, line) for name, line in zip(names, lines, strict=False)))
    try:
        validate_request(message)
    except ParseError as error:
        assert 400 <= error.status < 600
        assert error.reason.isascii(), error
        return
    _ = message.via, message.from_, message.to, message.cseq, message.call_id, message.max_forwards, message.uri.number
