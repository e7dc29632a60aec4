"""A thread that ends without being told to."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from log_setup import _Writer, start_logging
from sip.core import SipCore
from sip.transport_tcp import TcpTransport
from tests.support.faulty import LogLines, phones_register_and_call, problems, wait_for_problem
from tests.support.office import Office, eventually, office_config

LIMIT_S = 20.0


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
    """Like every fault it is counted by its place."""
    office = start()
    before = faults_told(office)
    assert set(before) >= {"sip", "sip-udp", "sip-tcp", "sip-timer", "rtp-relay", "store-writer", "http"}
    once = Once(office.server._safekeeping.tick)
    monkeypatch.setattr(office.server._safekeeping, "tick", once)
    is_told(office, lines, "housekeeper")
    eventually(lambda: once.calls >= 2, "the next round")
    after = faults_told(office)
    assert {place for place in after if after[place] > before[place]} == {"housekeeper"}
    assert after["housekeeper"] == before["housekeeper"] + 1


def test_the_relay(start: Callable[..., Office], lines: LogLines) -> None:
    """Calls go on: what they hear is a pause of a tenth of a second."""
    office = start()
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    place = office.server._relay._place
    assert place is not None
    place.loop.post(leave)
    is_told(office, lines, "rtp-relay")

    packets = call.media.make_packets(3)
    call.media.send(*packets)
    assert [ring.media.receive() for _ in packets] == packets


def test_the_store(start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had to write is written by the loop that begins anew."""
    office = start()
    writer = office.server._store._writer  # type: ignore[attr-defined]
    once = Once(writer.attempt)
    monkeypatch.setattr(writer, "attempt", once)
    office.phone("100", t1_s=0.1)
    is_told(office, lines, "store-writer")
    assert office.server._store.flush(LIMIT_S)


def test_the_server_of_the_api(start: Callable[..., Office], lines: LogLines) -> None:
    office = start()
    http = office.server._http
    assert http is not None
    http._server.readable = Once(http._server.readable)
    http._server.trigger.pull_trigger()
    is_told(office, lines, "http")


def test_the_courier_of_webhooks(
    start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = start()
    courier = office.server._courier
    assert courier is not None
    monkeypatch.setattr(courier, "step", Once(courier.step))
    courier.book.add("http://127.0.0.1:9/", ("call.held",), time.time())  # until there is one it sleeps
    is_told(office, lines, "webhooks")


def test_the_log_writer(
    start: Callable[..., Office], lines: LogLines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = office_config(tmp_path)
    handle = start_logging(config, console=False)
    try:
        office = start()
        assert problems(office) == []
        once = Once(_Writer.handle)
        monkeypatch.setattr(_Writer, "handle", lambda *arguments: once(*arguments))
        office.phone("100")
        is_told(office, lines, "log-writer")
    finally:
        handle.stop()
    assert "108 to 109 ended" in config.log_file.read_text()


def faults_told(office: Office) -> dict[str, float]:
    """By place."""
    name = "sipserver_faults_total"
    return {key.split('"')[1]: count for key, count in office.api.metrics().items() if key.startswith(name)}
