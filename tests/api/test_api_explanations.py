"""GET /api/calls/{callId}/explain: its shape, its language, what it says of no call."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from sip.journal import EntryKind
from sip.snapshots import TerminationReason
from sip.trace import CallTrace, TraceEntry


@pytest.fixture
def busy(make, services) -> CallTrace:
    """A call to a phone that was busy."""
    call = make.ended("busy/1@192.0.2.10", make.now_at, answered_at=None, ringing_at=None, status=486)
    details = {"number": "101", "address": "192.0.2.11:5060", "transport": "UDP", "status": 486, "phrase": "Busy Here"}
    entries = (
        TraceEntry(make.now_at - 2, EntryKind.DECISION, text="calling 101", fact="called", details={"number": "101"}),
        TraceEntry(make.now_at - 1, EntryKind.DECISION, text="declined: 486", fact="declined", details=details),
    )
    trace = CallTrace(call._replace(termination_reason=TerminationReason.BUSY), entries=entries)
    services.traces.append(trace)
    return trace


def ask(client, call_id: str, **options):
    return client.get(f"/api/calls/{quote(call_id, safe='')}/explain", **options)


def test_an_explanation_has_a_summary_and_findings_with_their_evidence(client, busy) -> None:
    answer = ask(client, busy.call.call_id)
    assert answer.status_code == 200
    assert answer.json == {
        "callId": "busy/1@192.0.2.10",
        "verdict": "failed",
        "summary": "100 called 101, and no call came about: 101 is busy.",
        "language": "en",
        "findings": [
            {
                "rule": "callee-busy",
                "variant": None,
                "confidence": "certain",
                "cause": "101 is busy",
                "sentence": "The phone of 101 said that it is busy (486 Busy Here).",
                "remedy": "Try again later; or allow a second call (call waiting) in the phone of 101.",
                "evidence": [
                    {
                        "kind": "decision",
                        "text": "declined: 486",
                        "value": None,
                        "index": 1,
                        "at": "2030-03-17T17:46:39.000Z",
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("query", "headers", "language"),
    [
        ("", {}, "en"),
        ("?lang=ru", {}, "ru"),
        ("", {"Accept-Language": "ru-RU,ru;q=0.9,en;q=0.5"}, "ru"),
        ("?lang=en", {"Accept-Language": "ru"}, "en"),
    ],
)
def test_it_speaks_the_language_of_its_reader(client, busy, query: str, headers: dict[str, str], language: str) -> None:
    answer = client.get(f"/api/calls/busy%2F1@192.0.2.10/explain{query}", headers=headers)
    assert answer.json["language"] == answer.headers["Content-Language"] == language
    assert "Accept-Language" in answer.headers["Vary"]
    assert ("занят" in answer.json["summary"]) == (language == "ru")
    assert answer.json["summary"].encode() in answer.data, "a person can read it in a terminal"


@pytest.mark.parametrize("query", ["?lang=de", "?lang=", "?language=ru"])
def test_a_language_that_is_not_spoken_is_a_bad_parameter(client, busy, query: str) -> None:
    assert client.get(f"/api/calls/busy%2F1@192.0.2.10/explain{query}").status_code == 400


def test_of_a_call_that_nobody_knows_there_is_nothing_to_explain(client) -> None:
    answer = ask(client, "no-such-call")
    assert (answer.status_code, answer.json["error"]) == (404, "There is no such call.")


def test_what_phones_have_sent_breaks_no_sentence(client, make, services) -> None:
    call = make.ended("x", make.now_at, answered_at=None, to_number="1\u202e01\n", status=404)
    fact = {"number": "1\u202e01\n", "numbers": "100-110"}
    entry = TraceEntry(make.now_at, EntryKind.DECISION, text="no\u202enumber", fact="unknown-number", details=fact)
    services.traces.append(CallTrace(call, entries=(entry,)))
    text = ask(client, "x").get_data(as_text=True)
    assert "\\u202e" not in text and "\\n01" not in text
    assert "\u202e" not in text


def test_a_device_with_a_name_that_is_no_text_has_an_explanation(client, make, services) -> None:
    services.registered.append(make.registration("100", make.contact(user_agent="B\udcfcro \x9b31m")))
    answer = client.get("/api/users/100/explain")
    assert answer.json["contacts"][0]["userAgent"] == "B\ufffdro \ufffd31m"


# ------------------------------------------------------------------------------------------------ numbers, refusals


def test_a_refused_registration_is_explained_in_the_readers_language(client, make, services) -> None:
    services.failures.append(make.failure())
    services.banned["192.0.2.10"] = make.ban("192.0.2.10")
    answer = client.get("/api/registrations/failures?lang=ru")
    (row,) = answer.json
    assert [each["rule"] for each in row["explanation"]] == ["source-banned", "wrong-password"]
    assert "пароль" in row["explanation"][1]["remedy"]
    assert answer.headers["Content-Language"] == "ru"


def test_of_a_number_one_learns_whether_it_can_be_reached(client, make, services) -> None:
    services.registered.append(make.registration("100"))
    reachable = client.get("/api/users/100/explain").json
    assert (reachable["verdict"], reachable["findings"]) == ("reachable", [])
    assert reachable["contacts"][0]["userAgent"] == "baresip 4.0"

    absent = client.get("/api/users/101/explain").json
    assert (absent["verdict"], absent["contacts"], absent["firstSeen"]) == ("unreachable", [], None)
    assert absent["summary"] == "101 can't be reached: no phone has ever registered as 101."


def test_a_number_that_does_not_exist_is_not_explained(client) -> None:
    assert client.get("/api/users/999/explain").status_code == 404
