"""The HTTP API as a test reads it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

TIMEOUT_S = 5.0


class HasApiPort(Protocol):
    @property
    def api_port(self) -> int: ...


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    json: Any


class ApiClient:
    """One connection per request, so that nothing is left open."""

    def __init__(self, server: HasApiPort) -> None:
        self._server = server

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """`body`, unless None, is sent as JSON."""
        fields = dict(headers or {})
        data = None
        if body is not None:
            data = json.dumps(body)
            fields.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self._server.api_port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, data, fields)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), json.loads(response.read()))
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """What Prometheus would read, by name with labels."""
        connection = http.client.HTTPConnection("127.0.0.1", self._server.api_port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            lines = response.read().decode().splitlines()
            assert response.status == 200
        finally:
            connection.close()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def get(self, path: str) -> Any:
        """The JSON of a 200."""
        answer = self.request("GET", path)
        assert answer.status == 200, answer
        return answer.json
