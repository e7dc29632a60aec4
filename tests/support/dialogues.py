"""A call between two phones, message by message, from which traces are made: 100 calls 101 over UDP, a phone of 101
rings over UDP, another one answers over TCP."""

from __future__ import annotations

from typing import Any

from sip.flow import Flow
from sip.journal import Entry, EntryKind
from sip.media_stream import StreamDescription
from sip.snapshots import CallSnapshot, CallState, TerminationReason
from sip.trace import CallTrace, TraceSource, record_of, trace_of

BEGAN_AT = 1_785_326_400.25
"""29 July 2026, 12:00:00.250 UTC."""

ALICE = Flow("UDP", "192.168.1.2", 5060, "192.168.1.10", 5062)
DESK = Flow("UDP", "192.168.1.2", 5060, "192.168.1.11", 5060)
MOBILE = Flow("TCP", "192.168.1.2", 5060, "192.168.1.12", 49152, 3)

SDP = "v=0\r\nc=IN IP4 192.168.1.10\r\nm=audio 4000 RTP/AVP 8\r\n"

CALL = CallSnapshot(
    call_id="call-1",
    from_number="100",
    to_number="101",
    state=CallState.TERMINATED,
    invited_at=BEGAN_AT,
    ringing_at=BEGAN_AT + 0.2,
    answered_at=BEGAN_AT + 3.0,
    ended_at=BEGAN_AT + 63.0,
    from_address="192.168.1.10:5062",
    to_address="192.168.1.12:49152",
    status=200,
    termination_reason=TerminationReason.NORMAL,
    reason_text="100 hung up",
    ended_by="caller",
)


def sip(start: str, *headers: str, branch: str = "a1", cseq: str = "1 INVITE", tag: str = "", body: str = "") -> bytes:
    """`branch` is that of the topmost Via, `tag` that of the To header."""
    to_tag = f";tag={tag}" if tag else ""
    typed = ("Content-Type: application/sdp",) if body else ()
    lines = (
        start,
        f"Via: SIP/2.0/UDP 192.168.1.99:5060;branch=z9hG4bK{branch}",
        "From: <sip:100@192.168.1.2>;tag=a",
        f"To: <sip:101@192.168.1.2>{to_tag}",
        "Call-ID: call-1",
        f"CSeq: {cseq}",
        *headers,
        *typed,
        f"Content-Length: {len(body)}",
        "",
        body,
    )
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def received(offset_s: float, flow: Flow, data: bytes, **changes: Any) -> Entry:
    return Entry(BEGAN_AT + offset_s, EntryKind.RECEIVED, flow, len(data), data, "")._replace(**changes)


def sent(offset_s: float, flow: Flow, data: bytes, **changes: Any) -> Entry:
    return Entry(BEGAN_AT + offset_s, EntryKind.SENT, flow, len(data), data, "")._replace(**changes)


def decided(offset_s: float, text: str, fact: str = "", **details: str | int | float) -> Entry:
    return Entry(BEGAN_AT + offset_s, EntryKind.DECISION, None, 0, b"", text, fact, details)


def media(offset_s: float, text: str) -> Entry:
    return Entry(BEGAN_AT + offset_s, EntryKind.MEDIA, None, 0, b"", text)


INVITE = sip(
    "INVITE sip:101@192.168.1.2 SIP/2.0", "Contact: <sip:100@192.168.1.10:5062>", "User-Agent: Desk 1.0", body=SDP
)

ENTRIES = (
    received(0.0, ALICE, INVITE),
    sent(0.0005, ALICE, sip("SIP/2.0 100 Trying")),
    decided(0.001, "two phones of 101 are called", "called", number="101", address="192.168.1.11:5060"),
    sent(0.001, DESK, sip("INVITE sip:101@192.168.1.11 SIP/2.0", branch="b1", body=SDP)),
    sent(0.001, MOBILE, sip("INVITE sip:101@192.168.1.12:49152;transport=tcp SIP/2.0", branch="b2", body=SDP)),
    received(0.2, DESK, sip("SIP/2.0 180 Ringing", "Server: Wall 2", branch="b1", tag="d")),
    sent(0.2, ALICE, sip("SIP/2.0 180 Ringing", tag="d")),
    sent(0.501, DESK, sip("INVITE sip:101@192.168.1.11 SIP/2.0", branch="b1", body=SDP)),
    received(
        3.0,
        MOBILE,
        sip(
            "SIP/2.0 200 OK", "Contact: <sip:101@192.168.1.12:49152>", "User-Agent: App", branch="b2", tag="m", body=SDP
        ),
    ),
    sent(3.0, ALICE, sip("SIP/2.0 200 OK", tag="m", body=SDP)),
    sent(3.0, DESK, sip("CANCEL sip:101@192.168.1.11 SIP/2.0", branch="b1", cseq="1 CANCEL")),
    received(3.01, DESK, sip("SIP/2.0 487 Request Terminated", branch="b1", tag="d")),
    received(3.05, ALICE, sip("ACK sip:101@192.168.1.12 SIP/2.0", branch="a2", cseq="1 ACK", tag="m")),
    media(4.0, "caller: the caller's media comes from 192.168.1.10:4000, as announced"),
    received(63.0, ALICE, sip("BYE sip:101@192.168.1.12 SIP/2.0", branch="a3", cseq="2 BYE", tag="m")),
)


def make_trace(
    *entries: Entry, call: CallSnapshot = CALL, streams: tuple[StreamDescription, ...] = (), **source: Any
) -> CallTrace:
    """Of these entries, or of the call above."""
    return trace_of(call, (), record_of(TraceSource(entries or ENTRIES, describe=lambda: streams, **source)))


def make_call(**changes: Any) -> CallSnapshot:
    return CALL._replace(**changes)
