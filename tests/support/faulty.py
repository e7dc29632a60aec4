"""Sockets that fail when a test says so, what was logged meanwhile, and the check that phones notice nothing."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from tests.support.office import Office, eventually

Address = tuple[str, int]


def fault(number: int) -> OSError:
    """As the system raises it."""
    return OSError(number, os.strerror(number))


class FaultySocket:
    """The socket `real`, whose calls named in `failing` raise the fault that stands there; `met` counts them."""

    def __init__(self) -> None:
        self.real: socket.socket
        self.failing: dict[str, int] = {}
        self.spares: Callable[[Any], bool] = lambda _destination: False
        """Destinations to which sending works all the same."""
        self.met = 0
        self._count = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __enter__(self) -> FaultySocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.real.close()

    def sendto(self, data: bytes, flags: int, destination: Any) -> int:
        if not self.spares(destination):
            self._fail("sendto")
        return self.real.sendto(data, flags, destination)

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        self._fail("recvfrom")
        return self.real.recvfrom(size)

    def accept(self) -> tuple[socket.socket, Any]:
        self._fail("accept")
        return self.real.accept()

    def _fail(self, name: str) -> None:
        number = self.failing.get(name, 0)
        if number:
            with self._count:
                self.met += 1
            raise fault(number)


class LogLines(logging.Handler):
    """Warnings and errors as they are logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.all: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(self.format(record))

    def take(self, words: str) -> list[str]:
        """The lines with these words, which were expected."""
        taken = [line for line in self.all if words in line]
        self.all = [line for line in self.all if words not in line]
        return taken


def phones_register_and_call(office: Office, caller: str = "108", callee: str = "109", **options: Any) -> None:
    """Two phones come, talk, and go; the server says that it is ready."""
    alice, bob = (office.phone(number, t1_s=0.1, **options) for number in (caller, callee))
    call, ring = office.connect(alice, bob)
    packets = call.media.make_packets(3)
    call.media.send(*packets)
    assert [ring.media.receive() for _ in packets] == packets
    call.hang_up()
    ring.wait_ended()
    alice.unregister()
    bob.unregister()
    assert office.api.request("GET", "/healthz").status == 200


def problems(office: Office) -> list[str]:
    """What the server that still does its work complains about."""
    told: list[str] = office.api.get("/healthz")["problems"]
    return told


def wait_for_problem(office: Office, words: str) -> None:
    eventually(lambda: [problem for problem in problems(office) if words in problem], f"the problem {words!r}")


def wait_until_well(office: Office) -> None:
    eventually(lambda: not problems(office), "the end of the problem")
