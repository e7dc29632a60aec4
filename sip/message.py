"""SIP messages: parse, change, serialise, and the messages derived from a request (RFC 3261 7, 8.2.6, 9.1,
17.1.1.3, 18.3).  Pure.

Parsing is structural only: start line, header names, body length.  What must be present is the business of
`validation`, because a 400 is built from the very message that lacks a header.

Text is UTF-8 with undecodable bytes kept as lone surrogates, so that every byte comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NoReturn

from sip.constants import MAX_FORWARDS, MAX_HEADER_LINES, MAX_MESSAGE_SIZE, METHODS, REASON_PHRASES
from sip.errors import HeaderError, LocalProtocolError, MessageTooLarge, ParseError
from sip.grammar import LINE_END, SIP_VERSION, STATUS_CODE, TOKEN
from sip.headers import (
    CSeq,
    Field,
    Headers,
    NameAddr,
    Via,
    checked_text,
    delta_seconds,
    first_value,
    own_line,
    parse_decimal,
    read_once,
    split_commas,
)
from sip.uri import Uri

_ABSENT = Field("", "", "")
"""Stands for a header that is not there."""


def _parsed(shown: str, value: str) -> NameAddr:
    try:
        return NameAddr.parse(value)
    except ParseError as error:
        raise HeaderError(shown, error.reason) from None


def _addresses(shown: str, field: Field) -> list[NameAddr]:
    """Every value of a line."""
    addresses: list[NameAddr] | None = field.parsed
    if addresses is None:
        values = split_commas(field.value)
        addresses = field.parsed = [_parsed(shown, value) for value in values if value]
    return addresses


class Message:
    """What requests and responses have in common.  Typed properties parse when first read and raise `HeaderError`
    when the header is missing or malformed; what they found stays with the line (`Field.parsed`)."""

    __slots__ = ("body", "headers")

    headers: Headers
    body: bytes

    # -------------------------------------------------------------------------------------------- reading

    @property
    def start_line(self) -> str:
        raise NotImplementedError

    @property
    def via(self) -> Via:
        """The topmost Via (20.42)."""
        via: Via = self.headers.first.get("via", _ABSENT).parsed or self._read_via()
        return via

    @property
    def from_(self) -> NameAddr:
        """20.20."""
        address: NameAddr = self.headers.first.get("from", _ABSENT).parsed or self._read_address("from", "From")
        return address

    @property
    def to(self) -> NameAddr:
        """20.39."""
        address: NameAddr = self.headers.first.get("to", _ABSENT).parsed or self._read_address("to", "To")
        return address

    @property
    def cseq(self) -> CSeq:
        """20.16."""
        cseq: CSeq = self.headers.first.get("cseq", _ABSENT).parsed or self._read_cseq()
        return cseq

    @property
    def call_id(self) -> str:
        """20.8."""
        return self.headers.first.get("call-id", _ABSENT).value or self._absent("call-id", "Call-ID")

    @property
    def contacts(self) -> list[NameAddr]:
        """Every Contact value but "*" (20.10)."""
        return [_parsed("Contact", value) for value in self.headers.values("contact") if value != "*"]

    @property
    def contact(self) -> NameAddr | None:
        """The only or first Contact."""
        field = self.headers.first.get("contact")
        if field is None:
            return None
        contact: NameAddr | None = field.parsed
        if contact is None:
            value = first_value(field.value)
            contact = field.parsed = None if value == "*" else _parsed("Contact", value)
        return contact

    @property
    def expires(self) -> int | None:
        """Expires in seconds (20.19)."""
        field = self.headers.first.get("expires")
        if field is None:
            return None
        seconds: int | None = field.parsed
        if seconds is None:
            seconds = field.parsed = delta_seconds(field.value)
        return seconds

    @property
    def content_type(self) -> str:
        """Media type in lower case without parameters; "" when absent (20.15)."""
        return (self.headers.get("content-type") or "").partition(";")[0].strip().lower()

    @property
    def user_agent(self) -> str:
        """User-Agent of a request, Server of a response (20.41, 20.35)."""
        return self.headers.get("user-agent") or self.headers.get("server") or ""

    def option_tags(self, name: str) -> list[str]:
        """Tags of Require, Proxy-Require, Supported or Unsupported, in lower case (20.32)."""
        return [tag.lower() for tag in self.headers.values(name)]

    def _read_via(self) -> Via:
        field = self._present("via", "Via")
        field.parsed = via = Via.parse(first_value(field.value) or self._absent("via", "Via"))
        return via

    def _read_address(self, name: str, shown: str) -> NameAddr:
        field = self._present(name, shown)
        field.parsed = address = _parsed(shown, field.value)
        return address

    def _read_cseq(self) -> CSeq:
        field = self._present("cseq", "CSeq")
        field.parsed = cseq = CSeq.parse(field.value)
        return cseq

    def _present(self, name: str, shown: str) -> Field:
        field = self.headers.first.get(name)
        if field is None or not field.value:
            self._absent(name, shown)
        return field

    def _absent(self, name: str, shown: str) -> NoReturn:
        raise HeaderError(shown, "empty" if name in self.headers else "missing")

    @property
    def size(self) -> int:
        """About as many bytes as on the wire."""
        return sum([len(field.line) for field in self.headers.fields]) + len(self.body)

    # -------------------------------------------------------------------------------------------- changing

    def pop_via(self) -> None:
        """Remove the topmost Via (16.7 step 3)."""
        self.headers.pop_first_value("via")

    def replace_top_via(self, value: str, parsed: Via | None = None) -> None:
        """`parsed` spares the next reader the parsing; it must be what `value` says."""
        self.headers.replace_first_value("via", value, parsed)

    def set_body(self, body: bytes, content_type: str | None = None) -> None:
        """New body with the right Content-Length; the Content-Type changes only when given."""
        self.body = body
        if content_type is not None:
            self.headers.set("Content-Type", content_type)
        self.headers.set("Content-Length", str(len(body)))

    def copy(self) -> Message:
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- writing

    def to_bytes(self) -> bytes:
        """Wire form.  A missing Content-Length is added: TCP needs it (18.3) and UDP does not mind."""
        headers = self.headers
        lines = [checked_text(self.start_line), *[field.line for field in headers.fields]]
        if "content-length" not in headers.first:
            lines.append(f"Content-Length: {len(self.body)}")
        lines.append("\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


class Request(Message):
    """A request.  `uri_text` is the Request-URI as received; `uri` parses it."""

    __slots__ = ("_uri", "method", "uri_text")

    def __init__(self, method: str, uri_text: str, headers: Headers, body: bytes = b"", uri: Uri | None = None) -> None:
        """`uri` is what `uri_text` says, where it was read already."""
        self.headers = headers
        self.body = body
        self.method = method
        self.uri_text = uri_text
        self._uri = uri

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri_text!r}>"

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri_text} SIP/2.0"

    @property
    def uri(self) -> Uri:
        """Raises `ParseError` 400 when malformed."""
        if self._uri is None:
            self._uri = Uri.parse(self.uri_text)
        return self._uri

    def set_uri(self, uri: Uri) -> None:
        self.uri_text = uri.text
        self._uri = uri

    @property
    def max_forwards(self) -> int | None:
        """20.22; None when absent."""
        field = self.headers.first.get("max-forwards")
        if field is None:
            return None
        number: int | None = field.parsed
        if number is None:
            number = field.parsed = parse_decimal(field.value)
            if number is None or number > 255:
                field.parsed = None
                raise HeaderError("Max-Forwards", "must be a number from 0 to 255")
        return number

    @property
    def routes(self) -> list[NameAddr]:
        """20.34, topmost first."""
        return [route for field in self.headers.all("route") for route in _addresses("Route", field)]

    def copy(self) -> Request:
        return Request(self.method, self.uri_text, self.headers.copy(), self.body, self._uri)


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason!r}>"

    @property
    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def copy(self) -> Response:
        return Response(self.status, self.reason, self.headers.copy(), self.body)


# ------------------------------------------------------------------------------------------------ parsing


def parse_datagram(data: bytes) -> Request | Response:
    """One message from one UDP datagram.  Bytes past Content-Length are dropped, fewer are an error (18.3).

    Raises `ParseError`.  When what came can be answered, the error is a `MalformedMessage`, which carries the request.
    """
    if len(data) > MAX_MESSAGE_SIZE:
        raise MessageTooLarge(f"message of more than {MAX_MESSAGE_SIZE} bytes")
    # 7.5: line ends before the start line are ignored.
    head, empty_line, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not empty_line:
        message = parse_head(head.removesuffix(b"\r\n"))
        raise MalformedMessage(ParseError("no empty line after the headers"), message)
    message = parse_head(head)
    length = content_length(message)
    if length is not None and length != len(body):
        if length > len(body):
            raise MalformedMessage(HeaderError("Content-Length", f"says {length} bytes, {len(body)} came"), message)
        body = body[:length]
    message.body = body
    return message


class MalformedMessage(ParseError):
    """Enough was read to answer; `message` is what there is to build the answer from, without its unreadable lines."""

    def __init__(self, error: ParseError, message: Request | Response) -> None:
        super().__init__(error.reason, error.status)
        self.message = message


def parse_head(head: bytes) -> Request | Response:
    """Start line and headers, without the empty line; the body is left empty."""
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    start_line = lines.pop(0)
    if "\n" in start_line or "\r" in start_line or "\0" in start_line:
        raise ParseError("CR, LF or NUL in the start line")
    read_start_line = _read_status_line if start_line[:4].upper() == "SIP/" else _read_request_line
    if len(lines) <= MAX_HEADER_LINES:
        try:
            headers = Headers.parse(lines, read_once if start_line[:9] == "REGISTER " else None)
        except ParseError:
            pass  # A fold, most likely: no header name begins with white space.
        else:
            return read_start_line(start_line, headers)
    headers, fault = _read_lines(lines)
    message = read_start_line(start_line, headers)
    if fault is not None:
        raise MalformedMessage(fault, message)
    return message


def _read_lines(lines: list[str]) -> tuple[Headers, ParseError | None]:
    """The headers that can be read, folded ones too, and what is wrong with the others."""
    if any("\n" in line or "\r" in line for line in lines):
        raise ParseError("CR or LF on its own inside the headers")
    fault: ParseError | None = None
    lines = LINE_END.split("\r\n".join(lines))
    if len(lines) > MAX_HEADER_LINES:
        fault = MessageTooLarge(f"more than {MAX_HEADER_LINES} header lines")
    headers = Headers()
    for line in lines[:MAX_HEADER_LINES]:
        try:
            headers.append_line(line)
        except ParseError as error:
            fault = fault or error
    return headers, fault


def _read_request_line(start_line: str, headers: Headers) -> Request:
    words = start_line.split(" ")
    if len(words) == 3 and words[2] == "SIP/2.0" and (words[0] in METHODS or TOKEN.fullmatch(words[0])):
        return Request(words[0], words[1], headers)
    # Not what 7.1 wants; when it's meant to be a request, its sender is told so.
    words = [word for word in start_line.replace("\t", " ").split(" ") if word]
    if len(words) < 3 or not TOKEN.fullmatch(words[0]) or not SIP_VERSION.fullmatch(words[-1]):
        raise ParseError("malformed request line")
    request = Request(words[0], " ".join(words[1:-1]), headers)
    if words[-1].upper() != "SIP/2.0":
        raise MalformedMessage(ParseError("SIP version is not 2.0", 505), request)
    if len(words) != 3 or start_line != " ".join(words):
        raise MalformedMessage(ParseError("white space in the request line"), request)
    return request


def _read_status_line(start_line: str, headers: Headers) -> Response:
    known = _known_status_line if len(start_line) <= _CACHEABLE_LENGTH else _parse_status_line
    status, reason = known(start_line)
    return Response(status, reason, headers)


def _parse_status_line(start_line: str) -> tuple[int, str]:
    version, _, rest = start_line.partition(" ")
    status, _, reason = rest.partition(" ")
    if not SIP_VERSION.fullmatch(version) or not STATUS_CODE.fullmatch(status):
        raise ParseError("malformed status line")
    if version.upper() != "SIP/2.0":
        raise ParseError("SIP version is not 2.0", 505)
    return int(status), reason


_CACHEABLE_LENGTH = 80
_known_status_line = lru_cache(maxsize=128)(_parse_status_line)


def content_length(message: Request | Response) -> int | None:
    """20.14; None when absent.  Raises `MalformedMessage` when it is no number or two lines differ."""
    headers = message.headers
    field = headers.first.get("content-length")
    if field is None:
        return None
    length: int | None = field.parsed
    if length is None:
        length = field.parsed = parse_decimal(field.value)
    if length is None or (
        len(headers.first) < len(headers.fields)
        and headers.count("content-length") > 1
        and set(headers.get_all("content-length")) != {field.value}
    ):
        raise MalformedMessage(HeaderError("Content-Length", "must be one number"), message)
    return length


# ------------------------------------------------------------------------------------------------ derived messages

_COPIED = ("via", "from", "to", "call-id", "cseq")


class Answer(Response):
    """A response of our own, as the lines it goes out with.  Its headers are read when somebody asks for them; most are
    sent and forgotten."""

    __slots__ = ("_headers", "_lines")

    def __init__(self, status: int, reason: str, lines: list[str], body: bytes) -> None:
        self.status = status
        self.reason = reason
        self.body = body
        self._lines = lines
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = Headers.parse(self._lines)
        return self._headers

    @headers.setter
    def headers(self, headers: Headers) -> None:
        self._headers = headers

    def to_bytes(self) -> bytes:
        if self._headers is not None:
            return super().to_bytes()
        text = "\r\n".join([checked_text(self.start_line), *self._lines, "\r\n"])
        return text.encode("utf-8", "surrogateescape") + self.body


def make_response(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> Response:
    """A response by 8.2.6: Via, From, To, Call-ID and CSeq as received (absent ones stay absent), `to_tag` added
    when the request had none, then `headers`."""
    source = request.headers
    first = source.first
    lines = [first[name].line for name in _COPIED if name in first]
    if to_tag is not None and "to" in first and _lacks_tag(request):
        lines[lines.index(first["to"].line)] = first["to"].line_with(f"tag={to_tag}")
    # Of a header that may stand only once the first is copied: the answer to a bad request is no bad response.
    if len(first) < len(source.fields):
        lines[:1] = [field.line for field in source.all("via")] or lines[:1]
    if status == 100 and "timestamp" in first:
        lines.append(first["timestamp"].line)
    for name, value in headers:
        lines.append(own_line(name, value))
    lines.append(f"Content-Length: {len(body)}")
    return Answer(status, reason or REASON_PHRASES.get(status, "Unknown"), lines, body)


def _lacks_tag(request: Request) -> bool:
    try:
        return "tag" not in request.to.parameters
    except ParseError:
        return False


def make_ack(invite: Request, response: Response) -> Request:
    """ACK for a non-2xx final response (17.1.1.3): hop by hop, with the INVITE's topmost Via and its Route."""
    return _hop_by_hop(invite, "ACK", response.headers)


def make_cancel(invite: Request) -> Request:
    """CANCEL for an INVITE of ours (9.1): same Request-URI, topmost Via, Route, From, To, Call-ID, CSeq number."""
    if invite.method != "INVITE":
        raise LocalProtocolError("only INVITE is cancelled")
    return _hop_by_hop(invite, "CANCEL", invite.headers)


def _hop_by_hop(invite: Request, method: str, to_source: Headers) -> Request:
    source = invite.headers
    made = Headers()
    made.append("Via", source.first_value("via") or "")
    for shared in ("route", "from", "call-id"):
        for field in source.all(shared):
            made.append_field(field)
    if "to" in to_source.first:
        made.append_field(to_source.first["to"])
    made.append("CSeq", f"{invite.cseq.number} {method}")
    made.append("Max-Forwards", str(MAX_FORWARDS))
    made.append("Content-Length", "0")
    return Request(method, invite.uri_text, made)
