"""A trace to JSON objects: all about a call, its ladder, its messages, its quality over time. Pure.

The field names are a promise to clients: one may be added, none changed or removed.
"""

from __future__ import annotations

from collections.abc import Sequence

from api.call_ids import path_of
from api.views import SENDERS, Json, call_view, clean, iso_time, media_view
from sip.facts import Fact
from sip.media_stream import SideDescription, StreamDescription
from sip.snapshots import MediaFigures
from sip.trace import CallTrace, QualitySample, StreamQuality, TraceEntry
from tracing.ladder import Ladder, Participant, Step
from tracing.messages import TracedMessage
from tracing.parties import TracedParty, address_text

PARTS = ("explain", "ladder", "messages", "pcap", "quality")
"""What else there is of a call whose trace is kept, each under its own path."""


def trace_view(trace: CallTrace, parties: Sequence[TracedParty], now_at: float) -> Json:
    """All about one call."""
    call = trace.call
    instance = f"?inviteTime={iso_time(call.invited_at)}"
    return {
        **call_view(call, now_at),
        "media": [_media_view(figures) for figures in trace.media],
        "streams": [stream_description_view(stream) for stream in trace.streams],
        "parties": [party_view(party, call.invited_at) for party in parties],
        "timeline": _timeline(trace),
        "trace": {
            "kept": trace.is_kept,
            "entries": len(trace.entries),
            "dropped": trace.dropped,
            "forgottenAt": iso_time(trace.forgotten_at),
        },
        "links": {
            "self": path_of(call.call_id) + instance,
            **({part: path_of(call.call_id, f"/{part}") + instance for part in PARTS} if trace.is_kept else {}),
        },
    }


def _media_view(figures: MediaFigures) -> Json:
    """With where it came from and was sent to; `relayPort` is where the sender's phone sent it to."""
    return {
        **media_view(figures),
        "fromAddress": figures.from_address,
        "fromPort": figures.from_port,
        "toAddress": figures.to_address,
        "toPort": figures.to_port,
        "relayPort": figures.relay_port,
    }


def party_view(party: TracedParty, invited_at: float) -> Json:
    return {
        "role": party.role,
        "number": clean(party.number),
        "address": party.address,
        "transport": party.transport,
        "userAgent": clean(party.user_agent),
        "contact": clean(party.contact),
        "calledAt": iso_time(party.called_at),
        "ringingAt": iso_time(party.ringing_at),
        "answeredAt": iso_time(party.answered_at),
        "offset": _offset(party.called_at, invited_at),
        "statusCode": party.status or None,
        "statusText": clean(party.phrase),
    }


def stream_description_view(stream: StreamDescription) -> Json:
    """One m= line as its two sides last described it; `codecs` are those that both of them named, in the order of the
    one that answered."""
    caller, callee = stream.caller, stream.callee
    agreed = [codec for codec in callee.codecs if codec in caller.codecs] if caller and callee else []
    return {
        "kind": clean(stream.kind),
        "protocol": clean(stream.protocol),
        "codecs": [clean(codec) for codec in agreed],
        "caller": None if caller is None else _side_view(caller),
        "callee": None if callee is None else _side_view(callee),
        "relayPorts": None if stream.relay_ports is None else dict(zip(SENDERS, stream.relay_ports, strict=True)),
    }


def _side_view(side: SideDescription) -> Json:
    return {
        "address": clean(side.address),
        "codecs": [clean(codec) for codec in side.codecs],
        "direction": side.direction.value,
        "secure": side.secure,
        "rejected": side.rejected,
    }


def _timeline(trace: CallTrace) -> list[Json]:
    """What happened, in the order of time: the steps of the call, decisions, changes of media."""
    call = trace.call
    marks = [
        ("invited", call.invited_at, ""),
        ("ringing", call.ringing_at, ""),
        ("answered", call.answered_at, ""),
        ("ended", call.ended_at, call.reason_text),
    ]
    events = [(at, event, text, "") for event, at, text in marks if at is not None]
    # That the call has ended is among the marks already.
    notes = (each for each in trace.entries if not each.is_message and each.fact != Fact.ENDED)
    events += [(each.at, each.kind.value, each.text, each.fact) for each in notes]
    return [
        {
            "time": iso_time(at),
            "offset": _offset(at, call.invited_at),
            "event": event,
            "fact": fact or None,
            "text": clean(text),
        }
        for at, event, text, fact in sorted(events, key=lambda each: each[0])
    ]


