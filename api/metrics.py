"""Figures for Prometheus; needs the token like everything else, but is never rate-limited. Waitress workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flask import Blueprint, Response, current_app

from api.query import Query
from api.services import current

if TYPE_CHECKING:
    from api.exposition import Exposition

bp = Blueprint("metrics", __name__)

PATH = "/metrics"

_KEY = "sipserver-metrics"


@bp.get(PATH)
def metrics() -> Response:
    Query()
    exposition = _exposition()
    return Response(exposition.text(), content_type=exposition.CONTENT_TYPE)


def _exposition() -> Exposition:
    """The app's one, made at the first scrape."""
    found = current_app.extensions.get(_KEY)
    if found is None:
        # Only now: Prometheus's library costs 20 ms and a megabyte, which a server that nobody scrapes does without.
        from api.exposition import Exposition

        found = current_app.extensions.setdefault(_KEY, Exposition(current()))
    return cast("Exposition", found)
