"""`/api/events`, without sockets: what is streamed, what is listed, who is turned away."""

from __future__ import annotations

import json
import threading
from typing import Any, NamedTuple

import pytest

from api.events import HEARTBEAT_S, MAX_BACKLOG
from sip.event_bus import EventBus
from sip.events import EventType
from sip.snapshots import CallState

STREAM = {"Accept": "text/event-stream"}


class Block(NamedTuple):
    """One block of a stream, as a browser reads it."""

    id: str
    event: str
    data: Any


def read_blocks(text: str) -> list[Block]:
    """Those with data; what has none is no event (HTML 9.2.6)."""
    blocks = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            blocks.append(Block(fields["id"], fields["event"], json.loads(fields["data"])))
    return blocks


class Connection:
    """What a stream is told of its connection (`api.connection.Connection`)."""

    is_open = True
    unsent = 0
    expects_end = False

    def expect_end(self) -> None:
        self.expects_end = True


def emit(bus: EventBus, make: Any, *kinds: str) -> None:
    for kind in kinds:
        bus.emit(EventType(kind), make.now_at, make.call("call-1", state=CallState.RINGING))


@pytest.fixture
def bus(services) -> EventBus:
    return services.events


def read_stream(client, bus: EventBus, path: str = "/api/events", **headers: str) -> list[Block]:
    """All of a stream that has ended."""
    bus.close()
    answer = client.get(path, headers=STREAM | {name.replace("_", "-"): value for name, value in headers.items()})
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    return read_blocks(answer.text)


# ------------------------------------------------------------------------------------------------ the stream


def test_a_stream_begins_now(client, bus, make) -> None:
    emit(bus, make, "call.started")
    answer = client.get("/api/events", headers=STREAM)
    stream = iter(answer.response)
    assert next(stream) == f"retry: 2000\nid: {bus.id_of(1)}\n\n".encode()
    emit(bus, make, "call.ringing")
    (block,) = read_blocks(next(stream).decode())
    assert (block.id, block.event) == (bus.id_of(2), "call.ringing")
    assert (block.data["type"], block.data["subject"], block.data["data"]["state"]) == (
        "call.ringing",
        "call-1",
        "RINGING",
    )
    answer.close()


@pytest.mark.parametrize("by_header", [True, False])
def test_a_client_that_comes_back_gets_what_it_has_missed(client, bus, make, by_header) -> None:
    emit(bus, make, "call.started", "call.ringing", "call.answered")
    last = bus.id_of(1)
    blocks = (
        read_stream(client, bus, Last_Event_ID=last)
        if by_header
        else read_stream(client, bus, f"/api/events?after={last}")
    )
    assert [block.event for block in blocks] == ["call.ringing", "call.answered"]


def test_a_client_of_an_earlier_run_is_told_so_and_gets_what_there_is(client, bus, make) -> None:
    emit(bus, make, "call.started")
    blocks = read_stream(client, bus, Last_Event_ID=EventBus().id_of(7))
    assert [block.event for block in blocks] == ["stream.gap", "call.started"]
    assert blocks[0].data["data"] == {"missed": None, "reason": "restarted"}


def test_a_client_that_was_away_for_too_long_is_told_how_much_it_has_missed(client, services, make) -> None:
    bus = services.events = EventBus(kept=2)
    emit(bus, make, *["call.ringing"] * 5)
    blocks = read_stream(client, bus, Last_Event_ID=bus.id_of(1))
    assert [block.event for block in blocks] == ["stream.gap", "call.ringing", "call.ringing"]
    assert (blocks[0].id, blocks[0].data["data"]["missed"]) == (bus.id_of(3), 2)


def test_only_the_types_that_are_wanted(client, bus, make) -> None:
    emit(bus, make, "call.started", "call.ringing", "call.ended")
    blocks = read_stream(client, bus, "/api/events?types=call.started,call.ended,dtmf.*", Last_Event_ID=bus.id_of(0))
    assert [block.event for block in blocks] == ["call.started", "call.ended"]


def test_a_stream_without_news_shows_that_it_is_alive_and_where_it_stands(client, bus, make, clock) -> None:
    answer = client.get("/api/events?types=dtmf.*", headers=STREAM)
    stream = iter(answer.response)
    next(stream)
    emit(bus, make, "call.started")  # is not wanted, and need not be looked at again
    clock.now += HEARTBEAT_S
    assert next(stream) == f": alive\nid: {bus.id_of(1)}\n\n".encode()
    answer.close()


