"""rtp/pacing.py: a packet each interval, no drift, no burst."""

from __future__ import annotations

import pytest

from rtp.pacing import MAX_BEHIND, Pacer


def test_nothing_drifts_however_late_each_wake_up_is() -> None:
    pacer = Pacer(100.0)
    for _ in range(1000):
        assert pacer.step(pacer.next_at + 0.009, 0.02) == 0
    assert pacer.next_at == pytest.approx(120.0)


def test_a_hiccup_is_made_good() -> None:
    pacer = Pacer(0.0)
    now = MAX_BEHIND * 0.02 + 0.001
    sent = 0
    while pacer.next_at <= now:
        assert pacer.step(now, 0.02) == 0
        sent += 1
    assert sent == MAX_BEHIND + 1


def test_after_a_stall_what_is_over_is_left_out() -> None:
    pacer = Pacer(0.0)
    assert pacer.step(1.0, 0.02) == 50
    assert pacer.next_at == pytest.approx(1.02)
    assert pacer.step(1.02, 0.02) == 0


def test_another_packet_length_counts_from_the_next_packet_on() -> None:
    pacer = Pacer(0.0)
    pacer.step(0.0, 0.02)
    pacer.step(0.02, 0.03)
    assert pacer.next_at == pytest.approx(0.05)
