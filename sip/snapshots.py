"""Frozen views of live state, made under the core lock and read by anybody afterwards.  Pure.

Wall times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


@dataclass(frozen=True, slots=True)
class ContactSnapshot:
    """One binding: one device that can be reached under a number."""

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


@dataclass(frozen=True, slots=True)
class RegistrationSnapshot:
    """One registered number; `contacts` newest first, never empty.  `count` is the number of REGISTER requests that
    made or refreshed a binding of this number since the server started."""

    number: str
    contacts: tuple[ContactSnapshot, ...]
    count: int


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """One call, live or ended.  `status` is the final SIP status of the INVITE (0 while there is none), `reason_text`
    says in plain words how it ended.  Addresses are host:port of the phones' signalling ("" while unknown)."""

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
    """Ended calls, the one that ended last first; `total` counts all that fit the query, whatever its page."""

    calls: tuple[CallSnapshot, ...]
    total: int


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
    """Refused REGISTER requests of one source for one number, alike ones counted together.  `reason` says in plain words
    what is wrong and what to do about it."""

    number: str
    address: str
    transport: str
    user_agent: str
    status: int
    reason: str
    first_at: float
    last_at: float
    count: int
