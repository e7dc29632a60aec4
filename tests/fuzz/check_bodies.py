"""Session descriptions, what the relay makes of them, and multipart bodies."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sip.errors import ParseError
from sip.media import MediaAnchor, NoMediaPorts
from sip.media_relay import CALLEE, CALLER
from sip.media_stream import Announcement, announce
from sip.multipart import change_part, media_type
from sip.sdp import SessionDescription
from sip.sdp_values import AddressKind, SdpError
from tests.fuzz.check_message import check_error
from tests.fuzz.check_values import text_of
from tests.support.harness import FakeRelay

SDP = "application/sdp"
HOSTS = ("192.168.1.20", "192.168.1.30")
OURS = "203.0.113.1"
OUR_PORTS = range(10_000, 10_000 + 4 * 64)
NEXT_BODY = b"\n--then--\n"
"""Between the descriptions that caller and callee send by turns."""

_LINE_ENDS = re.compile(rb"\r\n|\n|\r")
_ICE_LINE = re.compile(
    rb"a=(?:candidate|end-of-candidates|ice-(?:lite|mismatch|options|pacing|pwd|ufrag)|remote-candidates)\s*(?::|\Z)"
)
_OURS = re.compile(rb"m=|c=|a=rtcp[ \t]*(?::|\Z)")


def check_sdp(data: bytes) -> None:
    """Offer, answer, offer ...: what leaves leads to the relay and nowhere else, and is read as it was meant."""
    relay = FakeRelay()
    anchor = MediaAnchor(relay, "fuzz@call")
    for turn, body in enumerate(data.split(NEXT_BODY)[:6]):
        sender = CALLEE if turn % 2 else CALLER
        if turn == 2:
            anchor.commit()
        if turn in (2, 4):
            anchor.begin()
        if not one_way(relay, anchor, sender, body) and turn in (2, 4):
            anchor.rollback()
        if turn == 5:
            anchor.commit()
        assert anchor.open_sessions == len(relay.open_sessions)
        anchor.describe_later()()
        anchor.held()
    anchor.close()
    assert relay.open_sessions == []


def one_way(relay: FakeRelay, anchor: MediaAnchor, sender: int, body: bytes) -> bool:
    """One description through the anchor; whether it was taken."""
    before = list(relay.open_sessions)
    try:
        received = SessionDescription.parse(body)
    except SdpError as error:
        check_error(error)
        return False
    assert received.to_bytes() == body
    try:
        written = anchor.rewrite(sender, SDP, body, HOSTS[sender], OURS)
    except NoMediaPorts:
        return False
    except SdpError as error:
        check_error(error)
        assert relay.open_sessions == before, "a refused description has opened something"
        return False
    assert anchor.rewrite(sender, SDP, body, HOSTS[sender], OURS) == written, "the same again gives the same"
    if body:
        check_written(Rewrite(body, received, written, SessionDescription.parse(written)))
        check_fixpoint(body)
    return True


def check_fixpoint(body: bytes) -> None:
    """What leads to the relay already, and to these very ports, stays as it is."""
    try:
        once = MediaAnchor(FakeRelay(), "fuzz@call").rewrite(CALLER, SDP, body, HOSTS[CALLER], OURS)
    except SdpError:
        return  # Good enough as the answer to an offer that wants nothing of it.
    assert MediaAnchor(FakeRelay(), "fuzz@call").rewrite(CALLER, SDP, once, HOSTS[CALLER], OURS) == once


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A description as it came and as it left."""

    body: bytes
    received: SessionDescription
    written: bytes
    leaving: SessionDescription


def check_written(rewrite: Rewrite) -> None:
    received, leaving = rewrite.received, rewrite.leaving
    assert [media.kind for media in leaving.media] == [media.kind for media in received.media]
    assert leaving.ice_lines == []
    anchored = [index for index, media in enumerate(received.media) if media.is_rtp]
    for index in anchored:
        check_anchored(rewrite, index)
    if not anchored:
        assert rewrite.written == without_ice(rewrite.body)
        return
    check_passed_by(rewrite)
    check_nothing_else_changed(rewrite)


def check_anchored(rewrite: Rewrite, index: int) -> None:
    """m=, c= and a=rtcp agree with each other and with the relay."""
    before, media = rewrite.received.media[index], rewrite.leaving.media[index]
    assert media.protocol == before.protocol
    assert media.formats == before.formats
    if media.port:
        assert media.port in OUR_PORTS
        assert media.port % 2 == 0
        connection = media.connection
        assert connection is not None
        assert connection.address == OURS or connection.kind is AddressKind.UNSPECIFIED
        own_lines = [connection for _, connection in media.connection_lines]
        assert all(each.address == OURS or each.kind is AddressKind.UNSPECIFIED for each in own_lines)
        assert media.rtcp_port in (None, media.port, media.port + 1)
        for _, address in media.rtcp_lines:
            assert address is None or address.address == OURS or address.kind is AddressKind.UNSPECIFIED
    announced: Announcement = announce(media, OURS, offered=True)
    assert announced.peer.rtp in (None, (OURS, media.port))


def check_passed_by(rewrite: Rewrite) -> None:
    """What is no RTP leads where it led before."""
    for before, media in zip(rewrite.received.media, rewrite.leaving.media, strict=True):
        if not before.is_rtp and before.port:
            assert media.port == before.port
            was, now = before.connection, media.connection
            assert (was and was.address) == (now and now.address)


def check_nothing_else_changed(rewrite: Rewrite) -> None:
    assert plain_lines(rewrite.written) == plain_lines(rewrite.body)


def plain_lines(body: bytes) -> list[bytes]:
    """Lines that a relay has no business with, as any reader would cut them."""
    return [line for line in _LINE_ENDS.split(without_ice(body)) if line and not _OURS.match(line)]


def without_ice(body: bytes) -> bytes:
    return b"".join(line for line in body.splitlines(keepends=True) if not _ICE_LINE.match(line.rstrip(b"\r\n")))


# ------------------------------------------------------------------------------------------------ multipart

_REPLACED = b"v=0 another body, longer than what was there before"


def check_multipart(data: bytes) -> None:
    """Content-Type on the first line, the body after it: one part changes, and is found again where it was."""
    first, _, body = data.partition(b"\n")
    content_type = text_of(first).strip()
    seen: list[bytes] = []

    def keep(part: bytes) -> bytes:
        seen.append(part)
        return part

    try:
        same = change_part(content_type, body, SDP, keep)
    except ParseError as error:
        check_error(error)
        return
    assert len(seen) <= 1, "several parts were changed"
    if b"content-length" not in body.lower():
        assert same == body, "nothing was changed, yet it is not the same"
    if not seen:
        assert same == body
        return
    changed = change_part(content_type, body, SDP, lambda part: _REPLACED)
    assert changed.count(_REPLACED) == 1 + body.count(_REPLACED) - seen[0].count(_REPLACED)
    again: list[bytes] = []
    change_part(content_type, changed, SDP, lambda part: again.append(part) or part)  # type: ignore[func-returns-value]
    assert again == [_REPLACED]
    assert media_type(content_type) == SDP or media_type(content_type).startswith("multipart/")
