"""What phones and strangers send can't break what shows it: no control, no reversal of text, no half character."""

from __future__ import annotations

import pytest

from api.views import clean

HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",  # the same in the C1 set
    "a\r\nb\x0b\x0c\x85\u2028\u2029c",
    "\u202e001\u202c \u2066x\u2069 \u200f\u061c",
    "\udcff\ud800",
    "\x00\x7f\xad\ufeff\ufff9",
    "\U000e0041",
]
HARMLESS = [
    "Zoë Müller",
    "Иван Петров",
    "日本語",
    "می\u200cخواهم",
    "\U0001f469\u200d\U0001f4bb",
    '<b>"x"</b> & \\ =1+1',
]


def is_safe(text: str) -> bool:
    return clean(text) == text and not any(
        char in text for char in "\x00\x07\x0a\x0d\x1b\x7f\x85\x9b\u2028\u202e\ud800"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_made_harmless(text) -> None:
    shown = clean(text)
    assert "\ufffd" in shown
    assert is_safe(shown)
    shown.encode()


@pytest.mark.parametrize("text", HARMLESS)
def test_the_writing_of_the_world_stays(text) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_no_view_shows_it(services, client, make, text) -> None:
    services.registered = [make.registration("100", make.contact(user_agent=text, uri=f"sip:{text}@192.0.2.1"))]
    services.live = [make.call(text, from_number=text, to_number=text)]
    services.ended = [make.ended(text, make.now_at - 1, from_number=text, reason_text=text, ended_by=text)]
    services.media = [make.stream(text, codec=text)]
    services.failures = [make.failure(number=text, user_agent=text, reason=text)]
    services.banned = {"192.0.2.1": make.ban("192.0.2.1", reason=text)}
    for path in (
        "/api/users",
        "/api/users/expiring?within=60",
        "/api/calls",
        "/api/calls/history",
        "/api/rtp-streams",
        "/api/registrations/failures",
        "/api/bans",
    ):
        [entry] = client.get(path).json
        texts = [value for value in entry.values() if isinstance(value, str)]
        assert [value for value in texts if not is_safe(value)] == [], path
        assert any("\ufffd" in value for value in texts), path


@pytest.mark.parametrize("path", ["?%1B[31m%E2%80%AE=1", "?limit=%1B[31m%E2%80%AE"])
def test_no_error_shows_it(client, path) -> None:
    answer = client.get(f"/api/users{path}")
    assert answer.status_code == 400
    assert all(is_safe(value) for value in answer.json.values() if isinstance(value, str))


def test_no_method_shows_it(client) -> None:
    answer = client.open("/api/users", method="\x1b[31M")
    assert answer.status_code == 405
    assert is_safe(answer.json["error"])
    assert is_safe(answer.json["detail"])


def test_an_answer_is_ascii_and_is_no_page(services, client, make) -> None:
    services.registered = [make.registration("100", make.contact(user_agent="<script>é</script>"))]
    answer = client.get("/api/users")
    assert answer.data.isascii()
    assert answer.mimetype == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
