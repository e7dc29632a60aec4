"""A thousand calls, fifty new ones a second, with SIPp on both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.exchange import Exchange
from tests.interop.sipp import SippPhone

pytestmark = pytest.mark.interop

CALLS = 1000
CALLS_PER_S = 50
CALL_MS = 200
LINGER_MS = 1000
"""How long the phone that was called answers a BYE that comes again."""
LIMIT_S = 120.0


def test_a_thousand_calls_at_fifty_a_second(exchange: Exchange, sipp: Callable[..., SippPhone]) -> None:
    caller, callee = sipp("100"), sipp("101")
    caller.register()
    callee.register()

    answering = callee.listen("uas_answer.xml", "-m", str(CALLS), "-d", str(LINGER_MS))
    caller.play("uac_call.xml", "-m", str(CALLS), "-r", str(CALLS_PER_S), "-d", str(CALL_MS), to="101", limit_s=LIMIT_S)
    callee.finish(answering)

    exchange.assert_idle()
    calls = exchange.get("/api/statistics")["calls"]
    assert (calls["totalCalls"], calls["completedCalls"], calls["failedCalls"]) == (CALLS, CALLS, 0)
