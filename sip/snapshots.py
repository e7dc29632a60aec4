"""Frozen views of live state, made under the core lock and read by anybody afterwards.  Pure.

Wall times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sip.facts import Denial, Departure


class CallState(StrEnum):
    """Life of a call as people see it."""

    INITIATED = "INITIATED"
    RINGING = "RINGING"
    ESTABLISHED = "ESTABLISHED"
    TERMINATED = "TERMINATED"


class TerminationReason(StrEnum):
    """Why a call is over."""

    NORMAL = "normal"
    BUSY = "busy"
    REJECTED = "rejected"
    NO_ANSWER = "noanswer"
    CANCELLED = "cancelled"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    MEDIA_TIMEOUT = "media-timeout"
    ADMIN = "admin"
    ERROR = "error"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class ContactSnapshot:
    """One binding: one device that can be reached under a number.  `connection_lost_at`: when the connection it was
    reached by was lost, `silent_since_at`: since when it does not answer pings; None when all is well.  `server` names
    the server that it is registered at, "" this one.  `via_host` is where its last REGISTER said to come from, ""
    unknown."""

    uri: str
    address: str
    port: int
    transport: str
    expires_s: int
    expires_at: float
    registered_at: float
    last_seen_at: float
    user_agent: str
    behind_nat: bool
    connection_lost_at: float | None = None
    silent_since_at: float | None = None
    server: str = ""
    via_host: str = ""


@dataclass(frozen=True, slots=True)
class DepartureSnapshot:
    """How one registration of a number ended, at `at`.  `address` is host:port of its phone, `by` that of the phone
    that has asked for its end; "" where none is known.  After a restart (`Departure.RESTART`) `at` is when the number
    was last heard of before it."""

    number: str
    at: float
    why: Departure
    address: str = ""
    transport: str = ""
    user_agent: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class PresenceSnapshot:
    """Where a number can be reached now, when it first registered (None: never), and how its last registrations ended,
    oldest first."""

    number: str
    contacts: tuple[ContactSnapshot, ...]
    first_seen_at: float | None
    departures: tuple[DepartureSnapshot, ...]


@dataclass(frozen=True, slots=True)
class RegistrationSnapshot:
    """One registered number; `contacts` newest first, never empty.  `count` is the number of REGISTER requests that
    made or refreshed a binding of this number since it was first seen, in earlier runs too."""

    number: str
    contacts: tuple[ContactSnapshot, ...]
    count: int
    first_seen_at: float | None = None


class CallSnapshot(NamedTuple):
    """One call, live or ended.  `status` is the final SIP status of the INVITE (0 while there is none), `reason_text`
    says in plain words how it ended.  Addresses are host:port of the phones' signalling ("" while unknown).

    A tuple, because each call makes four: that is a third of the price."""

    call_id: str
    from_number: str
    to_number: str
    state: CallState
    invited_at: float
    ringing_at: float | None
    answered_at: float | None
    ended_at: float | None
    from_address: str
    to_address: str
    status: int
    termination_reason: TerminationReason | None
    reason_text: str
    ended_by: str

    def duration_s(self, now_at: float) -> float:
        """Seconds of talk: from the answer to the end, or to `now_at` while it lasts; 0 when never answered."""
        if self.answered_at is None:
            return 0.0
        return max(0.0, (self.ended_at if self.ended_at is not None else now_at) - self.answered_at)


@dataclass(frozen=True, slots=True)
class CallTotals:
    """Counters since the server started.  A call is completed when it was answered and ended in an orderly way, failed
    when it was never answered or was cut off."""

    total: int
    completed: int
    failed: int
    talk_s: float
    by_reason: dict[str, int]


SETUP_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0)
"""Between them answered calls are told apart by how long the answer took: machines below a second, people above."""


@dataclass(frozen=True, slots=True)
class SignallingFigures:
    """How the signalling core itself fares.  Counters, which count from the start, are `flood_dropped` (messages beyond
    SIP_RATE_LIMIT), `refused` (requests not let in, by `sip.gatekeeper.Cause`), `failed_registrations`, and those of
    set-up times: `setup_counts[i]` calls were answered after at most `SETUP_BOUNDS_S[i]` seconds and more than the
    bound before, the last entry has those above all bounds, `setup_sum_s` adds up their seconds.

    `connections` are open, by transport ("tcp", "tls"); `queued_messages` wait to be written to them."""

    server_transactions: int
    client_transactions: int
    flood_dropped: int
    refused: dict[str, int]
    failed_registrations: int
    setup_counts: tuple[int, ...]
    setup_sum_s: float
    connections: dict[str, int]
    queued_messages: int


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which ended calls are asked for: those with `since_at` <= `ended_at` < `until_at` (None: no bound) that
    `extension` made or received (None: anybody's), `limit` of them after the newest `offset`."""

    since_at: float | None
    until_at: float | None
    extension: str | None
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Ended calls, the one that ended last first; `total` counts all that fit the query, whatever its page.  `media`
    has the figures of each call in the order of `calls`, and is empty where they are not kept."""

    calls: tuple[CallSnapshot, ...]
    total: int
    media: tuple[tuple[MediaFigures, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class BanSnapshot:
    """One source address that is not listened to.  `until_at` None: until it is lifted.  `reason` is a clause in plain
    words; `failures` is how many wrong passwords led to it, 0 when a person added it."""

    address: str
    since_at: float
    until_at: float | None
    reason: str
    failures: int


@dataclass(frozen=True, slots=True)
class RegistrationFailure:
    """Refused REGISTER requests of one source for one number, alike ones counted together.  `reason` says in plain
    words what is wrong and what to do about it, `denial` the same to programs."""

    number: str
    address: str
    transport: str
    user_agent: str
    status: int
    reason: str
    first_at: float
    last_at: float
    count: int
    denial: Denial


@dataclass(frozen=True, slots=True)
class StoredBinding:
    """A binding as it is kept from one start to the next: what `sip.location.Binding` holds.  Until `expires_at`, wall
    time, it may be good; unless it was refreshed since it was kept, its own time is over somewhat earlier.

    `binding_id` is the same from the first REGISTER to the end of the binding, whatever changes meanwhile.
    `password_mark` tells by which password of the number it was made, "" by none.  `server` names the server that holds
    the flow, "" for the only one."""

    binding_id: str
    number: str
    contact: str
    parameters: str
    instance: str
    call_id: str
    cseq: int
    transport: str
    local_host: str
    local_port: int
    remote_host: str
    remote_port: int
    connection: int
    expires_at: float
    q: float
    user_agent: str
    behind_nat: bool
    registered_at: float
    last_seen_at: float
    password_mark: str
    server: str = ""


@dataclass(frozen=True, slots=True)
class NumberRecord:
    """What is remembered of a number that has ever registered: since when, until when, and how many REGISTER requests
    made or refreshed a binding of it."""

    number: str
    first_seen_at: float
    last_seen_at: float
    registrations: int


@dataclass(frozen=True, slots=True)
class MediaFigures:
    """One direction of one stream of an ended call; `side` sent it: 0 the caller, 1 the callee.  The fields mean what
    they mean in `sip.media_relay.StreamFigures`."""

    call_id: str
    kind: str
    side: int
    from_address: str | None
    from_port: int | None
    to_address: str | None
    to_port: int | None
    relay_port: int
    packets: int
    bytes: int
    lost: int
    out_of_order: int
    duplicates: int
    rejected: int
    dropped: int
    jitter_ms: float
    codec: str | None
    mos: float | None
    first_packet_at: float | None
    last_packet_at: float | None


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One line of the kept history."""

    call: CallSnapshot
    media: tuple[MediaFigures, ...]


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """The calls that ended within the last `days` days, today included: since `since_at`, a local midnight.

    `completed` and `failed` as in `CallTotals`; `answered` counts also those that were cut off later.  `talk_s` is the
    talk of all answered calls, `average_mos` the mean over the calls whose media were rated."""

    days: int
    since_at: float
    calls: int
    answered: int
    completed: int
    failed: int
    talk_s: float
    by_reason: dict[str, int]
    average_mos: float | None

    @property
    def answer_rate(self) -> float | None:
        """Answered calls out of all, 0 to 1; None without calls."""
        return self.answered / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """The calls that ended within one hour or day, from `since_at` on; `answered` and `average_mos` as in
    `PeriodFigures`."""

    since_at: float
    calls: int
    answered: int
    average_mos: float | None


class Verdict(StrEnum):
    """How one direction of a quality test was."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class DirectionResult:
    """One direction of a quality test; None: not known.  `packets` were sent to the phone, or came from it;
    `round_trip_ms` is to the phone and back, `peak_dbm0` the loudest moment of what came."""

    verdict: Verdict
    text: str
    packets: int
    lost: int | None
    lost_percent: float | None
    jitter_ms: float | None
    mos: float | None
    round_trip_ms: float | None
    peak_dbm0: float | None


@dataclass(frozen=True, slots=True)
class QualityResult:
    """What a call to the quality test has shown, at the wall time `at`."""

    call_id: str
    number: str
    from_number: str
    at: float
    to_server: DirectionResult
    to_phone: DirectionResult
