"""Registered users: who they are, whose registration runs out soon, removal. Waitress workers."""

from __future__ import annotations

from flask import Blueprint, Response

from api.errors import Problem
from api.outcome import counted, outcome
from api.paging import PARAMETERS, live_response
from api.query import Query
from api.services import current
from api.views import expiring_view, user_view

bp = Blueprint("registrations", __name__)

_DEFAULT_WITHIN_MIN = 30.0
_MAX_WITHIN_MIN = 1_000_000.0


@bp.get("/api/users")
def users() -> Response:
    """Newest registration first."""
    query = Query(*PARAMETERS)
    registrations = sorted(
        current().services.registrations(), key=lambda each: each.contacts[0].registered_at, reverse=True
    )
    return live_response(query, registrations, user_view)


@bp.get("/api/users/expiring")
def expiring() -> Response:
    """One entry per binding, the one that runs out next first; `within` is minutes."""
    query = Query("within", *PARAMETERS)
    now_at = current().wall_clock()
    limit_at = now_at + 60 * query.decimal("within", _DEFAULT_WITHIN_MIN, _MAX_WITHIN_MIN)
    bindings = [
        (each.number, contact)
        for each in current().services.registrations()
        for contact in each.contacts
        if contact.expires_at <= limit_at
    ]
    bindings.sort(key=lambda binding: binding[1].expires_at)
    return live_response(query, bindings, lambda binding: expiring_view(*binding, now_at))


@bp.delete("/api/users/<username>")
def remove(username: str) -> Response:
    Query()
    removed = current().services.remove_registrations(username)
    if not removed:
        raise Problem(404, "This number isn't registered.", "No phone is registered under it; nothing was removed.")
    return outcome(f"Removed {counted(removed, 'registration')} of {username}.", removed=removed)