@pytest.mark.parametrize("trouble", [{"is_open": False}, {"unsent": MAX_BACKLOG + 1}])
def test_a_stream_whose_client_is_gone_or_does_not_read_ends(client, bus, trouble) -> None:
    connection = Connection()
    answer = client.get("/api/events", headers=STREAM, environ_overrides={"sipserver.connection": connection})
    assert connection.expects_end
    for name, value in trouble.items():
        setattr(connection, name, value)
    assert len(list(answer.response)) == 1


def test_the_end_of_the_server_is_told_and_ends_the_stream(client, bus) -> None:
    answer = client.get("/api/events", headers=STREAM)
    bus.emit(EventType.SERVER_STOPPING, 1_900_000_000.0, {})
    bus.close()
    assert [block.event for block in read_blocks(answer.text)] == ["server.stopping"]


def test_as_many_clients_as_the_setting_says(make_client, bus) -> None:
    client = make_client(api_event_clients=2)
    first, second = (client.get("/api/events", headers=STREAM) for _ in range(2))
    refused = client.get("/api/events", headers=STREAM)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert "API_EVENT_CLIENTS" in refused.json["detail"]
    assert client.get(f"/api/events?wait=1&after={bus.id_of(0)}").status_code == 503
    assert client.get("/api/events").status_code == 200  # it does not wait
    first.close()
    third = client.get("/api/events", headers=STREAM)
    assert third.status_code == 200
    for answer in (second, third):
        answer.close()


def test_without_clients_allowed_there_is_no_stream(make_client) -> None:
    assert make_client(api_event_clients=0).get("/api/events", headers=STREAM).status_code == 503


def test_a_stream_is_asked_about_without_being_opened(make_client) -> None:
    client = make_client(api_event_clients=1)
    for _ in range(3):
        head = client.head("/api/events", headers=STREAM)
        assert (head.status_code, head.mimetype, head.data) == (200, "text/event-stream", b"")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("types=nothing.*", "types"),
        ("after=yesterday", "after"),
        ("wait=61", "wait"),
        ("limit=0", "limit"),
        ("wait=soon", "wait"),
    ],
)
def test_what_can_not_be_used_is_named(client, query, parameter) -> None:
    answer = client.get(f"/api/events?{query}")
    assert (answer.status_code, answer.json["parameter"]) == (400, parameter)


# ------------------------------------------------------------------------------------------------ the list


def test_without_a_place_what_is_remembered_is_listed_at_once(client, bus, make) -> None:
    assert client.get("/api/events?wait=30").json == {"events": [], "next": bus.id_of(0)}
    emit(bus, make, "call.started", "call.ended")
    answer = client.get("/api/events?wait=30").json
    assert [event["type"] for event in answer["events"]] == ["call.started", "call.ended"]
    assert answer["next"] == answer["events"][-1]["id"] == bus.id_of(2)


def test_next_leads_on_from_page_to_page(client, bus, make) -> None:
    emit(bus, make, *["call.started", "call.ended"] * 3)
    found, place = [], ""
    for _ in range(4):
        page = client.get(f"/api/events?limit=2&types=call.started{place}").json
        found += [event["id"] for event in page["events"]]
        place = f"&after={page['next']}"
    assert found == [bus.id_of(number) for number in (1, 3, 5)]


def test_a_client_waits_for_the_next_event(client, bus, make) -> None:
    timer = threading.Timer(0.02, emit, (bus, make, "call.started", "call.ended"))
    timer.start()
    answer = client.get(f"/api/events?wait=30&types=call.ended&after={bus.id_of(0)}").json
    timer.join()
    assert [event["type"] for event in answer["events"]] == ["call.ended"]
    assert answer["next"] == bus.id_of(2)


def test_a_wait_ends_with_the_server(client, bus) -> None:
    bus.close()
    assert client.get(f"/api/events?wait=30&after={bus.id_of(0)}").json["events"] == []


def test_a_list_tells_of_a_restart_and_of_what_is_forgotten(client, services, make) -> None:
    bus = services.events = EventBus(kept=1)
    emit(bus, make, "call.started", "call.ended")
    other_run = client.get(f"/api/events?wait=30&after={EventBus().id_of(1)}").json["events"]
    assert [event["type"] for event in other_run] == ["stream.gap", "stream.gap", "call.ended"]
    (gap, _) = client.get(f"/api/events?after={bus.id_of(0)}").json["events"]
    assert gap["data"] == {"missed": 1, "reason": "forgotten"}
