"""A thread that ends without being told to."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from log_setup import start_logging
from sip.core import SipCore
from sip.transport_tcp import TcpTransport
from tests.support.faulty import LogLines, phones_register_and_call, problems, wait_for_problem
from tests.support.office import Office, eventually, office_config


def leave(*_: object) -> None:
    raise SystemExit


class Once:
    """Leaves the thread that calls it first."""

    def __init__(self, then: Callable[..., object]) -> None:
        self.calls = 0
        self._then = then

    def __call__(self, *arguments: object) -> object:
        self.calls += 1
        if self.calls == 1:
            leave()
        return self._then(*arguments)


def is_told(office: Office, lines: LogLines, thread: str) -> None:
    wait_for_problem(office, f"the thread {thread} met a fault and was restarted, 1 times")
    assert len(lines.take(f"the thread {thread} met a fault and begins anew")) == 1
    phones_register_and_call(office)
    assert len(problems(office)) == 1


def test_the_thread_of_udp(start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch) -> None:
    once = Once(SipCore.receive)
    monkeypatch.setattr(SipCore, "receive", lambda *arguments: once(*arguments))
    office = start()
    office.phone("100", t1_s=0.1)
    is_told(office, lines, "sip-udp")


def test_the_thread_of_the_timers(start: Callable[..., Office], lines: LogLines) -> None:
    office = start()
    engine = office.server._engine
    with engine._lock:
        engine._core._exchange.timers.start(time.monotonic(), leave)
        engine._carry_out()
    is_told(office, lines, "sip-timer")


def test_the_thread_that_accepts(
    start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Once(TcpTransport.close_overdue)
    monkeypatch.setattr(TcpTransport, "close_overdue", lambda *arguments: once(*arguments))
    office = start()
    is_told(office, lines, "sip-tcp-accept")
    phones_register_and_call(office, transport="TCP")


def test_the_housekeeper(start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch) -> None:
    office = start()
    once = Once(office.server._safekeeping.tick)
    monkeypatch.setattr(office.server._safekeeping, "tick", once)
    is_told(office, lines, "housekeeper")
    eventually(lambda: once.calls >= 2, "the next round")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_relay_is_not_ready_without_its_thread(start: Callable[..., Office]) -> None:
    office = start()
    place = office.server._relay._place
    assert place is not None
    place.loop.post(leave)

    eventually(lambda: office.api.request("GET", "/healthz").status == 503, "the bad news")
    assert "the media relay has stopped" in office.api.request("GET", "/healthz").json["problems"][0]
    office.phone("100")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_store(start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phones still call, and are answered after the pause that a hanging disk costs."""
    office = start()
    monkeypatch.setattr(office.server._store._writer, "attempt", leave)  # type: ignore[attr-defined]
    office.phone("100", t1_s=0.1)
    wait_for_problem(office, "the thread that stores registrations and calls has ended")
    phones_register_and_call(office)
    office.close()
    assert len(lines.take("could not be stored")) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_log_writer(start: Callable[..., Office], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = start_logging(office_config(tmp_path), console=False)
    try:
        office = start()
        assert problems(office) == []
        monkeypatch.setattr("log_setup._Writer.handle", leave)
        office.phone("100")
        wait_for_problem(office, "the thread that writes the log has ended")
        phones_register_and_call(office)
    finally:
        handle.stop()
