"""What a message must have before anybody acts on it (RFC 3261 8.1.1, 8.2, 16.3).  Pure.

Parsing is lenient about content; this module says, in the reason phrase of a 400, what was wrong.
"""

from __future__ import annotations

from sip.constants import METHODS
from sip.errors import HeaderError, ParseError
from sip.message import Request, Response

_SINGLE = (
    ("via", "Via"),
    ("from", "From"),
    ("to", "To"),
    ("call-id", "Call-ID"),
    ("cseq", "CSeq"),
)
_AT_MOST_ONCE = ("from", "to", "call-id", "cseq", "max-forwards")


def validate_request(request: Request) -> None:
    """Raises `ParseError` with the status to answer.  Afterwards via, from_, to, cseq, call_id, max_forwards and uri
    of the request can be read without an error."""
    _validate_common(request)
    if request.cseq.method != request.method:
        raise HeaderError("CSeq", "method differs from that of the request")
    if request.from_.tag is None and "tag" in request.from_.parameters:
        raise HeaderError("From", "empty tag")
    _ = request.max_forwards
    _validate_uri(request)


def _validate_uri(request: Request) -> None:
    uri = request.uri
    if not uri.is_sip and uri.scheme != "tel":
        raise ParseError(f"URI scheme {uri.scheme} is not supported", 416)
    if uri.headers:
        # 19.1.1 table 1: headers are not allowed in a Request-URI.
        raise ParseError("headers in the Request-URI")


def validate_response(response: Response) -> None:
    """Raises `ParseError`; a response that fails is dropped (8.1.3)."""
    _validate_common(response)


def _validate_common(message: Request | Response) -> None:
    names = message.headers.names
    for name, shown in _SINGLE:
        if name not in names:
            raise HeaderError(shown, "missing")
    for name in _AT_MOST_ONCE:
        if names.count(name) > 1:
            raise HeaderError(name.title(), "more than one")
    _ = message.via, message.from_, message.to, message.cseq, message.call_id


def is_known_method(method: str) -> bool:
    return method in METHODS
