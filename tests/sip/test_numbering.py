"""sip/numbering.py: which numbers exist."""

from __future__ import annotations

import pytest

from sip.numbering import NumberPlan


@pytest.mark.parametrize("number", ["100", "105", "110"])
def test_numbers_of_the_range(number: str) -> None:
    assert number in NumberPlan(100, 110)


@pytest.mark.parametrize(
    "number", ["", "99", "111", "0100", "00100", "-100", "+100", "1e2", " 100", "100 ", "١٠٠", "²", "9" * 5000]
)
def test_everything_else_is_no_number(number: str) -> None:
    assert number not in NumberPlan(100, 110)


def test_a_leading_zero_makes_another_number() -> None:
    assert "1" in NumberPlan(1, 20)
    assert "01" not in NumberPlan(1, 20)


def test_all_numbers_in_order_and_as_text() -> None:
    plan = NumberPlan(9, 11)
    assert plan.numbers() == ["9", "10", "11"]
    assert str(plan) == "9-11"
