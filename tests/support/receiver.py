"""A receiver of webhooks: a real HTTP server on loopback that notes what it is sent and answers as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NamedTuple

TIMEOUT_S = 5.0


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """`statuses` are those of the next answers, 204 when none is left; `headers` go into all of them."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self._received: list[Received] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(receiver._note(Received(self.path, dict(self.headers), body)))
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not on stderr."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, count: int) -> list[Received]:
        """The first `count` requests, once they have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._received) >= count, TIMEOUT_S), self._received
            return self._received[:count]

    def all(self) -> list[Received]:
        with self._changed:
            return list(self._received)

    def _note(self, request: Received) -> int:
        with self._changed:
            self._received.append(request)
            self._changed.notify_all()
            return self.statuses.pop(0) if self.statuses else 204
