"""Sessions of browsers: the token for a cookie, and what no other page can do with it."""

from __future__ import annotations

import pytest

from api.sessions import IDLE_S, MAX_SESSIONS, SessionBook
from sip.events import EventType

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
COOKIE = "sipserver-session-3000"
OWN = {"Origin": "http://localhost"}
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def client(make_client):
    return make_client(token=TOKEN, api_host="0.0.0.0")


def test_a_page_trades_the_token_for_a_cookie_and_needs_it_no_more(client) -> None:
    assert client.get("/api/users").status_code == 401
    answer = client.post("/api/session", headers=BEARER)
    assert (answer.status_code, answer.json) == (200, {"message": "You are signed in."})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert client.get("/api/users").status_code == 200
    stream = client.get("/api/events", headers={"Accept": "text/event-stream"})
    assert stream.status_code == 200
    stream.close()


def test_over_https_the_cookie_stays_on_https(client) -> None:
    assert "Secure" in client.post("/api/session", headers=BEARER, base_url="https://localhost").headers["Set-Cookie"]


def test_signing_out_ends_the_session_and_not_only_the_cookie(client) -> None:
    client.post("/api/session", headers=BEARER)
    name = client.get_cookie(COOKIE).value
    answer = client.delete("/api/session", headers=OWN)
    assert (answer.status_code, client.get_cookie(COOKIE)) == (200, None)
    client.set_cookie(COOKIE, name)
    assert client.get("/api/users").status_code == 401


def test_signing_out_ends_the_streams_of_the_session(client, services, make) -> None:
    client.post("/api/session", headers=BEARER)
    streams = {
        "session": client.get("/api/events", headers=STREAM),
        "token": client.get("/api/events", headers=STREAM | BEARER),
    }
    answers = {who: iter(stream.response) for who, stream in streams.items()}
    for answer in answers.values():
        next(answer)
    client.delete("/api/session", headers=OWN)
    services.events.emit(EventType.CALL_STARTED, make.now_at, make.call("call-1"))
    assert next(answers["session"], b"") == b""
    assert b"call-1" in next(answers["token"])
    for stream in streams.values():
        stream.close()


def test_a_wrong_token_opens_nothing(client) -> None:
    answer = client.post("/api/session", headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (401, False)
    assert client.post("/api/session").status_code == 401


def test_a_made_up_session_opens_nothing(client) -> None:
    client.set_cookie(COOKIE, "made-up")
    assert client.get("/api/users").status_code == 401
    assert client.delete("/api/users/100", headers=OWN).status_code == 401


def test_the_token_counts_more_than_the_cookie(client) -> None:
    client.post("/api/session", headers=BEARER)
    assert client.get("/api/users", headers={"Authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),  # no browser of today: nobody knows which page asks
        (OWN, 404),
        ({"Sec-Fetch-Site": "same-origin"}, 404),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_a_change_by_cookie_must_come_from_our_own_page(client, headers, status) -> None:
    client.post("/api/session", headers=BEARER)
    assert client.delete("/api/users/100", headers=headers).status_code == status


def test_reading_by_cookie_for_another_page_is_refused(client) -> None:
    client.post("/api/session", headers=BEARER)
    assert client.get("/api/users", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/api/events", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_an_audit_line_says_that_it_was_a_session(client, caplog) -> None:
    client.post("/api/session", headers=BEARER)
    with caplog.at_level("INFO", "api.audit"):
        client.delete("/api/users/100", headers=OWN)
    assert caplog.records[-1].who == "session"  # type: ignore[attr-defined]


def test_on_loopback_no_session_is_needed(make_client) -> None:
    answer = make_client().post("/api/session")
    assert (answer.json["message"], "Set-Cookie" in answer.headers) == ("No token is needed here.", False)


def test_signing_in_again_by_cookie_changes_nothing(client) -> None:
    client.post("/api/session", headers=BEARER)
    answer = client.post("/api/session", headers=OWN)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (200, False)


# ------------------------------------------------------------------------------------------------ the book


def test_a_session_lasts_while_it_is_used() -> None:
    book = SessionBook()
    name = book.open(0.0)
    assert book.use(name, IDLE_S)
    assert book.use(name, 2 * IDLE_S)
    assert not book.use(name, 3 * IDLE_S + 1)
    assert not book.use(name, 3 * IDLE_S + 1)


def test_there_are_never_too_many_and_the_one_used_longest_ago_goes() -> None:
    book = SessionBook()
    first = book.open(0.0)
    second = book.open(0.0)
    assert book.use(first, 1.0)
    for _ in range(MAX_SESSIONS - 1):
        book.open(2.0)
    assert book.use(first, 3.0)
    assert not book.use(second, 3.0)
