"""SIP messages: parse, change, serialise, and the messages derived from a request (RFC 3261 7, 8.2.6, 9.1,
17.1.1.3, 18.3).  Pure.

Parsing is structural only: start line, header names, body length.  What must be present is the business of
`validation`, because a 400 is built from the very message that lacks a header.

Text is UTF-8 with undecodable bytes kept as lone surrogates, so that every byte comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from sip.constants import MAX_HEADER_LINES, MAX_MESSAGE_SIZE, REASON_PHRASES
from sip.errors import HeaderError, LocalProtocolError, MessageTooLarge, ParseError
from sip.grammar import DIGITS, SIP_VERSION, STATUS_CODE, TOKEN
from sip.headers import CSeq, Headers, NameAddr, Via, delta_seconds
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
            self._via = Via.parse(self._required("via", "Via", self.headers.first_value("via")))
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
            self._cseq = CSeq.parse(self._required("cseq", "CSeq", self.headers.get("cseq")))
        return self._cseq

    @property
    def call_id(self) -> str:
        """20.8."""
        return self._required("call-id", "Call-ID", self.headers.get("call-id"))

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

    def _required(self, name: str, shown: str, value: str | None) -> str:
        if not value:
            raise HeaderError(shown, "empty" if name in self.headers else "missing")
        return value

    def _address(self, name: str, shown: str) -> NameAddr:
        return self._parsed(shown, self._required(name, shown, self.headers.get(name)))

    @staticmethod
    def _parsed(shown: str, value: str) -> NameAddr:
        try:
            return NameAddr.parse(value)
        except ParseError as error:
            raise HeaderError(shown, error.reason) from None

    # -------------------------------------------------------------------------------------------- changing

    def push_via(self, value: str) -> None:
        self.headers.push("Via", value)
        self._via = None

    def pop_via(self) -> None:
        """Remove the topmost Via (16.7 step 3)."""
        self.headers.pop_first_value("via")
        self._via = None

    def replace_top_via(self, value: str) -> None:
        self.headers.replace_first_value("via", value)
        self._via = None

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
        length = "" if "content-length" in headers.names else f"\r\nContent-Length: {len(self.body)}"
        text = f"{self.start_line}\r\n" + "\r\n".join(headers.lines) + f"{length}\r\n\r\n"
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
        if not DIGITS.fullmatch(value) or len(value) > 3 or int(value) > 255:
            raise HeaderError("Max-Forwards", "must be a number from 0 to 255")
        return int(value)

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

    Raises `ParseError`.  When the header part could be read, the error is a `MalformedMessage`, which carries the
    request, so that it can be answered.
    """
    if len(data) > MAX_MESSAGE_SIZE:
        raise MessageTooLarge(f"message of more than {MAX_MESSAGE_SIZE} bytes")
    start = _skip_line_ends(data)
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        raise ParseError("no empty line after the headers")
    message = parse_head(data[start:end])
    body = data[end + 4 :]
    length = content_length(message)
    if length is not None and length != len(body):
        if length > len(body):
            raise MalformedMessage(HeaderError("Content-Length", f"says {length} bytes, {len(body)} came"), message)
        body = body[:length]
    message.body = body
    return message


class MalformedMessage(ParseError):
    """The head was read, the rest is wrong; `message` is what there is to build a 400 from."""

    def __init__(self, error: ParseError, message: Request | Response) -> None:
        super().__init__(error.reason, error.status)
        self.message = message


def parse_head(head: bytes) -> Request | Response:
    """Start line and headers, without the empty line; the body is left empty."""
    text = head.decode("utf-8", "surrogateescape")
    lines = text.split("\r\n")
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ParseError("CR or LF on its own inside the headers")
    if "\r\n " in text or "\r\n\t" in text:
        lines = _join_folds(lines)
    if len(lines) > MAX_HEADER_LINES:
        raise MessageTooLarge(f"more than {MAX_HEADER_LINES} header lines")
    start_line = lines.pop(0)
    version, _, rest = start_line.partition(" ")
    if version[:4].upper() == "SIP/":
        return _parse_response(version, rest, lines)
    return _parse_request(start_line, lines)


def _parse_request(start_line: str, lines: list[str]) -> Request:
    parts = start_line.split(" ")
    if len(parts) < 3 or not TOKEN.fullmatch(parts[0]):
        raise ParseError("malformed request line")
    version = SIP_VERSION.fullmatch(parts[-1])
    if version is None:
        raise ParseError("malformed request line")
    request = Request(parts[0], " ".join(parts[1:-1]), Headers.parse(lines))
    if version[1] != "2" or version[2] != "0":
        raise MalformedMessage(ParseError("SIP version is not 2.0", 505), request)
    if len(parts) != 3:
        raise MalformedMessage(ParseError("white space in the request line"), request)
    return request


def _parse_response(version: str, rest: str, lines: list[str]) -> Response:
    if version.upper() != "SIP/2.0":
        raise ParseError("SIP version is not 2.0", 505)
    status, _, reason = rest.partition(" ")
    if not STATUS_CODE.fullmatch(status):
        raise ParseError("malformed status line")
    return Response(int(status), reason, Headers.parse(lines))


