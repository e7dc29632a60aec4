"""All about one call: operations and the objects they answer with, as `api.traces` makes them.  Pure."""

from __future__ import annotations

from api.openapi.schema import (
    COUNT,
    MILLISECONDS,
    MOS,
    NUMBER,
    PORT,
    SECONDS,
    SHARE,
    TEXT,
    TIME,
    WHOLE,
    YES_NO,
    Json,
    about,
    answer,
    in_path,
    many,
    one_of,
    operation,
    or_null,
    query,
    record,
    ref,
)

ONE_CALL = (
    in_path("call_id", "the callId"),
    query("inviteTime", TEXT, "which of several calls with one callId: as in the lists; unless given the newest"),
)
_SENDER = one_of("caller", "callee")
_OFFSET = about(NUMBER, "seconds since the INVITE that began the call")


def trace_schemas(call: dict[str, Json], media: dict[str, Json]) -> dict[str, Json]:
    """By name; `call` and `media` are the fields of a call in the lists and of its media."""
    return {
        "CallDetails": record(
            {
                **call,
                "media": many(ref("CallMedia")),
                "streams": many(ref("NegotiatedStream")),
                "parties": many(ref("Party")),
                "timeline": many(ref("Happening")),
                "trace": record(
                    {
                        "kept": about(YES_NO, "the messages are still there"),
                        "entries": COUNT,
                        "dropped": about(COUNT, "entries for which there was no room"),
                        "forgottenAt": or_null(TIME),
                    }
                ),
                "links": {"type": "object", "additionalProperties": TEXT, "required": ["self"]},
            },
            description="All about one call.",
        ),
        "CallMedia": record(
            {
                **media,
                "fromAddress": or_null(TEXT),
                "fromPort": or_null(PORT),
                "toAddress": or_null(TEXT),
                "toPort": or_null(PORT),
                "relayPort": about(PORT, "where the sender's phone sends to"),
            },
            description="One direction of one stream.",
        ),
        "NegotiatedStream": record(
            {
                "kind": TEXT,
                "protocol": TEXT,
                "codecs": about(many(TEXT), "those that both sides name, as the answering one prefers them"),
                "caller": or_null(ref("StreamSide")),
                "callee": or_null(ref("StreamSide")),
                "relayPorts": {
                    "anyOf": [record({"caller": PORT, "callee": PORT}), {"type": "null"}],
                    "description": "ports of the server that face the phones",
                },
            },
            description="One m= line as both sides last described it.",
        ),
        "StreamSide": record(
            {
                "address": TEXT,
                "codecs": many(TEXT),
                "direction": one_of("sendrecv", "sendonly", "recvonly", "inactive"),
                "secure": YES_NO,
                "rejected": YES_NO,
            }
        ),
        "Party": record(
            {
                "role": _SENDER,
                "number": TEXT,
                "address": TEXT,
                "transport": TEXT,
                "userAgent": TEXT,
                "contact": TEXT,
                "calledAt": TIME,
                "ringingAt": or_null(TIME),
                "answeredAt": or_null(TIME),
                "offset": _OFFSET,
                "statusCode": or_null(about(WHOLE, "the final response to its INVITE")),
                "statusText": TEXT,
            },
            description="A phone that called, or that the call was sent to.",
        ),
        "Happening": record(
            {
                "time": TIME,
                "offset": _OFFSET,
                "event": one_of("invited", "ringing", "answered", "ended", "decision", "media"),
                "fact": or_null(about(TEXT, "the same for programs")),
                "text": TEXT,
            }
        ),
        "Ladder": record(
            {
                "callId": TEXT,
                "inviteTime": TIME,
                "participants": many(
                    record(
                        {
                            "id": TEXT,
                            "role": one_of("caller", "server", "callee", "other"),
                            "name": TEXT,
                            "address": or_null(TEXT),
                            "transport": or_null(TEXT),
                        }
                    )
                ),
                "steps": many(ref("LadderStep")),
                "dropped": COUNT,
            }
        ),
        "LadderStep": record(
            {
                "index": about(COUNT, "the place in the trace, also that of the message in /messages"),
                "time": TIME,
                "offset": _OFFSET,
                "kind": one_of("message", "decision", "media"),
                "label": TEXT,
                "fact": or_null(TEXT),
                "from": about(TEXT, "id of a participant"),
                "to": TEXT,
                "method": or_null(TEXT),
                "status": or_null(WHOLE),
                "cseq": or_null(TEXT),
                "isRepeated": YES_NO,
                "size": about(COUNT, "bytes on the wire"),
            },
            ("fact", "from", "to", "method", "status", "cseq", "isRepeated", "size"),
            "An arrow, which has a direction, or a note, which has a fact.",
        ),
        "SipMessage": record(
            {
                "index": COUNT,
                "time": TIME,
                "offset": _OFFSET,
                "direction": one_of("received", "sent"),
                "transport": TEXT,
                "localAddress": TEXT,
                "remoteAddress": TEXT,
                "size": about(COUNT, "bytes on the wire"),
                "summary": TEXT,
                "method": or_null(TEXT),
                "status": or_null(WHOLE),
                "cseq": or_null(TEXT),
                "isRepeated": YES_NO,
                "text": or_null(about(TEXT, "without secrets; null where it was not kept")),
            }
        ),
        "Quality": record(
            {
                "callId": TEXT,
                "inviteTime": TIME,
                "formula": about(TEXT, "how mos is reckoned"),
                "streams": many(
                    record(
                        {
                            "kind": TEXT,
                            "sender": _SENDER,
                            "relayPort": PORT,
                            "codec": or_null(TEXT),
                            "samples": many(ref("QualitySample")),
                        }
                    )
                ),
            }
        ),
        "QualitySample": record(
            {
                "time": TIME,
                "offset": _OFFSET,
                "span": about(SECONDS, "seconds before `time` that the counts are of"),
                "packets": COUNT,
                "lost": WHOLE,
                "lossRate": or_null(SHARE),
                "outOfOrder": COUNT,
                "duplicates": COUNT,
                "late": about(COUNT, "more than 100 ms later than the packet before had let expect"),
                "dropped": COUNT,
                "jitter": MILLISECONDS,
                "gap": about(MILLISECONDS, "the longest silence in which packets were missing or late, milliseconds"),
                "mos": or_null(MOS),
                "remoteLost": or_null(about(WHOLE, "what the listener says it has lost since the beginning")),
                "remoteJitter": or_null(MILLISECONDS),
                "roundTrip": or_null(SECONDS),
            }
        ),
    }


