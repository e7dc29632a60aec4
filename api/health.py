"""Health for load balancers and service managers; open to anybody, never rate-limited. Waitress workers."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from api.errors import Problem
from api.services import current

bp = Blueprint("health", __name__)

PATH = "/healthz"


@bp.get(PATH)
def health() -> Response:
    """200 while the server does its work, even if something hinders it; otherwise 503."""
    snapshot = current().services.health()
    if not snapshot.ready:
        told = "; ".join(snapshot.problems) or "it is starting or stopping, so try again in a moment"
        detail = f"{told[0].upper()}{told[1:]}."
        raise Problem(503, "The server isn't ready.", detail, problems=list(snapshot.problems))
    return jsonify({"status": "ok", "problems": list(snapshot.problems)})
