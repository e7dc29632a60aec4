"""Call-IDs in the path of a request: opaque text of any characters, slashes included. Waitress workers."""

from __future__ import annotations

from werkzeug.routing import BaseConverter

from api.views import clean


class CallIdConverter(BaseConverter):
    """`<callid:name>` in a route: the rest of the path, as it stands after percent-decoding."""

    part_isolating = False
    regex = ".+?"


def is_shown_as(call_id: str, shown: str) -> bool:
    """Whether the API shows this Call-ID so; clients know no other form of it."""
    return shown in (call_id, clean(call_id))