def _part(name: str, summary: str, answers: Json, *parameters: Json) -> Json:
    return {"get": operation(name, summary, {200: answers}, parameters=(*ONE_CALL, *parameters), problems=(404, 503))}


ABOUT_CALL: Json = operation(
    "call",
    "All about one call",
    {200: answer(ref("CallDetails"), "live or ended")},
    parameters=ONE_CALL,
    problems=(404, 503),
)

_LADDER = answer(ref("Ladder"), "the diagram")
_LADDER["content"] = {"application/json": {"schema": ref("Ladder")}, "text/plain": {"schema": TEXT}}

TRACES: dict[str, Json] = {
    "/api/calls/{call_id}/ladder": _part(
        "ladder",
        "Who sent what to whom",
        _LADDER,
        query("format", one_of("json", "text", "mermaid"), "text is for a terminal; json unless given"),
    ),
    "/api/calls/{call_id}/messages": _part(
        "messages", "Every SIP message of a call", answer(many(ref("SipMessage")), "oldest first, without secrets")
    ),
    "/api/calls/{call_id}/pcap": _part(
        "capture",
        "The messages as a capture for Wireshark",
        answer({"type": "string", "contentEncoding": "binary"}, "libpcap", "application/vnd.tcpdump.pcap"),
    ),
    "/api/calls/{call_id}/quality": _part(
        "quality", "How both directions sounded over time", answer(ref("Quality"), "oldest sample first")
    ),
}