# ------------------------------------------------------------------------------------------------ ladder, messages


def ladder_view(diagram: Ladder) -> Json:
    call = diagram.trace.call
    return {
        "callId": clean(call.call_id),
        "inviteTime": iso_time(call.invited_at),
        "participants": [_participant_view(each) for each in diagram.participants],
        "steps": [_step_view(step) for step in diagram.steps],
        "dropped": diagram.dropped,
    }


def _participant_view(participant: Participant) -> Json:
    return {
        "id": participant.id,
        "role": participant.role,
        "name": clean(participant.name),
        "address": participant.address or None,
        "transport": participant.transport or None,
    }


def _step_view(step: Step) -> Json:
    """`index` is that of the entry, also among the messages."""
    common: Json = {
        "index": step.index,
        "time": iso_time(step.at),
        "offset": round(step.offset_s, 6),
        "kind": step.kind,
        "label": clean(step.label),
    }
    if not step.source:
        return {**common, "fact": step.fact or None}
    return {
        **common,
        "from": step.source,
        "to": step.target,
        "method": clean(step.method) or None,
        "status": step.status or None,
        "cseq": clean(step.cseq) or None,
        "isRepeated": step.is_repeated,
        "size": step.size,
    }


def message_view(message: TracedMessage, invited_at: float) -> Json:
    """`text` is masked, its lines end with LF; null where it was not kept."""
    entry = message.entry
    return {
        "index": message.index,
        "time": iso_time(entry.at),
        "offset": _offset(entry.at, invited_at),
        "direction": entry.kind.value,
        "transport": entry.transport,
        "localAddress": _address(entry, is_local=True),
        "remoteAddress": _address(entry, is_local=False),
        "size": entry.size,
        "summary": clean(message.summary),
        "method": clean(message.method) or None,
        "status": message.status or None,
        "cseq": clean(message.cseq) or None,
        "isRepeated": message.is_repeated,
        "text": _text(entry.data) if entry.data else None,
    }


def _address(entry: TraceEntry, *, is_local: bool) -> str:
    endpoint = entry.local if is_local else entry.remote
    return "" if endpoint is None else address_text(endpoint)


def _text(data: bytes) -> str:
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return clean_lines(text)


def clean_lines(text: str) -> str:
    """`clean`, line by line."""
    return "\n".join(clean(line) for line in text.split("\n"))


def _offset(at: float, invited_at: float) -> float:
    """Seconds since the INVITE that began the call."""
    return round(at - invited_at, 6)


# ------------------------------------------------------------------------------------------------ quality


def quality_view(trace: CallTrace, formula: str) -> Json:
    return {
        "callId": clean(trace.call.call_id),
        "inviteTime": iso_time(trace.call.invited_at),
        "formula": formula,
        "streams": [_quality_view(each, trace.call.invited_at) for each in trace.quality],
    }


def _quality_view(quality: StreamQuality, invited_at: float) -> Json:
    return {
        "kind": clean(quality.kind),
        "sender": SENDERS[quality.side],
        "relayPort": quality.relay_port,
        "codec": None if quality.codec is None else clean(quality.codec),
        "samples": [_sample_view(sample, invited_at) for sample in quality.samples],
    }


def _sample_view(sample: QualitySample, invited_at: float) -> Json:
    """What came in the `span` seconds before `time`; `jitter`, `gap`, `remoteJitter` in milliseconds, `roundTrip` in
    seconds, `lossRate` from 0 to 1."""
    expected = sample.packets - sample.duplicates + sample.lost
    return {
        "time": iso_time(sample.at),
        "offset": _offset(sample.at, invited_at),
        "span": round(sample.span_s, 3),
        "packets": sample.packets,
        "lost": sample.lost,
        "lossRate": round(min(1.0, max(0, sample.lost) / expected), 4) if expected > 0 else None,
        "outOfOrder": sample.out_of_order,
        "duplicates": sample.duplicates,
        "late": sample.late,
        "dropped": sample.dropped,
        "jitter": round(sample.jitter_ms, 3),
        "gap": round(sample.gap_ms, 1),
        "mos": None if sample.mos is None else round(sample.mos, 2),
        "remoteLost": sample.remote_lost,
        "remoteJitter": None if sample.remote_jitter_ms is None else round(sample.remote_jitter_ms, 3),
        "roundTrip": None if sample.rtt_ms is None else round(sample.rtt_ms / 1000, 4),
    }
