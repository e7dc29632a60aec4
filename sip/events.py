"""What happens in the server, as facts for whoever wants to follow it live.  Pure.

The parts of the core give a fact to the sink at the moment of the change, under the core lock, and nothing is made of
it there: facts are frozen values, most of which exist anyway.  What they look like to the world is decided by whoever
reads them (`api.event_view`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from sip.facts import Departure, Fact
from sip.flow import Flow
from sip.snapshots import BanSnapshot, CallSnapshot, DepartureSnapshot, RegistrationFailure
from sip.uri import Uri


class EventType(StrEnum):
    """What kind of event it is; behind it stands the fact it comes with."""

    REGISTRATION_ADDED = "registration.added"
    """`Bound`."""
    REGISTRATION_REFRESHED = "registration.refreshed"
    """`Bound`."""
    REGISTRATION_EXPIRED = "registration.expired"
    """`DepartureSnapshot`."""
    REGISTRATION_REMOVED = "registration.removed"
    """`DepartureSnapshot`."""
    REGISTRATION_FAILED = "registration.failed"
    """`RegistrationFailure`."""
    CALL_STARTED = "call.started"
    """`CallSnapshot`, as with the next two."""
    CALL_RINGING = "call.ringing"
    CALL_ANSWERED = "call.answered"
    CALL_HELD = "call.held"
    """`Held`."""
    CALL_ENDED = "call.ended"
    """`CallSnapshot`: answered, and ended in an orderly way."""
    CALL_FAILED = "call.failed"
    """`CallSnapshot`: never answered, or cut off.  Each call ends with one of the two."""
    MEDIA_STARTED = "media.started"
    """`Sound`, as with all of media."""
    MEDIA_ONE_WAY = "media.one_way"
    MEDIA_TIMEOUT = "media.timeout"
    MEDIA_QUALITY = "media.quality"
    DTMF_RECEIVED = "dtmf.received"
    """`Digit`."""
    SECURITY_BANNED = "security.banned"
    """`BanSnapshot`."""
    SECURITY_UNBANNED = "security.unbanned"
    """`BanEnd`."""
    SERVER_STARTED = "server.started"
    """`Mapping` of what the data of the event are, as with all of server."""
    SERVER_WARNING = "server.warning"
    SERVER_STOPPING = "server.stopping"


Data = Mapping[str, str | int | float | bool | None]
NO_DATA: Final[Data] = MappingProxyType({})


class Bound(NamedTuple):
    """A binding that was made or refreshed.  `expires_s` seconds from then on; `registered_at` is wall clock."""

    number: str
    contact: Uri
    flow: Flow
    expires_s: float
    user_agent: str
    registered_at: float
    behind_nat: bool


class CallName(NamedTuple):
    """Which call it is about."""

    call_id: str
    from_number: str
    to_number: str


class Held(NamedTuple):
    """A call was put on hold, by the caller (0) or the callee (1), or the hold is over."""

    call: CallSnapshot
    held: bool
    by: int


class Sound(NamedTuple):
    """What was noticed of the sound of a call.  `side` sends it: 0 the caller, 1 the callee, None: both; `since_at` is
    wall clock."""

    call: CallName
    fact: Fact
    side: int | None
    since_at: float
    text: str
    figures: Mapping[str, str | int | float]


class DigitWay(StrEnum):
    """How a digit was sent."""

    RTP = "rfc4733"
    INFO = "info"


class Digit(NamedTuple):
    """A key that the caller (0) or the callee (1) has pressed: 0-9, *, #, A-D, or ! for the hook."""

    call: CallName
    side: int
    digit: str
    way: DigitWay


class BanEnd(NamedTuple):
    """A source is listened to again, because its time was over or because a person said so."""

    address: str
    by_person: bool


Content = (
    Bound | DepartureSnapshot | RegistrationFailure | CallSnapshot | Held | Sound | Digit | BanSnapshot | BanEnd | Data
)


class Event(NamedTuple):
    """`number` counts the events of this run of the server from 1; `at` is wall clock."""

    number: int
    kind: EventType
    at: float
    content: Content


class Batch(NamedTuple):
    """Events in order; `missed` came before them and are remembered no more."""

    events: tuple[Event, ...]
    missed: int


class EventSink(Protocol):
    """Takes note of events, in the order in which they happen."""

    def emit(self, kind: EventType, at: float, content: Content) -> None:
        """`at` is wall clock.  Never waits and never fails."""


class EventFeed(Protocol):
    """Where events are read, by any thread (`sip.event_bus.EventBus`)."""

    @property
    def newest(self) -> int: ...
    @property
    def is_closed(self) -> bool: ...
    def id_of(self, number: int) -> str: ...
    def number_of(self, event_id: str) -> int | None: ...
    def read(self, after: int, limit: int = ...) -> Batch: ...
    def wait(self, after: int, timeout_s: float) -> bool: ...


def end_of_binding(departure: DepartureSnapshot) -> EventType:
    """What the end of a binding is called."""
    expired = departure.why is Departure.EXPIRED
    return EventType.REGISTRATION_EXPIRED if expired else EventType.REGISTRATION_REMOVED
