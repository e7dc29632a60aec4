"""Figures for Prometheus; needs the token like everything else, but is never rate-limited. Waitress workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response

from api.query import Query
from api.services import current, one_per_app

if TYPE_CHECKING:
    from api.exposition import Exposition

bp = Blueprint("metrics", __name__)

PATH = "/metrics"

_KEY = "sipserver-metrics"


@bp.get(PATH)
def metrics() -> Response:
    Query()
    exposition = one_per_app(_KEY, _exposition)
    return Response(exposition.text(), content_type=exposition.CONTENT_TYPE)


def _exposition() -> Exposition:
    # Only now: Prometheus's library costs 20 ms and a megabyte, which a server that nobody scrapes does without.
    from api.exposition import Exposition

    return Exposition(current())
