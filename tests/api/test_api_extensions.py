from __future__ import annotations

import json
import logging

import pytest

from sip.passwords import MAX_LENGTH, generate, weakness

GOOD = "correct horse 1"
PATH = "/api/extensions/100/password"


def test_an_extension_says_whether_it_has_a_password_and_never_which(services, client, make) -> None:
    services.passwords = {"100": GOOD}
    services.registered = [make.registration("100", make.contact(), make.contact(port=5070))]
    answer = client.get("/api/extensions/100")
    assert answer.json == {"number": "100", "hasPassword": True, "registered": True, "contactCount": 2}
    assert client.get("/api/extensions/101").json == {
        "number": "101",
        "hasPassword": False,
        "registered": False,
        "contactCount": 0,
    }


def test_a_password_is_set_and_the_bindings_made_without_it_go(services, client, make) -> None:
    services.registered = [make.registration("100", make.contact(), make.contact(port=5070)), make.registration("101")]
    answer = client.put(PATH, json={"password": GOOD})
    assert answer.status_code == 200
    assert answer.json == {"message": "Set the password of 100; removed 2 registrations.", "removed": 2}
    assert services.passwords == {"100": GOOD}
    assert [each.number for each in services.registered] == ["101"]


def test_a_password_made_by_the_server_is_told_once(services, client) -> None:
    answer = client.put(PATH, json={"generate": True})
    assert answer.json["password"] == services.passwords["100"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.put(PATH, json={"generate": True}).json["password"] != answer.json["password"]
    assert services.passwords["100"] not in client.get("/api/extensions/100").text


@pytest.mark.parametrize(
    "password",
    [
        "",
        "1234567",
        "abcdefg",
        "100",
        "12345678901",  # digits
        " leading-space",
        "trailing-space ",
        "tab\tinside-it",
        "line\nbreaks!!",
        "пароль-пароль",
        "x" * (MAX_LENGTH + 1),
    ],
)
def test_a_password_that_can_not_protect_is_refused_in_words(services, client, password) -> None:
    answer = client.put(PATH, json={"password": password})
    assert (answer.status_code, answer.json["error"]) == (400, "This password can't be used.")
    assert "generate" in answer.json["detail"]
    assert not services.passwords


@pytest.mark.parametrize("password", ["abcdefg8", "123456789012", "x y z !?", "x" * MAX_LENGTH])
def test_a_password_that_will_do(services, client, password) -> None:
    assert client.put(PATH, json={"password": password}).status_code == 200
    assert services.passwords == {"100": password}


def test_the_number_itself_is_no_password_however_long() -> None:
    assert weakness("123456789", "123456789") == "It is the number itself, which everybody tries first."


def test_passwords_made_by_the_server_are_good_and_different() -> None:
    made = {generate() for _ in range(100)}
    assert len(made) == 100
    assert not [password for password in made if weakness("100", password)]


@pytest.mark.parametrize("body", [{}, {"generate": False}, {"password": GOOD, "generate": True}, {"password": None}])
def test_either_a_password_or_the_wish_for_one(services, client, body) -> None:
    answer = client.put(PATH, json=body)
    assert (answer.status_code, answer.json["parameter"]) == (400, "password")
    assert not services.passwords


def test_a_password_is_removed(services, client) -> None:
    services.passwords = {"100": GOOD}
    answer = client.delete(PATH)
    assert (answer.status_code, answer.json) == (200, {"message": "Removed the password of 100."})
    assert client.delete(PATH).status_code == 404


@pytest.mark.parametrize("number", ["99", "111", "nobody", "0100", "%31%30"])
@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("PUT", "/password"), ("DELETE", "/password")], ids=["GET", "PUT", "DELETE"]
)
def test_a_number_outside_the_range_is_404(services, client, number, method, rest) -> None:
    answer = client.open(f"/api/extensions/{number}{rest}", method=method, json={"password": GOOD})
    assert (answer.status_code, answer.json["error"]) == (404, "There is no such extension.")
    assert not services.passwords


def test_a_password_can_not_be_read(services, client) -> None:
    services.passwords = {"100": GOOD}
    assert client.get(PATH).status_code == 405


@pytest.mark.parametrize("body", [{"password": GOOD}, {"password": "short"}, {"pass": GOOD}, {"password": [GOOD]}])
def test_no_password_stands_in_a_log_or_in_an_error(client, caplog, body) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = client.put(PATH, json=body)
    lines = [json.dumps(vars(record), default=str) for record in caplog.records]
    assert lines
    for secret in (GOOD, "short"):
        assert secret not in answer.text
        assert not [line for line in lines if secret in line]