def _join_folds(lines: list[str]) -> list[str]:
    joined: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t"):
            if len(joined) < 2:
                raise ParseError("white space before the first header")
            joined[-1] += "\r\n" + line
        else:
            joined.append(line)
    return joined


def _skip_line_ends(data: bytes) -> int:
    start = 0
    while data.startswith((b"\r\n", b"\n"), start):
        start += 2 if data.startswith(b"\r\n", start) else 1
    return start


def content_length(message: Request | Response) -> int | None:
    """20.14; None when absent.  Raises `MalformedMessage` when it is no number or two lines differ."""
    if "content-length" not in message.headers.names:
        return None
    values = set(message.headers.get_all("content-length"))
    value = values.pop()
    if values or not DIGITS.fullmatch(value) or len(value) > 9:
        raise MalformedMessage(HeaderError("Content-Length", "must be one number"), message)
    return int(value)


class StreamParser:
    """Messages out of a TCP byte stream (18.3, 7.5).  Feed bytes, take messages.

    An error is final for the stream: message boundaries are lost, so the connection must be closed.
    Invariant: at most one message's bytes, `MAX_MESSAGE_SIZE`, are held.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._pending: Request | Response | None = None
        self._body_length = 0
        self.keepalives = 0
        """Double CRLF pings (RFC 5626 3.5.1) since last asked; whoever answers them sets it back to 0."""

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished message."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[tuple[Request | Response, bytes]]:
        """Complete messages, each with its bytes as received.  Raises `ParseError` when the stream is beyond repair;
        messages complete before the fault are lost with it only if they came in the same call."""
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> tuple[Request | Response, bytes] | None:
        buffer = self._buffer
        if self._pending is None:
            self._drop_line_ends()
            end = buffer.find(b"\r\n\r\n", self._scanned)
            if end < 0:
                if len(buffer) > MAX_MESSAGE_SIZE:
                    raise MessageTooLarge(f"headers of more than {MAX_MESSAGE_SIZE} bytes")
                self._scanned = max(0, len(buffer) - 3)
                return None
            message = parse_head(bytes(buffer[:end]))
            length = content_length(message)
            if length is None:
                # 20.14: required on stream transports.
                raise MalformedMessage(HeaderError("Content-Length", "missing"), message)
            if end + 4 + length > MAX_MESSAGE_SIZE:
                raise MalformedMessage(MessageTooLarge(f"message of more than {MAX_MESSAGE_SIZE} bytes"), message)
            self._pending, self._body_length, self._scanned = message, length, end + 4
        total = self._scanned + self._body_length
        if len(buffer) < total:
            return None
        message, self._pending = self._pending, None
        raw = bytes(buffer[:total])
        message.body = raw[self._scanned :]
        self._scanned = 0
        del buffer[:total]
        return message, raw

    def _drop_line_ends(self) -> None:
        buffer = self._buffer
        while buffer.startswith(b"\r\n\r\n"):
            self.keepalives += 1
            del buffer[:4]
        while buffer.startswith((b"\r\n", b"\n")) and not buffer.startswith(b"\r\n\r") and len(buffer) > 2:
            del buffer[: 2 if buffer.startswith(b"\r\n") else 1]


# ------------------------------------------------------------------------------------------------ derived messages

_COPIED = ("via", "from", "to", "call-id", "cseq")


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
    lines, names = [], []
    for line, name in zip(source.lines, source.names, strict=True):
        if name in _COPIED:
            lines.append(line)
            names.append(name)
    response = Response(status, reason or REASON_PHRASES.get(status, "Unknown"), Headers(lines, names), body)
    if to_tag is not None and "to" in names and _lacks_tag(request):
        index = names.index("to")
        lines[index] = f"{lines[index]};tag={to_tag}"
    if status == 100 and "timestamp" in source.names:
        response.headers.append("Timestamp", source.get("timestamp") or "")
    for name, value in headers:
        response.headers.append(name, value)
    response.headers.append("Content-Length", str(len(body)))
    return response


def _lacks_tag(request: Request) -> bool:
    try:
        return request.to.tag is None
    except ParseError:
        return False


def make_ack(invite: Request, response: Response) -> Request:
    """ACK for a non-2xx final response (17.1.1.3): hop by hop, with the INVITE's topmost Via and its Route."""
    return _hop_by_hop(invite, "ACK", response.headers.line("to"))


def make_cancel(invite: Request) -> Request:
    """CANCEL for an INVITE of ours (9.1): same Request-URI, topmost Via, Route, From, To, Call-ID, CSeq number."""
    if invite.method != "INVITE":
        raise LocalProtocolError("only INVITE is cancelled")
    return _hop_by_hop(invite, "CANCEL", invite.headers.line("to"))


def _hop_by_hop(invite: Request, method: str, to_line: str | None) -> Request:
    source = invite.headers
    made = Headers()
    made.append("Via", source.first_value("via") or "")
    for name in ("route", "from", "call-id"):
        for line, key in zip(source.lines, source.names, strict=True):
            if key == name:
                made.lines.append(line)
                made.names.append(key)
    if to_line is not None:
        made.lines.append(to_line)
        made.names.append("to")
    made.append("CSeq", f"{invite.cseq.number} {method}")
    made.append("Max-Forwards", "70")
    made.append("Content-Length", "0")
    return Request(method, invite.uri_text, made)
