"""One extension: whether it has a password and is registered; setting and removing the password. Waitress workers.

A password is never given back, but once: in the answer to the request that had the server make it.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from api.body import Body
from api.errors import Problem
from api.outcome import counted, outcome
from api.query import Query, bad_parameter, check_extension
from api.services import current
from api.views import extension_view
from sip.passwords import generate, weakness

bp = Blueprint("extensions", __name__)


@bp.get("/api/extensions/<number>")
def extension(number: str) -> Response:
    Query()
    check_extension(number)
    services = current().services
    contacts = sum(len(each.contacts) for each in services.registrations() if each.number == number)
    return jsonify(extension_view(number, number in services.numbers_with_password(), contacts))


@bp.put("/api/extensions/<number>/password")
def set_password(number: str) -> Response:
    """`{"password": "..."}` or `{"generate": true}`; phones that registered with another password must do it again."""
    Query()
    check_extension(number)
    body = Body("password", "generate")
    made = generate() if body.flag("generate") else None
    if (made is not None) == body.has("password"):
        raise bad_parameter("password", 'The body must have either a password or "generate": true.')
    password = made or body.text("password") or ""
    if (fault := weakness(number, password)) is not None:
        raise Problem(
            400, "This password can't be used.", f'{fault} With "generate": true the server makes a good one.'
        )
    removed = current().services.set_password(number, password)
    shown = {} if made is None else {"password": made}
    message = f"Set the password of {number}; removed {counted(removed, 'registration')}."
    return outcome(message, removed=removed, **shown)


@bp.delete("/api/extensions/<number>/password")
def remove_password(number: str) -> Response:
    Query()
    check_extension(number)
    if not current().services.remove_password(number):
        raise Problem(404, "This extension has no password.", "Nothing was removed.")
    return outcome(f"Removed the password of {number}.")
