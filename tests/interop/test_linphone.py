"""linphone and baresip, which share no line of SIP code, call each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.baresip import Baresip
from tests.interop.exchange import RINGBACK_HZ, Exchange
from tests.interop.linphone import Linphone
from tests.interop.tone import seconds_of_tone

pytestmark = pytest.mark.interop

LINPHONE_HZ, BARESIP_HZ = 700, 1000

TALK_PACKETS = 100
"""Two seconds each way."""


def test_linphone_calls_baresip_holds_and_resumes(
    exchange: Exchange, linphone: Callable[..., Linphone], baresip: Callable[..., Baresip]
) -> None:
    caller, callee = linphone("102", LINPHONE_HZ), baresip("101", BARESIP_HZ)
    caller.dial("101")
    caller.expect("Media streams established")
    callee.expect("CALL_ESTABLISHED")
    exchange.wait_for_audio(TALK_PACKETS)

    caller.hold()
    caller.expect("paused")
    caller.resume()
    caller.expect("Media streams established")
    exchange.wait_for_audio(10)

    caller.hang_up()
    callee.expect("CALL_CLOSED")
    assert_ended_normally(exchange, "102", "101", "caller")
    assert_heard_each_other(caller, callee)


@pytest.mark.parametrize("linphone_is_first", [True, False])
def test_the_server_connects_linphone_and_baresip(
    exchange: Exchange,
    linphone: Callable[..., Linphone],
    baresip: Callable[..., Baresip],
    linphone_is_first: bool,
) -> None:
    """Click to dial: INVITEs without an offer, a ringing tone, and a re-INVITE that brings the sound."""
    one, other = linphone("102", LINPHONE_HZ), baresip("101", BARESIP_HZ)
    numbers = ("102", "101") if linphone_is_first else ("101", "102")
    exchange.post("/api/calls", dict(zip(("from", "to"), numbers, strict=True)))
    one.expect("Receiving new incoming call")
    if not linphone_is_first:
        exchange.wait_for_ringback()
    one.answer()
    other.expect("CALL_ESTABLISHED")
    exchange.wait_for_audio(TALK_PACKETS)

    one.hang_up()
    other.expect("CALL_CLOSED")
    assert_ended_normally(exchange, *numbers, "caller" if linphone_is_first else "callee")
    one.quit()
    other.quit()
    assert seconds_of_tone(one.recording(), BARESIP_HZ) >= 1.0
    heard = other.heard()
    assert seconds_of_tone(heard, LINPHONE_HZ) >= 1.0
    assert (seconds_of_tone(heard, RINGBACK_HZ) >= 0.8) == (not linphone_is_first)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_baresip_calls_linphone(
    exchange: Exchange, linphone: Callable[..., Linphone], baresip: Callable[..., Baresip], transport: str
) -> None:
    caller, callee = baresip("101", BARESIP_HZ), linphone("102", LINPHONE_HZ, transport)
    assert exchange.user("102")["transport"] == transport.upper()
    caller.dial("102")
    callee.expect("Receiving new incoming call")
    callee.answer()
    caller.expect("CALL_ESTABLISHED")
    exchange.wait_for_audio(TALK_PACKETS)

    caller.hang_up()
    callee.expect("ended")
    assert_ended_normally(exchange, "101", "102", "caller")
    assert_heard_each_other(callee, caller)


def assert_ended_normally(exchange: Exchange, caller: str, callee: str, ended_by: str) -> None:
    [call] = exchange.ended_calls(1)
    assert (call["fromNumber"], call["toNumber"]) == (caller, callee)
    assert (call["terminationReason"], call["statusCode"], call["endedBy"]) == ("normal", 200, ended_by)
    assert exchange.explained(call) == ("good", [])
    exchange.assert_idle()


def assert_heard_each_other(linphone: Linphone, baresip: Baresip) -> None:
    linphone.quit()
    baresip.quit()
    assert seconds_of_tone(linphone.recording(), BARESIP_HZ) >= 1.0
    assert seconds_of_tone(baresip.recording(), LINPHONE_HZ) >= 1.0
