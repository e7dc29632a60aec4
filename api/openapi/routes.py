"""The routes of the API by path and method, as OpenAPI operations, theme by theme.  Pure.

A path parameter has the name that the route in `api` gives it.
"""

from __future__ import annotations

from api.openapi.schema import (
    COUNT,
    IN_LANGUAGE,
    NUMBER,
    PAGING,
    TEXT,
    YES_NO,
    Json,
    about,
    answer,
    done,
    in_header,
    in_path,
    many,
    one_of,
    operation,
    page_of,
    query,
    record,
    ref,
)
from api.openapi.traces import ABOUT_CALL, ONE_CALL, TRACES

Paths = dict[str, Json]

_NUMBER = in_path("number", "an extension")
_SINCE = query("since", TEXT, "date or time in ISO 8601")
_UNTIL = query("until", TEXT, "date or time in ISO 8601, not included")
_LANGUAGE = query("lang", one_of("en", "ru"), "the language of what is said")
_EXTENSION = query(
    "extension", {"type": "string", "minLength": 1, "maxLength": 64}, "only what this number has to do with"
)

REGISTRATIONS: Paths = {
    "/api/users": {
        "get": operation(
            "users", "Registered numbers", {200: page_of(ref("User"), "newest registration first")}, parameters=PAGING
        )
    },
    "/api/users/expiring": {
        "get": operation(
            "expiringUsers",
            "Registrations that run out soon",
            {200: page_of(ref("ExpiringContact"), "the one that runs out next first")},
            parameters=(query("within", {**NUMBER, "minimum": 0}, "minutes; 30 unless given"), *PAGING),
        )
    },
    "/api/users/{username}": {
        "delete": operation(
            "removeUser",
            "Forget the registrations of a number",
            {200: done(removed=COUNT)},
            parameters=(in_path("username", "an extension"),),
            problems=(404,),
        )
    },
    "/api/users/{username}/calls": {
        "get": operation(
            "callsOfUser",
            "Calls of one number",
            {200: page_of(ref("AnyCall"), "those in progress, then, if asked for, ended ones, newest first")},
            parameters=(in_path("username", "an extension"), query("history", YES_NO, "ended calls as well"), *PAGING),
            problems=(404, 503),
        )
    },
    "/api/registrations/failures": {
        "get": operation(
            "registrationFailures",
            "Who could not register, and why",
            {200: page_of(ref("RegistrationFailure"), "newest first")},
            parameters=(_SINCE, _EXTENSION, _LANGUAGE, *PAGING),
        )
    },
    "/api/users/{username}/explain": {
        "get": operation(
            "explainUser",
            "Whether a number can be reached, and if not, why",
            {200: answer(ref("NumberExplanation"), "in the reader's language", headers=IN_LANGUAGE)},
            parameters=(in_path("username", "an extension"), _LANGUAGE),
            problems=(404,),
        )
    },
    "/api/extensions": {
        "get": operation("extensions", "The numbers that exist", {200: page_of(TEXT, "in order")}, parameters=PAGING)
    },
    "/api/extensions/{number}": {
        "get": operation(
            "extension",
            "Whether a number has a password and is registered",
            {200: answer(ref("Extension"), "the number")},
            parameters=(_NUMBER,),
            problems=(404,),
        )
    },
    "/api/extensions/{number}/password": {
        "put": operation(
            "setPassword",
            "Set or make the password of a number",
            {
                200: answer(
                    record({"message": TEXT, "removed": COUNT, "password": TEXT}, ("password",)), "what was done"
                )
            },
            parameters=(_NUMBER,),
            body={
                "type": "object",
                "properties": {"password": TEXT, "generate": YES_NO},
                "additionalProperties": False,
                "examples": [{"generate": True}],
            },
            problems=(404, 409),
            description="Either `password` or `generate`. A password that the server has made is shown this once.",
        ),
        "delete": operation(
            "removePassword",
            "Remove the password of a number",
            {200: done()},
            parameters=(_NUMBER,),
            problems=(404, 409),
        ),
    },
}

