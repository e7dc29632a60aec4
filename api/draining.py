"""Ending without cutting anybody off: no new calls, and the end when the last one is over. Waitress workers."""

from __future__ import annotations

from flask import Blueprint, Response

from api.outcome import counted, outcome
from api.query import Query
from api.services import current

bp = Blueprint("draining", __name__)


@bp.post("/api/admin/drain")
def drain() -> Response:
    """In production as well: it is how a service is replaced. Once more: the same answer."""
    Query()
    left = current().services.drain()
    return outcome(f"No new calls are taken; the server ends after {counted(left, 'call')}.", activeCalls=left)
