"""An answer that wants no sound for now: for a phone that is to wait for the other one (RFC 3725 4.3, RFC 3264 8.4).
Pure."""

from __future__ import annotations

from sip.sdp import MediaDescription, SessionDescription

_DISCARD_PORT = 9


def black_hole_answer(offer: bytes) -> bytes:
    """The first stream of sound is accepted and held, the others are rejected.  Raises `SdpError`.

    So is one that is to be encrypted: a key, once taken, stays with some phones for the whole call, and the one that
    counts is the other phone's."""
    description = SessionDescription.parse(offer)
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "c=IN IP4 0.0.0.0", "t=0 0"]
    has_accepted = False
    ends = [media.line for media in description.media[1:]] + [len(description.lines)]
    for media, end in zip(description.media, ends, strict=True):
        if not has_accepted and is_plain_sound(media):
            has_accepted = True
            lines += _held(media, description.lines[media.line : end])
        else:
            lines.append(f"m={media.kind} 0 {media.protocol} {media.formats[0] if media.formats else 0}")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1", "replace")


def is_plain_sound(media: MediaDescription) -> bool:
    """A stream of sound that is wanted, and without encryption."""
    is_secure = media.secure or "SAVP" in media.protocol.upper()
    return media.kind == "audio" and media.is_rtp and not media.is_rejected and not is_secure


def _held(media: MediaDescription, section: list[bytes]) -> list[str]:
    """With the formats of the offer, so that every phone finds one it knows."""
    kept = (line for line in section if line.startswith((b"a=rtpmap:", b"a=fmtp:")))
    return [
        f"m={media.kind} {_DISCARD_PORT} {media.protocol} {' '.join(media.formats)}",
        *(line.decode("latin-1").strip() for line in kept),
        "a=inactive",
    ]
