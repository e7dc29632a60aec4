"""The media relay as signalling knows it: what it is asked for, and what it tells.

Pure. The relay itself is somebody else's; nothing in `sip/` waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self

from sip.media_stream import Describe

if TYPE_CHECKING:
    from sip.trace import HeaderLog, QualitySeries

CALLER: Final = 0
CALLEE: Final = 1
"""Sides of a call, also of its media."""


class MediaEvent(Protocol):
    """A change of media state: when (monotonic seconds), whose packets, and one plain sentence; a key that was pressed,
    or ""."""

    @property
    def at(self) -> float: ...
    @property
    def side(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def key(self) -> str: ...


class StreamFigures(Protocol):
    """What was counted of one direction of one stream; `side` is who sent.  Wall times are seconds since the epoch."""

    @property
    def call_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def side(self) -> int: ...
    @property
    def from_address(self) -> str | None: ...
    @property
    def from_port(self) -> int | None: ...
    @property
    def to_address(self) -> str | None: ...
    @property
    def to_port(self) -> int | None: ...
    @property
    def relay_port(self) -> int: ...
    @property
    def packets(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def out_of_order(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def rejected(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def jitter_ms(self) -> float: ...
    @property
    def codec(self) -> str | None: ...
    @property
    def mos(self) -> float | None: ...
    @property
    def first_packet_at(self) -> float | None: ...
    @property
    def last_packet_at(self) -> float | None: ...


class Pulse(Protocol):
    """How what one side sends is doing: counts since the stream was opened, `last_at` (monotonic seconds) of the last
    packet, `heard_at` of that or of the last RTCP packet.  `rejected` came from sources that may not send."""

    @property
    def packets(self) -> int: ...
    @property
    def expected(self) -> int: ...
    @property
    def rejected(self) -> int: ...
    @property
    def last_at(self) -> float | None: ...
    @property
    def heard_at(self) -> float | None: ...
    @property
    def jitter_ms(self) -> float: ...
    @property
    def codec(self) -> str | None: ...
    def loss_percent_since(self, earlier: Self) -> float: ...
    def mos_since(self, earlier: Self) -> float | None:
        """Mean opinion score of what came since `earlier`; None when nothing did."""


class RelaySession(Protocol):
    """One stream's two legs in the relay.  Side 0 is the caller, side 1 the callee."""

    @property
    def ports(self) -> tuple[int, int]:
        """RTP port facing the caller, RTP port facing the callee; RTCP is one above each."""

    def set_peer(
        self,
        side: int,
        rtp: tuple[str, int] | None,
        rtcp: tuple[str, int] | None,
        hosts: frozenset[str],
        codecs: Mapping[int, tuple[str, int]],
    ) -> None:
        """Where that side wants its packets, and the hosts its own may come from."""

    def pulses(self) -> tuple[Pulse, Pulse]:
        """Of what comes from side 0 and from side 1."""

    def drain_events(self) -> Sequence[MediaEvent]: ...

    def figures(self) -> tuple[StreamFigures, StreamFigures]:
        """Of what came from side 0 and from side 1 until now."""

    def quality(self) -> tuple[QualitySeries, ...]:
        """How both directions have gone over time, as far as it was sampled; also after `close`."""

    def headers(self) -> tuple[HeaderLog, ...]:
        """The headers of what came from side 0 and from side 1, where they are kept; also after `close`."""

    def close(self) -> tuple[StreamFigures, StreamFigures]:
        """Free the ports; figures of what came from side 0 and from side 1."""


class MediaRelay(Protocol):
    """Gives out sessions."""

    def open(self, call_id: str, kind: str) -> RelaySession | None:
        """None when no ports are left."""


class Watched(NamedTuple):
    """An open sound stream: `ports` tell it from others, `both_ways` says that each side is meant to send."""

    ports: tuple[int, int]
    both_ways: bool
    pulses: tuple[Pulse, Pulse]


class Look(NamedTuple):
    """How the media of a call are doing: each open stream of sound, and when the last packet of any stream came,
    monotonic seconds."""

    sound: tuple[Watched, ...]
    last_at: float | None


class CallMedia(Protocol):
    """What those who watch and end calls know of their media: of `MediaAnchor`, or where a phone talks to the server
    itself."""

    def held(self) -> bool: ...
    def asked_by(self) -> int | None: ...
    def look(self) -> Look: ...
    def drain_events(self) -> list[MediaEvent]: ...
    def describe_later(self) -> Describe: ...
    def figures(self) -> tuple[StreamFigures, ...]: ...
    def quality(self) -> tuple[QualitySeries, ...]: ...
    def headers(self) -> tuple[HeaderLog, ...]: ...
    def close(self) -> tuple[StreamFigures, ...]: ...
