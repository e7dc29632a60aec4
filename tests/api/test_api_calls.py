from __future__ import annotations

from urllib.parse import quote

import pytest

from api.errors import Problem


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.json
    return [call["callId"] for call in answer.json]


def test_a_call_in_progress(services, client, make) -> None:
    services.live = [make.call("a%2Fb@host")]
    [call] = client.get("/api/calls").json
    assert call["callId"] == "a%2Fb@host"
    assert (call["fromNumber"], call["toNumber"], call["state"]) == ("100", "101", "ESTABLISHED")
    assert call["inviteTime"] == "2030-03-17T17:45:30.000Z"
    assert call["answerTime"] == "2030-03-17T17:45:39.500Z"
    assert call["duration"] == 60.5
    assert (call["fromAddress"], call["toAddress"]) == ("192.0.2.10:5060", "192.0.2.11:5060")


def test_calls_come_newest_first(services, client, make) -> None:
    services.live = [make.call("old", invited_at=make.now_at - 9), make.call("new", invited_at=make.now_at - 1)]
    assert ids(client.get("/api/calls")) == ["new", "old"]


def test_an_ended_call_says_when_and_why(services, client, make) -> None:
    services.ended = [make.ended("a", make.now_at - 50.5)]
    [call] = client.get("/api/calls/history").json
    assert (call["state"], call["terminationReason"], call["statusCode"]) == ("TERMINATED", "normal", 200)
    assert call["endTime"] == "2030-03-17T17:45:49.500Z"
    assert call["duration"] == 10
    assert (call["reasonText"], call["endedBy"]) == ("100 hung up", "100")


def test_an_ended_call_has_the_figures_of_its_media(services, client, make) -> None:
    services.ended = [make.ended("a", make.now_at - 1), make.ended("b", make.now_at - 2)]
    services.figures["a"] = (make.figures(), make.figures(side=1, packets=7, codec=None, mos=None))
    a, b = client.get("/api/calls/history").json
    assert a["media"][0] == {
        "kind": "audio",
        "sender": "caller",
        "packets": 3000,
        "bytes": 516_000,
        "lost": 3,
        "outOfOrder": 1,
        "duplicates": 0,
        "rejected": 2,
        "dropped": 0,
        "jitter": 1.25,
        "codec": "PCMA/8000",
        "mos": 4.31,
        "firstPacketAt": "2030-03-17T17:45:40.000Z",
        "lastPacketAt": "2030-03-17T17:46:39.980Z",
    }
    callee = a["media"][1]
    assert (callee["sender"], callee["packets"], callee["codec"], callee["mos"]) == ("callee", 7, None, None)
    assert b["media"] == []
    assert client.get("/api/users/100/calls?history=true&limit=1").json == [a]


@pytest.mark.parametrize(
    "call_id", ["plain", "a/b@192.0.2.1", "/leads/with/slashes//", "50%2F50", "history", "..", "Zo\u00eb? #1"]
)
def test_hanging_up_the_call_of_a_percent_encoded_call_id(services, client, make, call_id) -> None:
    services.live = [make.call("another"), make.call(call_id)]
    answer = client.delete(f"/api/calls/{quote(call_id, safe='')}")
    assert (answer.status_code, answer.json) == (200, {"message": f"Hung up the call {call_id}.", "callId": call_id})
    assert [call.call_id for call in services.live] == ["another"]


def test_a_call_id_that_can_not_be_shown_is_known_by_what_is_shown(services, client, make) -> None:
    services.live = [make.call("\x1b[31m\udcff")]
    (call,) = client.get("/api/calls").json
    assert client.delete(f"/api/calls/{quote(call['callId'], safe='')}").status_code == 200
    assert services.live == []


def test_a_call_that_is_not_in_progress_can_not_be_hung_up(services, client, make) -> None:
    services.live, services.ended = [make.call("a")], [make.ended("b", make.now_at - 1)]
    for call_id in ("b", "A", "a%2F", "%20a"):
        answer = client.delete(f"/api/calls/{call_id}")
        assert (answer.status_code, answer.json["error"]) == (404, "There is no such call in progress."), call_id
    assert len(services.live) == 1


def test_a_history_that_can_not_be_read_says_so(services, client) -> None:
    services.history_fault = Problem(503, "The history can't be read at the moment.", "Try again soon.")
    for path in ("/api/calls/history", "/api/calls/history.csv", "/api/users/100/calls?history=true"):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype) == (503, "application/problem+json"), path


@pytest.fixture
def two_hundred(services, make):
    """c0 ended last, c199 first; one a minute; every fourth is between other numbers."""
    services.ended = [
        make.ended(
            f"c{n}",
            make.now_at - 60 * n,
            **({"from_number": "105", "to_number": "106"} if n % 4 == 3 else {}),
        )
        for n in range(200)
    ]
    return services


def test_history_shows_fifty_unless_told_otherwise(two_hundred, client) -> None:
    answer = client.get("/api/calls/history")
    assert ids(answer) == [f"c{n}" for n in range(50)]
    assert answer.headers["X-Total-Count"] == "200"


def test_history_can_be_walked_by_its_links_to_the_end(two_hundred, client) -> None:
    answer = client.get("/api/calls/history?limit=70&extension=100")
    seen = ids(answer)
    while link := answer.headers.get("Link"):
        url, rel = link.split("; ")
        assert rel == 'rel="next"'
        answer = client.get(url.strip("<>"))
        seen += ids(answer)
    assert seen == [f"c{n}" for n in range(200) if n % 4 != 3]
    assert answer.headers["X-Total-Count"] == "150"


