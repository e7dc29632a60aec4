"""Webhooks: where they may lead, what is sent and how often, what is kept."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from api.webhooks import courier as courier_module
from api.webhooks.book import FILE_NAME, MAX_HOOKS, TooManyHooks, Webhook, WebhookBook
from api.webhooks.courier import MAX_QUEUED, RETRY_S, Courier, Delivery, sign
from api.webhooks.target import ForbiddenTarget, Target, forbidden, open_connection, read_url
from config import IN_MEMORY
from sip.event_bus import KEPT, EventBus
from sip.events import NO_DATA, EventType
from tests.support.receiver import Receiver

NOW_AT = 1_900_000_000.0
WARNING, STARTED = EventType.SERVER_WARNING, EventType.SERVER_STARTED


# ------------------------------------------------------------------------------------------------ where to


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://192.168.1.20/hook?a=1", Target(False, "192.168.1.20", 80, "/hook?a=1")),
        ("https://hooks.example.org", Target(True, "hooks.example.org", 443, "/")),
        ("http://[::1]:8080/x", Target(False, "::1", 8080, "/x")),
        ("http://localhost:9/", Target(False, "localhost", 9, "/")),
    ],
)
def test_an_url_that_can_be_used(url: str, target: Target) -> None:
    assert read_url(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.org/",
        "http://",
        "http:///path",
        "http://user:word@example.org/",
        "http://example.org/#part",
        "http://example.org:99999/",
        "http://example.org/a b",
        "http://example.org/\r\nX: y",
        "http://ex\u00e4mple.org/",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://example.org/" + "x" * 2000,
    ],
)
def test_an_url_that_can_not_be_used(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|has) "):
        read_url(url)


@pytest.mark.parametrize(
    ("address", "is_forbidden"),
    [
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("fd00::1", False),
        ("::1", False),
        ("93.184.216.34", False),
        ("169.254.169.254", True),
        ("169.254.0.1", True),
        ("fe80::1", True),
        ("fd00:ec2::254", True),
        ("fd00:ec2::23", True),
        ("fd20:ce::254", True),
        ("192.0.0.192", True),
        ("100.100.100.200", True),
        ("168.63.129.16", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::1", True),
        ("0.0.0.0", True),
        ("0.1.2.3", True),
        ("::", True),
        ("224.0.0.251", True),
        ("ff02::1", True),
        ("255.255.255.255", True),
    ],
)
def test_addresses_that_nothing_is_sent_to(address: str, is_forbidden: bool) -> None:
    assert bool(forbidden(ip_address(address))) is is_forbidden


def test_what_counts_is_the_address_that_the_name_leads_to_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: a name that was harmless when the webhook was added."""

    def lead_elsewhere(host: str, port: int, **_: object) -> list:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", port))]

    monkeypatch.setattr(socket, "getaddrinfo", lead_elsewhere)
    with pytest.raises(ForbiddenTarget, match=r"hooks\.example\.org leads to a service"):
        open_connection(read_url("http://hooks.example.org/"))


