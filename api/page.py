"""The page for people: `/`, and what it is made of under `/web/`.  Waitress workers.

Nothing of it is secret or differs from one reader to the next, so it is served without a token; what it shows it asks
the API for, like any other client.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

from api.query import Query

bp = Blueprint("page", __name__)

INDEX_PATH = "/"
FILES_PATH = "/web/"

_FILES = Path(__file__).parent / "web"
_HEADERS = {
    # A browser asks whether what it keeps is still good, so a new version shows up at once.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def belongs_to_page(path: str) -> bool:
    return path == INDEX_PATH or path.startswith(FILES_PATH)


@bp.get(INDEX_PATH)
def index() -> Response:
    return _file("index.html")


@bp.get(f"{FILES_PATH}<path:name>")
def file(name: str) -> Response:
    return _file(name)


def _file(name: str) -> Response:
    """404 for what is not there, and for whatever leads out of the directory."""
    Query()
    response = send_from_directory(_FILES, name)
    response.headers.update(_HEADERS)
    return response
