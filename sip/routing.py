"""Route, Record-Route, Via and loop handling of the proxy (RFC 3261 16.3, 16.4, 16.6; RFC 5393; RFC 5658).

Pure functions on messages; `Identity` knows what this server calls itself.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final
from zlib import crc32

from sip.asserted_identity import CLAIMS
from sip.constants import MAGIC_COOKIE, MAX_FORWARDS
from sip.errors import ParseError
from sip.flow import Flow, is_ip_address
from sip.headers import Field, NameAddr, Via, parse_decimal, split_commas
from sip.message import Request, Response
from sip.uri import Uri, bracket, unbracket

MAX_BREADTH = 60
"""Branches that one request may have at once: for a request that says nothing, and at most (RFC 5393 5.3.3)."""

_TAG_LENGTH = 12
_TAG_BATCH = 64


class Identity:
    """Names this server goes by, and the branches and tags it makes.

    `is_own_address` says whether a host and port are ours to be reached at.
    """

    def __init__(self, is_own_address: Callable[[str, int], bool]) -> None:
        self._is_own_address = is_own_address
        self._instance = secrets.token_hex(4)
        self._tags: list[str] = []
        self._counter = itertools.count(1)

    def new_tag(self) -> str:
        """19.3: at least 32 random bits; drawn in batches, since each draw is a system call."""
        if not self._tags:
            drawn = secrets.token_hex(_TAG_LENGTH // 2 * _TAG_BATCH)
            self._tags = [drawn[start : start + _TAG_LENGTH] for start in range(0, len(drawn), _TAG_LENGTH)]
        return self._tags.pop()

    def new_call_id(self) -> str:
        return secrets.token_hex(16)

    def new_branch(self, loop_hash: int = 0) -> str:
        """Unique over time and restarts (8.1.1.7), the loop hash at its end (16.6 step 8)."""
        return f"{MAGIC_COOKIE}{self._instance}.{next(self._counter):x}.{loop_hash & 0xFFFFFFFFFFFF:x}"

    def branch_of_copy(self, request: Request) -> str:
        """For a request that is passed on without a transaction: the same for each copy of it, so that a phone
        recognises them (16.11)."""
        copied = f"{request.headers.first_value('via')} {request.call_id} {request.cseq.number}"
        return f"{MAGIC_COOKIE}{self._instance}.c{crc32(copied.encode('utf-8', 'surrogateescape')):x}"

    def via(self, flow: Flow, branch: str) -> Field:
        """For a request of ours, or one that is passed on by us, that leaves by that flow."""
        start, form = _own_via(flow[:_LOCAL])
        return Field.known("Via", start + branch, form.with_parameters({"branch": branch}))

    def is_own(self, uri: Uri) -> bool:
        return uri.is_sip and self._is_own_address(unbracket(uri.host), uri.effective_port)

    # -------------------------------------------------------------------------------------------- loops

    def is_loop(self, request: Request, loop_hash: int) -> bool:
        """We forwarded this very request before: one of our Vias carries the same hash (16.3 step 4, RFC 5393 4.2)."""
        vias = request.headers.values("via")
        if len(vias) < 2:
            return False
        ours = f"branch={MAGIC_COOKIE}{self._instance}."
        suffix = f".{loop_hash & 0xFFFFFFFFFFFF:x}"
        for via in vias[1:]:
            start = via.find(ours)
            if start >= 0 and via[start:].partition(";")[0].rstrip().endswith(suffix):
                return True
        return False


Local = tuple[str, str, int]
"""Transport, host and port that a peer knows us by: the first `_LOCAL` fields of a flow."""

_LOCAL: Final = 3


@lru_cache(maxsize=64)
def _own_via(local: Local) -> tuple[str, Via]:
    """The value of our Via up to its branch, and what is read in it."""
    transport, host, port = local
    value = f"SIP/2.0/{transport} {bracket(host)}:{port};branch="
    return value, Via.parse(f"{value}{MAGIC_COOKIE}")


def loop_hash(request: Request) -> int:
    """Over what routing depends on (RFC 5393 4.2.2): a spiral differs in it, a loop does not."""
    fields = map(request.headers.first.get, _ROUTED_BY)
    return hash((request.uri_text, request.cseq.number, *[field and field.value for field in fields]))


_ROUTED_BY = ("call-id", "from", "to", "route", "proxy-require")


# ------------------------------------------------------------------------------------------------ Route


def remove_own_routes(request: Request, identity: Identity) -> None:
    """16.4: undo strict routing, then take our own topmost Route off, and only that.

    A request that we recorded twice (two networks or transports, RFC 5658) carries both marks on top; both go.
    """
    headers = request.headers
    if "route" not in headers.first:
        return
    routes = [route.uri for route in request.routes]
    if not routes:
        headers.remove("route")
        return
    uri = request.uri
    if not uri.user and uri.is_loose_router and identity.is_own(uri):
        # A strict router put our Record-Route into the Request-URI and the real one at the end.
        values = headers.values("route")[:-1]
        headers.remove("route")
        request.set_uri(routes.pop())
        if not values:
            return
        headers.append("Route", ", ".join(values))
    top = routes[0]
    if not _leads_here(top, request, identity):
        return
    headers.pop_first_value("route")
    if len(routes) > 1 and top.parameter("r2") is not None:
        second = routes[1]
        if second.parameter("r2") is not None and identity.is_own(second):
            headers.pop_first_value("route")


def _leads_here(route: Uri, request: Request, identity: Identity) -> bool:
    """Ours by address, or by the domain name under which this phone knows us (its "outbound proxy" setting)."""
    if identity.is_own(route):
        return True
    host = route.host.lower()
    if is_ip_address(host):
        return False
    return host in (request.uri.host.lower(), request.from_.uri.host.lower())


def prepare_strict_route(request: Request) -> None:
    """16.6 step 6: a next hop without `lr` wants itself as Request-URI and the real one as last Route."""
    routes = request.routes if "route" in request.headers.first else None
    if not routes:
        return
    top = routes[0].uri
    if top.is_loose_router:
        return
    request.headers.pop_first_value("route")
    request.headers.append("Route", f"<{request.uri_text}>")
    request.set_uri(top)


# ------------------------------------------------------------------------------------------------ passing on

_STAYS_HERE = CLAIMS | {"proxy-authorization"}
"""What the sender says of itself, and what has proven it (RFC 3325 5, RFC 3261 22.3)."""


def passed_on(
    request: Request, uri: Uri, body: bytes, above: Sequence[Field], breadth: int, sender: Field | None
) -> Request:
    """The copy of a request that leaves here for `uri` (16.6 steps 1 to 3, 6 and 8): the lines as they came, but for
    those that go `above` them, our Via first, and the limits.  `sender` is our word for who has sent it.  The caller
    has checked that Max-Forwards is not 0."""
    hops = request.max_forwards
    lines = [_number("Max-Forwards", MAX_FORWARDS if hops is None else hops - 1), _number("Max-Breadth", breadth)]
    if sender is not None:
        lines.insert(0, sender)
    if body is not request.body:
        lines.append(_number("Content-Length", len(body)))
    copy = Request(request.method, uri.text, request.headers.revised(above, lines, _STAYS_HERE), body, uri)
    prepare_strict_route(copy)
    return copy


@lru_cache(maxsize=1024)
def _number(name: str, number: int) -> Field:
    return Field.own(name, str(number))


# ------------------------------------------------------------------------------------------------ Record-Route


def record_route(uri: Uri, sender_flow: Flow, receiver_flow: Flow) -> tuple[Field, ...]:
    """16.6 step 4: what stays on the path of the dialog, the topmost first.  Two values where the two sides know us by
    different addresses or transports (RFC 5658 5), so that each finds one it can reach on its side.  SIPS in the
    Request-URI goes with SIPS here."""
    return _record_routes("sips" if uri.scheme == "sips" else "sip", sender_flow[:_LOCAL], receiver_flow[:_LOCAL])


@lru_cache(maxsize=64)
def _record_routes(scheme: str, sender: Local, receiver: Local) -> tuple[Field, ...]:
    incoming, outgoing = _record_route(sender, scheme), _record_route(receiver, scheme)
    values = (f"<{outgoing}>",) if incoming == outgoing else (f"<{outgoing};r2>", f"<{incoming};r2>")
    return tuple(Field.own("Record-Route", value) for value in values)


def _record_route(local: Local, scheme: str) -> str:
    transport, host, port = local
    # RFC 5630 has no use for transport=tls, but it is what tells phones to use TLS for a SIP URI.
    parameter = "" if transport == "UDP" or scheme == "sips" else f";transport={transport.lower()}"
    return f"{scheme}:{bracket(host)}:{port}{parameter};lr"


RouteSet = Callable[[], tuple[str, ...]]
"""Gives the values of Route in a request of ours, nearest to us first (12.1).  Most calls need none."""

NO_ROUTES: Final[RouteSet] = tuple


def route_sets(response: Response, identity: Identity) -> tuple[RouteSet, RouteSet]:
    """Of the dialog that a response belongs to: towards the callee, and towards the caller."""
    fields = response.headers.all("record-route")
    if not fields:
        return NO_ROUTES, NO_ROUTES
    return partial(_route_set, fields, identity, 0), partial(_route_set, fields, identity, 1)


def _route_set(fields: list[Field], identity: Identity, direction: int) -> tuple[str, ...]:
    values = [value for field in fields for value in split_commas(field.value) if value]
    return split_record_route(values, identity)[direction]


def split_record_route(values: list[str], identity: Identity) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Record-Route values of a response, around ours: (towards the callee, towards the caller), each nearest to us
    first.  They are the route sets for requests that we make ourselves (12.1), so what can't be read is left out."""
    readable: list[str] = []
    own: list[int] = []
    for value in values:
        try:
            uri = NameAddr.parse(value).uri
        except ParseError:
            continue
        if identity.is_own(uri):
            own.append(len(readable))
        readable.append(value)
    if not own:
        return tuple(reversed(readable)), ()
    return tuple(reversed(readable[: own[0]])), tuple(readable[own[-1] + 1 :])


# ------------------------------------------------------------------------------------------------ breadth


def max_breadth(request: Request) -> int:
    """How many branches may exist at once because of this request (RFC 5393 5.3.3)."""
    if "max-breadth" not in request.headers.first:
        return MAX_BREADTH
    breadth = parse_decimal(request.headers.get("max-breadth"))
    return MAX_BREADTH if breadth is None else min(breadth, MAX_BREADTH)


def breadth_shares(request: Request, branches: int) -> list[int]:
    """Max-Breadth of each of so many branches at once, all of it; fewer values than branches when it does not suffice
    (RFC 5393 5.3.3)."""
    whole, rest = divmod(max_breadth(request), branches)
    return [whole + 1] * rest + [whole] * (branches - rest if whole else 0)
