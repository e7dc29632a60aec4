"""How one direction of a stream is doing, in a few numbers that are cheap to ask for while the call lasts. Pure."""

from __future__ import annotations

from typing import NamedTuple

from rtp import quality


class Pulse(NamedTuple):
    """What one side of a stream has sent so far. `lost` is the worse of our count and the receiver's; `rejected` came
    to the side's port from sources that may not send; `last_at`, monotonic seconds, is of the last packet counted,
    `heard_at` of that or of the last RTCP packet."""

    packets: int = 0
    received: int = 0
    lost: int = 0
    rejected: int = 0
    last_at: float | None = None
    jitter_ms: float = 0.0
    rtt_ms: float = 0.0
    codec: str | None = None
    heard_at: float | None = None

    @property
    def expected(self) -> int:
        """Packets that were sent, as far as their numbers tell; copies count once."""
        return self.received + self.lost

    def loss_percent_since(self, earlier: Pulse) -> float:
        """Of the packets expected since `earlier`; 0 when there were none."""
        expected = self.expected - earlier.expected
        if expected <= 0:
            return 0.0
        return 100.0 * min(max(0, self.lost - earlier.lost), expected) / expected

    def mos_since(self, earlier: Pulse) -> float | None:
        """Mean opinion score of the sound that came since `earlier`, by its losses and the jitter of now (ITU-T
        G.107); None when none came."""
        if self.received <= earlier.received:
            return None
        delay_ms = quality.mouth_to_ear_ms(self.rtt_ms, self.jitter_ms)
        return quality.mos_from_r(quality.r_factor(self.codec, self.loss_percent_since(earlier), delay_ms))


NO_PULSE = Pulse()
"""Of a side that has sent nothing."""
