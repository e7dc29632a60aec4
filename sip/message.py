"""SIP messages: parse, change, serialise, and the messages derived from a request (RFC 3261 7, 8.2.6, 9.1,
17.1.1.3, 18.3).  Pure.

Parsing is structural only: start line, header names, body length.  What must be present is the business of
`validation`, because a 400 is built from the very message that lacks a header.

Text is UTF-8 with undecodable bytes kept as lone surrogates, so that every byte comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, Self

from sip.constants import MAX_FORWARDS, MAX_HEADER_LINES, MAX_MESSAGE_SIZE, METHODS, REASON_PHRASES
from sip.errors import HeaderError, LocalProtocolError, MessageTooLarge, ParseError
from sip.grammar import LINE_END, SIP_VERSION, STATUS_CODE, TOKEN
from sip.headers import CSeq, Headers, NameAddr, Via, checked_text, delta_seconds, parse_decimal
from sip.uri import Uri


class Message:
    """What requests and responses have in common.  Typed properties parse when first read and raise `HeaderError`
    when the header is missing or malformed; they are remembered until the header is changed through this class."""

    __slots__ = ("_cseq", "_from", "_to", "_via", "body", "headers")

    def __init__(self, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body
        self._via: Via | None = None
        self._from: NameAddr | None = None
        self._to: NameAddr | None = None
        self._cseq: CSeq | None = None

    # -------------------------------------------------------------------------------------------- reading

    @property
    def start_line(self) -> str:
        raise NotImplementedError

    @property
    def via(self) -> Via:
        """The topmost Via (20.42)."""
        if self._via is None:
            self._via = Via.parse(self.headers.first_value("via") or self._absent("via", "Via"))
        return self._via

    @property
    def from_(self) -> NameAddr:
        """20.20."""
        if self._from is None:
            self._from = self._address("from", "From")
        return self._from

    @property
    def to(self) -> NameAddr:
        """20.39."""
        if self._to is None:
            self._to = self._address("to", "To")
        return self._to

    @property
    def cseq(self) -> CSeq:
        """20.16."""
        if self._cseq is None:
            self._cseq = CSeq.parse(self.headers.get("cseq") or self._absent("cseq", "CSeq"))
        return self._cseq

    @property
    def call_id(self) -> str:
        """20.8."""
        return self.headers.get("call-id") or self._absent("call-id", "Call-ID")

    @property
    def contacts(self) -> list[NameAddr]:
        """Every Contact value but "*" (20.10)."""
        return [self._parsed("Contact", value) for value in self.headers.values("contact") if value != "*"]

    @property
    def contact(self) -> NameAddr | None:
        """The only or first Contact."""
        value = self.headers.first_value("contact")
        return None if value is None or value == "*" else self._parsed("Contact", value)

    @property
    def expires(self) -> int | None:
        """Expires in seconds (20.19)."""
        return delta_seconds(self.headers.get("expires"))

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

    def _absent(self, name: str, shown: str) -> NoReturn:
        raise HeaderError(shown, "empty" if name in self.headers else "missing")

    def _address(self, name: str, shown: str) -> NameAddr:
        value = self.headers.get(name) or self._absent(name, shown)
        try:
            return NameAddr.parse(value)
        except ParseError as error:
            raise HeaderError(shown, error.reason) from None

    @staticmethod
    def _parsed(shown: str, value: str) -> NameAddr:
        try:
            return NameAddr.parse(value)
        except ParseError as error:
            raise HeaderError(shown, error.reason) from None

    @property
    def size(self) -> int:
        """About as many bytes as on the wire."""
        return sum(map(len, self.headers.lines)) + len(self.body)

    # -------------------------------------------------------------------------------------------- changing

    def push_via(self, value: str) -> None:
        self.headers.push("Via", value)
        self._via = None

    def pop_via(self) -> None:
        """Remove the topmost Via (16.7 step 3)."""
        self.headers.pop_first_value("via")
        self._via = None

    def replace_top_via(self, value: str, parsed: Via | None = None) -> None:
        """`parsed` spares the next reader the parsing; it must be what `value` says."""
        self.headers.replace_first_value("via", value)
        self._via = parsed

    def set_body(self, body: bytes, content_type: str | None = None) -> None:
        """New body with the right Content-Length; the Content-Type changes only when given."""
        self.body = body
        if content_type is not None:
            self.headers.set("Content-Type", content_type)
        self.headers.set("Content-Length", str(len(body)))

    def copy(self) -> Self:
        raise NotImplementedError

    def _copy_state(self, other: Message) -> None:
        self._via, self._from, self._to, self._cseq = other._via, other._from, other._to, other._cseq

    # -------------------------------------------------------------------------------------------- writing

    def to_bytes(self) -> bytes:
        """Wire form.  A missing Content-Length is added: TCP needs it (18.3) and UDP does not mind."""
        headers = self.headers
        lines = headers.lines
        if "content-length" not in headers.names:
            lines = [*lines, f"Content-Length: {len(self.body)}"]
        text = f"{checked_text(self.start_line)}\r\n" + "\r\n".join(lines) + "\r\n\r\n"
        return text.encode("utf-8", "surrogateescape") + self.body


class Request(Message):
    """A request.  `uri_text` is the Request-URI as received; `uri` parses it."""

    __slots__ = ("_uri", "method", "uri_text")

    def __init__(self, method: str, uri_text: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri_text = uri_text
        self._uri: Uri | None = None

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
        value = self.headers.get("max-forwards")
        if value is None:
            return None
        number = parse_decimal(value)
        if number is None or number > 255:
            raise HeaderError("Max-Forwards", "must be a number from 0 to 255")
        return number

    @property
    def routes(self) -> list[NameAddr]:
        """20.34, topmost first."""
        return [self._parsed("Route", value) for value in self.headers.values("route")]

    def copy(self) -> Self:
        clone = type(self)(self.method, self.uri_text, self.headers.copy(), self.body)
        clone._copy_state(self)
        clone._uri = self._uri
        return clone


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason!r}>"

    @property
    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def copy(self) -> Self:
        clone = type(self)(self.status, self.reason, self.headers.copy(), self.body)
        clone._copy_state(self)
        return clone


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
    text = head.decode("utf-8", "surrogateescape")
    lines = text.split("\r\n")
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ParseError("CR or LF on its own inside the headers")
    start_line = lines.pop(0)
    if "\0" in start_line:
        raise ParseError("NUL in the start line")
    headers, fault = _read_headers(lines)
    read_start_line = _read_status_line if start_line[:4].upper() == "SIP/" else _read_request_line
    message = read_start_line(start_line, headers)
    if fault is not None:
        raise MalformedMessage(fault, message)
    return message


def _read_headers(lines: list[str]) -> tuple[Headers, ParseError | None]:
    """The headers, or those of them that can be read and what is wrong with the others."""
    fault: ParseError | None = None
    if len(lines) <= MAX_HEADER_LINES:
        try:
            return Headers.parse(lines), None
        except ParseError:
            pass  # A fold, most likely: no header name begins with white space.
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
    version, _, rest = start_line.partition(" ")
    status, _, reason = rest.partition(" ")
    if not SIP_VERSION.fullmatch(version) or not STATUS_CODE.fullmatch(status):
        raise ParseError("malformed status line")
    if version.upper() != "SIP/2.0":
        raise ParseError("SIP version is not 2.0", 505)
    return Response(int(status), reason, headers)


def content_length(message: Request | Response) -> int | None:
    """20.14; None when absent.  Raises `MalformedMessage` when it is no number or two lines differ."""
    headers = message.headers
    value = headers.get("content-length")
    if value is None:
        return None
    length = parse_decimal(value)
    if length is None or (headers.count("content-length") > 1 and set(headers.get_all("content-length")) != {value}):
        raise MalformedMessage(HeaderError("Content-Length", "must be one number"), message)
    return length


# ------------------------------------------------------------------------------------------------ derived messages

_COPIED = frozenset({"via", "from", "to", "call-id", "cseq"})


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
    names: list[str] = []
    indices: list[int] = []
    for index, name in enumerate(source.names):
        # Of a header that may stand only once the first is copied: the answer to a bad request is no bad response.
        if name in _COPIED and (name == "via" or name not in names):
            names.append(name)
            indices.append(index)
    lines, texts = source.lines, source.texts
    made = Headers([lines[index] for index in indices], names, [texts[index] for index in indices])
    if to_tag is not None and "to" in names and _lacks_tag(request):
        made.add_parameter("to", f"tag={to_tag}")
    if status == 100 and "timestamp" in source.names:
        made.copy_from(source, source.names.index("timestamp"))
    for name, value in headers:
        made.append(name, value)
    made.append("Content-Length", str(len(body)) if body else "0")
    return Response(status, reason or REASON_PHRASES.get(status, "Unknown"), made, body)


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
        for index, name in enumerate(source.names):
            if name == shared:
                made.copy_from(source, index)
    if "to" in to_source.names:
        made.copy_from(to_source, to_source.names.index("to"))
    made.append("CSeq", f"{invite.cseq.number} {method}")
    made.append("Max-Forwards", str(MAX_FORWARDS))
    made.append("Content-Length", "0")
    return Request(method, invite.uri_text, made)
