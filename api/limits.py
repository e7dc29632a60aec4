"""How large a request may be. Waitress workers."""

from __future__ import annotations

from werkzeug.wrappers import Request

from api.errors import Problem, sentences

MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 64 * 1024


def check_size(request: Request) -> None:
    """413 for too large a body, 431 for too much before it (RFC 6585 5)."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise Problem(413, *sentences(413))
    address = len(request.path) + len(request.query_string)
    if address + sum(len(name) + len(value) for name, value in request.headers) > MAX_HEADER_BYTES:
        raise Problem(431, *sentences(431))
