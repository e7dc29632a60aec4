"""Addresses that the server doesn't listen to: who they are, banning one more, lifting a ban. Waitress workers."""

from __future__ import annotations

from ipaddress import ip_network

from flask import Blueprint, Response, g, jsonify, request

from api.body import Body
from api.errors import Problem
from api.outcome import outcome
from api.paging import PARAMETERS, live_response
from api.query import Query, bad_parameter
from api.services import current
from api.views import ban_view
from sip.bans import BanTableFull, ban_source
from sip.sources import is_loopback_source, source_of

bp = Blueprint("bans", __name__)

MAX_BAN_S = 10 * 365 * 86_400
MAX_REASON = 200
_DEFAULT_REASON = "banned by hand"


@bp.get("/api/bans")
def bans() -> Response:
    """Newest first."""
    query = Query(*PARAMETERS)
    newest_first = sorted(current().services.bans(), key=lambda ban: ban.since_at, reverse=True)
    return live_response(query, newest_first, ban_view)


@bp.post("/api/bans")
def add() -> Response:
    """201 with the ban; without `duration` (seconds) it lasts until lifted. Replaces one for wrong passwords."""
    Query()
    body = Body("address", "duration", "reason")
    source = _source(body.text("address") or "")
    duration_s, reason = body.seconds("duration", MAX_BAN_S), _reason(body)
    _refuse_own_goal(source)
    if any(ban.address == source and not ban.failures for ban in current().services.bans()):
        raise Problem(409, "This address is banned already.", "To change the ban, lift it and add it again.")
    try:
        ban = current().services.add_ban(source, duration_s, reason)
    except BanTableFull:
        raise Problem(
            409, "The list of bans is full.", "Lift a ban that is no longer needed, then try again."
        ) from None
    g.outcome = f"Banned {source} " + (f"for {duration_s:g} s." if duration_s else "until the ban is lifted.")
    response = jsonify(ban_view(ban))
    response.status_code = 201
    return response


@bp.delete("/api/bans/<path:address>")
def lift(address: str) -> Response:
    Query()
    source = _source(address)
    if not current().services.lift_ban(source):
        raise Problem(404, "This address isn't banned.", "The addresses that are banned stand at /api/bans.")
    return outcome(f"Lifted the ban of {source}.")


def _source(text: str) -> str:
    """The source, in the form of the list, that an address belongs to."""
    try:
        source = ban_source(text)
    except ValueError:
        source = "::"
    first = ip_network(source).network_address
    if first.is_unspecified or first.is_multicast:
        raise bad_parameter("address", "address must be one IP address, such as 192.0.2.1 or 2001:db8::1.")
    return source


def _reason(body: Body) -> str:
    reason = body.text("reason") or _DEFAULT_REASON
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise bad_parameter("reason", f"reason must be one line of at most {MAX_REASON} characters.")
    return reason


def _refuse_own_goal(source: str) -> None:
    if is_loopback_source(source):
        raise Problem(
            409,
            "This machine itself can't be banned.",
            "The address is the server's own; programs beside it would be cut off, and nobody else would.",
        )
    if source == source_of(request.remote_addr or ""):
        raise Problem(
            409,
            "You can't ban yourself.",
            "The request comes from this very address. Send it from another device if that is what you want.",
        )
