"""Paged lists: `limit`, `offset`, X-Total-Count and Link (RFC 8288). Waitress workers.

A list that grows without end (history) shows DEFAULT_LIMIT entries unless told otherwise. A list of what is live now is
whole unless `limit` asks for less: a short answer would pass for the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from flask import Response, jsonify, request

from api.query import Query

T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
MAX_OFFSET = 1_000_000_000
PARAMETERS = ("limit", "offset")


def read_limit(query: Query) -> int:
    return query.whole("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)


def read_offset(query: Query) -> int:
    return query.whole("offset", 0, 0, MAX_OFFSET)


def page_response(rows: Sequence[object], total: int, limit: int, offset: int) -> Response:
    """A bare JSON array of one page, which says how many rows there are and where the next ones are."""
    response = jsonify(rows)
    response.headers["X-Total-Count"] = str(total)
    if rows and offset + len(rows) < total:
        parameters = request.args.to_dict() | {"limit": str(limit), "offset": str(offset + len(rows))}
        response.headers["Link"] = f'<{request.base_url}?{urlencode(parameters)}>; rel="next"'
    return response


def live_response(query: Query, items: Sequence[T], view: Callable[[T], object]) -> Response:
    """All `items` as JSON, or the page that the query asks for."""
    offset = read_offset(query)
    limit = read_limit(query) if query.has("limit") else max(1, len(items))
    return page_response([view(item) for item in items[offset : offset + limit]], len(items), limit, offset)
