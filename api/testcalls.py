"""What calls to the quality test have shown. Waitress workers."""

from __future__ import annotations

from flask import Blueprint, Response

from api.paging import PARAMETERS, live_response
from api.query import Query
from api.services import current
from api.views import quality_view

bp = Blueprint("testcalls", __name__)


@bp.get("/api/test-calls")
def test_calls() -> Response:
    """The last results, newest first."""
    query = Query(*PARAMETERS)
    return live_response(query, current().services.quality_results(), quality_view)
