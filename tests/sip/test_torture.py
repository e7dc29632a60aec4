"""RFC 4475: every message of the RFC's own archive, with what becomes of it here and why.

The archive also holds `test.dat`, which the RFC's text does not mention.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

from sip.errors import HeaderError, ParseError
from sip.message import MalformedMessage, Request, Response, make_response, parse_datagram
from sip.stream import StreamParser
from sip.validation import validate_request, validate_response

CORPUS = Path(__file__).parent.parent / "data" / "torture"


class Outcome(Enum):
    VALID = "parses, is valid, every header the server reads can be read"
    HEADER_ERROR = "parses and is valid; the error shows when a Contact is read, which only a registrar does"
    VALIDATION_ERROR = "parses; validation says what is wrong"
    PARSE_ERROR = "the head was read, so that an answer can be sent"
    UNANSWERABLE = "no request that could be answered"


@dataclass(frozen=True, slots=True)
class Case:
    section: str
    outcome: Outcome
    status: int | None
    """Status of the error; for a response, which is dropped, of no consequence."""
    reason: str


VALID, HEADER, VALIDATION = Outcome.VALID, Outcome.HEADER_ERROR, Outcome.VALIDATION_ERROR
PARSE, UNANSWERABLE = Outcome.PARSE_ERROR, Outcome.UNANSWERABLE

CASES: dict[str, Case] = {
    "wsinv": Case("3.1.1.1", VALID, None, "folds, white space and mixed forms everywhere"),
    "intmeth": Case("3.1.1.2", VALID, None, "every legal character; the unknown method is the proxy's business"),
    "esc01": Case("3.1.1.3", VALID, None, "escapes are kept on the wire and resolved once when asked for"),
    "escnull": Case("3.1.1.4", VALID, None, "%00 neither ends a user part nor makes two contacts one"),
    "esc02": Case("3.1.1.5", VALID, None, "% in method, display name and header name is no escape"),
    "lwsdisp": Case("3.1.1.6", VALID, None, "no white space before <: a bug of the grammar, accepted"),
    "longreq": Case("3.1.1.7", VALID, None, "long values, 34 Vias in every spelling"),
    "dblreq": Case("3.1.1.8", VALID, None, "bytes after the body of a datagram are noise (18.3)"),
    "semiuri": Case("3.1.1.9", VALID, None, "parameters in the user part belong to the user part"),
    "transports": Case("3.1.1.10", VALID, None, "unknown transports in Via are tokens like any other"),
    "mpart01": Case("3.1.1.11", VALID, None, "a binary body is bytes"),
    "unreason": Case("3.1.1.12", VALID, None, "any UTF-8 in the reason phrase"),
    "noreason": Case("3.1.1.13", VALID, None, "the reason phrase may be empty"),
    "badinv01": Case("3.1.2.1", VALIDATION, 400, "empty Via parameters"),
    "clerr": Case("3.1.2.2", PARSE, 400, "Content-Length larger than the datagram; a stream would wait for the rest"),
    "ncl": Case("3.1.2.3", PARSE, 400, "negative Content-Length"),
    "scalar02": Case("3.1.2.4", VALIDATION, 400, "CSeq number too large"),
    "scalarlg": Case("3.1.2.5", VALIDATION, 400, "CSeq number of a response too large: dropped"),
    "quotbal": Case("3.1.2.6", VALIDATION, 400, "unterminated quoted string in To; no guess is made where it ends"),
    "ltgtruri": Case("3.1.2.7", VALIDATION, 400, "<> around the Request-URI; not guessed away"),
    "lwsruri": Case("3.1.2.8", PARSE, 400, "white space within the Request-URI"),
    "lwsstart": Case("3.1.2.9", PARSE, 400, "several spaces in the request line; rejecting is allowed and plain"),
    "trws": Case("3.1.2.10", PARSE, 400, "spaces at the end of the request line; likewise"),
    "escruri": Case("3.1.2.11", VALIDATION, 400, "headers in the Request-URI"),
    "baddate": Case("3.1.2.12", VALID, None, "Date is none of our business, so its time zone is not judged"),
    "regbadct": Case("3.1.2.13", HEADER, 400, "a Contact with a header part must stand in <>"),
    "badaspec": Case("3.1.2.14", VALIDATION, 400, "spaces within <> of To"),
    "baddn": Case(
        "3.1.2.15",
        PARSE,
        400,
        "the archive's copy lacks the empty line after the headers; with it, see the test of the display name below",
    ),
    "badvers": Case("3.1.2.16", PARSE, 505, "SIP/7.0"),
    "mismatch01": Case("3.1.2.17", VALIDATION, 400, "method and CSeq differ"),
    "mismatch02": Case("3.1.2.18", VALIDATION, 501, "method and CSeq differ, but the method is unknown anyway"),
    "bigcode": Case("3.1.2.19", UNANSWERABLE, 400, "a response code above 699: dropped"),
    "badbranch": Case("3.2.1", VALID, None, "a branch of nothing but the cookie is matched by the rules of RFC 2543"),
    "insuf": Case("3.3.1", VALIDATION, 400, "no Call-ID, From, To"),
    "unkscm": Case("3.3.2", VALIDATION, 416, "unknown scheme in the Request-URI"),
    "novelsc": Case("3.3.3", VALIDATION, 416, "a scheme that is known, but never to us"),
    "unksm2": Case("3.3.4", VALID, None, "other schemes in To, From, Contact parse; the registrar refuses them"),
    "bext01": Case("3.3.5", VALID, None, "420 is the answer of whoever reads Require and Proxy-Require"),
    "invut": Case("3.3.6", VALID, None, "a proxy passes any Content-Type on"),
    "regaut01": Case("3.3.7", VALID, None, "an unknown Authorization scheme is as good as none"),
    "multi01": Case("3.3.8", VALIDATION, 400, "several From, To, Call-ID, CSeq, Max-Forwards"),
    "mcl01": Case("3.3.9", PARSE, 400, "two Content-Lengths that differ"),
    "bcast": Case("3.3.10", VALID, None, "well-formed; responses follow transactions here, never the second Via"),
    "zeromf": Case("3.3.11", VALID, None, "Max-Forwards 0 is legal; 483 is the proxy's business"),
    "cparam01": Case("3.3.12", VALID, None, "without <> a parameter belongs to the header"),
    "cparam02": Case("3.3.13", VALID, None, "within <> a parameter belongs to the URI"),
    "regescrt": Case("3.3.14", VALID, None, "a Contact URI may carry headers when it stands in <>"),
    "sdp01": Case("3.3.15", VALID, None, "Accept is the callee's business, not a proxy's"),
    "inv2543": Case("3.4.1", VALID, None, "no branch, no tag, no Content-Length, no Max-Forwards"),
    "test": Case("not in the text", UNANSWERABLE, 400, "no SIP version in the first line: not meant for us"),
}


def load(name: str) -> bytes:
    return (CORPUS / f"{name}.dat").read_bytes()


def names(*outcomes: Outcome) -> list[str]:
    return [name for name, case in CASES.items() if case.outcome in outcomes]


def validate(message: Request | Response) -> None:
    if isinstance(message, Request):
        validate_request(message)
    else:
        validate_response(message)


def request(name: str) -> Request:
    message = parse_datagram(load(name))
    assert isinstance(message, Request)
    return message


def test_table_and_folder_agree() -> None:
    assert {path.stem for path in CORPUS.glob("*.dat")} == CASES.keys()
    assert len(CASES) == 50


@pytest.mark.parametrize("name", names(VALID))
def test_valid_message_can_be_read_throughout(name: str) -> None:
    message = parse_datagram(load(name))
    validate(message)
    assert message.via.host
    assert message.from_.uri.scheme
    assert message.to.uri.scheme
    assert message.cseq.method
    assert message.call_id
    assert len(message.contacts) == message.headers.count("contact")
    if isinstance(message, Request):
        assert message.uri.scheme in ("sip", "sips")
        assert len(message.routes) == message.headers.count("route")
        assert message.max_forwards is None or 0 <= message.max_forwards <= 255


@pytest.mark.parametrize("name", names(HEADER))
def test_header_error_shows_when_contact_is_read(name: str) -> None:
    message = parse_datagram(load(name))
    validate(message)
    with pytest.raises(HeaderError) as raised:
        _ = message.contacts
    assert (raised.value.status, raised.value.header) == (CASES[name].status, "Contact")


@pytest.mark.parametrize("name", names(VALIDATION))
def test_validation_error_has_its_status_and_can_be_answered(name: str) -> None:
    message = parse_datagram(load(name))
    with pytest.raises(ParseError) as raised:
        validate(message)
    assert raised.value.status == CASES[name].status
    if isinstance(message, Request):
        answer = make_response(message, raised.value.status, to_tag="t1").to_bytes()
        assert answer.startswith(f"SIP/2.0 {raised.value.status} ".encode())
        assert message.headers.get("via") in answer.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("name", names(PARSE))
def test_parse_error_has_its_status_and_can_be_answered(name: str) -> None:
    with pytest.raises(MalformedMessage) as raised:
        parse_datagram(load(name))
    assert raised.value.status == CASES[name].status
    bad = raised.value.message
    assert isinstance(bad, Request)
    answer = parse_datagram(make_response(bad, raised.value.status, to_tag="t1").to_bytes())
    assert isinstance(answer, Response)
    assert answer.call_id == bad.call_id
    assert answer.headers.get_all("via") == bad.headers.get_all("via")


@pytest.mark.parametrize("name", names(UNANSWERABLE))
def test_unanswerable_has_no_message(name: str) -> None:
    with pytest.raises(ParseError) as raised:
        parse_datagram(load(name))
    assert raised.value.status == CASES[name].status
    assert not isinstance(raised.value, MalformedMessage)


def expected_wire(name: str) -> bytes:
    data = load(name)
    if name == "dblreq":
        return data[: data.index(b"\r\n\r\n") + 4]
    if name == "inv2543":
        head, _, body = data.partition(b"\r\n\r\n")
        return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    return data


@pytest.mark.parametrize("name", names(VALID, HEADER, VALIDATION))
def test_what_parses_goes_out_byte_for_byte(name: str) -> None:
    message = parse_datagram(load(name))
    assert message.to_bytes() == expected_wire(name)
    for lazily_read in ("via", "from_", "to", "cseq", "contacts"):
        try:
            getattr(message, lazily_read)
        except HeaderError:
            assert CASES[name].outcome is not VALID
    assert message.to_bytes() == expected_wire(name), "reading a header must not change it"
    assert message.copy().to_bytes() == expected_wire(name)


@pytest.mark.parametrize("name", names(VALID, HEADER, VALIDATION))
def test_stream_byte_by_byte_gives_the_same_message(name: str) -> None:
    if name == "inv2543":
        with pytest.raises(MalformedMessage, match="Content-Length: missing"):
            StreamParser().feed(load(name))
        return
    data = expected_wire(name)
    parser = StreamParser()
    got = [item for at in range(len(data)) for item in parser.feed(data[at : at + 1])]
    assert [raw for _, raw in got] == [data]
    assert got[0][0].to_bytes() == data
    assert parser.buffered == 0


@pytest.mark.parametrize("name", [name for name in names(VALID, HEADER, VALIDATION) if name != "inv2543"])
def test_stream_keeps_what_follows_for_the_next_message(name: str) -> None:
    data = expected_wire(name)
    parser = StreamParser()
    got = parser.feed(data + data + b"OPTIONS sip:")
    assert [raw for _, raw in got] == [data, data]
    assert parser.buffered == len(b"OPTIONS sip:")


@pytest.mark.parametrize("name", ["ncl", "mcl01", "badvers", "lwsruri", "lwsstart", "trws", "bigcode", "test"])
def test_stream_refuses_what_a_datagram_refuses(name: str) -> None:
    with pytest.raises(ParseError) as raised:
        StreamParser().feed(load(name))
    assert raised.value.status == CASES[name].status


def test_stream_waits_for_the_rest_of_clerr() -> None:
    parser = StreamParser()
    assert parser.feed(load("clerr")) == []
    assert parser.buffered == len(load("clerr"))


# ------------------------------------------------------------------------------------------------ what they mean


def test_3_1_1_1_wsinv() -> None:
    message = request("wsinv")
    assert message.uri.parameter("unknownparam") == ""
    assert (message.to.uri.text, message.to.tag) == ("sip:vivekg@chair-dnrc.example.com", "1918181833n")
    assert (message.from_.display_name, message.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert (message.cseq.number, message.cseq.method, message.max_forwards) == (9, "INVITE", 68)
    assert (message.via.transport, message.via.host, message.via.branch) == ("UDP", "192.0.2.2", "390skdjuw")
    assert len(message.headers.values("via")) == 3
    assert message.headers.get("subject") == ""
    assert message.headers.get("newfangledheader") == "newfangled value continued newfangled value"
    assert message.headers.get("unknownheaderwithunusualvalue") == ";;,,;;,;"
    assert message.routes[0].uri.is_loose_router
    contact = message.contact
    assert contact is not None
    assert contact.display_name == 'Quoted string ""'
    assert contact.parameters == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert contact.q == 0.33


def test_3_1_1_1_wsinv_gives_up_its_vias_one_by_one() -> None:
    message = request("wsinv")
    hosts = []
    while "via" in message.headers:
        hosts.append(message.via.host)
        message.pop_via()
    assert hosts == ["192.0.2.2", "spindle.example.com", "192.168.255.111"]


def test_3_1_1_2_intmeth() -> None:
    message = request("intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.via.branch == "z9hG4bK-.!%66*_+`'~"
    assert message.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert message.from_.parameters["fromparam''~+*_!.-%"] == "работающий"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.headers.get("extensionheader-!.%*+_`'~") == "\ufeff大停電"


def test_3_1_1_3_esc01() -> None:
    message = request("esc01")
    assert (message.uri.host, message.uri.unescaped_user) == ("example.net", "sips:user@example.com")
    assert message.to.uri.number == "user"
    assert message.from_.uri.unescaped_user == "I have spaces"
    contact = message.contact
    assert contact is not None
    assert contact.uri.is_loose_router
    assert contact.uri.parameter("name") == "value%41"


def test_3_1_1_4_escnull() -> None:
    message = request("escnull")
    assert message.to.uri.number == "null-\x00-null"
    first, second = message.contacts
    assert (first.uri.unescaped_user, second.uri.unescaped_user) == ("\x00", "\x00\x00")
    assert not first.uri.same_as(second.uri)


def test_3_1_1_5_esc02() -> None:
    message = request("esc02")
    assert message.method == "RE%47IST%45R"
    assert message.to.display_name == "%Z%45"
    assert [contact.uri.user for contact in message.contacts] == ["alias1", "alias3"]
    assert "c%6fntact" in message.headers


def test_3_1_1_6_lwsdisp() -> None:
    assert request("lwsdisp").from_.display_name == "caller"


def test_3_1_1_7_longreq() -> None:
    message = request("longreq")
    assert message.to.uri.port == 6000
    assert message.headers.count("via") == 34
    assert message.from_.tag == "12" + "982" * 50 + "424"


def test_3_1_1_8_dblreq_ignores_the_noise() -> None:
    message = request("dblreq")
    assert (message.method, message.body) == ("REGISTER", b"")
    assert b"INVITE" not in message.to_bytes()


def test_3_1_1_9_semiuri() -> None:
    uri = request("semiuri").uri
    assert (uri.user, uri.unescaped_user, uri.number) == ("user;par=u%40example.net", "user;par=u@example.net", "user")
    assert request("semiuri").headers.values("accept")[-1] == "message/sipfrag"


def test_3_1_1_11_mpart01() -> None:
    message = request("mpart01")
    assert len(message.body) == 553
    assert b"\x00" in message.body


def test_3_1_1_12_and_13_reason_phrases() -> None:
    unusual, empty = parse_datagram(load("unreason")), parse_datagram(load("noreason"))
    assert isinstance(unusual, Response)
    assert isinstance(empty, Response)
    assert unusual.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert (empty.status, empty.reason) == (100, "")


def test_3_1_2_15_baddn_with_its_empty_line() -> None:
    message = parse_datagram(load("baddn") + b"\r\n")
    with pytest.raises(HeaderError, match="malformed address") as raised:
        validate(message)
    assert (raised.value.status, raised.value.header) == (400, "From")


def test_3_1_2_4_scalar02_expiries_are_limited() -> None:
    message = request("scalar02")
    contact = message.contact
    assert contact is not None
    assert contact.expires == message.expires == 2**32 - 1
    with pytest.raises(HeaderError, match="Max-Forwards"):
        _ = message.max_forwards


def test_3_3_4_unksm2() -> None:
    message = request("unksm2")
    assert (message.to.uri.scheme, message.from_.uri.scheme) == ("isbn", "http")
    assert message.contacts[0].uri.text == "name:John_Smith"


def test_3_3_5_bext01() -> None:
    message = request("bext01")
    assert message.option_tags("require") == ["nothingsupportsthis", "nothingsupportsthiseither"]
    assert message.option_tags("proxy-require") == ["noproxiessupportthis", "nordoanyproxiessupportthis"]


def test_3_3_12_to_14_whose_parameter_it_is() -> None:
    of_header, of_uri, escaped = (request(name).contacts[0] for name in ("cparam01", "cparam02", "regescrt"))
    assert "unknownparam" in of_header.parameters
    assert of_header.uri.parameters == ""
    assert of_uri.uri.parameter("unknownparam") == ""
    assert of_uri.parameters == {}
    assert escaped.uri.headers == "Route=%3Csip:sip.example.com%3E"


def test_3_4_1_inv2543() -> None:
    message = request("inv2543")
    assert (message.via.branch, message.from_.tag, message.max_forwards) == ("", None, None)
    assert message.to.parameters == {"user": "phone"}
    assert message.body.endswith(b"m=audio 49217 RTP/AVP 0\r\n")
