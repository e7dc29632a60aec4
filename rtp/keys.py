"""Keys that are pressed during a call, as telephone events tell them (RFC 4733 2.3). Pure."""

from __future__ import annotations

from rtp.packet import Buffer, RtpError, RtpHeader

EVENT_KEYS = "0123456789*#ABCD"
"""By the number of their event (RFC 4733 3.2)."""

SHORTEST_S = 0.03
"""Nobody presses keys faster than that: a phone that pretends to floods nobody."""

_PAYLOAD_LENGTH = 4

KeyPress = tuple[int, int]
"""The event, and the RTP timestamp that all of its packets have."""


def read_key(packet: Buffer) -> KeyPress | None:
    """What a packet of telephone-event says; None for events that are no key, and for what can't be read."""
    try:
        header = RtpHeader.parse(packet)
    except RtpError:
        return None
    if len(packet) < header.length + _PAYLOAD_LENGTH or packet[header.length] >= len(EVENT_KEYS):
        return None
    return packet[header.length], header.rtp_timestamp
