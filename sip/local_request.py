"""What a request to the server itself may hold, and how it is refused otherwise (RFC 3261 8.2.2, 8.2.3).  Pure."""

from __future__ import annotations

from typing import Final

from sip.call_control import quoted
from sip.errors import ParseError
from sip.flow import Flow
from sip.local_media import SDP, find_description
from sip.local_sdp import NoCommonCodec
from sip.message import Request
from sip.multipart import media_type
from sip.uri import Uri

Headers = tuple[tuple[str, str], ...]

_SUPPORTED: Final = frozenset({"timer", "100rel"})


class RequestRefused(Exception):
    """A request is answered with this instead."""

    def __init__(self, status: int, phrase: str | None, words: str, headers: Headers = ()) -> None:
        super().__init__(words)
        self.status = status
        self.phrase = phrase
        self.words = words
        self.headers = headers


def check_request(request: Request) -> None:
    """8.2.2.3, 8.2.3.  Raises `RequestRefused`."""
    unsupported = [tag for tag in request.option_tags("require") if tag not in _SUPPORTED]
    if unsupported:
        text = f"the phone requires {', '.join(unsupported)}, which the server does not know"
        raise RequestRefused(420, None, text, (("Unsupported", ", ".join(unsupported)),))
    encoding = (request.headers.get("content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        text = f"the phone's message is encoded ({encoding})"
        raise RequestRefused(415, None, text, (("Accept-Encoding", "identity"),))


def offer_in(request: Request) -> bytes:
    """The session description of a request; b"" without one.  Raises `RequestRefused`."""
    content_type = request.headers.get("content-type") or ""
    if not request.body:
        return b""
    kind = media_type(content_type)
    if kind != SDP and not kind.startswith("multipart/"):
        raise RequestRefused(415, None, f"the phone offers its media as {kind or 'nothing known'}", (("Accept", SDP),))
    try:
        return find_description(content_type, request.body)
    except ParseError as error:
        raise RequestRefused(error.status, None, f"the phone's audio offer is broken: {error.reason}") from error


def not_acceptable(error: ParseError, flow: Flow) -> RequestRefused:
    if isinstance(error, NoCommonCodec):
        # 20.43, and the reason phrase, because many phones show no Warning.
        warning = (("Warning", f"{error.warning} {flow.sent_by} {quoted(error.reason)}"),)
        return RequestRefused(488, "Not Acceptable Here (PCMU Or PCMA Needed)", error.reason, warning)
    return RequestRefused(error.status, None, f"the phone's audio offer is broken: {error.reason}")


def own_uri(scheme: str, dialled: Uri, flow: Flow) -> str:
    """Where requests inside the dialog reach us (12.1.1), by the way that the INVITE came."""
    transport = "" if flow.transport == "UDP" or scheme == "sips" else f";transport={flow.transport.lower()}"
    return f"{scheme}:{dialled.user.partition(';')[0]}@{flow.sent_by}{transport}"