CALLS: Paths = {
    "/api/calls": {
        "get": operation("calls", "Calls in progress", {200: page_of(ref("Call"), "newest first")}, parameters=PAGING),
        "post": operation(
            "dial",
            "Connect two numbers",
            {201: answer(ref("Call"), "the call that begins; `Location` is where all about it stands")},
            parameters=(in_header("Idempotency-Key", "the same request with the same key is not carried out twice"),),
            body=record(
                {
                    "from": about(TEXT, "rings first"),
                    "to": about(TEXT, "is called when somebody has picked up there"),
                    "autoAnswer": about(YES_NO, "ask the first phone to pick up by itself"),
                },
                ("autoAnswer",),
            ),
            problems=(404, 409, 422, 503),
        ),
    },
    "/api/calls/{call_id}": {
        "get": ABOUT_CALL,
        "delete": operation(
            "hangUp",
            "Hang up one call on both phones",
            {200: done(callId=TEXT)},
            parameters=(in_path("call_id", "the callId of a call in progress"),),
            problems=(404,),
        ),
    },
    "/api/calls/{call_id}/explain": {
        "get": operation(
            "explainCall",
            "Why a call went as it did",
            {200: answer(ref("Explanation"), "in the reader's language", headers=IN_LANGUAGE)},
            parameters=(*ONE_CALL, _LANGUAGE),
            problems=(404, 503),
            description="Its language is that of `lang`, or else the best of `Accept-Language`.",
        )
    },
    "/api/calls/history": {
        "get": operation(
            "history",
            "Ended calls",
            {200: page_of(ref("EndedCall"), "the one that ended last first")},
            parameters=(_SINCE, _UNTIL, _EXTENSION, *PAGING),
            problems=(503,),
        )
    },
    "/api/calls/history.csv": {
        "get": operation(
            "historyTable",
            "All ended calls for a spreadsheet",
            {200: answer(TEXT, "comma-separated values with a line of names", "text/csv")},
            parameters=(_SINCE, _UNTIL, _EXTENSION),
            problems=(503,),
        )
    },
    "/api/rtp-streams": {
        "get": operation(
            "streams",
            "Media streams",
            {200: page_of(ref("Stream"), "both directions of the newest first")},
            parameters=PAGING,
        )
    },
    "/api/test-calls": {
        "get": operation(
            "testCalls",
            "What calls to the quality test have shown",
            {200: page_of(ref("QualityTest"), "newest first")},
            parameters=PAGING,
        )
    },
    "/api/statistics": {
        "get": operation("statistics", "Totals and periods", {200: answer(ref("Statistics"), "figures")})
    },
    "/api/statistics/timeline": {
        "get": operation(
            "timeline",
            "Calls by hour or by day",
            {200: answer(ref("Timeline"), "oldest first")},
            parameters=(query("period", one_of("today", "last7Days", "last30Days"), "today unless given"),),
            problems=(503,),
        )
    },
}

SECURITY: Paths = {
    "/api/bans": {
        "get": operation(
            "bans", "Addresses that are not listened to", {200: page_of(ref("Ban"), "newest first")}, parameters=PAGING
        ),
        "post": operation(
            "ban",
            "Ban an address",
            {201: answer(ref("Ban"), "the ban")},
            body=record(
                {
                    "address": about(TEXT, "one IP address"),
                    "duration": {
                        "type": ["number", "null"],
                        "exclusiveMinimum": 0,
                        "description": "seconds; null: until it is lifted",
                    },
                    "reason": {"type": ["string", "null"], "maxLength": 200},
                },
                ("duration", "reason"),
            ),
            problems=(409,),
        ),
    },
    "/api/bans/{address}": {
        "delete": operation(
            "liftBan", "Lift a ban", {200: done()}, parameters=(in_path("address", "an IP address"),), problems=(404,)
        )
    },
}

