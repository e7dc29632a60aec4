"""SIPp, the test tool of the telephone industry, registers, calls, gives up and is busy, over UDP and TCP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.exchange import Exchange
from tests.interop.sipp import SippPhone

pytestmark = pytest.mark.interop

Sipp = Callable[..., SippPhone]


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_register_refresh_query_and_removal(exchange: Exchange, sipp: Sipp, transport: str) -> None:
    sipp("100", transport).play("register_life.xml")
    assert exchange.get("/api/users") == []


def test_register_outside_the_range_is_refused(exchange: Exchange, sipp: Sipp) -> None:
    sipp("200").play("register_unknown.xml")
    assert exchange.get("/api/users") == []


@pytest.mark.parametrize(("caller_by", "callee_by"), [("UDP", "UDP"), ("TCP", "TCP"), ("UDP", "TCP"), ("TCP", "UDP")])
def test_call(exchange: Exchange, sipp: Sipp, caller_by: str, callee_by: str) -> None:
    caller, callee = sipp("100", caller_by), sipp("101", callee_by)
    caller.register()
    callee.register()
    assert (exchange.user("100")["transport"], exchange.user("101")["transport"]) == (caller_by, callee_by)

    answering = callee.listen("uas_answer.xml")
    caller.play("uac_call.xml", to="101")
    callee.finish(answering)

    [call] = exchange.ended_calls(1)
    assert (call["fromNumber"], call["toNumber"], call["terminationReason"]) == ("100", "101", "normal")
    assert call["statusCode"] == 200
    exchange.assert_idle()


def test_cancel(exchange: Exchange, sipp: Sipp) -> None:
    caller, callee = sipp("100"), sipp("101")
    caller.register()
    callee.register()

    ringing = callee.listen("uas_cancelled.xml")
    caller.play("uac_cancel.xml", to="101")
    callee.finish(ringing)

    [call] = exchange.ended_calls(1)
    assert (call["terminationReason"], call["statusCode"], call["answerTime"]) == ("cancelled", 487, None)
    exchange.assert_idle()


def test_busy(exchange: Exchange, sipp: Sipp) -> None:
    caller, callee = sipp("100"), sipp("101")
    caller.register()
    callee.register()

    busy = callee.listen("uas_busy.xml")
    caller.play("uac_busy.xml", to="101")
    callee.finish(busy)

    [call] = exchange.ended_calls(1)
    assert (call["terminationReason"], call["statusCode"], call["answerTime"]) == ("busy", 486, None)
    exchange.assert_idle()
