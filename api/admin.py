"""Clean slate for developers: end all calls, drop all registrations. Registered with the app in development only."""

from __future__ import annotations

from flask import Blueprint, Response

from api.outcome import counted, outcome
from api.query import Query
from api.services import current

bp = Blueprint("admin", __name__)


@bp.post("/api/admin/clear-calls")
def clear_calls() -> Response:
    Query()
    cleared = current().services.clear_calls()
    return outcome(f"Ended {counted(cleared, 'call')}.", cleared=cleared)


@bp.post("/api/admin/clear-users")
def clear_users() -> Response:
    Query()
    cleared = current().services.clear_registrations()
    return outcome(f"Removed {counted(cleared, 'registration')}.", cleared=cleared)