# ------------------------------------------------------------------------------------------------ what is sent


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A courier without its thread; `step` is one turn of it."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.clock = Clock()
        self.book = WebhookBook(Path(IN_MEMORY))
        self.courier = Courier(self.book, self.bus, "sipserver@pbx", "1.2.3", self.clock, lambda: NOW_AT)

    def emit(self, *kinds: EventType) -> None:
        for kind in kinds:
            self.bus.emit(kind, NOW_AT, NO_DATA)

    def outcomes(self, hook: Webhook) -> list[tuple[int, int, str]]:
        """Attempt, status, outcome; oldest first."""
        return [(each.attempt, each.status, each.outcome) for each in self.courier.deliveries(hook.hook_id)[::-1]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_event_is_posted_in_its_envelope_and_signed(bench: Bench, receiver: Receiver) -> None:
    hook = bench.book.add(f"{receiver.url}/hook?x=1", ("server.*",), NOW_AT)
    bench.emit(STARTED)
    bench.courier.step()
    (received,) = receiver.wait(1)
    assert received.path == "/hook?x=1"
    assert received.json["type"] == received.headers["Sipserver-Event"] == "server.started"
    assert received.json["id"] == received.headers["Sipserver-Event-Id"] == bench.bus.id_of(1)
    assert received.json["source"] == "sipserver@pbx"
    assert received.headers["Content-Type"] == "application/json"
    timestamp, _, signature = received.headers["Sipserver-Signature"].partition(",")
    expected = hmac.new(hook.secret.encode(), f"{int(NOW_AT)}.".encode() + received.body, hashlib.sha256).hexdigest()
    assert (timestamp, signature) == (f"t={int(NOW_AT)}", f"v1={expected}")
    assert bench.outcomes(hook) == [(1, 204, "delivered")]


def test_the_signature_as_receivers_compute_it() -> None:
    assert sign("secret", 1, b"{}") == f"t=1,v1={hmac.new(b'secret', b'1.{}', hashlib.sha256).hexdigest()}"


def test_only_the_types_that_are_wanted_are_sent_and_in_order(bench: Bench, receiver: Receiver) -> None:
    bench.book.add(receiver.url, ("server.warning",), NOW_AT)
    bench.emit(WARNING, STARTED, WARNING)
    bench.courier.step()
    assert [received.json["id"] for received in receiver.all()] == [bench.bus.id_of(1), bench.bus.id_of(3)]


def test_what_fails_is_tried_again_with_growing_pauses_and_keeps_what_is_behind_it_waiting(
    bench: Bench, receiver: Receiver
) -> None:
    receiver.statuses = [500, 503]
    hook = bench.book.add(receiver.url, ("*",), NOW_AT)
    bench.emit(WARNING, STARTED)
    bench.courier.step()
    bench.courier.step()  # too early
    assert bench.outcomes(hook) == [(1, 500, "retry")]
    bench.clock.now += RETRY_S[0]
    bench.courier.step()
    bench.clock.now += RETRY_S[1]
    bench.courier.step()
    assert bench.outcomes(hook) == [(1, 500, "retry"), (2, 503, "retry"), (3, 204, "delivered"), (1, 204, "delivered")]
    assert [received.json["type"] for received in receiver.all()] == ["server.warning"] * 3 + ["server.started"]


def test_what_fails_again_and_again_is_given_up(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    hook = bench.book.add(f"http://127.0.0.1:{port}/", ("*",), NOW_AT)
    bench.emit(WARNING)
    for pause in (0.0, *RETRY_S):
        bench.clock.now += pause
        bench.courier.step()
    outcomes = bench.outcomes(hook)
    assert [outcome for _, _, outcome in outcomes] == ["retry"] * len(RETRY_S) + ["given up"]
    assert bench.courier.standing(hook.hook_id).queued == 0
    assert bench.courier.deliveries(hook.hook_id)[0].error == "Connection refused"


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_receiver_that_refuses_is_not_asked_again(bench: Bench, receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    hook = bench.book.add(receiver.url, ("*",), NOW_AT)
    bench.emit(WARNING)
    bench.courier.step()
    assert bench.outcomes(hook) == [(1, status, "given up")]


def test_redirects_are_not_followed(bench: Bench, receiver: Receiver) -> None:
    receiver.statuses = [307]
    receiver.headers = {"Location": f"{receiver.url}/elsewhere"}
    hook = bench.book.add(receiver.url, ("*",), NOW_AT)
    bench.emit(WARNING)
    bench.courier.step()
    assert [received.path for received in receiver.all()] == ["/"]
    assert bench.courier.deliveries(hook.hook_id)[0].error == "it answered 307, and redirects are not followed"


def test_one_that_fails_does_not_keep_another_waiting(bench: Bench, receiver: Receiver) -> None:
    receiver.statuses = [500]
    bench.book.add(f"{receiver.url}/first", ("*",), NOW_AT)
    bench.book.add(f"{receiver.url}/second", ("*",), NOW_AT)
    bench.emit(WARNING, STARTED)
    bench.courier.step()
    assert [received.path for received in receiver.all()] == ["/first", "/second", "/second"]


def test_a_queue_that_is_full_loses_its_oldest(bench: Bench, receiver: Receiver) -> None:
    receiver.statuses = [500]
    hook = bench.book.add(receiver.url, ("*",), NOW_AT)
    bench.emit(WARNING)
    bench.courier.step()
    for _ in range(MAX_QUEUED // 500):
        bench.emit(*[STARTED] * 500)
        bench.courier._gather()
    standing = bench.courier.standing(hook.hook_id)
    assert (standing.queued, standing.lost) == (MAX_QUEUED, 1)


def test_a_webhook_that_is_removed_gets_nothing_more(bench: Bench, receiver: Receiver) -> None:
    hook = bench.book.add(receiver.url, ("*",), NOW_AT)
    bench.emit(WARNING)
    assert bench.book.remove(hook.hook_id)
    bench.courier.forget(hook.hook_id)
    bench.courier.step()
    assert receiver.all() == []


def test_a_receiver_that_answers_drop_by_drop_is_cut_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "DEADLINE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hook = bench.book.add(f"http://127.0.0.1:{listener.getsockname()[1]}/", ("*",), NOW_AT)
        bench.emit(WARNING)
        bench.courier.step()  # the listener never answers
    assert bench.outcomes(hook) == [(1, 0, "retry")]


def test_the_thread_brings_events_as_they_happen_and_the_last_ones_at_the_end(bench: Bench, receiver: Receiver) -> None:
    bench.courier._clock = courier_module.time.monotonic
    bench.book.add(receiver.url, ("*",), NOW_AT)
    bench.courier.start()
    bench.emit(STARTED)
    receiver.wait(1)
    bench.emit(EventType.SERVER_STOPPING)
    bench.bus.close()
    bench.courier.stop()
    assert [received.json["type"] for received in receiver.all()] == ["server.started", "server.stopping"]


def test_a_webhook_added_after_a_long_time_without_any_is_served_at_once_and_has_lost_nothing(
    bench: Bench, receiver: Receiver
) -> None:
    bench.courier._clock = courier_module.time.monotonic
    bench.courier.start()
    bench.emit(*[WARNING] * (KEPT + 5))
    hook = bench.book.add(receiver.url, ("server.started",), NOW_AT)
    bench.emit(STARTED)
    receiver.wait(1)
    bench.bus.close()
    bench.courier.stop()
    assert bench.courier.standing(hook.hook_id).lost == 0


# ------------------------------------------------------------------------------------------------ what is kept


def test_webhooks_outlast_the_process_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    book = WebhookBook(tmp_path)
    first = book.add("http://127.0.0.1:1/", ("call.*",), NOW_AT)
    second = book.add("https://example.org/", ("*",), NOW_AT)
    book.remove(first.hook_id)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    again = WebhookBook(tmp_path)
    again.load()
    assert again.hooks() == [second]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2}', '{"format": 1, "webhooks": [{}]}', '{"format": 1, "webhooks": 5}']
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    book = WebhookBook(tmp_path)
    book.load()
    assert book.hooks() == []
    assert (tmp_path / "webhooks.damaged").read_text() == text


def test_there_are_never_too_many(tmp_path: Path) -> None:
    book = WebhookBook(Path(IN_MEMORY))
    for _ in range(MAX_HOOKS):
        book.add("http://127.0.0.1:1/", ("*",), NOW_AT)
    with pytest.raises(TooManyHooks):
        book.add("http://127.0.0.1:1/", ("*",), NOW_AT)


# ------------------------------------------------------------------------------------------------ by HTTP


def test_a_webhook_is_added_shown_without_its_secret_and_removed(client, services) -> None:
    answer = client.post("/api/webhooks", json={"url": "http://127.0.0.1:1/hook", "types": ["call.*"]})
    assert answer.status_code == 201
    made = answer.json
    assert answer.headers["Location"] == f"/api/webhooks/{made['id']}"
    assert len(made.pop("secret")) >= 40
    assert client.get("/api/webhooks").json == [made]
    assert made == {
        "id": made["id"],
        "url": "http://127.0.0.1:1/hook",
        "types": ["call.*"],
        "createdAt": "2030-03-17T17:46:40.000Z",
        "queued": 0,
        "lost": 0,
        "lastDelivery": None,
    }
    assert client.delete(f"/api/webhooks/{made['id']}").status_code == 200
    assert client.delete(f"/api/webhooks/{made['id']}").status_code == 404
    assert client.get("/api/webhooks").json == []


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({}, "url"),
        ({"url": "nowhere"}, "url"),
        ({"url": "http://169.254.169.254/"}, "url"),
        ({"url": "http://127.0.0.1/", "types": ["nothing"]}, "types"),
        ({"url": "http://127.0.0.1/", "types": "call.*"}, "types"),
        ({"url": "http://127.0.0.1/", "types": [1]}, "types"),
        ({"url": "http://127.0.0.1/", "secret": "mine"}, "secret"),
    ],
)
def test_what_can_not_be_used_is_named(client, body, parameter) -> None:
    answer = client.post("/api/webhooks", json=body)
    assert (answer.status_code, answer.json["parameter"]) == (400, parameter)


def test_a_webhook_is_tried_at_the_push_of_a_button(client, receiver: Receiver) -> None:
    made = client.post("/api/webhooks", json={"url": receiver.url}).json
    receiver.statuses = [204, 418]
    answer = client.post(f"/api/webhooks/{made['id']}/test").json
    assert (answer["outcome"], answer["statusCode"], answer["type"]) == ("delivered", 204, "webhook.test")
    assert receiver.all()[0].json["data"] == {"webhook": made["id"]}
    again = client.post(f"/api/webhooks/{made['id']}/test").json
    assert (again["outcome"], again["error"]) == ("given up", "it answered 418")
    logged = client.get(f"/api/webhooks/{made['id']}/deliveries").json
    assert [each["statusCode"] for each in logged] == [418, 204]
    assert client.get("/api/webhooks").json[0]["lastDelivery"] == logged[0]


def test_a_receiver_that_does_not_answer_holds_one_worker_of_the_api(client, services, monkeypatch) -> None:
    path = client.post("/api/webhooks", json={"url": "http://127.0.0.1:1/"}).headers["Location"]
    meanwhile, once = [], services.webhooks.test

    def slow(hook: Webhook) -> Delivery:
        meanwhile.append(client.application.test_client().post(f"{path}/test"))
        return once(hook)

    monkeypatch.setattr(services.webhooks, "test", slow)
    assert client.post(f"{path}/test").json["outcome"] == "given up"
    assert [(each.status_code, each.headers["Retry-After"]) for each in meanwhile] == [(503, "5")]
    monkeypatch.undo()
    assert client.post(f"{path}/test").status_code == 200


def test_what_is_not_there(client) -> None:
    for method, path in (("POST", "test"), ("GET", "deliveries")):
        assert client.open(f"/api/webhooks/none/{path}", method=method).status_code == 404


def test_a_list_that_can_not_be_written_changes_nothing(client, services, tmp_path: Path) -> None:
    services.webhooks.book._path = tmp_path / "file" / FILE_NAME
    (tmp_path / "file").write_text("in the way")
    assert client.post("/api/webhooks", json={"url": "http://127.0.0.1/"}).status_code == 503
    assert client.get("/api/webhooks").json == []


def test_the_file_says_nothing_but_what_is_needed(tmp_path: Path) -> None:
    WebhookBook(tmp_path).add("http://127.0.0.1:1/", ("*",), NOW_AT)
    (row,) = json.loads((tmp_path / FILE_NAME).read_text())["webhooks"]
    assert set(row) == {"hook_id", "url", "types", "secret", "created_at"}
