"""The media of a call that ends in the server: its descriptions, and the stream they are about (RFC 3264).

Pure; guarded by the core lock.  For whatever watches and ends calls it is what `sip.media.MediaAnchor` is to calls
between phones.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sip.endpoint import Endpoint, EndpointFigures, Terms
from sip.local_sdp import KEY_LENGTH, Origin, answer_offer, make_offer, read_answer
from sip.media_relay import CALLER, Look, MediaEvent, Watched
from sip.media_stream import NOBODY, Announcement, Describe, StreamDescription, describe_streams
from sip.multipart import change_part
from sip.sdp import SessionDescription
from sip.sdp_values import SdpError

if TYPE_CHECKING:
    from sip.trace import QualitySeries

SDP = "application/sdp"


def find_description(content_type: str, body: bytes) -> bytes:
    """The session description in a body, by itself or in a multipart; b"" when there is none.  Raises `ParseError`."""
    found: list[bytes] = []

    def take(part: bytes) -> bytes:
        found.append(part)
        return part

    change_part(content_type, body, SDP, take)
    return found[0] if found else b""


class LocalMedia:
    """`awaits_answer`: an offer of the server is out."""

    def __init__(self, endpoint: Endpoint, host: str) -> None:
        """`host` is ours, as the phone reaches it."""
        self._endpoint = endpoint
        self._host = host
        self._session_id = secrets.randbelow(1 << 31)
        self._key = secrets.token_bytes(KEY_LENGTH)
        self._version = 0
        self._description = b""
        self._terms: Terms | None = None
        self._theirs = b""
        self._figures: tuple[EndpointFigures, EndpointFigures] | None = None
        self.awaits_answer = False

    # -------------------------------------------------------------------------------------------- offer and answer

    def answer(self, offer: bytes, sender_host: str) -> bytes:
        """The answer to an offer; nothing changes when it raises `SdpError`."""
        parsed = SessionDescription.parse(offer)
        body, terms = self._versioned(lambda origin: answer_offer(parsed, origin, sender_host))
        self._theirs = offer
        self._agree(terms)
        return body

    def offer(self) -> bytes:
        """One of our own."""
        self.awaits_answer = True
        return self._versioned(lambda origin: (make_offer(origin), None))[0]

    def take_answer(self, content_type: str, body: bytes, sender_host: str) -> None:
        """The answer to `offer`.  Raises `ParseError`."""
        self.awaits_answer = False
        answer = find_description(content_type, body)
        if not answer:
            raise SdpError("the phone has not answered the server's offer")
        terms = read_answer(SessionDescription.parse(answer), sender_host)
        self._theirs = answer
        self._agree(terms)

    def _versioned(self, make: Callable[[Origin], tuple[bytes, Terms | None]]) -> tuple[bytes, Terms | None]:
        """RFC 3264 8: the version in o= counts up when anything else has changed, and only then."""
        same = make(self._origin(self._version))
        if same[0] == self._description:
            return same
        made = make(self._origin(self._version + 1))
        self._version += 1
        self._description = made[0]
        return made

    def _origin(self, version: int) -> Origin:
        return Origin(self._host, self._endpoint.port, self._session_id, version, self._key)

    def _agree(self, terms: Terms | None) -> None:
        if terms is not None and self._figures is None:
            self._terms = terms
            self._endpoint.agree(*terms)

    # -------------------------------------------------------------------------------------------- what is played

    def start(self) -> None:
        self._endpoint.start()

    def press(self, digit: str) -> None:
        self._endpoint.press(digit)

    def announce(self, verdicts: tuple[str, ...]) -> float:
        return self._endpoint.announce(verdicts)

    # -------------------------------------------------------------------------------------------- as of any call

    def held(self) -> bool:
        """The phone does not want both to speak, so its silence is no sign of trouble."""
        terms = self._terms
        return terms is None or not terms.may_send

    def asked_by(self) -> int | None:
        """The server holds nobody: it was the phone."""
        return None if self.awaits_answer or self._figures is not None else CALLER

    def look(self) -> Look:
        """How both directions of the stream are doing; the server's own packets are no sign of life."""
        port, last_at = self._endpoint.port, self._endpoint.last_packet_at()
        if self._figures is not None:
            return Look((), last_at)
        return Look((Watched((port, port), not self.held(), self._endpoint.pulses()),), last_at)

    def drain_events(self) -> list[MediaEvent]:
        return list(self._endpoint.drain_events()) if self._figures is None else []

    def describe_later(self) -> Describe:
        """What the phone and the server have said of each stream until now; the server is the callee."""
        return partial(_describe, self._theirs, self._description, self._endpoint.port)

    def figures(self) -> tuple[EndpointFigures, EndpointFigures]:
        """Of what the phone has sent, and of what the server has, until now or until the end."""
        return self._figures or self._endpoint.figures()

    def quality(self) -> tuple[QualitySeries, ...]:
        """How both directions have gone over time."""
        return self._endpoint.quality()

    def headers(self) -> tuple[()]:
        """Of these streams none are kept."""
        return ()

    def close(self) -> tuple[EndpointFigures, EndpointFigures]:
        """Free the ports; the figures of both directions.  Idempotent."""
        if self._figures is None:
            self._figures = self._endpoint.close()
        return self._figures


def _describe(theirs: bytes, ours: bytes, port: int) -> tuple[StreamDescription, ...]:
    sides = _sides(theirs), _sides(ours)
    return describe_streams(sides, [None if each.media.is_rejected else (port, port) for each in sides[1]])


def _sides(description: bytes) -> list[Announcement]:
    """Every stream of a description, for people."""
    if not description:
        return []
    return [Announcement(media, True, NOBODY) for media in SessionDescription.parse(description).media]
