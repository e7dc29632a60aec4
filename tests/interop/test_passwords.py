"""Real phones at a server that lets nobody in without a password."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.exchange import Exchange
from tests.interop.linphone import Linphone
from tests.interop.programs import Program, eventually, require
from tests.interop.sipp import SippPhone
from tests.support.tls import TlsFiles

pytestmark = pytest.mark.interop

PASSWORDS = {"100": "korrekt-Pferd-7", "101": "batterie-Stapel-9", "102": "klammer-Heft-4"}

TALK_PACKETS = 25
"""Half a second each way."""

CALLS, CALLS_PER_S, CALL_MS, LINGER_MS = 100, 100, 100, 1000

FLOOD, FLOOD_PER_S = 1500, 500
"""As much as fits into the socket's buffer while the server waits for its turn on a busy machine: SIPp's phones take a
message that got lost for a failure."""


@pytest.fixture
def exchange(tmp_path: Path, tls_files: TlsFiles) -> Iterator[Exchange]:
    """Nobody is trusted for the network it is in, so that everybody is treated as a stranger."""
    passwords = ",".join(f"{number}:{password}" for number, password in PASSWORDS.items())
    exchange = Exchange(
        tmp_path / "exchange", tls_files, EXT_PASSWORDS=passwords, AUTH_REQUIRED="true", TRUSTED_NETWORKS="none"
    )
    try:
        yield exchange
        exchange.stop()
    finally:
        exchange.program.close()


def failures(exchange: Exchange) -> list[dict[str, Any]]:
    """The diary, once there is something in it."""
    return eventually(lambda: exchange.get("/api/registrations/failures"), "a failed registration")


# ------------------------------------------------------------------------------------------------ phones


@pytest.mark.parametrize("transport", ["udp", "tls"])
def test_baresip_calls_baresip(exchange: Exchange, baresip: Callable[..., Baresip], transport: str) -> None:
    caller, callee = (baresip(number, 440, transport, password=PASSWORDS[number]) for number in ("100", "101"))
    caller.dial("101")
    caller.expect("CALL_ESTABLISHED")
    exchange.wait_for_audio(TALK_PACKETS)
    caller.hang_up()
    callee.expect("CALL_CLOSED")
    [call] = exchange.ended_calls(1)
    assert (call["terminationReason"], call["fromNumber"]) == ("normal", "100")
    exchange.assert_idle()


def test_linphone_calls_baresip_and_is_called(
    exchange: Exchange, linphone: Callable[..., Linphone], baresip: Callable[..., Baresip]
) -> None:
    one, other = linphone("102", 700, password=PASSWORDS["102"]), baresip("101", 440, password=PASSWORDS["101"])
    one.dial("101")
    one.expect("Media streams established")
    exchange.wait_for_audio(TALK_PACKETS)
    one.hang_up()
    other.expect("CALL_CLOSED")
    other.dial("102")
    one.expect("Receiving new incoming call")
    one.answer()
    other.expect("CALL_ESTABLISHED")
    other.hang_up()
    assert [call["terminationReason"] for call in exchange.ended_calls(2)] == ["normal", "normal"]
    exchange.assert_idle()


def test_with_a_wrong_password_they_fail_and_the_diary_says_why(
    exchange: Exchange, linphone: Callable[..., Linphone], baresip: Callable[..., Baresip]
) -> None:
    baresip("100", 440, password="falsch", registers=False)
    linphone("102", 700, password="falsch", registers=False)

    def both() -> dict[str, str]:
        found = {each["number"]: each["reason"] for each in failures(exchange)}
        return found if len(found) == 2 else {}

    reasons = eventually(both, "two numbers in the diary")
    assert sorted(reasons) == ["100", "102"]
    for number, reason in reasons.items():
        assert reason.startswith(f"wrong password for {number}: enter the right one in the phone")
    assert exchange.get("/api/users") == []


# ------------------------------------------------------------------------------------------------ tools


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_sipp_calls_a_hundred_times(exchange: Exchange, sipp: Callable[..., SippPhone], transport: str) -> None:
    caller, callee = sipp("100", transport), sipp("101", transport)
    for phone in (caller, callee):
        phone.play("register_password.xml", "-au", phone.number, "-ap", PASSWORDS[phone.number])
    answering = callee.listen("uas_answer.xml", "-m", str(CALLS), "-d", str(LINGER_MS))
    load = ("-m", str(CALLS), "-r", str(CALLS_PER_S), "-d", str(CALL_MS))
    caller.play("uac_call_password.xml", "-au", "100", "-ap", PASSWORDS["100"], *load, to="101")
    callee.finish(answering)
    exchange.assert_idle()
    calls = exchange.get("/api/statistics")["calls"]
    assert (calls["totalCalls"], calls["completedCalls"], calls["failedCalls"]) == (CALLS, CALLS, 0)


def test_phones_call_while_strangers_flood_the_server(exchange: Exchange, sipp: Callable[..., SippPhone]) -> None:
    """Hundreds of REGISTER requests a second without a password, each a new one: they are all refused, nothing of them
    stays, and no call fails because of them."""
    caller, callee, stranger = sipp("100"), sipp("101"), sipp("102")
    for phone in (caller, callee):
        phone.play("register_password.xml", "-au", phone.number, "-ap", PASSWORDS[phone.number])
    flood = stranger.start("register_refused.xml", "-m", str(FLOOD), "-r", str(FLOOD_PER_S))
    answering = callee.listen("uas_answer.xml", "-m", str(CALLS), "-d", str(LINGER_MS))
    load = ("-m", str(CALLS), "-r", str(CALLS_PER_S), "-d", str(CALL_MS))
    caller.play("uac_call_password.xml", "-au", "100", "-ap", PASSWORDS["100"], *load, to="101")
    callee.finish(answering)
    stranger.finish(flood)
    exchange.assert_idle()
    calls = exchange.get("/api/statistics")["calls"]
    assert (calls["completedCalls"], calls["failedCalls"]) == (CALLS, 0)
    assert {user["number"] for user in exchange.get("/api/users")} == {"100", "101"}
    # To be asked for a password is no failure; never to show one is, and stands there once, however often it happened.
    [failure] = exchange.get("/api/registrations/failures")
    assert failure["number"] == "102"
    assert failure["reason"] == "102 was asked for its password and shows none: enter it in the phone"


@pytest.mark.parametrize("password", [PASSWORDS["100"], "falsch"])
def test_sipsak_registers_with_the_right_password_only(exchange: Exchange, tmp_path: Path, password: str) -> None:
    contact = "sip:100@127.0.0.1:5066"
    status = sipsak(exchange, tmp_path, "-U", "-C", contact, "-x", "600", "-u", "100", "-a", password)[0]
    assert (status == 0) == (password == PASSWORDS["100"])
    if status == 0:
        assert exchange.user("100")["transport"] == "UDP"
    else:
        assert [each["number"] for each in failures(exchange)] == ["100"]


def test_sipsak_asking_for_options_is_asked_for_a_password(exchange: Exchange, tmp_path: Path) -> None:
    """Of a number that there is and of one that there isn't, with the same words."""
    answers = [sipsak(exchange, tmp_path, "-v", "-v", number=number)[1] for number in ("100", "999")]
    assert all("SIP/2.0 407 Proxy Authentication Required" in answer for answer in answers)
    assert all(not re.search("^(Server|User-Agent): (?!sipsak)", answer, re.MULTILINE) for answer in answers)


def sipsak(exchange: Exchange, directory: Path, *options: str, number: str = "100") -> tuple[int, str]:
    """Its exit status, and what it says."""
    path = require("sipsak", "sipsak")
    command = [path, *options, "-s", exchange.uri(number)]
    program = Program(command, directory)
    try:
        return program.wait(), program.output
    finally:
        program.close()
