"""What a message must have (RFC 3261 8.1.1, 8.2, 16.3), and what is answered when it has not."""

from __future__ import annotations

import pytest

from sip.errors import HeaderError, ParseError
from sip.message import Request, Response, parse_datagram
from sip.validation import is_known_method, validate_request, validate_response

HEADERS = {
    "Via": "SIP/2.0/UDP h;branch=z9hG4bK1",
    "From": "<sip:a@h>;tag=1",
    "To": "<sip:b@h>",
    "Call-ID": "c1",
    "CSeq": "1 OPTIONS",
    "Max-Forwards": "70",
}


def message(start_line: str = "OPTIONS sip:b@h SIP/2.0", /, *extra: str, **values: str | None) -> Request | Response:
    """`values` by header name with "_" for "-"; None leaves the header out."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in values.items()}
    lines = [start_line, *(f"{name}: {value}" for name, value in headers.items() if value is not None), *extra]
    return parse_datagram(("\r\n".join(lines) + "\r\n\r\n").encode())


def refused(found: Request | Response) -> ParseError:
    with pytest.raises(ParseError) as raised:
        if isinstance(found, Request):
            validate_request(found)
        else:
            validate_response(found)
    return raised.value


def accepted(found: Request | Response) -> Request:
    assert isinstance(found, Request)
    validate_request(found)
    return found


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
@pytest.mark.parametrize("start_line", ["OPTIONS sip:b@h SIP/2.0", "SIP/2.0 200 OK"])
def test_8_1_1_mandatory_headers(start_line: str, name: str) -> None:
    for value, reason in ((None, "missing"), ("", "empty")):
        error = refused(message(start_line, **{name.replace("-", "_"): value}))
        assert isinstance(error, HeaderError)
        assert (error.status, error.header, str(error)) == (400, name, f"{name}: {reason}")


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards"])
def test_7_3_1_one_value_where_one_is_due(name: str) -> None:
    error = refused(message("OPTIONS sip:b@h SIP/2.0", f"{name}: {HEADERS[name]}"))
    assert isinstance(error, HeaderError)
    assert (error.status, error.header, str(error)) == (400, name, f"{name}: more than one")


def test_several_vias_and_repeated_other_headers_are_fine() -> None:
    found = message("OPTIONS sip:b@h SIP/2.0", "v: SIP/2.0/UDP i", "Allow: BYE", "Allow: ACK", "X: 1", "X: 2")
    assert accepted(found).headers.count("via") == 2


def test_afterwards_everything_can_be_read() -> None:
    found = accepted(message())
    assert (found.via.host, found.from_.tag, found.to.tag) == ("h", "1", None)
    assert (found.call_id, found.cseq.number, found.max_forwards, found.uri.number) == ("c1", 1, 70, "b")


def test_rfc2543_leaves_out_tag_branch_and_max_forwards() -> None:
    found = accepted(message(Via="SIP/2.0/UDP h", From="sip:a@h", Max_Forwards=None))
    assert (found.via.branch, found.from_.tag, found.max_forwards) == ("", None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", "SIP/2.0/UDP"),
        ("Via", "SIP/2.0/UDP h;;branch=1"),
        ("From", "<sip:a@h"),
        ("From", "<sip:a@h>;tag="),
        ("From", "<sip:a@h>;tag"),
        ("From", "a@h"),
        ("To", '"b <sip:b@h>'),
        ("To", "<sip:b@h>;tag="),
        ("To", "<sip:b@h>, <sip:c@h>"),
        ("CSeq", "x OPTIONS"),
        ("CSeq", "1 INVITE"),
        ("CSeq", "1 options"),
        ("CSeq", "2147483648 OPTIONS"),
        ("Call-ID", "a b"),
        ("Call-ID", "a\x00b"),
        ("Call-ID", "a\tb"),
        ("Max-Forwards", "300"),
        ("Max-Forwards", ""),
        ("Max-Forwards", "many"),
    ],
)
def test_malformed_value_is_400_and_named(name: str, value: str) -> None:
    error = refused(message(**{name.replace("-", "_"): value}))
    assert isinstance(error, HeaderError)
    assert (error.status, error.header) == (400, name)


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("<sip:b@h>", 400),
        ("sip:b@h?Route=x", 400),
        ("sip:b@h:0", 400),
        ("sip:b%@h", 400),
        ("b@h", 400),
        ("*", 400),
        ("http://h/", 416),
        ("urn:service:sos", 416),
        ("nobodyKnowsThisScheme:x", 416),
    ],
)
def test_8_2_2_1_request_uri(uri: str, status: int) -> None:
    assert refused(message(f"OPTIONS {uri} SIP/2.0")).status == status


@pytest.mark.parametrize("uri", ["sip:h", "SIP:b@h;x", "sips:b@h", "tel:101;phone-context=h", "sip:b@[::1]:5070"])
def test_8_2_2_1_request_uri_accepted(uri: str) -> None:
    assert accepted(message(f"OPTIONS {uri} SIP/2.0")).uri.text == uri


def test_what_is_quoted_from_the_request_in_a_reason_phrase_is_short() -> None:
    error = refused(message(f"OPTIONS {'a' * 9000}:x SIP/2.0"))
    assert (error.status, len(error.reason) < 100) == (416, True)


def test_cseq_mismatch_of_an_unknown_method_is_501() -> None:
    assert refused(message("NEWMETHOD sip:b@h SIP/2.0")).status == 501
    assert accepted(message("NEWMETHOD sip:b@h SIP/2.0", CSeq="1 NEWMETHOD")).method == "NEWMETHOD"


def test_response_needs_no_max_forwards_and_any_cseq_method() -> None:
    found = message("SIP/2.0 200 OK", CSeq="1 INVITE", Max_Forwards=None)
    assert isinstance(found, Response)
    validate_response(found)


@pytest.mark.parametrize("value", ["9292394834772304023312 OPTIONS", "1"])
def test_8_1_3_bad_response_is_refused(value: str) -> None:
    assert refused(message("SIP/2.0 503 x", CSeq=value)).status == 400


@pytest.mark.parametrize(("method", "known"), [("INVITE", True), ("invite", False), ("PRACK", True), ("X", False)])
def test_7_1_methods_are_case_sensitive(method: str, known: bool) -> None:
    assert is_known_method(method) is known
