"""A fault of the program itself in one message, timer, effect or view ends only that, and is logged once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from sip.core import SipCore
from sip.transport_udp import UdpTransport
from tests.support.faulty import LogLines, phones_register_and_call
from tests.support.office import Office, eventually


def boom(*_: object) -> Any:
    raise RuntimeError("a fault of the program")


def break_messages(monkeypatch: pytest.MonkeyPatch, text: bytes, times: int) -> list[bytes]:
    """The core fails at so many messages with that text; those messages."""
    met: list[bytes] = []
    receive = SipCore.receive

    def broken(core: SipCore, message: Any, data: bytes, *more: Any) -> None:
        if text in data and len(met) < times:
            met.append(data)
            boom()
        receive(core, message, data, *more)

    monkeypatch.setattr(SipCore, "receive", broken)
    return met


@pytest.mark.parametrize(("transport", "words"), [("UDP", "a datagram from"), ("TCP", "a message from")])
def test_a_request(
    start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch, transport: str, words: str
) -> None:
    met = break_messages(monkeypatch, b"X-Break: me", 5)
    office = start()
    alice = office.unregistered("100", transport=transport, t1_s=0.1)
    for _ in range(5):
        alice.send_register(None, ("X-Break", "me"))
    eventually(lambda: len(met) >= 5, "all messages")

    (line,) = lines.take("a fault of the program")
    assert words in line
    assert "127.0.0.1" in line
    assert "Traceback" in line
    alice.register()
    phones_register_and_call(office)


def test_a_response(start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The phone sends it again, for want of an ACK, and the call is made."""
    met = break_messages(monkeypatch, b"X-Break: me", 1)
    office = start()
    alice, bob = (office.phone(number, t1_s=0.1) for number in ("100", "101"))
    call = alice.call("101")
    bob.expect_call().answer(("X-Break", "me"))
    call.wait_answered()
    call.hang_up()

    assert len(met) == 1
    phones_register_and_call(office)
    assert len(lines.take("a fault of the program")) == 1


def test_timers(start: Callable[..., Office], lines: LogLines) -> None:
    office = start()
    engine = office.server._engine
    fired = threading.Event()
    with engine._lock:
        timers, now = engine._core._exchange.timers, time.monotonic()
        for _ in range(3):
            timers.start(now, boom)
        timers.start(now, lambda _now: fired.set())
        engine._carry_out()

    assert fired.wait(5.0)
    assert len(lines.take("timer callback failed")) == 1
    phones_register_and_call(office)


def test_what_comes_before_the_timers(
    start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = start()
    rounds: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(SipCore, "handle_timeout", lambda _core, now: rounds.append(now) or boom())
        office.phone("100")
        eventually(lambda: len(rounds) >= 3, "three rounds")

    assert len(lines.take("a timer caused a fault")) == 1
    phones_register_and_call(office)


def test_one_message_that_can_not_be_sent_for_a_fault_leaves_the_others(
    start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the INVITE of a number with two phones: 100, INVITE, INVITE."""
    office = start()
    alice, bob = office.phones("100", "101")
    dead = office.phone("101")
    broken = int(dead.address.rpartition(":")[2])
    send = UdpTransport.send

    def send_or_fail(transport: UdpTransport, flow: Any, data: bytes, token: object) -> str | None:
        if flow.remote_port == broken:
            boom()
        return send(transport, flow, data, token)

    monkeypatch.setattr(UdpTransport, "send", send_or_fail)
    for _ in range(2):
        call = alice.call("101")
        bob.expect_call().answer()
        call.wait_answered()
        call.hang_up()

    assert len(lines.take("caused a fault")) == 1
    phones_register_and_call(office)


def test_a_view_of_the_api(start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch) -> None:
    office = start()
    with monkeypatch.context() as patch:
        patch.setattr(office.server, "registrations", boom)
        assert office.api.request("GET", "/api/users").status == 500
        assert office.api.get("/api/calls") == []
        phones_register_and_call(office)

    (line,) = lines.take("a fault of the program")
    assert "/api/users" in line
    assert office.api.get("/api/users") == []


def test_housekeeping_saves_bans_though_passwords_can_not_be_looked_at(
    start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = start()
    with monkeypatch.context() as patch:
        patch.setattr("sip.password_store.PasswordStore.reload_if_changed", boom)
        office.server._engine.add_ban("203.0.113.7", None, "a scanner")
        eventually((office.config.data_dir / "bans.json").exists, "the file of the bans")
    eventually(lambda: lines.take("housekeeping met a fault"), "the line about it")
    lines.take("banned by the administrator")
    phones_register_and_call(office)
