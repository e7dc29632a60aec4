"""One call as the proxy sees it: its parties, its legs, its dialogs (RFC 3261 12; early dialogs: 16.7).

Pure; guarded by the core lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sip.events import CallName
from sip.flow import Flow, address_text
from sip.joined import Joined
from sip.journal import Journal
from sip.local_dialog import LocalDialog
from sip.media import MediaAnchor
from sip.media_relay import CALLER, CallMedia, StreamFigures
from sip.media_stream import Describe
from sip.media_watch import MediaWatch
from sip.routing import NO_ROUTES, RouteSet
from sip.snapshots import CallSnapshot, CallState, TerminationReason
from sip.timers import Timer
from sip.trace import NO_MEDIA, NO_STREAMS, HeaderLog, MediaRecord, QualitySeries, TraceSource
from sip.uri import Uri

if TYPE_CHECKING:
    from sip.forwarding import ResponseContext

MAX_LEGS = 64
"""Dialogs of one call: so many phones may ring and answer."""


@dataclass(slots=True, eq=False)
class Party:
    """One end of a dialog: what a request to it needs (12.2.1.1).

    `address` is its From or To value with the tag, `contact` its remote target, `route_set` gives what lies between it
    and us, nearest first, `cseq` the highest number it has used in a request of its own.
    """

    number: str
    tag: str
    address: str
    flow: Flow
    contact: Uri | None = None
    route_set: RouteSet = NO_ROUTES
    cseq: int = 0


@dataclass(slots=True, eq=False)
class Leg:
    """One early or confirmed dialog towards the callee: a fork, or a second device that answered too.

    `answered` from its 2xx to its BYE; `ended` from its BYE on."""

    party: Party
    media: MediaAnchor | None
    answered: bool = False
    ended: bool = False


@dataclass(slots=True, eq=False)
class Call:
    """From an INVITE outside a dialog to its end.  Times ending in `_at` are wall clock; `quiet_since`, when media were
    last heard or began to be expected, is monotonic.  `ringing_for` is the address that is counted as having one more
    call that nobody has answered, "" when none is.  `local` is set when no phone was called but the server itself.
    `joined` and `first_leg` are set when the server has begun it (`sip.click_to_dial`).
    `hold_told`: whether it is on hold, as far as others were told.  `forwarded`: another server has let it in, which
    keeps its record."""

    call_id: str
    caller: Party
    to_number: str
    invited_at: float
    journal: Journal
    state: CallState = CallState.INITIATED
    to_address: str = ""
    ringing_for: str = ""
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    status: int = 0
    termination_reason: TerminationReason | None = None
    reason_text: str = ""
    ended_by: str = ""
    legs: dict[str, Leg] = field(default_factory=dict)
    answered: Leg | None = None
    context: ResponseContext | None = None
    local: LocalDialog | None = None
    joined: Joined | None = None
    first_leg: FirstLeg | None = None
    setup_timer: Timer | None = None
    session_timer: Timer | None = None
    media_timer: Timer | None = None
    media_watch: MediaWatch | None = None
    on_hold: bool = False
    hold_told: bool = False
    key_ways: set[tuple[int, str]] = field(default_factory=set)
    forwarded: bool = False
    quiet_since: float = 0.0
    streams: tuple[StreamFigures, ...] = ()
    media_record: MediaRecord = NO_MEDIA
    traced: int = 0
    """Journal entries that were there when its trace was last put."""
    ticket: int = 0
    """The recorder's for its beginning, or for its end when it is over: what must be stored before a phone is told."""

    @property
    def live(self) -> bool:
        return self.state is not CallState.TERMINATED

    @property
    def key(self) -> tuple[str, str]:
        return self.call_id, self.caller.tag

    @property
    def name(self) -> CallName:
        return CallName(self.call_id, self.caller.number, self.to_number)

    def leg_known_as(self, tag: str) -> Leg | None:
        """The dialog that the caller's phone knows by that To tag."""
        if self.joined is not None and tag == self.joined.tag and self.answered is not None:
            return self.answered
        return self.legs.get(tag)

    def snapshot(self) -> CallSnapshot:
        callee = self.answered
        return CallSnapshot(
            call_id=self.call_id,
            from_number=self.caller.number,
            to_number=self.to_number,
            state=self.state,
            invited_at=self.invited_at,
            ringing_at=self.ringing_at,
            answered_at=self.answered_at,
            ended_at=self.ended_at,
            from_address=address_text(self.caller.flow),
            to_address=address_text(callee.party.flow) if callee else self.to_address,
            status=self.status,
            termination_reason=self.termination_reason,
            reason_text=self.reason_text,
            ended_by=self.ended_by,
        )

    def figures(self) -> tuple[StreamFigures, ...]:
        """Of its media, until now or until its end."""
        if not self.live:
            return self.streams
        return tuple(each for anchor in self.anchors() for each in anchor.figures())

    def trace_source(self) -> TraceSource:
        """All that is known beside the snapshot, by reference."""
        record = self._media_record(self._described(), self.anchors()) if self.live else self.media_record
        journal = self.journal
        return TraceSource(journal.entries(), journal.dropped, *record, text_size=journal.size)

    def close_media(self) -> None:
        """Free the relay's ports and keep what its streams came to."""
        described, anchors = self._described(), self.anchors()
        figures: list[StreamFigures] = []
        for anchor in anchors:
            figures += anchor.close()
        self.streams = tuple(figures)
        self.media_record = self._media_record(described, anchors)

    @staticmethod
    def _media_record(described: Describe, anchors: list[CallMedia]) -> MediaRecord:
        quality: list[QualitySeries] = []
        headers: list[HeaderLog] = []
        for anchor in anchors:
            quality += anchor.quality()
            headers += anchor.headers()
        return MediaRecord(described, tuple(quality), tuple(headers))

    def _described(self) -> Describe:
        """What was negotiated with the phone that answered, or offered to the first one that was tried."""
        if self.answered is not None:
            media = self.media_of(self.answered)
            return media.describe_later() if media is not None else NO_STREAMS
        return next((anchor.describe_later() for anchor in self.anchors()), NO_STREAMS)

    def media_of(self, leg: Leg) -> CallMedia | None:
        """What that leg of it talks through."""
        return self.local.media if self.local is not None else leg.media

    def parties(self) -> list[Party]:
        """The caller, and whoever has rung or answered."""
        return [self.caller, *(leg.party for leg in self.legs.values())]

    def anchors(self) -> list[CallMedia]:
        """All media the call holds, of pending branches and of legs, each once."""
        found: dict[int, CallMedia] = {}
        if self.local is not None:
            found[id(self.local.media)] = self.local.media
        if self.context is not None:
            for branch in self.context.branches:
                if branch.media is not None:
                    found[id(branch.media)] = branch.media
        for leg in self.legs.values():
            if leg.media is not None:
                found[id(leg.media)] = leg.media
        return list(found.values())


class FirstLeg(Protocol):
    """The way to the phone that a call of the server rings first."""

    def abandon(self, text: str, now: float) -> None:
        """The server ends the call: let go of phones that are not in it yet."""

    def end(self) -> None:
        """The call is over: stop its timer, free its ports."""


class Dialog(NamedTuple):
    """A request's place in a call: the side that sent it, and the callee's leg."""

    call: Call
    side: int
    leg: Leg

    @property
    def is_first(self) -> bool:
        """The sender is a phone that waits for the other one in a call that the server has begun."""
        return self.side == CALLER and self.call.first_leg is not None and self.call.answered is None

    @property
    def sender(self) -> Party:
        return self.call.caller if self.side == CALLER else self.leg.party

    @property
    def receiver(self) -> Party:
        return self.leg.party if self.side == CALLER else self.call.caller
