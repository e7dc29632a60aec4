"""How one direction of a stream went over time: samples of its counters, evenly spread over the whole of it. Pure;
guarded by whoever owns the stream.

A series has at most MAX_SAMPLES of them: when it is full, each two become one, and from then on each covers twice as
much. The counters are looked at every SPAN_S all the same, since they remember some things no longer.
"""

from __future__ import annotations

from typing import NamedTuple

from rtp.figures import StreamSnapshot
from rtp.pulse import NO_PULSE, Pulse

SPAN_S = 5.0
"""How often the counters are looked at, and what a sample covers at first; less than `rtp.stats.GAP_MEMORY_S`."""
MAX_SAMPLES = 120
"""Ten minutes at first."""


class QualitySample(NamedTuple):
    """What came in the `span_s` seconds before `at` (wall clock). The counters are those of `StreamSnapshot`, of this
    time alone; `late` and `gap_ms` are explained in `rtp.stats`. `jitter_ms` is the highest that a sample has met,
    `mos` is by what was lost in this time. What the receiver reports is from its last report; its losses count from
    the beginning.
    """

    at: float
    span_s: float
    packets: int
    lost: int
    out_of_order: int
    duplicates: int
    late: int
    dropped: int
    jitter_ms: float
    gap_ms: float
    mos: float | None
    remote_lost: int | None
    remote_jitter_ms: float | None
    rtt_ms: float | None


class QualityOverTime(NamedTuple):
    """The samples of one direction, oldest first; `side` sends, 0 is the caller; `relay_port` is where it sends to."""

    kind: str
    side: int
    relay_port: int
    codec: str | None
    samples: tuple[QualitySample, ...]


class _Measured(NamedTuple):
    """A sample with what its quality is reckoned from."""

    sample: QualitySample
    before: Pulse
    after: Pulse


Figures = tuple[StreamSnapshot, StreamSnapshot]
Pulses = tuple[Pulse, Pulse]

_NOTHING = StreamSnapshot("", "", 0, None, None, None, None, 0)


class Series:
    """Invariant: the samples follow one another without a hole from `began` to the last `take`."""

    __slots__ = ("_last", "_measured", "_pulse", "_span_s", "_taken", "due")

    def __init__(self, began: float) -> None:
        """`began` is monotonic, as is `due`, when the next sample should be taken."""
        self._measured: list[_Measured] = []
        self._span_s = SPAN_S
        self._taken = began
        self._last = _NOTHING
        self._pulse = NO_PULSE
        self.due = began + SPAN_S

    def take(self, figures: StreamSnapshot, pulse: Pulse, now: float, now_at: float) -> None:
        """What came since the last sample, from the figures and the pulse of now, which is monotonic; `now_at` is the
        wall clock."""
        before, last = self._pulse, self._last
        has_gap = figures.gap_ended_at is not None and figures.gap_ended_at > now_at - (now - self._taken)
        sample = QualitySample(
            at=now_at,
            span_s=now - self._taken,
            packets=figures.packets - last.packets,
            lost=figures.lost - last.lost,
            out_of_order=figures.out_of_order - last.out_of_order,
            duplicates=figures.duplicates - last.duplicates,
            late=figures.late - last.late,
            dropped=figures.dropped - last.dropped,
            jitter_ms=figures.jitter_ms,
            gap_ms=figures.gap_ms if has_gap else 0.0,
            mos=pulse.mos_since(before) if figures.kind == "audio" else None,
            remote_lost=figures.remote_lost,
            remote_jitter_ms=figures.remote_jitter_ms,
            rtt_ms=figures.rtt_ms,
        )
        self._add(_Measured(sample, before, pulse))
        self._last, self._pulse, self._taken = figures, pulse, now
        self.due = now + SPAN_S

    def has_news(self, figures: StreamSnapshot) -> bool:
        """Anything has come since the last sample."""
        return figures.packets > self._last.packets

    @property
    def samples(self) -> tuple[QualitySample, ...]:
        return tuple(each.sample for each in self._measured)

    def _add(self, measured: _Measured) -> None:
        """To the last sample while that covers less than it should, else after it."""
        if self._measured and self._measured[-1].sample.span_s < self._span_s - SPAN_S / 2:
            self._measured[-1] = _joined(self._measured[-1], measured)
            return
        self._measured.append(measured)
        if len(self._measured) >= MAX_SAMPLES:
            pairs = zip(self._measured[::2], self._measured[1::2], strict=True)
            self._measured = [_joined(*pair) for pair in pairs]
            self._span_s *= 2


def _joined(first: _Measured, second: _Measured) -> _Measured:
    """What both have covered."""
    one, two = first.sample, second.sample
    joined = two._replace(
        span_s=one.span_s + two.span_s,
        packets=one.packets + two.packets,
        lost=one.lost + two.lost,
        out_of_order=one.out_of_order + two.out_of_order,
        duplicates=one.duplicates + two.duplicates,
        late=one.late + two.late,
        dropped=one.dropped + two.dropped,
        jitter_ms=max(one.jitter_ms, two.jitter_ms),
        gap_ms=max(one.gap_ms, two.gap_ms),
        mos=None if one.mos is None and two.mos is None else second.after.mos_since(first.before),
    )
    return _Measured(joined, first.before, second.after)


class StreamSeries:
    """Both directions of a stream, sampled together."""

    __slots__ = ("_both",)

    def __init__(self, began: float) -> None:
        self._both = (Series(began), Series(began))

    def is_due(self, now: float) -> bool:
        return now >= self._both[0].due

    def take(self, figures: Figures, pulses: Pulses, now: float, wall_offset_s: float) -> None:
        """A sample of each, by the figures and pulses of now; `wall_offset_s` turns monotonic into wall-clock time."""
        for series, snapshot, pulse in zip(self._both, figures, pulses, strict=True):
            series.take(snapshot, pulse, now, now + wall_offset_s)

    def finish(self, figures: Figures, pulses: Pulses, now: float, wall_offset_s: float) -> None:
        """The last one, unless nothing has come since the one before."""
        if any(series.has_news(snapshot) for series, snapshot in zip(self._both, figures, strict=True)):
            self.take(figures, pulses, now, wall_offset_s)

    def quality(self, figures: Figures) -> tuple[QualityOverTime, ...]:
        """All that was sampled; `figures` say what it is of."""
        return tuple(
            QualityOverTime(each.kind, each.side, each.relay_port, each.codec, series.samples)
            for each, series in zip(figures, self._both, strict=True)
            if series.samples
        )
