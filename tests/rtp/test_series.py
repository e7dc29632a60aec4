"""How a stream went over time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from rtp.figures import StreamSnapshot
from rtp.pulse import NO_PULSE, Pulse
from rtp.quality import mos_from_r, r_factor
from rtp.series import MAX_SAMPLES, SPAN_S, Series, StreamSeries

OFFSET_S = 1_000_000.0
FIGURES = StreamSnapshot("call-1", "audio", 0, None, None, None, None, 10_000, codec="PCMU")


def figures(packets: int, **changes: Any) -> StreamSnapshot:
    return FIGURES._replace(packets=packets, **changes)


def pulse(packets: int, lost: int = 0) -> Pulse:
    return Pulse(packets, packets, lost, codec="PCMU")


def take(series: Series, now: float, counted: StreamSnapshot, measured: Pulse | None = None) -> None:
    series.take(counted, measured or pulse(counted.packets, counted.lost), now, now + OFFSET_S)


def test_a_sample_has_what_came_since_the_one_before() -> None:
    series = Series(100.0)
    assert (series.due, series.samples) == (105.0, ())
    first = figures(250, lost=5, out_of_order=4, duplicates=3, late=2, dropped=1, jitter_ms=2.0)
    take(series, 105.0, first)
    take(series, 110.5, first._replace(packets=500, lost=5, late=4, jitter_ms=1.0, remote_lost=7, rtt_ms=20.0))
    one, two = series.samples
    assert (one.at, one.span_s, two.at, two.span_s) == (OFFSET_S + 105, 5.0, OFFSET_S + 110.5, 5.5)
    assert (one.packets, one.lost, one.out_of_order, one.duplicates, one.late, one.dropped) == (250, 5, 4, 3, 2, 1)
    assert (two.packets, two.lost, two.out_of_order, two.duplicates, two.late, two.dropped) == (250, 0, 0, 0, 2, 0)
    assert (one.jitter_ms, two.jitter_ms, two.remote_lost, two.rtt_ms) == (2.0, 1.0, 7, 20.0)
    assert series.due == 115.5


def test_the_quality_is_that_of_the_losses_in_this_time() -> None:
    series = Series(0.0)
    take(series, 5.0, figures(200, lost=50))
    take(series, 10.0, figures(450, lost=50))
    take(series, 15.0, figures(450, lost=50))
    expected = [mos_from_r(r_factor("PCMU", loss, 20.0)) for loss in (20.0, 0.0)]
    assert [sample.mos for sample in series.samples] == [*map(pytest.approx, expected), None]


def test_only_sound_is_rated() -> None:
    series = Series(0.0)
    take(series, 5.0, figures(200, kind="video"))
    assert series.samples[0].mos is None


def test_a_gap_belongs_to_the_time_in_which_it_ended() -> None:
    series = Series(0.0)
    gap = {"gap_ms": 320.0, "gap_ended_at": OFFSET_S + 4.0}
    take(series, 5.0, figures(200, **gap))
    take(series, 10.0, figures(450, **gap))
    assert [sample.gap_ms for sample in series.samples] == [320.0, 0.0]


def test_a_long_call_has_fewer_and_longer_samples_that_miss_nothing() -> None:
    series, now, packets = Series(0.0), 0.0, 0
    while now < 7_200.0:
        now = series.due
        packets += round(50 * SPAN_S)
        counted = figures(packets, jitter_ms=9.0 if 3_000 < now < 3_100 else 1.0)
        if now > 3_052:
            counted = counted._replace(gap_ms=500.0, gap_ended_at=OFFSET_S + 3_052.0)
        take(series, now, counted)
    samples = series.samples
    assert MAX_SAMPLES / 2 <= len(samples) < MAX_SAMPLES
    assert sum(sample.packets for sample in samples) == packets
    assert sum(sample.span_s for sample in samples) == pytest.approx(now)
    assert [one.at + two.span_s for one, two in pairwise(samples)] == [
        pytest.approx(sample.at) for sample in samples[1:]
    ]
    assert max(sample.jitter_ms for sample in samples) == 9.0
    (troubled,) = (sample for sample in samples if sample.gap_ms)
    assert troubled.at - troubled.span_s < OFFSET_S + 3_052.0 <= troubled.at
    assert all(sample.mos is not None for sample in samples)


def test_joined_samples_are_rated_anew() -> None:
    series = Series(0.0)
    for number in range(MAX_SAMPLES):
        take(series, 5.0 * (number + 1), figures(250 * (number + 1), lost=50 if number else 0))
    first, second, *_ = series.samples
    assert (first.lost, second.lost) == (50, 0)
    assert first.mos == pytest.approx(mos_from_r(r_factor("PCMU", 100 * 50 / 550, 20.0)))
    assert second.mos is not None and first.mos is not None and second.mos > first.mos
    assert series.due == 5.0 * (MAX_SAMPLES + 1)


def test_both_directions_are_sampled_together_and_the_end_only_if_there_is_news() -> None:
    both = StreamSeries(0.0)
    assert (both.is_due(4.9), both.is_due(5.0)) == (False, True)
    caller, callee = figures(250), FIGURES._replace(side=1, relay_port=10_002)
    assert both.quality((caller, callee)) == ()
    both.take((caller, callee), (pulse(250), NO_PULSE), 5.0, OFFSET_S)
    both.finish((caller, callee), (pulse(250), NO_PULSE), 6.0, OFFSET_S)
    heard = callee._replace(packets=1)
    one, two = both.quality((caller, callee))
    assert (one.side, one.relay_port, one.codec, len(one.samples)) == (0, 10_000, "PCMU", 1)
    assert (two.side, two.relay_port, [sample.packets for sample in two.samples]) == (1, 10_002, [0])
    both.finish((caller, heard), (pulse(250), pulse(1)), 7.0, OFFSET_S)
    one, two = both.quality((caller, heard))
    assert [sample.span_s for sample in one.samples] == [5.0, 2.0]
    assert [sample.packets for sample in two.samples] == [0, 1]
