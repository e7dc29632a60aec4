"""Signing a browser in and out: the token, shown once, for a cookie.  Waitress workers.

The cookie is of no use to another page: browsers send it to this server alone and only from its own pages
(SameSite=Strict), no script can read it (HttpOnly), and what it may change must name its origin (`api.access`).
"""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from api.access import cookie_name
from api.outcome import outcome
from api.query import Query
from api.services import current
from api.sessions import sessions

bp = Blueprint("session", __name__)

PATH = "/api/session"


@bp.post(PATH)
def sign_in() -> Response:
    """A cookie in place of the token that this request has shown; where no token is needed, nothing."""
    Query()
    if g.who != "token":
        return outcome("You are signed in." if g.who == "session" else "No token is needed here.")
    context = current()
    response = outcome("You are signed in.")
    response.set_cookie(
        cookie_name(context.config),
        sessions().open(context.clock()),
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
    )
    return response


@bp.delete(PATH)
def sign_out() -> Response:
    """Ends the session of this browser; without one, nothing happens."""
    Query()
    name = cookie_name(current().config)
    sessions().close(request.cookies.get(name, ""))
    response = outcome("You are signed out.")
    response.delete_cookie(name, httponly=True, samesite="Strict", secure=request.is_secure)
    return response
