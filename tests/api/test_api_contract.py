"""The promise to clients: paths, methods, field names and types, the form of every error."""

from __future__ import annotations

import re

import pytest

from api.webhooks.book import Webhook
from sip.trace import CallTrace

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TIME, NUMBER = "time", (int, float)

USER = {
    "number": str,
    "uri": str,
    "address": str,
    "port": int,
    "transport": str,
    "expires": int,
    "expiresAt": TIME,
    "registeredAt": TIME,
    "lastSeen": TIME,
    "status": str,
    "registrationCount": int,
    "userAgent": str,
    "contacts": list,
}
CALL = {
    "callId": str,
    "fromNumber": str,
    "toNumber": str,
    "state": str,
    "inviteTime": TIME,
    "answerTime": TIME,
    "duration": NUMBER,
    "fromAddress": str,
    "toAddress": str,
}
ENDED = CALL | {"endTime": TIME, "terminationReason": str, "statusCode": int, "media": list}
STREAM = {
    "callId": str,
    "kind": str,
    "fromAddress": str,
    "fromPort": int,
    "toAddress": str,
    "toPort": int,
    "relayPort": int,
    "packets": int,
    "bytes": int,
    "lost": int,
    "jitter": NUMBER,
    "codec": str,
    "lastPacketAt": TIME,
}
STATISTICS = {
    "calls": {
        "activeCalls": int,
        "totalCalls": int,
        "completedCalls": int,
        "failedCalls": int,
        "averageDuration": NUMBER,
        "stateStats": dict,
    },
    "users": {"totalUsers": int, "activeUsers": int, "addressStats": dict, "recentRegistrations": list},
    "periods": {"today": dict, "last7Days": dict, "last30Days": dict},
    "rtp": {"activeStreams": int, "packets": int, "bytes": int, "lost": int},
    "server": {"uptime": NUMBER, "memory": dict, "version": str, "pythonVersion": str, "startedAt": TIME},
}


def assert_fields(entry, fields) -> None:
    for name, kind in fields.items():
        value = entry[name]
        if kind == TIME:
            assert ISO.fullmatch(value), (name, value)
        else:
            assert isinstance(value, kind), (name, value)
            assert not isinstance(value, bool), (name, value)


@pytest.fixture
def busy(services, make, monkeypatch):
    """A server in which something of everything is going on."""
    services.registered = [make.registration("100", make.contact(expires_at=make.now_at + 60))]
    services.live = [make.call("call-1")]
    services.ended = [make.ended("call-0", make.now_at - 100)]
    services.periods = [make.period(days) for days in (1, 7, 30)]
    services.media = [make.stream()]
    services.traces = [CallTrace(services.live[0])]
    hook = Webhook("hook-1", "http://127.0.0.1:1/", ("*",), "secret", make.now_at)
    monkeypatch.setattr(services.webhooks.book, "_hooks", {hook.hook_id: hook})
    return services


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/api/users", USER),
        ("/api/users/100/calls", CALL),
        (
            "/api/users/expiring?within=30",
            {"number": str, "address": str, "expiresAt": TIME, "minutesUntilExpiry": NUMBER},
        ),
        ("/api/calls", CALL),
        ("/api/calls/history?limit=50&offset=0", ENDED),
        ("/api/rtp-streams", STREAM),
    ],
)
def test_a_list_is_a_bare_array_with_the_promised_fields(busy, client, path, fields) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert len(answer.json) == 1
    assert_fields(answer.json[0], fields)
    assert answer.headers["X-Total-Count"] == "1"


def test_statistics_have_the_promised_fields(busy, client) -> None:
    answer = client.get("/api/statistics").json
    assert list(answer) == list(STATISTICS)
    for part, fields in STATISTICS.items():
        assert_fields(answer[part], fields)
    assert "rss" in answer["server"]["memory"]


def test_extensions_are_strings_in_order(client) -> None:
    assert client.get("/api/extensions").json == [str(number) for number in range(100, 111)]


