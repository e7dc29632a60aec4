"""Media streams through the relay. Waitress workers."""

from __future__ import annotations

from itertools import groupby

from flask import Blueprint, Response

from api.paging import PARAMETERS, live_response
from api.query import Query
from api.services import current
from api.views import stream_view

bp = Blueprint("media", __name__)


@bp.get("/api/rtp-streams")
def rtp_streams() -> Response:
    """Newest stream first, its two directions one after the other."""
    query = Query(*PARAMETERS)
    streams = current().services.streams()
    pairs = [list(pair) for _, pair in groupby(streams, key=lambda each: (each.call_id, each.kind))]
    return live_response(query, [stream for pair in reversed(pairs) for stream in pair], stream_view)
