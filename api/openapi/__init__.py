"""The API described for programs: OpenAPI 3.1.  Pure; tests hold it against the routes and what they answer."""

from __future__ import annotations

from api.openapi.routes import DEVELOPMENT, THEMES
from api.openapi.schema import PROBLEMS, Json, answer, ref
from api.openapi.views import SCHEMAS

__all__ = ["document"]

_ABOUT = (
    "Lists are JSON arrays, times UTC, durations seconds. Every error is JSON with a sentence in `error` and `detail`. "
    "On 127.0.0.1 the API is open; on any other address it asks for the token."
)
_WITHOUT_TOKEN = frozenset({"/healthz"})


def document(version: str, *, development: bool) -> Json:
    """The description of a server of that version; `development`: with the routes that only such a one has."""
    themes = dict(THEMES, Development=DEVELOPMENT) if development else THEMES
    return {
        "openapi": "3.1.0",
        "info": {"title": "sipserver", "version": version, "description": _ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": theme} for theme in themes],
        "security": [{}, {"token": []}],
        "paths": {
            path: {method: _complete(operation, theme, path) for method, operation in methods.items()}
            for theme, paths in themes.items()
            for path, methods in paths.items()
        },
        "components": {
            "schemas": SCHEMAS,
            "responses": {
                f"Problem{status}": answer(ref("Problem"), text, "application/problem+json")
                for status, text in PROBLEMS.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _complete(operation: object, theme: str, path: str) -> Json:
    assert isinstance(operation, dict)
    return {**operation, "tags": [theme]} | ({"security": [{}]} if path in _WITHOUT_TOKEN else {})
