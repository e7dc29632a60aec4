"""Whether the server in this container is well: exit status 0 when `/healthz` says so, else 1.

Reads the same settings as the server.
"""

from __future__ import annotations

import http.client
import ssl
import sys
from http import HTTPStatus

from config import Config, ConfigError, load

_TIMEOUT_S = 4.0
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""A server that listens everywhere is asked on the way that never leaves the container."""


def is_well(config: Config) -> bool:
    """Raises `OSError` or `HTTPException` when it can't be asked."""
    host = _LOOPBACK.get(config.api_host, config.api_host)
    if config.api_tls:
        # The certificate speaks for the names that phones use, and nobody stands between the server and this check.
        context = ssl._create_unverified_context()  # noqa: S323
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, config.api_port, timeout=_TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, config.api_port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == HTTPStatus.OK
    finally:
        connection.close()


def main() -> int:
    try:
        return 0 if is_well(load()) else 1
    except (OSError, http.client.HTTPException, ConfigError) as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
