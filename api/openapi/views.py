"""The objects that the API answers with, by name: what `api.views` makes, as schemas.  Pure."""

from __future__ import annotations

from api.event_view import GAP, TYPES
from api.openapi.explanations import EXPLANATIONS
from api.openapi.schema import (
    COUNT,
    COUNTS,
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
    many,
    one_of,
    or_null,
    record,
    ref,
)
from api.openapi.traces import trace_schemas
from sip.snapshots import CallState, TerminationReason, Verdict

_NUMBER_OF = about(TEXT, "the extension")
_SENDER = one_of("caller", "callee")

_TESTED = record(
    {
        "verdict": one_of(*Verdict),
        "text": TEXT,
        "packets": COUNT,
        "lost": or_null(COUNT),
        "lostPercent": or_null({"type": "number", "minimum": 0, "maximum": 100}),
        "jitter": or_null(MILLISECONDS),
        "mos": or_null(MOS),
        "roundTrip": or_null(SECONDS),
        "loudest": or_null(about(NUMBER, "dBm0; people who speak reach -20 to -5")),
    }
)

_CONTACT: dict[str, Json] = {
    "uri": TEXT,
    "address": TEXT,
    "port": PORT,
    "transport": TEXT,
    "expires": about(WHOLE, "seconds left"),
    "expiresAt": TIME,
    "registeredAt": TIME,
    "lastSeen": TIME,
    "userAgent": TEXT,
}
_CALL: dict[str, Json] = {
    "callId": about(TEXT, "the SIP Call-ID: opaque; percent-encode it in a path"),
    "fromNumber": TEXT,
    "toNumber": TEXT,
    "state": one_of(*(state.value for state in CallState)),
    "inviteTime": TIME,
    "ringTime": or_null(TIME),
    "answerTime": or_null(TIME),
    "endTime": or_null(TIME),
    "duration": about(SECONDS, "seconds of talk"),
    "fromAddress": about(TEXT, "host:port of the caller's phone"),
    "toAddress": about(TEXT, "host:port of the phone that was called or has answered"),
    "terminationReason": or_null(one_of(*(reason.value for reason in TerminationReason))),
    "statusCode": or_null(about(WHOLE, "final SIP status of the INVITE")),
    "reasonText": about(TEXT, "in plain words"),
    "endedBy": TEXT,
}
_FIGURES: dict[str, Json] = {
    "packets": COUNT,
    "bytes": COUNT,
    "lost": WHOLE,
    "outOfOrder": COUNT,
    "duplicates": COUNT,
    "rejected": about(COUNT, "packets from addresses that signalling does not know"),
    "dropped": about(COUNT, "packets that could not be sent on"),
    "jitter": MILLISECONDS,
    "codec": or_null(TEXT),
    "mos": or_null(MOS),
    "firstPacketAt": or_null(TIME),
    "lastPacketAt": or_null(TIME),
}
_MEDIA: dict[str, Json] = {"kind": TEXT, "sender": _SENDER, **_FIGURES}
_PERIOD = record(
    {
        "since": TIME,
        "totalCalls": COUNT,
        "answeredCalls": COUNT,
        "completedCalls": COUNT,
        "failedCalls": COUNT,
        "talkTime": SECONDS,
        "averageDuration": or_null(SECONDS),
        "answerRate": or_null(SHARE),
        "averageMos": or_null(MOS),
        "reasons": COUNTS,
    }
)
_DELIVERY = record(
    {
        "eventId": TEXT,
        "type": one_of(*TYPES, "webhook.test"),
        "attempt": {"type": "integer", "minimum": 1},
        "time": TIME,
        "took": SECONDS,
        "statusCode": or_null(about(WHOLE, "of the answer")),
        "error": or_null(TEXT),
        "outcome": one_of("delivered", "retry", "given up"),
    },
    description="One try to bring an event to a webhook.",
)
_WEBHOOK: dict[str, Json] = {
    "id": TEXT,
    "url": TEXT,
    "types": many(TEXT),
    "createdAt": TIME,
    "queued": about(COUNT, "events that wait"),
    "lost": about(COUNT, "events that waited for too long, since the start of the server"),
    "lastDelivery": or_null(ref("Delivery")),
}
_BYTES = about(COUNT, "bytes")

_ELSEWHERE = trace_schemas(_CALL, _MEDIA) | EXPLANATIONS