def test_what_has_not_happened_yet_is_null(services, client, make) -> None:
    services.live = [make.call("c", answered_at=None, ringing_at=None, status=0, to_address="")]
    call = client.get("/api/calls").json[0]
    names = ("answerTime", "ringTime", "endTime", "terminationReason", "statusCode")
    assert [call[name] for name in names] == [None] * 5
    assert call["duration"] == 0


def test_a_stream_without_packets_has_nulls(services, client, make) -> None:
    services.media = [make.stream(from_address=None, from_port=None, codec=None, last_packet_at=None)]
    stream = client.get("/api/rtp-streams").json[0]
    assert [stream[name] for name in ("fromAddress", "fromPort", "codec", "lastPacketAt")] == [None] * 4


def routes(client) -> list[tuple[str, str]]:
    return sorted(
        (
            method,
            rule.rule.replace("<username>", "100")
            .replace("<number>", "100")
            .replace("<path:address>", "192.0.2.9")
            .replace("<callid:call_id>", "call-1")
            .replace("<hook_id>", "hook-1")
            .replace("/web/<path:name>", "/web/js/main.js")
            .replace("/ui/<name>", "/ui/swagger-ui.css"),
        )
        for rule in client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    )


def test_the_promised_routes_exist_and_the_admin_routes_only_in_development(make_client) -> None:
    always = [
        ("DELETE", "/api/users/100"),
        ("GET", "/api/calls"),
        ("DELETE", "/api/calls/call-1"),
        ("GET", "/api/calls/history"),
        ("GET", "/api/calls/history.csv"),
        ("GET", "/api/extensions"),
        ("GET", "/api/rtp-streams"),
        ("GET", "/api/test-calls"),
        ("GET", "/api/statistics"),
        ("GET", "/api/users"),
        ("GET", "/api/users/100/calls"),
        ("GET", "/api/users/expiring"),
        ("GET", "/api/bans"),
        ("POST", "/api/bans"),
        ("DELETE", "/api/bans/192.0.2.9"),
        ("GET", "/api/registrations/failures"),
        ("GET", "/api/extensions/100"),
        ("PUT", "/api/extensions/100/password"),
        ("DELETE", "/api/extensions/100/password"),
    ]
    admin = [("POST", "/api/admin/clear-calls"), ("POST", "/api/admin/clear-users")]
    assert set(always) <= set(routes(make_client()))
    assert not set(admin) & set(routes(make_client()))
    assert set(always + admin) <= set(routes(make_client(app_env="development")))


def test_every_route_refuses_a_parameter_that_it_does_not_know(busy, make_client) -> None:
    client = make_client(app_env="development")
    checked = [route for route in routes(client) if route[1].startswith("/api/")]
    assert len(checked) >= 18
    for method, path in checked:
        answer = client.open(f"{path}?nonsense=1", method=method)
        assert (answer.status_code, answer.json["parameter"]) == (400, "nonsense"), path
    assert len(busy.live) == len(busy.registered) == 1  # and nothing was changed on the way


def test_every_reading_route_answers_head_with_the_length_of_get(busy, client) -> None:
    for method, path in routes(client):
        # The length of figures changes with the time; that of an export is known only at its end.
        if method == "GET" and path not in ("/api/statistics", "/metrics", "/api/calls/history.csv"):
            head = client.head(path)
            assert (head.status_code, head.data) == (200, b""), path
            assert head.content_length == client.get(path).content_length > 0, path


def test_bytes_of_a_phone_that_are_no_utf8_give_valid_json(services, client, make) -> None:
    services.registered = [make.registration("100", make.contact(user_agent="B\udcfcro"))]
    assert client.get("/api/users").json[0]["userAgent"] == "B\ufffdro"


@pytest.mark.parametrize("path", ["/api/users", "/api/nothing", "/healthz"])
def test_every_answer_carries_the_security_headers_and_none_of_cors(client, path) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert not [name for name in headers.keys() if name.lower().startswith("access-control")]  # noqa: SIM118