def test_the_last_page_has_no_next_even_when_it_is_full(two_hundred, client) -> None:
    answer = client.get("/api/calls/history?limit=100&offset=100")
    assert len(ids(answer)) == 100
    assert "Link" not in answer.headers


def test_an_offset_behind_the_end_is_an_empty_page(two_hundred, client) -> None:
    answer = client.get("/api/calls/history?offset=5000")
    assert ids(answer) == []
    assert (answer.headers["X-Total-Count"], answer.headers.get("Link")) == ("200", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("since=2030-03-17T17:45:40Z", ["c0", "c1"]),
        ("since=2030-03-17T17:45:40.000Z&until=2030-03-17T17:46:40Z", ["c1"]),
        ("since=2030-03-17T20:45:40%2B03:00", ["c0", "c1"]),
        ("since=2030-03-17T20:45:40+03:00", ["c0", "c1"]),  # + unescaped arrives as a space
        ("since=2030-03-17T17:45:40", ["c0", "c1"]),
        ("since=2030-03-18", []),
        ("until=2030-03-17", []),
        ("extension=105&limit=2", ["c3", "c7"]),
        ("extension=999", []),
    ],
)
def test_history_filters(two_hundred, client, query, expected) -> None:
    assert ids(client.get(f"/api/calls/history?{query}")) == expected


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=abc", "limit"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=-1", "offset"),
        ("offset=1.5", "offset"),
        ("since=yesterday", "since"),
        ("since=2030-02-30", "since"),
        ("until=", "until"),
        ("since=2030-02-02&until=2030-02-01", "until"),
        ("extension=", "extension"),
        ("extension=1%0A2", "extension"),
        ("extension=" + "1" * 65, "extension"),
        ("Limit=5", "Limit"),
    ],
)
def test_a_value_that_can_not_be_used_is_400_and_named(two_hundred, client, query, parameter) -> None:
    answer = client.get(f"/api/calls/history?{query}")
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert answer.json["parameter"] == parameter
    assert parameter in answer.json["error"]


def test_a_live_list_is_whole_unless_a_limit_is_given(services, client, make) -> None:
    services.live = [make.call(f"c{n}", invited_at=make.now_at - n) for n in range(60)]
    assert len(ids(client.get("/api/calls"))) == 60
    answer = client.get("/api/calls?limit=2&offset=3")
    assert ids(answer) == ["c3", "c4"]
    assert answer.headers["X-Total-Count"] == "60"
    assert answer.headers["Link"] == '<http://localhost/api/calls?limit=2&offset=5>; rel="next"'
    assert ids(client.get("/api/calls?offset=58")) == ["c58", "c59"]


@pytest.fixture
def user_with_calls(services, make):
    services.live = [
        make.call("live-a", invited_at=make.now_at - 2),
        make.call("other", from_number="105", to_number="106"),
        make.call("live-b", from_number="107", to_number="100", invited_at=make.now_at - 1),
    ]
    services.ended = [
        *(make.ended(f"e{n}", make.now_at - 100 * n) for n in range(1, 5)),
        make.ended("else", make.now_at - 100, from_number="105", to_number="106"),
    ]
    return services


def test_calls_of_a_user_are_those_made_and_received(user_with_calls, client) -> None:
    assert ids(client.get("/api/users/100/calls")) == ["live-b", "live-a"]
    assert ids(client.get("/api/users/100/calls?history=false")) == ["live-b", "live-a"]
    assert ids(client.get("/api/users/110/calls")) == []


def test_history_of_a_user_follows_the_calls_in_progress(user_with_calls, client) -> None:
    answer = client.get("/api/users/100/calls?history=true")
    assert ids(answer) == ["live-b", "live-a", "e1", "e2", "e3", "e4"]
    assert answer.headers["X-Total-Count"] == "6"


@pytest.mark.parametrize("limit", range(1, 8))
def test_calls_and_history_of_a_user_are_paged_as_one_list(user_with_calls, client, limit) -> None:
    seen = []
    for offset in range(0, 6, limit):
        answer = client.get(f"/api/users/100/calls?history=true&limit={limit}&offset={offset}")
        assert answer.headers["X-Total-Count"] == "6"
        assert ("Link" in answer.headers) == (offset + limit < 6)
        seen += ids(answer)
    assert seen == ["live-b", "live-a", "e1", "e2", "e3", "e4"]


def test_a_call_that_ends_between_two_looks_is_shown_once(user_with_calls, client, make) -> None:
    user_with_calls.ended.append(make.ended("live-a", make.now_at, invited_at=make.now_at - 2))
    answer = client.get("/api/users/100/calls?history=true")
    assert ids(answer) == ["live-b", "live-a", "e1", "e2", "e3", "e4"]
    assert [call["state"] for call in answer.json][:2] == ["ESTABLISHED", "TERMINATED"]
    assert answer.headers["X-Total-Count"] == "6"


@pytest.mark.parametrize("number", ["99", "111", "0100", "abc", "1%2000", "%2F"])
def test_calls_of_an_extension_outside_the_range_are_404(client, number) -> None:
    answer = client.get(f"/api/users/{number}/calls")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("value", ["yes", "1", ""])
def test_history_must_be_true_or_false(client, value) -> None:
    answer = client.get(f"/api/users/100/calls?history={value}")
    assert (answer.status_code, answer.json["parameter"]) == (400, "history")


def test_clear_calls_in_development(services, make_client, make) -> None:
    services.live = [make.call("a")]
    client = make_client(app_env="development")
    assert client.post("/api/admin/clear-calls").json == {"message": "Ended 1 call.", "cleared": 1}
    assert client.post("/api/admin/clear-calls").json == {"message": "Ended 0 calls.", "cleared": 0}
