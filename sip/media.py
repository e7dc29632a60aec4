"""Media anchoring: offers and answers (RFC 3264) to relay sessions, and the descriptions that lead both sides to the
relay.  Pure; guarded by the core lock.

The relay itself is known by the protocols of `sip.media_relay`.

What an SDP is, offer or answer, follows from who spoke: after `begin`, and at first, the next description is an offer;
one of the other side is its answer; one more of the side that offered is a new offer.

Ports of a stream that one side gave up (port 0, or no longer RTP) are freed when the exchange is over, at `commit` or,
after it, with the answer; not before, because a rejected re-INVITE brings the stream back (RFC 3261 14.1) and because
several early answers may judge a stream differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from sip.errors import SipError
from sip.media_relay import (
    CALLEE,
    CALLER,
    Look,
    MediaEvent,
    MediaRelay,
    RelaySession,
    StreamFigures,
    Watched,
)
from sip.media_stream import NOBODY, Announcement, Describe, announce, describe_streams
from sip.multipart import change_part
from sip.sdp import MediaDescription, SessionDescription
from sip.sdp_values import SdpError, connection_value

if TYPE_CHECKING:
    from sip.trace import HeaderLog, QualitySeries

_SDP: Final = "application/sdp"

_MAX_KEPT: Final = 256
"""Figures and events kept of closed streams: a phone that adds and removes streams all day fills no memory."""

_MAX_SERIES: Final = 16
"""The same of what takes more room."""


class NoMediaPorts(SipError):
    """The relay has no ports left for a stream."""


class _Repeat(NamedTuple):
    """The last description of one side with what became of it: the same again gets the same answer."""

    key: tuple[str, bytes, str, str]
    result: bytes


class _State(NamedTuple):
    """Everything `rollback` brings back."""

    sides: tuple[tuple[Announcement, ...] | None, tuple[Announcement, ...] | None]
    sessions: tuple[RelaySession | None, ...]
    repeats: tuple[_Repeat | None, _Repeat | None]
    offerer: int | None


class MediaAnchor:
    """All streams between the caller and one callee branch of a call.  Core lock.

    Invariant: `_sessions[i]` is the relay session of the i-th m= line, open from the first live description of it until
    one side has given it up and the exchange is over; no session of this call is open that is not in that list.
    """

    def __init__(self, relay: MediaRelay, call_id: str) -> None:
        self._relay = relay
        self._call_id = call_id
        self._sessions: list[RelaySession | None] = []
        self._sides: list[tuple[Announcement, ...] | None] = [None, None]
        self._repeats: list[_Repeat | None] = [None, None]
        self._offerer: int | None = None
        self._answered = False
        self._saved: _State | None = None
        self._begun = 0
        self._established = False
        self._closed = False
        self._figures: tuple[StreamFigures, ...] = ()
        self._quality: tuple[QualitySeries, ...] = ()
        self._headers: tuple[HeaderLog, ...] = ()
        self._events: tuple[MediaEvent, ...] = ()

    # -------------------------------------------------------------------------------------------- descriptions

    def rewrite(self, sender: int, content_type: str, body: bytes, sender_host: str, advertised_host: str) -> bytes:
        """The body for the other side of `sender` (0 caller, 1 callee), leading it to the relay.

        `content_type` is the header's text; a body without application/sdp comes back unchanged.
        `sender_host` is the address the sender's signalling came from, `advertised_host` is ours as the receiver
        reaches it.  The same body again gives the same bytes and changes nothing.  After `close` every stream is
        written as rejected, so that a late answer opens nothing.

        Raises `NoMediaPorts`, `SdpError` or another `ParseError` (a malformed multipart); nothing has changed then.
        """
        if not body:
            return body
        key = (content_type, body, sender_host, advertised_host)
        repeat = self._repeats[sender]
        if repeat is not None and repeat.key == key:
            return repeat.result
        change = partial(self._rewrite, sender, sender_host, advertised_host)
        result = change_part(content_type, body, _SDP, change)
        if result is not body:
            self._repeats[sender] = _Repeat(key, result)
        return result

    def _rewrite(self, sender: int, sender_host: str, advertised_host: str, body: bytes) -> bytes:
        description = SessionDescription.parse(body)
        is_answer = self._offerer is not None and self._offerer != sender
        offer = self._sides[1 - sender] if is_answer else None
        if offer is not None and len(description.media) > len(offer):
            raise SdpError("the answer has more streams than the offer", 488)
        announced = tuple(
            [
                announce(media, sender_host, offered=offer is None or offer[index].live)
                for index, media in enumerate(description.media)
            ]
        )
        if not self._closed:
            self._open_missing(announced)
            self._apply(sender, announced)
            self._answered = is_answer
            if not is_answer:
                self._offerer = sender
            elif self._established and not self._begun:
                self._settle()
        return self._describe_to(1 - sender, description, announced, advertised_host)

    def _open_missing(self, announced: Sequence[Announcement]) -> None:
        """Sessions for live streams that have none: all or nothing."""
        sessions = self._sessions + [None] * (len(announced) - len(self._sessions))
        opened: list[RelaySession] = []
        for index, stream in enumerate(announced):
            if sessions[index] is None and stream.live and stream.media.port:
                session = sessions[index] = self._relay.open(self._call_id, stream.media.kind)
                if session is None:
                    for unused in opened:
                        unused.close()
                    raise NoMediaPorts(f"no media ports left for stream {index + 1} ({stream.media.kind})")
                opened.append(session)
        self._sessions = sessions

    def _apply(self, side: int, announced: tuple[Announcement, ...] | None) -> None:
        """Make `announced` what `side` says, in the relay too (which ignores what it knows already)."""
        self._sides[side] = announced
        for index, session in enumerate(self._sessions):
            if session is not None:
                peer = announced[index].peer if announced is not None and index < len(announced) else NOBODY
                session.set_peer(side, *peer)

    def _describe_to(
        self, receiver: int, description: SessionDescription, announced: Sequence[Announcement], advertised_host: str
    ) -> bytes:
        """Every address of ours in its place."""
        description.remove_ice()
        address = connection_value(advertised_host)
        anchors = description.carries_rtp
        for index, stream in enumerate(announced):
            media = stream.media
            if media.is_rtp:
                if media.port:
                    session = self._session(index) if stream.live else None
                    _lead(description, media, session.ports[receiver] if session is not None else 0, address)
                if media.connection_lines:
                    description.set_connection(media, address)
            elif anchors and media.port and not media.connection_lines and description.connection_lines:
                # It goes past the relay and must not follow the session's c= line, which is about to be ours.
                description.insert_connection(media, description.connection_line)
        if anchors:
            description.set_connection(description, address)
        return description.to_bytes()

    # -------------------------------------------------------------------------------------------- exchanges

    def begin(self) -> None:
        """A new offer is about to be rewritten (re-INVITE, UPDATE): remember the state before it.

        Offers of both sides may cross (491): the state before the first of them is kept until all were rejected or
        one was accepted.
        """
        if not self._begun:
            self._settle()
            self._saved = _State(
                (self._sides[CALLER], self._sides[CALLEE]),
                tuple(self._sessions),
                (self._repeats[CALLER], self._repeats[CALLEE]),
                self._offerer,
            )
        self._begun += 1
        self._offerer = None
        self._answered = False
        self._repeats = [None, None]

    def commit(self) -> None:
        """The request with the offer was answered 2xx, the initial INVITE too: rejected streams free their ports."""
        self._begun = max(0, self._begun - 1)
        self._saved = None
        self._established = True
        self._settle()

    def rollback(self) -> None:
        """The offer was rejected: peers as before, sessions opened for it closed (RFC 3261 14.1).  Without a `begin`
        there is nothing to go back to."""
        if not self._begun:
            return
        self._begun -= 1
        saved = self._saved
        if self._begun or saved is None or self._closed:
            return
        self._saved = None
        for index, session in enumerate(self._sessions):
            if index >= len(saved.sessions) or saved.sessions[index] is not session:
                self._close_session(index)
        for side in (CALLER, CALLEE):
            self._apply(side, saved.sides[side])
        self._repeats = list(saved.repeats)
        self._offerer = saved.offerer
        self._answered = False  # What had been answered was settled by `begin`.

    def _settle(self) -> None:
        """Close the sessions of streams that one side has given up; while an offer has no answer, nobody knows."""
        if not self._answered:
            return
        caller, callee = self._sides
        for index in range(len(self._sessions)):
            if _gives_up(caller, index) or _gives_up(callee, index):
                self._close_session(index)

    # -------------------------------------------------------------------------------------------- state

    def held(self) -> bool:
        """No stream is meant to carry media both ways, so silence is no sign of trouble (RFC 3264 8.4, RFC 2543 B.5).
        Also true when no stream is left that the relay could hear."""
        for index, session in enumerate(self._sessions):
            if session is not None and not self._is_held(index):
                return False
        return True

    def _is_held(self, index: int) -> bool:
        caller, callee = self._sides
        return _holds(caller, index) or _holds(callee, index)

    def asked_by(self) -> int | None:
        """Which side's offer is in force, and with it the hold or its end; None while an offer is under way that may
        yet be rejected, and where nothing is anchored."""
        return None if self._begun or not self.open_sessions else self._offerer

    def look(self) -> Look:
        """How every open stream is doing: what it takes is asked once for all who want to know."""
        sound: list[Watched] = []
        last_at: float | None = None
        for index, session in enumerate(self._sessions):
            if session is not None:
                pulses = session.pulses()
                for pulse in pulses:
                    if pulse.heard_at is not None and (last_at is None or pulse.heard_at > last_at):
                        last_at = pulse.heard_at
                if self._is_sound(index):
                    sound.append(Watched(session.ports, self._is_both_ways(index), pulses))
        return Look(tuple(sound), last_at)

    def _is_sound(self, index: int) -> bool:
        return any(side is not None and index < len(side) and side[index].media.kind == "audio" for side in self._sides)

    def _is_both_ways(self, index: int) -> bool:
        return not self._is_held(index) and all(
            side is not None and index < len(side) and side[index].live for side in self._sides
        )

    def drain_events(self) -> list[MediaEvent]:
        """Media events since last asked, of open and closed streams, in the order they happened."""
        events = [*self._events]
        self._events = ()
        for index, session in enumerate(self._sessions):
            if session is not None:
                events += self._readable(index, session)
        events.sort(key=lambda event: event.at)
        return events

    def _readable(self, index: int, session: RelaySession) -> list[MediaEvent]:
        """What there is to tell of a stream; keys that were pressed in an encrypted one can't be read (RFC 3711)."""
        events = session.drain_events()
        if not events:
            return []
        sides = (side[index].media for side in self._sides if side is not None and index < len(side))
        is_secure = any(media.secure or "SAVP" in media.protocol.upper() for media in sides)
        return [event for event in events if not (is_secure and event.key)]

    def describe_later(self) -> Describe:
        """What has been offered and answered until now, stream by stream, for anybody to read at leisure."""
        ports = tuple(None if session is None else session.ports for session in self._sessions)
        return partial(describe_streams, tuple(self._sides), ports)

    def figures(self) -> tuple[StreamFigures, ...]:
        """Of all streams this call ever had, those first that were closed."""
        return (*self._figures, *(each for session in self._sessions if session for each in session.figures()))

    def quality(self) -> tuple[QualitySeries, ...]:
        """Over time, of all streams this call ever had."""
        return (*self._quality, *(each for session in self._sessions if session for each in session.quality()))

    def headers(self) -> tuple[HeaderLog, ...]:
        """Of all streams this call ever had."""
        return (*self._headers, *(each for session in self._sessions if session for each in session.headers()))

    @property
    def open_sessions(self) -> int:
        return len(self._sessions) - self._sessions.count(None)

    def close(self) -> tuple[StreamFigures, ...]:
        """Free everything; figures of all streams this call ever had, the caller's packets before the callee's, the
        streams in the order they were closed.  Idempotent."""
        self._closed = True
        for index in range(len(self._sessions)):
            self._close_session(index)
        return self._figures

    def _session(self, index: int) -> RelaySession | None:
        return self._sessions[index] if index < len(self._sessions) else None

    def _close_session(self, index: int) -> None:
        session = self._sessions[index]
        if session is not None:
            self._sessions[index] = None
            self._events = (*self._events, *self._readable(index, session))[-_MAX_KEPT:]
            self._figures = (*self._figures, *session.close())[-_MAX_KEPT:]
            self._quality = (*self._quality, *session.quality())[-_MAX_SERIES:]
            self._headers = (*self._headers, *session.headers())[-_MAX_SERIES:]


def _lead(description: SessionDescription, media: MediaDescription, port: int, address: bytes) -> None:
    """Write our port (0: rejected).  A side that wants RTCP on its RTP port says so to the other (RFC 8035 3)."""
    description.set_port(media, port)
    if port and media.rtcp_lines:
        description.set_rtcp(media, port if media.rtcp_port == media.port else port + 1, address)


def _holds(announced: tuple[Announcement, ...] | None, index: int) -> bool:
    return announced is not None and index < len(announced) and announced[index].held


def _gives_up(announced: tuple[Announcement, ...] | None, index: int) -> bool:
    return announced is not None and (index >= len(announced) or not announced[index].live)