SCHEMAS: dict[str, Json] = _ELSEWHERE | {
    "Delivery": _DELIVERY,
    "Webhook": record(_WEBHOOK),
    "NewWebhook": record({**_WEBHOOK, "secret": about(TEXT, "what its events are signed with")}),
    "Event": record(
        {
            "id": about(TEXT, "opaque; another one with each start of the server"),
            "type": one_of(*TYPES, GAP),
            "time": TIME,
            "source": about(TEXT, "which server it is from"),
            "subject": or_null(about(TEXT, "the call, number or address that it is about")),
            "data": {"type": "object", "additionalProperties": True},
        },
        description="Something that has happened; docs/events.md says what the data of each type are.",
    ),
    "Contact": record(
        {**_CONTACT, "behindNat": YES_NO, "server": about(TEXT, "the server that it is registered at, if another")},
        optional=("server",),
        description="One device of a number.",
    ),
    "User": record(
        {
            "number": _NUMBER_OF,
            **_CONTACT,
            "status": one_of("REGISTERED"),
            "registrationCount": COUNT,
            "firstSeen": or_null(TIME),
            "contacts": many(ref("Contact"), minItems=1),
        },
        description="A registered number; the fields of its newest contact stand at the top.",
    ),
    "ExpiringContact": record(
        {
            "number": _NUMBER_OF,
            "uri": TEXT,
            "address": TEXT,
            "port": PORT,
            "expiresAt": TIME,
            "minutesUntilExpiry": NUMBER,
        }
    ),
    "Call": record(_CALL),
    "EndedCall": record({**_CALL, "media": many(ref("Media"))}, description="A line of the history."),
    "AnyCall": record(
        {**_CALL, "media": many(ref("Media"))}, optional=("media",), description="In progress, or ended."
    ),
    "Media": record(_MEDIA, description="One direction of one stream of an ended call."),
    "Stream": record(
        {
            "callId": TEXT,
            "kind": TEXT,
            "sender": _SENDER,
            "fromAddress": or_null(TEXT),
            "fromPort": or_null(PORT),
            "toAddress": or_null(TEXT),
            "toPort": or_null(PORT),
            "relayPort": PORT,
            **_FIGURES,
            "remoteLost": or_null(about(WHOLE, "what the listener says it has lost")),
            "remoteJitter": or_null(MILLISECONDS),
            "roundTrip": or_null(SECONDS),
            "active": YES_NO,
        },
        description="One direction of a media stream.",
    ),
    "QualityTest": record(
        {
            "callId": TEXT,
            "number": about(TEXT, "the number that was dialled"),
            "fromNumber": TEXT,
            "time": TIME,
            "toServer": about(_TESTED, "what the phone has sent, as it arrived"),
            "toPhone": about(_TESTED, "what the server has sent, as the phone says that it arrived"),
        },
        description="One call to the quality test, both directions.",
    ),
    "Extension": record({"number": _NUMBER_OF, "hasPassword": YES_NO, "registered": YES_NO, "contactCount": COUNT}),
    "Ban": record(
        {
            "address": TEXT,
            "bannedAt": TIME,
            "expiresAt": or_null(about(TIME, "null: until it is lifted")),
            "reason": TEXT,
            "failures": about(COUNT, "wrong passwords that led to it; 0 when a person added it"),
        }
    ),
    "RegistrationFailure": record(
        {
            "number": TEXT,
            "address": TEXT,
            "transport": TEXT,
            "userAgent": TEXT,
            "statusCode": WHOLE,
            "reason": about(TEXT, "what is wrong and what to do"),
            "firstAt": TIME,
            "lastAt": TIME,
            "count": COUNT,
            "explanation": about(many(ref("Finding")), "the most certain first"),
        }
    ),
    "Statistics": record(
        {
            "calls": record(
                {
                    "activeCalls": COUNT,
                    "totalCalls": COUNT,
                    "completedCalls": COUNT,
                    "failedCalls": COUNT,
                    "averageDuration": SECONDS,
                    "stateStats": COUNTS,
                },
                description="Since the server has started.",
            ),
            "users": record(
                {
                    "totalUsers": COUNT,
                    "activeUsers": COUNT,
                    "addressStats": COUNTS,
                    "recentRegistrations": many(record({"number": TEXT, "address": TEXT, "registeredAt": TIME})),
                }
            ),
            "periods": or_null(record({"today": _PERIOD, "last7Days": _PERIOD, "last30Days": _PERIOD})),
            "rtp": record(
                {
                    "activeStreams": COUNT,
                    "packets": COUNT,
                    "bytes": COUNT,
                    "lost": WHOLE,
                    "rejected": COUNT,
                    "dropped": COUNT,
                }
            ),
            "server": record(
                {
                    "uptime": SECONDS,
                    "memory": {"type": "object", "additionalProperties": or_null(_BYTES)},
                    "version": TEXT,
                    "pythonVersion": TEXT,
                    "startedAt": TIME,
                }
            ),
        }
    ),
    "Timeline": record(
        {
            "period": one_of("today", "last7Days", "last30Days"),
            "bucket": one_of("hour", "day"),
            "points": many(
                record({"since": TIME, "totalCalls": COUNT, "answeredCalls": COUNT, "averageMos": or_null(MOS)}),
                minItems=1,
            ),
        }
    ),
    "Health": record({"status": one_of("ok"), "problems": many(about(TEXT, "a clause in plain words"))}),
    "Problem": {
        "type": "object",
        "description": "RFC 9457, with `error`, a short sentence for simple clients.",
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": WHOLE,
            "detail": about(TEXT, "a sentence that needs no knowledge of telephony"),
            "error": TEXT,
        },
        "required": ["type", "title", "status", "detail", "error"],
    },
}
