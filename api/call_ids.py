"""Call-IDs in the path of a request: opaque text of any characters, slashes included. Waitress workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from werkzeug.routing import BaseConverter

from api.views import clean

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_BEFORE = "/api/calls/"


class CallIdConverter(BaseConverter):
    """`<callid:name>` in a route: one part of the path, percent-encoded as `CallIdPaths` leaves it."""

    def to_python(self, value: str) -> str:
        return unquote(value, errors="surrogateescape")


class CallIdPaths:
    """Around the app: WSGI gives paths decoded, in which a slash of a Call-ID would pass for one of the path. What
    stands behind `/api/calls/` up to the next slash of the request itself keeps its percent-encoding."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = _path(environ.get("REQUEST_URI", ""))
        if asked.startswith(_BEFORE):
            call_id, slash, rest = asked.removeprefix(_BEFORE).partition("/")
            # PATH_INFO has a character for each byte (PEP 3333).
            environ["PATH_INFO"] = f"{_BEFORE}{_encoded(call_id)}{slash}{unquote(rest, 'latin-1')}"
        return self._app(environ, start_response)


def _path(uri: str) -> str:
    """As the client has written it; "" when it makes no sense."""
    try:
        return urlsplit(uri).path
    except ValueError:  # an address in brackets that is none
        return ""


def _encoded(part: str) -> str:
    """In one form, however it was written."""
    return quote(unquote_to_bytes(part), safe="")


def path_of(call_id: str, rest: str = "") -> str:
    """The path of what the API says of a call."""
    return f"{_BEFORE}{quote(call_id, safe='', errors='surrogateescape')}{rest}"


def is_shown_as(call_id: str, shown: str) -> bool:
    """Whether the API shows this Call-ID so; clients know no other form of it."""
    return shown in (call_id, clean(call_id))
