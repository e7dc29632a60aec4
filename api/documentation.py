"""`/api/openapi.json` for programs, and `/api/docs`, the same for people.  Waitress workers.

The page is Swagger UI, whose files the package flask-swagger-ui carries: nothing is fetched from elsewhere.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, jsonify, send_from_directory

from api.query import Query
from api.services import current

bp = Blueprint("documentation", __name__)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>sipserver: HTTP API</title>
<link rel="icon" href="/web/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="docs/ui/swagger-ui.css">
<script defer src="docs/ui/swagger-ui-bundle.js"></script>
<script defer src="/web/js/docs.js"></script>
</head>
<body><main id="docs"></main></body>
</html>
"""
_HEADERS = {
    "Cache-Control": "no-cache",
    # Swagger UI sets styles as it draws, and carries its pictures as data.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
PAGE_PATH = "/api/docs"


def belongs_to_docs(path: str) -> bool:
    """Nothing secret: what there is for everybody with this program."""
    return path == PAGE_PATH or path.startswith(f"{PAGE_PATH}/ui/")


@bp.get("/api/openapi.json")
def openapi() -> Response:
    Query()
    # Not at the start of the server: hardly anybody asks for it.
    from api.openapi import document

    context = current()
    return jsonify(document(context.version, development=context.config.app_env == "development"))


@bp.get(PAGE_PATH)
def docs() -> Response:
    Query()
    return Response(_PAGE, content_type="text/html; charset=utf-8", headers=_HEADERS)


@bp.get(f"{PAGE_PATH}/ui/<name>")
def ui_file(name: str) -> Response:
    Query()
    response = send_from_directory(_ui_files(), name)
    response.headers.update(_HEADERS)
    return response


@cache
def _ui_files() -> Path:
    """Found without importing the package: it would read the metadata of all that is installed."""
    spec = find_spec("flask_swagger_ui")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "dist"
