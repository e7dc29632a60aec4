"""sip/attempts.py and what admission makes of it: phones that are asked for their password in vain."""

from __future__ import annotations

import pytest

from sip import attempts
from sip.attempts import Attempts
from sip.facts import Denial


def test_each_phone_and_each_reason_is_counted_for_itself_until_forgotten() -> None:
    phones = Attempts()
    assert [phones.count("192.0.2.10", "100", Denial.NOT_SHOWN) for _ in range(3)] == [1, 2, 3]
    assert phones.count("192.0.2.10", "100", Denial.TOO_LATE) == 1
    assert phones.count("192.0.2.10", "101", Denial.NOT_SHOWN) == 1
    assert phones.count("192.0.2.11", "100", Denial.NOT_SHOWN) == 1
    phones.forget("192.0.2.10", "100")
    assert phones.count("192.0.2.10", "100", Denial.NOT_SHOWN) == 1


def test_a_scan_forgets_the_phones_that_tried_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_PHONES", 3)
    phones = Attempts()
    for number in ("100", "101", "100", "102", "103"):
        phones.count("192.0.2.10", number, Denial.NOT_SHOWN)
    assert len(phones) == 3
    assert phones.count("192.0.2.10", "100", Denial.NOT_SHOWN) == 3
