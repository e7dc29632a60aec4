from __future__ import annotations

import logging
from http import HTTPStatus

import pytest
from flask import url_for
from flask.testing import FlaskClient

from api.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES


def assert_problem(answer, status: int) -> None:
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    body = answer.json
    assert (body["type"], body["status"]) == ("about:blank", status)
    assert body["title"] == HTTPStatus(status).phrase
    assert body["error"].endswith(".")
    assert len(body["error"]) <= 80
    assert len(body["detail"]) > len(body["title"])


@pytest.mark.parametrize(
    "path", ["/web", "/api", "/api/", "/api/user", "/api/users/", "/api/calls/", "/API/users", "/api//users", "/%00"]
)
def test_an_unknown_path_is_404(client, path) -> None:
    assert_problem(client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/users", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/api/users/100", {"DELETE", "OPTIONS"}),
        ("BREW", "/api/calls", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("TRACE", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_405_with_allow(client, method, path, allowed) -> None:
    answer = client.open(path, method=method)
    assert_problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_options_says_what_is_allowed(client) -> None:
    answer = client.options("/api/calls")
    assert answer.status_code == 200
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_too_large_a_body_is_413_and_the_largest_allowed_is_not(client) -> None:
    def status(size: int) -> int:
        body = b'{"reason": "' + b"x" * (size - 14) + b'"}'
        return client.post("/api/bans", data=body, content_type="application/json").status_code

    assert_problem(client.delete("/api/users/100", data=b"x" * (MAX_BODY_BYTES + 1)), 413)
    assert (status(MAX_BODY_BYTES + 1), status(MAX_BODY_BYTES)) == (413, 400)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/calls", {"X-Long": "x" * MAX_HEADER_BYTES}),
        ("/api/calls?limit=" + "1" * MAX_HEADER_BYTES, {}),
        ("/api/" + "x" * MAX_HEADER_BYTES, {}),
    ],
)
def test_too_large_a_header_is_431(client, path, headers) -> None:
    assert_problem(client.get(path, headers=headers), 431)


def test_a_fault_of_ours_is_500_with_an_id_that_stands_in_the_log(services, client, caplog) -> None:
    services.fault = ZeroDivisionError("secret detail")
    with caplog.at_level(logging.ERROR, "api"):
        answer = client.get("/api/users")
    assert_problem(answer, 500)
    assert answer.json["id"] in answer.json["detail"]
    assert "secret detail" not in answer.text
    [record] = caplog.records
    assert answer.json["id"] in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is services.fault
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_fault_after_the_route_has_an_id_too(client, caplog) -> None:
    def break_once(response):
        if response.status_code == 200:
            raise ZeroDivisionError
        return response

    client.application.after_request(break_once)
    answer = client.get("/api/users")
    assert_problem(answer, 500)
    assert answer.json["id"] in caplog.text


def test_two_faults_have_two_ids(services, client) -> None:
    services.fault = ZeroDivisionError()
    assert client.get("/api/users").json["id"] != client.get("/api/users").json["id"]


def test_whatever_accept_says_the_answer_is_json(client) -> None:
    assert client.get("/api/users", headers={"Accept": "text/html"}).mimetype == "application/json"
    assert_problem(client.get("/nothing", headers={"Accept": "text/html"}), 404)


def audit_lines(caplog) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.getMessage().startswith("audit")]


def test_what_changes_something_leaves_an_audit_line(services, client, make, caplog) -> None:
    services.registered = [make.registration("100")]
    with caplog.at_level(logging.INFO, "api"):
        client.get("/api/users")
        client.delete("/api/users/100")
        client.delete("/api/users/100")
    assert audit_lines(caplog) == [
        "audit: 127.0.0.1 asked for DELETE /api/users/100: 200 Removed 1 registration of 100.",
        "audit: 127.0.0.1 asked for DELETE /api/users/100: 404 This number isn't registered.",
    ]


def test_every_request_leaves_a_debug_line(client, clock, caplog) -> None:
    with caplog.at_level(logging.DEBUG, "api"):
        client.get("/api/users?limit=5")
    assert [each.getMessage() for each in caplog.records] == ["127.0.0.1 GET /api/users: 200 in 0.0 ms"]


def test_routes_are_only_matched(client: FlaskClient) -> None:
    """What would make their URLs is compiled from source, and most of what it takes to start the API."""
    with client.application.test_request_context(), pytest.raises(NotImplementedError):
        url_for("health.health")
