from __future__ import annotations

import pytest

from rtp.pulse import NO_PULSE, Pulse
from rtp.session import MediaSession


def test_a_pulse_is_rated_by_what_came_since_an_earlier_one() -> None:
    before = Pulse(packets=1000, received=1000, lost=500, last_at=10.0, codec="PCMU")
    clean = before._replace(packets=1500, received=1500, last_at=20.0)
    lossy = clean._replace(packets=1900, received=1900, lost=600, last_at=30.0)
    assert clean.loss_percent_since(before) == 0.0
    assert lossy.loss_percent_since(clean) == pytest.approx(20.0)
    assert (clean.mos_since(before) or 0.0) > 4.3
    assert (lossy.mos_since(clean) or 5.0) < 3.0
    assert clean.mos_since(NO_PULSE) == pytest.approx(before.mos_since(NO_PULSE), abs=0.5)


def test_where_nothing_came_there_is_nothing_to_rate() -> None:
    before = Pulse(packets=1000, received=1000, lost=5, last_at=10.0)
    assert NO_PULSE.mos_since(NO_PULSE) is None
    assert before.mos_since(before) is None
    assert (before.loss_percent_since(before), NO_PULSE.loss_percent_since(NO_PULSE)) == (0.0, 0.0)


def test_a_receiver_that_takes_its_losses_back_makes_no_negative_loss() -> None:
    before = Pulse(packets=100, received=100, lost=50)
    assert before._replace(received=200, lost=20).loss_percent_since(before) == 0.0


def test_the_pulse_of_a_session_has_copies_and_rejected_packets_apart(rtp) -> None:
    session = MediaSession("call-1", "audio", (10000, 10002))
    side = session.sides[0]
    for number in (1, 2, 2, 4):
        prefix = int.from_bytes(rtp(number)[:2])
        side.stats.on_packet(prefix, number, number * 160, 7, 172, 10.0 + number)
    side.stats.on_rejected()
    pulse = session.pulse(0)
    assert (pulse.packets, pulse.received, pulse.lost, pulse.rejected, pulse.last_at) == (4, 3, 1, 1, 14.0)
    assert session.pulse(1) == NO_PULSE
