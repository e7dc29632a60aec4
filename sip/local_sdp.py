"""Offers and answers that the server makes for itself: one stream of G.711 with DTMF events (RFC 3264, RFC 3551,
RFC 4733), encrypted if the phone sends keys (SDES, RFC 4568).  Pure.
"""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple

from sip.endpoint import Terms
from sip.media_stream import Announcement, announce
from sip.sdp import MediaDescription, SessionDescription
from sip.sdp_values import AddressKind, Direction, SdpError, connection_value

CODECS: Final = ("PCMU", "PCMA")
"""What the server speaks itself."""

CLOCK_RATE_HZ: Final = 8000
PACKET_MS: Final = 20
"""Sound in a packet, unless the phone asks for another of `_PACKET_LENGTHS_MS`."""

_PACKET_LENGTHS_MS = (10, 20, 30, 40, 60)
_STATIC = {"0": "PCMU", "8": "PCMA"}
_PLAIN = frozenset({"RTP/AVP", "RTP/AVPF"})
_ENCRYPTED = frozenset({"RTP/SAVP", "RTP/SAVPF"})
# RFC 4568 9.1.  A key with an MKI or with session parameters that change how packets are made is none that we know.
_CRYPTO = re.compile(
    rb"a=crypto:([0-9]{1,9})[ \t]+(AES_CM_128_HMAC_SHA1_(?:80|32))[ \t]+"
    rb"inline:([A-Za-z0-9+/]{40})(?:\|[0-9^]+)?(?:[ \t]+WSH=[0-9]+)?[ \t]*[\r\n]*",
    re.IGNORECASE,
)
_TAG_LENGTHS = {"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4}
KEY_LENGTH: Final = 30
"""Master key and salt (RFC 4568 6.2)."""
_EVENTS = "0-15"  # The sixteen keys (RFC 4733 3.2).
_OFFERED = {0: "PCMU", 8: "PCMA"}
_OFFERED_EVENTS = 101

_MIRRORED = {
    Direction.SENDRECV: Direction.SENDRECV,
    Direction.SENDONLY: Direction.RECVONLY,
    Direction.RECVONLY: Direction.SENDONLY,
    Direction.INACTIVE: Direction.INACTIVE,
}


class Origin(NamedTuple):
    """What the server's own description says of itself in o= and c=, the port of its stream (RFC 8866 5.2)."""

    host: str
    port: int
    session_id: int
    version: int
    key: bytes
    """Our master key and salt, for phones that want encryption."""


class _Crypto(NamedTuple):
    """One a=crypto line."""

    tag: str
    suite: str
    key: bytes


class NoCommonCodec(SdpError):
    """The offer is well-formed and holds no stream that the server could speak: 488.  `warning` is a warn-code of
    RFC 3261 20.43."""

    def __init__(self, reason: str, warning: int) -> None:
        super().__init__(reason, 488)
        self.warning = warning


def answer_offer(offer: SessionDescription, origin: Origin, sender_host: str) -> tuple[bytes, Terms]:
    """The answer to a phone whose signalling comes from `sender_host`: its first stream of G.711 accepted, all others
    rejected (RFC 3264 6).  Raises `NoCommonCodec`, or another `SdpError` for what is no usable offer."""
    chosen = next((media for media in offer.media if _is_usable(offer, media)), None)
    if chosen is None:
        raise _why_none(offer)
    announcement = announce(chosen, sender_host, offered=True)
    direction = _MIRRORED[chosen.direction]
    if _is_unspecified(announcement) and direction is Direction.SENDRECV:
        direction = Direction.RECVONLY  # on hold as RFC 2543 B.5 has it
    terms = _terms(offer, announcement, sender_host, may_send=direction in (Direction.SENDRECV, Direction.SENDONLY))
    crypto = _crypto(offer, chosen)
    if crypto is not None:
        terms = terms._replace(srtp=(crypto.key, origin.key, _TAG_LENGTHS[crypto.suite]))
    lines = _head(origin, _time(offer))
    for media in offer.media:
        if media is chosen:
            lines += _stream(origin, chosen.protocol, {terms.payload_type: _name(terms)}, terms.event_type, direction)
            lines.append(f"a=ptime:{terms.packet_ms}")
            if crypto is not None:
                key = base64.b64encode(origin.key).decode()
                lines.append(f"a=crypto:{crypto.tag} {crypto.suite} inline:{key}")
        else:
            lines.append(f"m={media.kind} 0 {media.protocol} {' '.join(media.formats) or '0'}")
    return _text(lines), terms


def make_offer(origin: Origin) -> bytes:
    """For a phone that sent none: it answers in its ACK (RFC 3261 13.2.1)."""
    lines = _head(origin, "t=0 0") + _stream(origin, "RTP/AVP", _OFFERED, _OFFERED_EVENTS, Direction.SENDRECV)
    return _text([*lines, f"a=ptime:{PACKET_MS}"])


def read_answer(answer: SessionDescription, sender_host: str) -> Terms:
    """What the answer to `make_offer` settles.  Raises `SdpError`."""
    if not answer.media or answer.media[0].protocol.upper() not in _PLAIN or not _is_usable(answer, answer.media[0]):
        raise NoCommonCodec("the phone's answer accepts neither PCMU nor PCMA", 305)
    announcement = announce(answer.media[0], sender_host, offered=True)
    wanted = announcement.media.direction in (Direction.SENDRECV, Direction.RECVONLY)
    return _terms(answer, announcement, sender_host, may_send=wanted)


# ------------------------------------------------------------------------------------------------ reading


def _is_usable(description: SessionDescription, media: MediaDescription) -> bool:
    protocol = media.protocol.upper()
    can_be_read = protocol in _PLAIN or _crypto(description, media) is not None
    return media.kind == "audio" and media.port != 0 and can_be_read and _codec(media) is not None


def _crypto(description: SessionDescription, media: MediaDescription) -> _Crypto | None:
    """The first key that we understand of a stream that has to be encrypted."""
    if media.protocol.upper() not in _ENCRYPTED:
        return None
    match = next(filter(None, map(_CRYPTO.fullmatch, _lines_of(description, media))), None)
    if match is None:
        return None
    return _Crypto(match[1].decode(), match[2].decode().upper(), base64.b64decode(match[3]))


def _lines_of(description: SessionDescription, media: MediaDescription) -> list[bytes]:
    """Of the section of that stream."""
    later = (other.line for other in description.media if other.line > media.line)
    return description.lines[media.line : min(later, default=len(description.lines))]


def _codec(media: MediaDescription) -> tuple[int, str] | None:
    """Payload type and name of the first G.711 format, in the order of preference of the description."""
    for text in media.formats:
        name, rate = _format(media, text)
        if name in CODECS and rate == CLOCK_RATE_HZ:
            return int(text), name
    return None


def _format(media: MediaDescription, text: str) -> tuple[str, int]:
    mapped = media.rtpmap.get(int(text)) if text.isdecimal() and len(text) < 4 else None
    if mapped is not None:
        return mapped[0].upper(), mapped[1]
    return _STATIC.get(text, ""), CLOCK_RATE_HZ


def _event_type(media: MediaDescription) -> int | None:
    for text in media.formats:
        if _format(media, text) == ("TELEPHONE-EVENT", CLOCK_RATE_HZ):
            return int(text)
    return None


def _is_unspecified(announcement: Announcement) -> bool:
    connection = announcement.media.connection
    return connection is not None and connection.kind is AddressKind.UNSPECIFIED


def _terms(description: SessionDescription, announcement: Announcement, sender_host: str, *, may_send: bool) -> Terms:
    media, peer = announcement.media, announcement.peer
    codec = _codec(media)
    assert codec is not None
    return Terms(
        *peer,
        payload_type=codec[0],
        is_a_law=codec[1] == "PCMA",
        event_type=_event_type(media),
        packet_ms=_packet_ms(description, media),
        may_send=may_send and peer.rtp is not None,
        is_vouched={address[0] for address in (peer.rtp, peer.rtcp) if address is not None} == {sender_host},
    )


def _packet_ms(description: SessionDescription, media: MediaDescription) -> int:
    """By a=ptime and a=maxptime (RFC 8866 6.4): what the phone would like to receive."""
    wanted = _milliseconds(description, media, b"a=ptime:") or PACKET_MS
    most = _milliseconds(description, media, b"a=maxptime:") or _PACKET_LENGTHS_MS[-1]
    length = wanted if wanted in _PACKET_LENGTHS_MS else PACKET_MS
    return max((each for each in _PACKET_LENGTHS_MS if each <= min(length, most)), default=_PACKET_LENGTHS_MS[0])


def _milliseconds(description: SessionDescription, media: MediaDescription, prefix: bytes) -> int | None:
    for line in _lines_of(description, media):
        value = line.removeprefix(prefix).strip()
        if line.startswith(prefix) and value.isdigit() and len(value) < 5:
            return int(value)
    return None


def _why_none(offer: SessionDescription) -> NoCommonCodec:
    sound = [media for media in offer.media if media.kind == "audio" and media.port]
    if not sound:
        return NoCommonCodec("the phone offers no sound", 304)
    plain = [media for media in sound if media.protocol.upper() in _PLAIN or _crypto(offer, media) is not None]
    if not plain:
        wanted = f"the phone wants {sound[0].protocol}"
        return NoCommonCodec(f"{wanted}, this number speaks RTP/AVP, and RTP/SAVP with SDES keys (AES_CM_128)", 302)
    offered = ", ".join(plain[0].codecs)
    return NoCommonCodec(f"this number speaks PCMU and PCMA, the phone offers {offered}", 305)


# ------------------------------------------------------------------------------------------------ writing


def _name(terms: Terms) -> str:
    return "PCMA" if terms.is_a_law else "PCMU"


def _time(offer: SessionDescription) -> str:
    """RFC 3264 6: the t= line of the answer is that of the offer."""
    line = next((line for line in offer.lines if line.startswith(b"t=")), b"t=0 0")
    return line.decode("latin-1").strip()


def _head(origin: Origin, time: str) -> list[str]:
    value = connection_value(origin.host).decode()
    return ["v=0", f"o=- {origin.session_id} {origin.version} {value}", "s=-", f"c={value}", time]


def _stream(
    origin: Origin, protocol: str, codecs: dict[int, str], event_type: int | None, direction: Direction
) -> list[str]:
    types = [*codecs, *([] if event_type is None else [event_type])]
    lines = [f"m=audio {origin.port} {protocol} {' '.join(map(str, types))}"]
    lines += [f"a=rtpmap:{number} {name}/{CLOCK_RATE_HZ}" for number, name in codecs.items()]
    if event_type is not None:
        lines += [f"a=rtpmap:{event_type} telephone-event/{CLOCK_RATE_HZ}", f"a=fmtp:{event_type} {_EVENTS}"]
    return [*lines, f"a={direction}"]


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
