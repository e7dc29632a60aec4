"""The server's HTTP API as its clients see it.  One thread, that of the command."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from api.access import TOKEN_FILE, is_loopback, needs_token
from config import Config
from sip.addresses import family_of, is_wildcard
from sip.uri import bracket

_ANSWER_S = 3.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`body` is the JSON, None when there is none; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: Any


class ApiView:
    """The API that the settings describe, on a server whose SIP is at `sip_host`.  Every method gives None where there
    is no answer."""

    def __init__(self, config: Config, sip_host: str) -> None:
        self._config = config
        self.host = sip_host if is_wildcard(config.api_host) else config.api_host
        self.port = config.api_port
        is_here = not is_loopback(self.host) or is_own_address(sip_host)
        self.is_findable = bool(self.port) and is_here
        """The settings say where it is, and it can be reached from this machine."""

    @property
    def token(self) -> str:
        """The token that the API asks for; "" where it asks for none, or none can be read."""
        if not needs_token(self._config):
            return ""
        if self._config.api_token:
            return self._config.api_token
        try:
            return (self._config.data_dir / TOKEN_FILE).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> HttpAnswer | None:
        """One request, without the token."""
        if not self.is_findable:
            return None
        connection = self._connect()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return HttpAnswer(response.status, names, _json(response.read()))
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def get(self, path: str) -> Any | None:
        """The JSON of a 200, asked for with the token if one is needed."""
        answer = self.ask("GET", path, {"Authorization": f"Bearer {self.token}"} if self.token else None)
        return answer.body if answer is not None and answer.status == 200 else None

    def live_numbers(self) -> frozenset[str] | None:
        """Numbers with a registered phone."""
        users = self.get("/api/users")
        return None if users is None else frozenset(user["number"] for user in users)

    def call_count(self) -> int | None:
        """Calls in progress."""
        calls = self.get("/api/calls")
        return None if calls is None else len(calls)

    def _connect(self) -> http.client.HTTPConnection:
        if not self._config.api_tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=_ANSWER_S)
        context = ssl.create_default_context()
        if is_own_address(self.host):
            # Nobody stands between this machine and itself; the certificate is looked at elsewhere.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=_ANSWER_S, context=context)

    @property
    def url(self) -> str:
        return f"{'https' if self._config.api_tls else 'http'}://{bracket(self.host)}:{self.port}"


def is_own_address(host: str) -> bool:
    """Whether this machine has that address."""
    try:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def accepts_connections(host: str, port: int) -> bool:
    """Whether somebody listens on that TCP port."""
    try:
        socket.create_connection((host, port), _ANSWER_S).close()
    except OSError:
        return False
    return True


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
