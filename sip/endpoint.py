"""What signalling knows of a stream that ends in the server itself: it plays, listens or echoes.  Pure.

As with `sip.media_relay`, the relay is somebody else's; nothing here waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sip.media_relay import MediaEvent, MediaRelay, Pulse, StreamFigures

if TYPE_CHECKING:
    from sip.trace import QualitySeries


class Terms(NamedTuple):
    """What the server and a phone have agreed on (RFC 3264), as the argument list of `Endpoint.agree`.

    The first four are those of `sip.media_stream.Peer`.  `payload_type` is that of the codec, `is_a_law` tells PCMA
    from PCMU, `event_type` is that of telephone-event (RFC 4733), `packet_ms` how much sound goes into a packet.
    `may_send`: the phone wants to hear something.  `is_vouched`: the phone's own signalling comes from the host that
    its media are wanted at, so that they may be sent there before anything was heard from it.  `srtp`: master key and
    salt of the phone and of the server, 30 bytes each, and the length of the authentication tag of RTP (RFC 3711);
    None: no encryption.
    """

    rtp: tuple[str, int] | None
    rtcp: tuple[str, int] | None
    hosts: frozenset[str]
    codecs: Mapping[int, tuple[str, int]]
    payload_type: int
    is_a_law: bool
    event_type: int | None
    packet_ms: int
    may_send: bool
    is_vouched: bool
    srtp: tuple[bytes, bytes, int] | None = None


class EndpointFigures(StreamFigures, Protocol):
    """What was counted of one direction, with what the phone's RTCP says of it (None: it says nothing)."""

    @property
    def remote_lost(self) -> int | None: ...
    @property
    def remote_jitter_ms(self) -> float | None: ...
    @property
    def rtt_ms(self) -> float | None: ...
    @property
    def peak_dbm0(self) -> float | None:
        """Loudest moment of what the phone sends (ITU-T G.711: 3.17 is the most there is); None: nothing was heard."""


class Endpoint(Protocol):
    """One stream between a phone, side 0, and the server, side 1."""

    @property
    def port(self) -> int:
        """RTP; RTCP is one above."""

    def agree(
        self,
        rtp: tuple[str, int] | None,
        rtcp: tuple[str, int] | None,
        hosts: frozenset[str],
        codecs: Mapping[int, tuple[str, int]],
        payload_type: int,
        is_a_law: bool,
        event_type: int | None,
        packet_ms: int,
        may_send: bool,
        is_vouched: bool,
        srtp: tuple[bytes, bytes, int] | None,
    ) -> None:
        """Terms, at first and whenever they change."""

    def start(self) -> None:
        """The call is up: begin to play, or to echo."""

    def press(self, digit: str) -> None:
        """The phone has told by signalling which key was pressed."""

    def announce(self, verdicts: Sequence[str]) -> float:
        """Say these verdicts ("good", "fair", "poor", "unknown") by tones, one after the other, instead of what was
        played; how many seconds that takes."""

    def last_packet_at(self) -> float | None:
        """Monotonic seconds of the last packet taken from the phone."""

    def pulses(self) -> tuple[Pulse, Pulse]:
        """Of what comes from the phone and from the server."""

    def drain_events(self) -> Sequence[MediaEvent]: ...

    def figures(self) -> tuple[EndpointFigures, EndpointFigures]:
        """Of what the phone has sent until now, and of what the server has."""

    def quality(self) -> tuple[QualitySeries, ...]:
        """How both directions have gone over time, as far as it was sampled; also after `close`."""

    def close(self) -> tuple[EndpointFigures, EndpointFigures]:
        """Free the ports; the final figures."""


class EndpointRelay(MediaRelay, Protocol):
    """Gives out streams that end here, too."""

    def open_endpoint(self, call_id: str, program: str, address: str) -> Endpoint | None:
        """`program` is what it does: a value of `sip.service_numbers.Service`, or `sip.ringback.PROGRAM`; `address` is
        the host that the phone knows the server by.  None when no ports are left."""
