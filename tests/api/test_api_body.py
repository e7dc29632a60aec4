from __future__ import annotations

import pytest

JSON = "application/json"


def post(client, data: bytes, content_type: str | None = JSON):
    return client.post("/api/bans", data=data, content_type=content_type)


@pytest.mark.parametrize("content_type", [JSON, f"{JSON}; charset=utf-8", "Application/JSON"])
def test_json_is_read(client, content_type) -> None:
    assert post(client, b'{"address": "192.0.2.1"}', content_type).status_code == 201


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "json"],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/bans"), ("DELETE", "/api/users/100")])
def test_another_body_than_json_is_415_on_every_write(services, client, make, content_type, method, path) -> None:
    services.registered = [make.registration("100")]
    answer = client.open(path, method=method, data=b'{"address": "192.0.2.1"}', content_type=content_type)
    assert (answer.status_code, answer.mimetype) == (415, "application/problem+json")
    assert answer.headers["Accept"] == JSON
    assert not services.banned
    assert services.registered


def test_a_write_without_a_body_needs_no_type(services, client, make) -> None:
    services.registered = [make.registration("100")]
    assert client.delete("/api/users/100").status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'"192.0.2.1"',
        b"null",
        b"{",
        b'{"address": "192.0.2.1"} x',
        b'{"address": "192.0.2.1", "address": "192.0.2.2"}',
        b'{"duration": NaN}',
        b'{"duration": Infinity}',
        b'{"duration": 1e999}',
        b'{"duration": ' + b"1" * 5000 + b"}",
        b'{"address": "\xff"}',
        '{"address": "192.0.2.1"}'.encode("utf-16"),
        b"[" * 60_000,
        b'{"address":' * 5_000,
    ],
)
def test_what_is_no_json_object_is_400(services, client, data) -> None:
    answer = post(client, data)
    assert (answer.status_code, answer.json["error"]) == (400, "The request's body can't be used.")
    assert not services.banned


def test_an_unknown_member_is_400_and_named(services, client) -> None:
    answer = post(client, b'{"address": "192.0.2.1", "until": "x\\u001b"}')
    assert (answer.status_code, answer.json["parameter"]) == (400, "until")
    assert "address, duration, reason" in answer.json["detail"]
    assert not services.banned


@pytest.mark.parametrize("value", [b"7", b"true", b"{}", b'"\\ud800"'])
def test_a_member_that_is_no_text_is_400_and_named(services, client, value) -> None:
    answer = post(client, b'{"address": "192.0.2.1", "reason": ' + value + b"}")
    assert (answer.status_code, answer.json["parameter"]) == (400, "reason")
    assert not services.banned


@pytest.mark.parametrize("value", [b"1", b'"true"', b"[]"])
def test_a_member_that_is_neither_true_nor_false_is_400_and_named(services, client, value) -> None:
    data = b'{"generate": ' + value + b"}"
    answer = client.put("/api/extensions/100/password", data=data, content_type=JSON)
    assert (answer.status_code, answer.json["parameter"]) == (400, "generate")
    assert not services.passwords
