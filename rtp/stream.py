"""A media stream of a call as the rest of the program holds it: `RelaySession`.

Most streams of forked, unanswered and refused calls never see a packet, so nothing is made for one until it does: it
holds two port pairs and what its sides have said. The first packet, read by the relay thread, brings latches, figures
and routes to life, which from then on belong to that thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import NamedTuple

from rtp.figures import MediaEvent, StreamSnapshot
from rtp.header_log import LoggedHeaders
from rtp.latch import Address
from rtp.leg import Legs
from rtp.line import Lender
from rtp.loop import RelayLoop
from rtp.payload_types import Codec
from rtp.pool import PairPool
from rtp.ports import PortPair
from rtp.pulse import NO_PULSE, Pulse
from rtp.series import QualityOverTime, StreamSeries
from rtp.session import Description, MediaSession

Figures = tuple[StreamSnapshot, StreamSnapshot]
"""Of what side 0 sends, and of what side 1 sends."""

_NOTHING_SAID = Description()


class Place(NamedTuple):
    """Where streams live while the relay runs."""

    loop: RelayLoop
    pool: PairPool
    lender: Lender
    logs_headers: bool = False
    on_news: Callable[[str], None] | None = None
    """Told of the call whose media have something to tell that should not wait. Relay thread."""


class RelaySession:
    """One open media stream of a call; after `close` its figures stand still. `_lock`, a leaf, guards what it has
    become (silent, alive, closed) and, within its line, who counts."""

    __slots__ = (
        "_legs",
        "_lock",
        "_on_close",
        "_pairs",
        "_place",
        "_said",
        "_series",
        "call_id",
        "final",
        "kind",
        "ports",
    )

    port_pairs = 2

    def __init__(
        self,
        place: Place,
        call_id: str,
        kind: str,
        pairs: tuple[PortPair, PortPair],
        on_close: Callable[[RelaySession, Figures], None],
    ) -> None:
        self.call_id = call_id
        self.kind = kind
        self.ports = (pairs[0].port, pairs[1].port)
        self.final: Figures | None = None
        self._place = place
        self._pairs = pairs
        self._on_close = on_close
        self._lock = Lock()
        self._said = [_NOTHING_SAID, _NOTHING_SAID]
        self._legs: Legs | None = None
        self._series: StreamSeries | None = None
        pairs[0].on_first = pairs[1].on_first = self._wake_up

    def set_peer(
        self,
        side: int,
        rtp: Address | None,
        rtcp: Address | None,
        hosts: frozenset[str],
        codecs: Mapping[int, Codec],
    ) -> None:
        """What a session description of `side` says; the same again changes nothing. Never blocks.

        `rtp`, `rtcp`: where it receives; None sends it nothing (rejected, or held by c=0.0.0.0). `hosts`: IP addresses
        its packets may come from. `codecs`: payload type to encoding name and clock rate; it must not change any more.
        """
        description = Description(rtp, rtcp, hosts, codecs)
        with self._lock:
            legs = self._legs
            if legs is None:
                self._said[side] = description
        if legs is not None:
            self._place.loop.post(partial(self._announce, legs, side, description))

    def pulses(self) -> tuple[Pulse, Pulse]:
        """How what side 0 and what side 1 sends is doing."""
        with self._lock:
            if self._legs is None:
                return NO_PULSE, NO_PULSE
            self._legs.refresh()
            return self._pulses(self._legs)

    @staticmethod
    def _pulses(legs: Legs) -> tuple[Pulse, Pulse]:
        return legs.media.pulse(0), legs.media.pulse(1)

    def sample(self, now: float) -> None:
        """Note how both directions have done lately, if it is time to."""
        series = self._series
        if series is None or not series.is_due(now):
            return
        with self._lock:
            if self.final is None and self._legs is not None:
                wall_offset_s = self._place.loop.wall_offset_s()
                figures = self._figures(now, wall_offset_s, is_open=True)
                series.take(figures, self._pulses(self._legs), now, wall_offset_s)

    def quality(self) -> tuple[QualityOverTime, ...]:
        """How both directions have gone over time; without those that have not been sampled yet."""
        with self._lock:
            if self._series is None:
                return ()
            return self._series.quality(self.final or self._figures(self._place.loop.clock(), 0.0, is_open=True))

    def headers(self) -> tuple[LoggedHeaders, ...]:
        """The headers of both directions, where they are kept and the stream has carried anything."""
        legs = self._legs
        return legs.headers(self._place.loop.wall_offset_s()) if legs is not None else ()

    def drain_events(self) -> list[MediaEvent]:
        """What changed since last asked, oldest first; bounded, the oldest go first."""
        legs = self._legs
        return [] if legs is None else legs.media.drain_events()

    def close(self) -> Figures:
        """Give the ports back and give the final figures; again: the same figures."""
        loop = self._place.loop
        now = loop.clock()
        with self._lock:
            if self.final is not None:
                return self.final
            legs = self._legs
            wall_offset_s = loop.wall_offset_s()
            self.final = final = self._figures(now, wall_offset_s, is_open=False)
            if legs is not None and self._series is not None:
                self._series.finish(final, self._pulses(legs), now, wall_offset_s)
        self._on_close(self, final)
        if legs is None:
            self._give_back()
        else:
            loop.post(partial(legs.detach, self._give_back))
        return final

    def figures(self) -> Figures:
        """Both directions as they are now."""
        loop = self._place.loop
        with self._lock:
            return self.final or self._figures(loop.clock(), loop.wall_offset_s(), is_open=True)

    def _figures(self, now: float, wall_offset_s: float, *, is_open: bool) -> Figures:
        assert self._lock.locked()
        if self._legs is None:
            return self._silent(0), self._silent(1)
        self._legs.refresh()
        media = self._legs.media
        return (
            media.snapshot(0, now, wall_offset_s, is_open=is_open),
            media.snapshot(1, now, wall_offset_s, is_open=is_open),
        )

    def _silent(self, side: int) -> StreamSnapshot:
        """Figures of a side that has sent nothing."""
        source, destination = self._said[side].rtp, self._said[1 - side].rtp
        return StreamSnapshot(
            call_id=self.call_id,
            kind=self.kind,
            side=side,
            from_address=source[0] if source else None,
            from_port=source[1] if source else None,
            to_address=destination[0] if destination else None,
            to_port=destination[1] if destination else None,
            relay_port=self.ports[side],
        )

    # relay thread

    def _wake_up(self, _now: float) -> None:
        """A packet waits at one of the ports: let it be served in the next round, and all that follow."""
        loop, _, lender, logs_headers, on_news = self._place
        media = MediaSession(self.call_id, self.kind, self.ports, on_news)
        legs = Legs(loop, lender, media, self._pairs, self._lock, logs_headers=logs_headers)
        now = loop.clock()
        with self._lock:
            if self.final is not None:
                return
            self._legs = legs
            self._series = StreamSeries(now)
            said = tuple(self._said)
        for pair in self._pairs:
            pair.on_first = None
        for side, description in enumerate(said):
            legs.announce(side, description)
        legs.attach()

    def _announce(self, legs: Legs, side: int, description: Description) -> None:
        if self.final is None:
            legs.announce(side, description)

    def _give_back(self) -> None:
        for pair in self._pairs:
            self._place.pool.give_back(pair)
