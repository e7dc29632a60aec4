"""`POST /api/calls`: a call between two numbers, at most once for each Idempotency-Key."""

from __future__ import annotations

import threading

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from api.errors import Problem
from api.idempotency import KEPT_S, MAX_KEYS, KeyBook

WISH = {"from": "100", "to": "101"}


def test_a_call_is_begun_and_shown_with_where_more_about_it_stands(client, services) -> None:
    answer = client.post("/api/calls", json=WISH | {"autoAnswer": True})
    assert (answer.status_code, answer.headers["Location"]) == (201, "/api/calls/dialled%2F1")
    assert (answer.json["callId"], answer.json["fromNumber"], answer.json["toNumber"]) == ("dialled/1", "100", "101")
    assert services.dialled == [("100", "101", True)]


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"to": "101"}, "from"),
        ({"from": "100", "to": ""}, "to"),
        ({"from": 100, "to": "101"}, "from"),
        (WISH | {"autoAnswer": "yes"}, "autoAnswer"),
        (WISH | {"loud": True}, "loud"),
    ],
)
def test_what_can_not_be_used_is_named(client, services, body, parameter) -> None:
    answer = client.post("/api/calls", json=body)
    assert (answer.status_code, answer.json["parameter"], services.dialled) == (400, parameter, [])


def test_what_can_not_be_connected_says_why(client, services) -> None:
    services.fault = Problem(409, "These numbers can't be connected.", "100 is not registered.")
    answer = client.post("/api/calls", json=WISH)
    assert (answer.status_code, answer.json["detail"]) == (409, "100 is not registered.")


def test_the_same_key_and_request_is_one_call_and_the_same_answer(client, services) -> None:
    answers = [client.post("/api/calls", json=WISH, headers={"Idempotency-Key": key}) for key in ("k", '"k"', "k")]
    assert [(answer.status_code, answer.data, answer.headers["Location"]) for answer in answers[1:]] == [
        (201, answers[0].data, answers[0].headers["Location"])
    ] * 2
    assert len(services.dialled) == 1
    client.post("/api/calls", json=WISH, headers={"Idempotency-Key": "another"})
    client.post("/api/calls", json=WISH)
    assert len(services.dialled) == 3


def test_the_same_key_with_another_request_is_refused(client, services) -> None:
    client.post("/api/calls", json=WISH, headers={"Idempotency-Key": "k"})
    answer = client.post("/api/calls", json={"from": "101", "to": "100"}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, len(services.dialled)) == (422, 1)


def test_a_request_that_has_failed_may_come_again_with_its_key(client, services) -> None:
    services.fault = Problem(409, "These numbers can't be connected.", "100 is not registered.")
    assert client.post("/api/calls", json=WISH, headers={"Idempotency-Key": "k"}).status_code == 409
    services.fault = None
    assert client.post("/api/calls", json=WISH, headers={"Idempotency-Key": "k"}).status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
def test_what_is_no_key(client, services, key) -> None:
    answer = client.post("/api/calls", json=WISH, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json["parameter"]) == (400, "Idempotency-Key")


# ------------------------------------------------------------------------------------------------ the book


def request(key: str, body: bytes = b"{}") -> Request:
    builder = EnvironBuilder("/api/calls", method="POST", data=body, headers={"Idempotency-Key": key})
    return Request(builder.get_environ())


def do(book: KeyBook, key: str, now: float = 0.0, answer: str = "done") -> bool:
    """Whether it was done now."""
    with book.once(request(key), now) as once:
        if once.answer is not None:
            return False
        once.done(answer)
        return True


def test_a_key_is_forgotten_after_a_day() -> None:
    book = KeyBook()
    assert [do(book, "k", now) for now in (0.0, KEPT_S, KEPT_S + 1)] == [True, False, True]


def test_there_are_never_too_many_keys_and_the_oldest_goes() -> None:
    book = KeyBook()
    for number in range(MAX_KEYS + 1):
        assert do(book, f"k{number}")
    assert not do(book, "k1")
    assert do(book, "k0")


def test_a_request_that_is_not_answered_yet_is_not_done_twice() -> None:
    book, inside, go_on = KeyBook(), threading.Event(), threading.Event()

    def slow() -> None:
        with book.once(request("k"), 0.0) as once:
            inside.set()
            go_on.wait(5)
            once.done("done")

    first = threading.Thread(target=slow)
    first.start()
    inside.wait(5)
    with pytest.raises(Problem) as refused:
        do(book, "k")
    assert refused.value.status == 409
    go_on.set()
    first.join()
    assert not do(book, "k")
