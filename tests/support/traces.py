"""A call between two phones as its journal has it, and what was measured of its media."""

from __future__ import annotations

from rtp.header_log import RECORD, LoggedHeaders
from sip.flow import Flow
from sip.journal import Entry, EntryKind
from sip.media_stream import SideDescription, StreamDescription
from sip.sdp_values import Direction
from sip.trace import QualitySample, StreamQuality, TraceSource

BEGAN_AT = 1_785_326_400.25
"""29 July 2026, 12:00:00.250 UTC."""

CALLER = Flow("UDP", "192.168.1.2", 5060, "192.168.1.10", 5062)
CALLEE = Flow("TCP", "192.168.1.2", 5060, "192.168.1.11", 49152, 3)

PASSWORD_PROOF = "0123456789abcdef0123456789abcdef"
MEDIA_KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


def message(start: str, *headers: str, body: str = "") -> bytes:
    lines = (start, *headers, f"Content-Length: {len(body)}", "", body)
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


OFFER = f"v=0\r\nm=audio 4000 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{MEDIA_KEY}\r\n"
INVITE = message(
    "INVITE sip:101@192.168.1.2 SIP/2.0",
    "Via: SIP/2.0/UDP 192.168.1.10:5062;branch=z9hG4bK1",
    "From: <sip:100@192.168.1.2>;tag=a",
    "To: <sip:101@192.168.1.2>",
    "Call-ID: call-1",
    "CSeq: 1 INVITE",
    f'Authorization: Digest username="100", realm="r", nonce="n", uri="sip:101@h", response="{PASSWORD_PROOF}"',
    body=OFFER,
)


def received(offset_s: float, flow: Flow, data: bytes) -> Entry:
    return Entry(BEGAN_AT + offset_s, EntryKind.RECEIVED, flow, len(data), data, "")


def sent(offset_s: float, flow: Flow, data: bytes) -> Entry:
    return Entry(BEGAN_AT + offset_s, EntryKind.SENT, flow, len(data), data, "")


def decided(offset_s: float, text: str, fact: str = "", **details: str | int | float) -> Entry:
    return Entry(BEGAN_AT + offset_s, EntryKind.DECISION, None, 0, b"", text, fact, details)


def media(offset_s: float, text: str) -> Entry:
    return Entry(BEGAN_AT + offset_s, EntryKind.MEDIA, None, 0, b"", text)


SAMPLE = QualitySample(
    at=BEGAN_AT + 10.0,
    span_s=5.0,
    packets=240,
    lost=10,
    out_of_order=1,
    duplicates=2,
    late=3,
    dropped=4,
    jitter_ms=2.5,
    gap_ms=220.0,
    mos=3.9,
    remote_lost=12,
    remote_jitter_ms=1.5,
    rtt_ms=30.0,
)

SOURCE = TraceSource(
    entries=(
        received(0.0, CALLER, INVITE),
        decided(0.001, "phone \udcff was tried", "tried", number="101", attempts=1, q=0.5),
        sent(0.001, CALLEE, INVITE),
        media(2.0, "caller: nothing is heard"),
    ),
    dropped=2,
    describe=lambda: (
        StreamDescription(
            0,
            "audio",
            "RTP/SAVP",
            SideDescription("192.168.1.10:4000", ("PCMA", "PCMU"), Direction.SENDRECV, True, False),
            None,
            (10_000, 10_002),
        ),
    ),
    quality=(StreamQuality("audio", 0, 10_000, "PCMA", (SAMPLE,)),),
    headers=(
        LoggedHeaders(1, 10_002, (("192.168.1.11", 4002),), RECORD.pack(3.5, 172, 0, bytes(range(12))), 7, BEGAN_AT),
    ),
)
