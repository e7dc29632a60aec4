"""Two baresip phones call each other and hear each other's tone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.baresip import Baresip
from tests.interop.exchange import RINGBACK_HZ, Exchange
from tests.interop.tone import seconds_of_tone

pytestmark = pytest.mark.interop

Phones = Callable[..., Baresip]

LOW_HZ, HIGH_HZ = 440, 1000

TALK_PACKETS = 100
"""Two seconds each way."""


@pytest.mark.parametrize(
    ("caller_by", "callee_by", "ended_by"),
    [
        ("udp", "udp", "caller"),
        ("tcp", "tcp", "callee"),
        ("udp", "tcp", "caller"),
        ("tls", "tls", "callee"),
        ("tls", "udp", "caller"),
        ("udp", "tls", "callee"),
    ],
)
def test_call_with_sound_both_ways(
    exchange: Exchange, baresip: Phones, caller_by: str, callee_by: str, ended_by: str
) -> None:
    caller, callee = baresip("100", LOW_HZ, caller_by), baresip("101", HIGH_HZ, callee_by)
    caller.dial("101")
    caller.expect("CALL_ESTABLISHED")
    callee.expect("CALL_ESTABLISHED")
    transports = [exchange.user(number)["transport"] for number in ("100", "101")]
    assert transports == [caller_by.upper(), callee_by.upper()]
    [call] = exchange.get("/api/calls")
    assert (call["fromNumber"], call["toNumber"], call["state"]) == ("100", "101", "ESTABLISHED")

    streams = exchange.wait_for_audio(TALK_PACKETS)
    assert {stream["codec"] for stream in streams.values()} == {"PCMA"}

    (caller if ended_by == "caller" else callee).hang_up()
    caller.expect("CALL_CLOSED")
    callee.expect("CALL_CLOSED")
    [call] = exchange.ended_calls(1)
    assert (call["terminationReason"], call["statusCode"], call["endedBy"]) == ("normal", 200, ended_by)
    assert exchange.explained(call) == ("good", [])
    exchange.assert_idle()

    caller.quit()
    callee.quit()
    assert exchange.get("/api/users") == []
    assert_heard_only(caller.recording(), HIGH_HZ, not_hz=LOW_HZ)
    assert_heard_only(callee.recording(), LOW_HZ, not_hz=HIGH_HZ)


@pytest.mark.parametrize(("first_by", "second_by", "encryption"), [("udp", "tcp", ""), ("tls", "tls", "srtp-mand")])
def test_a_call_that_the_server_begins_has_sound_both_ways(
    exchange: Exchange, baresip: Phones, first_by: str, second_by: str, encryption: str
) -> None:
    """Click to dial: the first phone is rung, then the second; each hears the other.  The first hears ringing until the
    second is picked up, unless its sound must be encrypted."""
    first = baresip("100", LOW_HZ, first_by, encryption)
    second = baresip("101", HIGH_HZ, second_by, encryption, answers=bool(encryption))
    call = exchange.post("/api/calls", {"from": "100", "to": "101"})
    assert (call["fromNumber"], call["toNumber"], call["state"]) == ("100", "101", "INITIATED")
    first.expect("CALL_ESTABLISHED")
    if not encryption:
        second.expect("CALL_INCOMING")
        exchange.wait_for_ringback()
        second.accept()
    second.expect("CALL_ESTABLISHED")
    exchange.wait_for_audio(TALK_PACKETS)
    [live] = exchange.get("/api/calls")
    assert (live["callId"], live["state"]) == (call["callId"], "ESTABLISHED")

    first.hang_up()
    second.expect("CALL_CLOSED")
    [ended] = exchange.ended_calls(1)
    assert (ended["callId"], ended["terminationReason"], ended["endedBy"]) == (call["callId"], "normal", "caller")
    exchange.assert_idle()
    first.quit()
    second.quit()
    heard = first.heard()
    assert (seconds_of_tone(heard, RINGBACK_HZ) >= 0.8) == (not encryption)
    assert_heard_only(heard, HIGH_HZ, not_hz=LOW_HZ)
    assert_heard_only(second.recording(), LOW_HZ, not_hz=HIGH_HZ)


@pytest.mark.parametrize("encryption", ["srtp-mand", "dtls_srtp"])
def test_encrypted_sound_both_ways(exchange: Exchange, baresip: Phones, encryption: str) -> None:
    """SDES (RFC 4568) and DTLS-SRTP (RFC 5764): what is heard was encrypted by one phone and decrypted by the other."""
    caller, callee = baresip("100", LOW_HZ, "tls", encryption), baresip("101", HIGH_HZ, "tls", encryption)
    caller.dial("101")
    caller.expect("CALL_ESTABLISHED")
    callee.expect("CALL_ESTABLISHED")
    exchange.wait_for_audio(TALK_PACKETS)

    caller.hang_up()
    callee.expect("CALL_CLOSED")
    exchange.assert_idle()
    caller.quit()
    callee.quit()
    assert_heard_only(caller.recording(), HIGH_HZ, not_hz=LOW_HZ)
    assert_heard_only(callee.recording(), LOW_HZ, not_hz=HIGH_HZ)


def test_hold_and_resume(exchange: Exchange, baresip: Phones) -> None:
    caller, callee = baresip("100", LOW_HZ), baresip("101", HIGH_HZ)
    caller.dial("101")
    caller.expect("CALL_ESTABLISHED")
    callee.expect("CALL_ESTABLISHED")
    exchange.wait_for_audio(5)

    for change in (caller.hold, caller.resume, callee.hold, callee.resume):
        change()
        # One phone has the other's answer, so the other has had the offer.
        (caller if change in (caller.hold, caller.resume) else callee).expect("CALL_REMOTE_SDP")
    exchange.wait_for_audio(25)

    callee.hang_up()
    caller.expect("CALL_CLOSED")
    [call] = exchange.ended_calls(1)
    assert call["terminationReason"] == "normal"
    assert exchange.explained(call) == ("good", [])
    exchange.assert_idle()


def test_call_to_a_phone_that_is_gone(exchange: Exchange, baresip: Phones) -> None:
    caller, callee = baresip("100", LOW_HZ), baresip("101", HIGH_HZ)
    callee.quit()
    caller.dial("101")
    assert caller.expect("CALL_CLOSED")["param"].startswith("480 ")
    [call] = exchange.ended_calls(1)
    assert (call["terminationReason"], call["statusCode"]) == ("unreachable", 480)
    assert exchange.explained(call) == ("failed", ["callee-not-registered"])
    exchange.assert_idle()


def assert_heard_only(recording: list[int], frequency_hz: int, not_hz: int) -> None:
    assert seconds_of_tone(recording, frequency_hz) >= 1.0
    assert seconds_of_tone(recording, not_hz) == 0
