"""When the next packet is due. Pure."""

from __future__ import annotations

MAX_BEHIND = 2
"""Packets that are sent late all the same, as close together as can be: a hiccup of forty milliseconds is made good."""


class Pacer:
    """A packet each interval, counted from the first one and not from the last, so that nothing drifts. After a longer
    stall the packets whose time is over are left out: a burst would only overflow what the phone has for jitter."""

    def __init__(self, start: float) -> None:
        self.next_at = start

    def step(self, now: float, interval_s: float) -> int:
        """A packet is sent now; how many before it are left out."""
        behind = int((now - self.next_at) / interval_s)
        skipped = behind if behind > MAX_BEHIND else 0
        self.next_at += (skipped + 1) * interval_s
        return skipped
