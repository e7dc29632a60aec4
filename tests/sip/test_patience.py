"""sip/patience.py: how long a connection may be silent, and how long it may take for one message."""

from __future__ import annotations

import pytest

from sip.patience import Patience, StreamLimits

LIMITS = StreamLimits(first_message_s=20, message_s=30, idle_s=180)


def stranger() -> Patience:
    return Patience(LIMITS, 1000.0)


def phone() -> Patience:
    """It has sent its first message at once."""
    patience = stranger()
    patience.heard(1000.0, messages=1, pings=0, unfinished=False)
    return patience


def assert_overdue_at(patience: Patience, deadline: float) -> None:
    assert not patience.is_overdue(deadline - 0.001)
    assert patience.is_overdue(deadline)


def test_a_connection_that_says_nothing_has_the_time_for_a_first_message() -> None:
    assert_overdue_at(stranger(), 1020.0)


@pytest.mark.parametrize(("pings", "unfinished"), [(0, True), (1, False), (3, True)])
def test_neither_bytes_nor_pings_move_the_deadline_of_a_stranger(pings: int, unfinished: bool) -> None:
    patience = stranger()
    for now in (1001.0, 1010.0, 1019.0):
        patience.heard(now, messages=0, pings=pings, unfinished=unfinished)
    assert_overdue_at(patience, 1020.0)


def test_after_a_message_it_may_be_silent_for_the_idle_time() -> None:
    patience = phone()
    assert patience.is_idle
    assert_overdue_at(patience, 1180.0)


def test_rfc_5626_3_5_1_a_ping_is_a_sign_of_life() -> None:
    patience = phone()
    patience.heard(1120.0, messages=0, pings=1, unfinished=False)
    assert_overdue_at(patience, 1300.0)


def test_a_message_has_its_time_from_its_first_byte_however_often_more_comes() -> None:
    patience = phone()
    for now in (1100.0, 1101.0, 1129.0):
        patience.heard(now, messages=0, pings=0, unfinished=True)
        assert not patience.is_idle
    assert_overdue_at(patience, 1130.0)


def test_the_end_of_a_slow_message_and_the_beginning_of_the_next_are_two_messages() -> None:
    patience = phone()
    patience.heard(1100.0, messages=0, pings=0, unfinished=True)
    patience.heard(1120.0, messages=1, pings=0, unfinished=True)
    assert_overdue_at(patience, 1150.0)
    patience.heard(1149.0, messages=1, pings=0, unfinished=False)
    assert_overdue_at(patience, 1149.0 + 180.0)


def test_what_completes_nothing_is_no_sign_of_life() -> None:
    patience = phone()
    patience.heard(1100.0, messages=0, pings=0, unfinished=False)
    assert_overdue_at(patience, 1180.0)


def test_a_connection_that_we_opened_is_idle_from_the_start() -> None:
    patience = Patience(LIMITS, 1000.0, is_stranger=False)
    assert patience.is_idle
    assert_overdue_at(patience, 1180.0)


def test_an_excuse_is_for_silence_only() -> None:
    patience = phone()
    patience.excuse(1180.0)
    assert_overdue_at(patience, 1360.0)

    patience.heard(1200.0, messages=0, pings=0, unfinished=True)
    assert_overdue_at(patience, 1230.0)
