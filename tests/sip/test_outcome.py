"""sip/outcome.py: what people read of a call that was not answered."""

from __future__ import annotations

import pytest

from sip.headers import Headers
from sip.message import Response
from sip.outcome import outcome


@pytest.mark.parametrize(
    ("status", "rang", "cancel_cause", "unreachable", "reason", "words"),
    [
        (487, True, "caller", False, "cancelled", "caller hung up"),
        (486, True, "caller", False, "cancelled", "caller hung up"),
        (408, True, "setup timeout", False, "noanswer", "nobody answered"),
        (408, False, "setup timeout", False, "timeout", "neither rang nor answered"),
        (480, True, "", False, "noanswer", "nobody answered"),
        (480, False, "", False, "rejected", "do not disturb"),
        (480, False, "", True, "unreachable", "off or unreachable"),
        (408, False, "", True, "unreachable", "off or unreachable"),
        (408, False, "", False, "unreachable", "off or unreachable"),
        (486, True, "", False, "busy", "101 is busy"),
        (600, False, "", False, "busy", "101 is busy"),
        (603, True, "", False, "rejected", "refused the call"),
        (403, False, "", False, "rejected", "refused the call"),
        (487, True, "", False, "cancelled", "cancelled"),
        (488, False, "", False, "rejected", "no audio format in common"),
        (302, False, "", False, "rejected", "redirected"),
        (500, False, "", False, "error", "fault (500 Because)"),
        (404, False, "", False, "rejected", "refused the call (404 Because)"),
        (604, False, "", False, "rejected", "refused the call (604 Because)"),
    ],
)
def test_reason_and_sentence(
    status: int, rang: bool, cancel_cause: str, unreachable: bool, reason: str, words: str
) -> None:
    response = Response(status, "Because", Headers())
    found, text = outcome(response, "101", rang=rang, cancel_cause=cancel_cause, unreachable=unreachable)
    assert found == reason
    assert words in text
