"""A running server to which something happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sip.timers import TimerSettings
from tests.support.faulty import FaultySocket, LogLines
from tests.support.office import Office, office_config, server_threads

QUICK = TimerSettings(t1_s=0.1)
"""Real timers, five times faster."""


@pytest.fixture
def lines() -> Iterator[LogLines]:
    """Warnings and errors; a test takes those that it expects, and none may be left at its end."""
    lines = LogLines()
    logging.getLogger().addHandler(lines)
    yield lines
    logging.getLogger().removeHandler(lines)
    assert lines.all == []


@pytest.fixture
def start(tmp_path: Path, lines: LogLines) -> Iterator[Callable[..., Office]]:
    """Starts one server; keyword arguments are fields of `Config`."""
    offices: list[Office] = []

    def start(**settings: Any) -> Office:
        offices.append(Office(office_config(tmp_path, **settings), QUICK))
        return offices[-1]

    yield start
    for office in offices:
        office.close()
    assert server_threads() == []


@pytest.fixture
def udp_socket(monkeypatch: pytest.MonkeyPatch) -> FaultySocket:
    """What the next server takes for its UDP socket."""
    faulty = FaultySocket()
    _put_in_place(monkeypatch, "sip.transport_udp.bound_udp_socket", faulty)
    return faulty


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> FaultySocket:
    """What the next server takes for its listening TCP socket."""
    faulty = FaultySocket()
    _put_in_place(monkeypatch, "sip.transport_tcp._listening_socket", faulty)
    return faulty


def _put_in_place(monkeypatch: pytest.MonkeyPatch, name: str, faulty: FaultySocket) -> None:
    module, _, function = name.rpartition(".")
    original = getattr(__import__(module, fromlist=[function]), function)

    def make(*arguments: Any) -> FaultySocket:
        faulty.real = original(*arguments)
        return faulty

    monkeypatch.setattr(name, make)
