"""A stream of server-sent events as a browser reads it (HTML 9.2)."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from typing import Any

from tests.support.api_client import TIMEOUT_S, HasApiPort


class EventStream:
    """Open until `close`; events are read one after the other, and none is waited for longer than TIMEOUT_S."""

    def __init__(self, server: HasApiPort, query: str = "", tls: ssl.SSLContext | None = None) -> None:
        address = ("127.0.0.1", server.api_port)
        self._connection = (
            http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
            if tls is None
            else http.client.HTTPSConnection(*address, timeout=TIMEOUT_S, context=tls)
        )
        self._connection.request("GET", f"/api/events{query}", headers={"Accept": "text/event-stream"})
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.last_id = ""
        if self.status == 200:
            self._read_block()  # the one that says where the stream begins

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self._connection.close()

    def __iter__(self) -> Iterator[Any]:
        """Until the stream ends."""
        while (fields := self._read_block()) is not None:
            if "data" in fields:
                yield json.loads(fields["data"])

    def next(self, *kinds: str) -> Any:
        """The next event of one of these types; others before it are passed over."""
        for event in self:
            if event["type"] in kinds:
                return event
        raise AssertionError(f"the stream has ended before any of {kinds}")

    def _read_block(self) -> dict[str, str] | None:
        fields: dict[str, str] = {}
        while line := self._response.readline().decode():
            if line == "\n":
                self.last_id = fields.get("id", self.last_id)
                return fields
            name, _, value = line.rstrip("\n").partition(":")
            fields[name] = value.removeprefix(" ")
        return None
