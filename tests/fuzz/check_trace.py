"""What is made of a trace whose messages and sentences are anything at all."""

from __future__ import annotations

import json
import struct

from api.trace_views import ladder_view, message_view, trace_view
from sip.journal import Entry, EntryKind
from sip.trace import TraceSource, record_of, trace_of
from sip.trace_codec import pack, unpack
from tests.support.dialogues import ALICE, BEGAN_AT, MOBILE, make_call
from tracing.ladder import ladder
from tracing.ladder_text import MAX_WIDTH, as_mermaid, as_text
from tracing.messages import read_messages
from tracing.parties import parties
from tracing.pcap import capture

NEXT = b"\r\n\r\n"
MAX_MESSAGES = 20


def check_trace(data: bytes) -> None:
    """Messages that end with an empty line, received and sent in turn; the first line is also a decision and a name."""
    words = data.partition(b"\r\n")[0].decode("utf-8", "surrogateescape")
    parts = [part + NEXT for part in data.split(NEXT)[:MAX_MESSAGES]]
    entries = [Entry(BEGAN_AT, EntryKind.DECISION, None, 0, b"", words, "called", {"address": words, "number": words})]
    for place, part in enumerate(parts):
        kind = (EntryKind.RECEIVED, EntryKind.SENT)[place % 2]
        flow = (ALICE, MOBILE)[place // 2 % 2]
        entries.append(Entry(BEGAN_AT + place, kind, flow, len(part), part, ""))
    source = TraceSource(tuple(entries))
    record = record_of(source)
    assert unpack(pack(source)) == record
    trace = trace_of(make_call(call_id=words, from_number=words, reason_text=words), (), record)
    diagram = ladder(trace)
    assert len(diagram.steps) == len(entries)
    text = as_text(diagram)
    assert max(map(len, text.split("\n")[4:])) <= MAX_WIDTH
    assert as_mermaid(diagram).count("\n") == 1 + len(diagram.participants) + len(entries)
    json.dumps([ladder_view(diagram), trace_view(trace, parties(trace), BEGAN_AT)]).encode("ascii")
    for message in read_messages(trace.entries):
        shown = message_view(message, BEGAN_AT)
        assert json.dumps(shown).isascii()
        assert all(char >= " " or char == "\n" for char in str(shown["text"]))
    _check_capture(capture(trace, lambda _host: ""), len(parts))


def _check_capture(data: bytes, messages: int) -> None:
    place, packets = 24, 0
    while place < len(data):
        kept, length = struct.unpack_from("<II", data, place + 8)
        assert kept <= length
        place += 16 + kept
        packets += 1
    assert place == len(data)
    assert packets >= messages
