"""The connection that a long answer goes out on: whether anybody still reads it. Waitress workers."""

from __future__ import annotations

from typing import Final, Protocol, cast

from werkzeug.wrappers import Request

ENVIRON_KEY: Final = "sipserver.connection"
"""Where the HTTP server puts it."""


class Connection(Protocol):
    """Of one request, while it is answered."""

    @property
    def is_open(self) -> bool:
        """The client has not hung up, as far as can be known."""

    @property
    def unsent(self) -> int:
        """Bytes written that the client has not taken."""

    def expect_end(self) -> None:
        """From now on nothing is read but the end; it is noticed at once."""


class _Unknown:
    """Of a server that tells nothing."""

    is_open = True
    unsent = 0

    def expect_end(self) -> None:
        """Nobody tells."""


def connection_of(request: Request) -> Connection:
    """What this request came by."""
    return cast(Connection, request.environ.get(ENVIRON_KEY) or _Unknown())
