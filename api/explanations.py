"""Why a call went as it did, a registration was refused, a number can't be reached; whether the server is as it should
be: in words, in the language of the reader.  Waitress workers.

The rules and their texts in every language take most of a megabyte, so they are loaded when somebody first asks.
"""

from __future__ import annotations

from flask import Blueprint, Response

bp = Blueprint("explanations", __name__)


@bp.get("/api/calls/<callid:call_id>/explain")
def explain(call_id: str) -> Response:
    from api import explaining

    return explaining.call(call_id)


@bp.get("/api/users/<username>/explain")
def explain_user(username: str) -> Response:
    from api import explaining

    return explaining.user(username)


@bp.get("/api/registrations/failures")
def failures() -> Response:
    from api import explaining

    return explaining.failures()


@bp.get("/api/doctor")
def doctor() -> Response:
    from api import explaining

    return explaining.doctor()
