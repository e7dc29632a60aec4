"""What the relay tells the rest of the program: frozen figures of streams, totals, events. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class StreamSnapshot(NamedTuple):
    """One direction of one media stream. `side` sends: 0 the caller, 1 the callee; `relay_port` is where it sends to.

    `bytes` counts whole RTP packets. `lost` is what never arrived here. `remote_lost`, `remote_jitter_ms` are what the
    receiver reported of this stream by RTCP, `rtt_ms` is the round trip phone to phone. `rejected` counts packets of
    sources that may not send, `dropped` those that may but could not be passed on. `mos` is the E-model's, 1 to 4.5.
    `late` packets and the longest gap of the last seconds are explained in `rtp.stats`.
    `peak_dbm0` is the loudest moment of what the server itself has listened to.
    """

    call_id: str
    kind: str
    side: int
    from_address: str | None
    from_port: int | None
    to_address: str | None
    to_port: int | None
    relay_port: int
    packets: int = 0
    bytes: int = 0
    lost: int = 0
    out_of_order: int = 0
    duplicates: int = 0
    rejected: int = 0
    dropped: int = 0
    jitter_ms: float = 0.0
    codec: str | None = None
    payload_type: int | None = None
    ssrc: int | None = None
    first_packet_at: float | None = None
    last_packet_at: float | None = None
    remote_lost: int | None = None
    remote_jitter_ms: float | None = None
    rtt_ms: float | None = None
    mos: float | None = None
    active: bool = False
    late: int = 0
    gap_ms: float = 0.0
    gap_ended_at: float | None = None
    peak_dbm0: float | None = None


@dataclass(frozen=True, slots=True)
class RelayTotals:
    """Sums over all streams since the relay was made, ended calls included; `active_streams` is of this moment."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0
    rejected: int = 0
    dropped: int = 0
    active_streams: int = 0

    def plus(self, stream: StreamSnapshot) -> RelayTotals:
        """These totals with one more stream in them."""
        return RelayTotals(
            packets=self.packets + stream.packets,
            bytes=self.bytes + stream.bytes,
            lost=self.lost + stream.lost,
            rejected=self.rejected + stream.rejected,
            dropped=self.dropped + stream.dropped,
            active_streams=self.active_streams + stream.active,
        )


class MediaEventKind(Enum):
    """What changed in the media of a call."""

    LATCHED = "latched"
    RELEARNING = "relearning"
    REJECTED = "rejected"
    NEW_SSRC = "new-ssrc"
    TAKEN_BACK = "taken-back"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class MediaEvent:
    """One change, `at` monotonic seconds, on the side that sends; `text` is a sentence for people, `key` one that was
    pressed."""

    at: float
    side: int
    kind: MediaEventKind
    text: str
    key: str = ""
