"""Static payload types (RFC 3551 6, tables 4 and 5): encoding name and RTP clock rate. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Codec = tuple[str, int]
"""Encoding name as in `a=rtpmap`, RTP clock rate in Hz."""

STATIC_CODECS: Mapping[int, Codec] = MappingProxyType(
    {
        0: ("PCMU", 8000),
        3: ("GSM", 8000),
        4: ("G723", 8000),
        5: ("DVI4", 8000),
        6: ("DVI4", 16000),
        7: ("LPC", 8000),
        8: ("PCMA", 8000),
        9: ("G722", 8000),  # sampled at 16 kHz, but RFC 3551 4.5.2 keeps the clock rate at 8000
        10: ("L16", 44100),
        11: ("L16", 44100),
        12: ("QCELP", 8000),
        13: ("CN", 8000),
        14: ("MPA", 90000),
        15: ("G728", 8000),
        16: ("DVI4", 11025),
        17: ("DVI4", 22050),
        18: ("G729", 8000),
        25: ("CelB", 90000),
        26: ("JPEG", 90000),
        28: ("nv", 90000),
        31: ("H261", 90000),
        32: ("MPV", 90000),
        33: ("MP2T", 90000),
        34: ("H263", 90000),
    }
)

KEY_ENCODING = "TELEPHONE-EVENT"
"""Encoding name of pressed keys (RFC 4733 7.1.1), in capitals."""

# Their timestamps say when an event or a pause began (RFC 4733 2.1, RFC 3389 4), not when the packet was sent.
_WITHOUT_CADENCE = frozenset({KEY_ENCODING, "TONE", "CN"})


def has_cadence(encoding_name: str) -> bool:
    """Whether the timestamps of this encoding advance with the sending time, as jitter needs it."""
    return encoding_name.upper() not in _WITHOUT_CADENCE
