"""The other servers on one database: how they are reached, and how they know one another's word (RFC 3327, RFC 3261
16.4, 16.12).

Pure; guarded by the core lock.  A number may have phones at several servers.  Whoever gets a request for it sends one
copy to each server that holds some, with that server as Route: the Path that its registrations share.  The Request-URI
stays what was dialled, since the other server knows its phones better, and it forwards to its own phones only, so that
nothing can go round.

The Route carries a pass: who let the sender in, until when that is true, and an HMAC-SHA-256 over both and the request
(method, Request-URI, From, Call-ID, CSeq).  Its key stands in the database, which only these servers can read.  A pass
is good for that request alone, for half a minute, and from the address of the server that it names.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final

from sip.errors import ParseError
from sip.flow import Flow
from sip.message import Request
from sip.uri import bracket, unbracket

PASS_S: Final = 30.0
"""How long a request may be under way; clocks of servers are told apart by that of the database."""

_PARAMETER = "pass"
_SEPARATOR = "~"
_MAC_LENGTH = 32


class Neighbours:
    """Invariant: nobody is a neighbour, and nothing is taken for forwarded, while there is no key."""

    def __init__(self) -> None:
        self._me = ""
        self._key = b""
        self._clock_offset = 0.0
        self._flows: Mapping[str, Flow] = {}

    def update(self, me: str, key: bytes, clock_offset: float, flows: Mapping[str, Flow]) -> None:
        """`me` is the name of this server, `flows` leads to those that are alive, `clock_offset` is what the clock of
        the database shows more than ours."""
        self._me, self._key, self._clock_offset, self._flows = me, key, clock_offset, flows

    def flow(self, name: str) -> Flow | None:
        """None when that server is out of service."""
        return self._flows.get(name)

    def flows(self) -> Mapping[str, Flow]:
        return self._flows

    # -------------------------------------------------------------------------------------------- sending

    def address(self, request: Request, flow: Flow, now_at: float) -> None:
        """Have a request of a sender that was let in go to the server at `flow`: its Path becomes the topmost Route."""
        # Its own mark in the route set of a dialog says no more than this.
        while _leads_to(request, flow):
            request.headers.pop_first_value("route")
        until = f"{int(now_at + self._clock_offset + PASS_S):x}"
        proof = self._mac(request, self._me, until)
        host = f"{bracket(flow.remote_host)}:{flow.remote_port}"
        value = _SEPARATOR.join((self._me, until, proof))
        request.headers.push("Route", f"<sip:{host};lr;{_PARAMETER}={value}>")

    def _mac(self, request: Request, sender: str, until: str) -> str:
        headers = request.headers
        parts = (
            sender,
            until,
            request.method,
            request.uri_text,
            headers.get("from") or "",
            request.call_id,
            headers.get("cseq") or "",
        )
        text = "\n".join(parts).encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, text, "sha256").hex()[:_MAC_LENGTH]

    # -------------------------------------------------------------------------------------------- receiving

    def is_forwarded(self, request: Request) -> bool:
        """It says that another server has let its sender in."""
        return bool(self._key) and _pass_of(request) is not None

    def fault(self, request: Request, source: Flow, now_at: float) -> str | None:
        """Why that can't be believed, as the rest of "the pass ..."; None when it can."""
        sender, _, rest = (_pass_of(request) or "").partition(_SEPARATOR)
        until, _, proof = rest.partition(_SEPARATOR)
        # Before anything else, so that how long it takes tells nobody how far it went.
        is_right = hmac.compare_digest(self._mac(request, sender, until).encode(), proof.encode("utf-8", "replace"))
        if not is_right:
            return "was not made by a server on this database for this request"
        flow = self._flows.get(sender)
        if flow is None:
            return f"is that of {sender}, which is out of service"
        if source.remote_host != flow.remote_host:
            return f"is that of {sender}, which is reached at {flow.remote_host}: see its PEER_ADDRESS"
        if not 0 <= int(until, 16) - (now_at + self._clock_offset) <= 2 * PASS_S:
            return "is too old"
        return None


def _pass_of(request: Request) -> str | None:
    if "route" not in request.headers.names:
        return None
    try:
        routes = request.routes
    except ParseError:
        return None
    return routes[0].uri.parameter(_PARAMETER) if routes else None


def _leads_to(request: Request, flow: Flow) -> bool:
    if "route" not in request.headers.names or not request.routes:
        return False
    uri = request.routes[0].uri
    return (unbracket(uri.host).lower(), uri.effective_port) == (flow.remote_host, flow.remote_port)
