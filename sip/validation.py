"""What a message must have before anybody acts on it (RFC 3261 8.1.1, 8.2, 16.3).  Pure.

Parsing is lenient about content; this module says, in the reason phrase of a 400, what was wrong.
"""

from __future__ import annotations

from sip.constants import METHODS
from sip.errors import HeaderError, ParseError
from sip.grammar import CALL_ID
from sip.headers import CSeq
from sip.message import Request, Response

_AT_MOST_ONCE = (
    ("from", "From"),
    ("to", "To"),
    ("call-id", "Call-ID"),
    ("cseq", "CSeq"),
    ("max-forwards", "Max-Forwards"),
)
_SCHEMES = frozenset({"sip", "sips", "tel"})
_MAX_SHOWN_SCHEME = 32


def validate_request(request: Request) -> None:
    """Raises `ParseError` with the status to answer.  Afterwards via, from_, to, cseq, call_id, max_forwards and uri
    of the request can be read without an error."""
    cseq = _validate_common(request)
    method = request.method
    if cseq.method != method:
        # A method nobody here knows may have a CSeq rule nobody here knows (RFC 4475 3.1.2.18).
        raise HeaderError("CSeq", "method differs from that of the request", 400 if is_known_method(method) else 501)
    _ = request.max_forwards
    uri = request.uri
    if uri.scheme not in _SCHEMES:
        raise ParseError(f"URI scheme {uri.scheme[:_MAX_SHOWN_SCHEME]} is not supported", 416)
    if uri.headers:
        # 19.1.1 table 1: headers are not allowed in a Request-URI.
        raise ParseError("headers in the Request-URI")


def validate_response(response: Response) -> None:
    """Raises `ParseError`; a response that fails is dropped (8.1.3)."""
    _validate_common(response)


def _validate_common(message: Request | Response) -> CSeq:
    headers = message.headers
    if len(headers.first) < len(headers.fields):
        names = headers.names
        # A request that was passed on, and its responses, have several lines of Via, and most often of nothing else.
        if len(names) - len(headers.first) >= names.count("via"):
            for name, shown in _AT_MOST_ONCE:
                if names.count(name) > 1:
                    raise HeaderError(shown, "more than one")
    # 8.1.1: a missing one of these is found by reading it.
    _ = message.via
    cseq = message.cseq
    sender, recipient = message.from_, message.to
    if sender.tag is None and "tag" in sender.parameters:
        raise HeaderError("From", "empty tag")
    if recipient.tag is None and "tag" in recipient.parameters:
        raise HeaderError("To", "empty tag")
    if not CALL_ID.fullmatch(message.call_id):
        raise HeaderError("Call-ID", "malformed")
    return cseq


def is_known_method(method: str) -> bool:
    return method in METHODS