EVENTS: Paths = {
    "/api/events": {
        "get": operation(
            "events",
            "What happens, live",
            {
                200: {
                    "description": "events in order",
                    "content": {
                        "application/json": {
                            "schema": record({"events": many(ref("Event")), "next": about(TEXT, "id to go on from")})
                        },
                        "text/event-stream": {"schema": TEXT},
                    },
                }
            },
            parameters=(
                query("types", TEXT, "only these, such as `call.*,dtmf.received`"),
                query("after", TEXT, "the id of an event: those after it; without, what is remembered"),
                query(
                    "wait",
                    {"type": "integer", "minimum": 0, "maximum": 60},
                    "seconds to wait for the next event after `after`; 0 unless given",
                ),
                query(
                    "limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "how many at most; 100 unless given"
                ),
            ),
            problems=(503,),
            description="With `Accept: text/event-stream` a stream of server-sent events, which begins now or after "
            "the event that the header `Last-Event-ID` names. `next` is the `after` of the next request.",
        )
    },
}

WEBHOOKS: Paths = {
    "/api/webhooks": {
        "get": operation(
            "webhooks",
            "Who is sent events",
            {200: page_of(ref("Webhook"), "in the order in which they were added")},
            parameters=PAGING,
        ),
        "post": operation(
            "addWebhook",
            "Have events sent to an address",
            {201: answer(ref("NewWebhook"), "the webhook; its secret is shown this once")},
            body=record(
                {
                    "url": about(TEXT, "http:// or https://"),
                    "types": {
                        "type": ["array", "null"],
                        "items": TEXT,
                        "maxItems": 50,
                        "description": "such as `call.*`; all unless given",
                    },
                },
                ("types",),
            ),
            problems=(409, 503),
        ),
    },
    "/api/webhooks/{hook_id}": {
        "delete": operation(
            "removeWebhook",
            "Send no more events there",
            {200: done()},
            parameters=(in_path("hook_id", "the id of a webhook"),),
            problems=(404, 503),
        )
    },
    "/api/webhooks/{hook_id}/test": {
        "post": operation(
            "testWebhook",
            "Send an event of type `webhook.test` now",
            {200: answer(ref("Delivery"), "what came of it")},
            parameters=(in_path("hook_id", "the id of a webhook"),),
            problems=(404, 503),
        )
    },
    "/api/webhooks/{hook_id}/deliveries": {
        "get": operation(
            "deliveries",
            "The last tries",
            {200: page_of(ref("Delivery"), "newest first")},
            parameters=(in_path("hook_id", "the id of a webhook"), *PAGING),
            problems=(404,),
        )
    },
}

SERVER: Paths = {
    "/api/session": {
        "post": operation(
            "signIn",
            "Trade the token for the cookie of a session, as browsers need it",
            {200: done()},
        ),
        "delete": operation("signOut", "End the session of this browser", {200: done()}),
    },
    "/api/doctor": {
        "get": operation(
            "doctor",
            "Whether the server is as it should be",
            {200: answer(ref("Diagnosis"), "in the reader's language", headers=IN_LANGUAGE)},
            parameters=(_LANGUAGE,),
            problems=(503,),
        )
    },
    "/healthz": {
        "get": operation(
            "health", "Whether the server is well", {200: answer(ref("Health"), "it does its work")}, problems=(503,)
        )
    },
    "/metrics": {
        "get": operation(
            "metrics", "Figures for Prometheus", {200: answer(TEXT, "text exposition format", "text/plain")}
        )
    },
    "/api/admin/drain": {
        "post": operation("drain", "Take no new calls, end when the last one is over", {200: done(activeCalls=COUNT)})
    },
    "/api/openapi.json": {
        "get": operation("openapi", "This description", {200: answer({"type": "object"}, "OpenAPI 3.1")})
    },
}

DEVELOPMENT: Paths = {
    "/api/admin/clear-calls": {"post": operation("clearCalls", "Hang up all calls", {200: done(cleared=COUNT)})},
    "/api/admin/clear-users": {"post": operation("clearUsers", "Forget all registrations", {200: done(cleared=COUNT)})},
}
"""Only with APP_ENV=development."""

THEMES: dict[str, Paths] = {
    "Registrations": REGISTRATIONS,
    "Calls": CALLS | TRACES,
    "Events": EVENTS | WEBHOOKS,
    "Security": SECURITY,
    "Server": SERVER,
}
