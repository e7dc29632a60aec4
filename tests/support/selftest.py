"""The self-test as a test makes it: of a started office, from given addresses, its findings by their names."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from commands.selftest import findings
from commands.selftest.scene import Scene, find
from commands.selftest.verdict import Finding
from config import Config
from sip.message import Request, make_response, parse_datagram
from tests.support.office import Office

INSIDE = "127.0.0.1"
NEIGHBOUR = "127.0.0.2"
"""Another address of the loopback interface, which Linux has without being told."""


def settings_of(office: Office, **changes: Any) -> Config:
    """What stands in the settings of that server, had its ports been chosen there; `changes` since its start."""
    return replace(office.config, **{"sip_port": office.server.sip_port, "api_port": office.server.api_port, **changes})


def scene_of(office: Office, *own_addresses: str, **changes: Any) -> Scene:
    scene = find(settings_of(office, **changes), "", own_addresses or (INSIDE,))
    assert scene is not None, "the server did not answer"
    return scene


def look(office: Office, *own_addresses: str, **changes: Any) -> dict[str, Finding]:
    """Everything that a self-test finds."""
    return {finding.check: finding for finding in findings(scene_of(office, *own_addresses, **changes))}


@contextlib.contextmanager
def talkative_server(**headers: str) -> Iterator[int]:
    """Something that answers every request with 403 and these headers; its UDP port on loopback."""

    def refuse(data: bytes) -> bytes | None:
        request = parse_datagram(data)
        if not isinstance(request, Request) or request.method == "ACK":
            return None
        return make_response(request, 403, to_tag="t", headers=list(headers.items())).to_bytes()

    with answering_port(refuse) as port:
        yield port


@contextlib.contextmanager
def answering_port(answer: Callable[[bytes], bytes | None] = bytes) -> Iterator[int]:
    """A UDP port on loopback that sends everything back, or what `answer` makes of it; an empty packet ends it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((INSIDE, 0))

        def serve() -> None:
            while True:
                data, source = sock.recvfrom(65_535)
                if not data:
                    return
                reply = answer(data)
                if reply is not None:
                    sock.sendto(reply, source)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join()
