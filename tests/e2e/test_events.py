"""Events live, over real connections: a call as it happens, clients that go, the end of the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from api import events
from sip import call_control, media_watch
from tests.support.event_stream import EventStream
from tests.support.office import Office, eventually
from tests.support.phone_call import PhoneCall
from tests.support.receiver import Receiver
from tests.support.rtp import RtpPacket


@pytest.fixture
def stream(office: Office) -> Iterator[EventStream]:
    stream = EventStream(office.server)
    yield stream
    stream.close()


def test_a_call_as_it_happens(office: Office, stream: EventStream) -> None:
    alice, bob = office.phones("100", "101")
    assert [stream.next("registration.added")["subject"] for _ in range(2)] == ["100", "101"]

    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    call.wait_ringing()
    ring.answer()
    call.wait_answered()
    assert call.hold().status == 200
    call.hang_up()

    told = [stream.next(f"call.{name}") for name in ("started", "ringing", "answered", "held", "ended")]
    assert {event["subject"] for event in told} == {call.call_id}
    assert [event["data"]["state"] for event in told] == [
        "INITIATED",
        "RINGING",
        "ESTABLISHED",
        "ESTABLISHED",
        "TERMINATED",
    ]
    assert (told[3]["data"]["held"], told[3]["data"]["by"]) == (True, "caller")
    assert told[4]["data"]["reasonText"] == "100 hung up"


def test_a_client_that_was_cut_off_goes_on_where_it_was(office: Office) -> None:
    first = EventStream(office.server)
    office.phone("100")
    event = first.next("registration.added")
    first.close()
    office.phone("101")
    second = EventStream(office.server, f"?after={event['id']}")
    assert second.next("registration.added")["subject"] == "101"
    second.close()


def test_one_way_audio_is_told_while_the_call_lasts(
    office: Office, stream: EventStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_control, "MEDIA_CHECK_S", 0.05)
    monkeypatch.setattr(media_watch, "NEVER_HEARD_S", 0.2)
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)

    call.media.send(*call.media.make_packets(10))
    [ring.media.receive() for _ in range(10)]

    assert stream.next("media.started")["data"]["sender"] == "caller"
    one_way = stream.next("media.one_way")
    assert (one_way["subject"], one_way["data"]["sender"], one_way["data"]["packets"]) == (call.call_id, "callee", 0)
    assert one_way["data"]["otherPackets"] == 10
    assert office.only_call()["state"] == "ESTABLISHED"

    ring.media.send(*ring.media.make_packets(10))
    assert stream.next("media.started")["data"]["again"] is False


def press(side: PhoneCall, event: int, timestamp: int) -> None:
    """RFC 4733 2.3: all packets of one key have its timestamp."""
    for number in range(5):
        payload = bytes([event, 0x80 | 10 if number > 2 else 10, 0, 160])
        side.media.send(RtpPacket(101, 30_000 + timestamp + number, timestamp, side.media.ssrc, payload).to_bytes())


@pytest.mark.parametrize("workers", [0, 1])
def test_keys_are_told_at_once_also_where_a_worker_copies_the_sound(
    start_office: Callable[..., Office], workers: int
) -> None:
    office = start_office(rtp_workers=workers)
    stream = EventStream(office.server, "?types=dtmf.received")
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    for sender, listener in ((call, ring), (ring, call)):
        sender.media.send(*sender.media.make_packets(20))
        [listener.media.receive() for _ in range(20)]
    if workers:
        crew = office.server._relay._crew
        assert crew is not None
        eventually(lambda: any(worker.lines for worker in crew._workers), "a stream lent to the worker")

    press(call, 5, 100)
    assert [stream.next("dtmf.received")["data"][name] for name in ("digit",)] == ["5"]
    press(ring, 11, 200)
    told = stream.next("dtmf.received")["data"]
    assert (told["digit"], told["sender"], told["method"], told["callId"]) == ("#", "callee", "rfc4733", call.call_id)
    stream.close()


def test_a_client_that_hangs_up_makes_room_for_another(
    start_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_S", 0.05)
    office = start_office(api_event_clients=1)
    stream = EventStream(office.server)
    refused = EventStream(office.server)
    assert refused.status == 503
    refused.close()
    stream.close()

    def comes_in() -> bool:
        again = EventStream(office.server)
        again.close()
        return again.status == 200

    eventually(comes_in, "room for another client")


def test_streams_leave_the_workers_to_everybody_else(start_office: Callable[..., Office]) -> None:
    office = start_office(api_event_clients=6)
    streams = [EventStream(office.server) for _ in range(6)]
    assert [stream.status for stream in streams] == [200] * 6
    answers: list[object] = []
    readers = [threading.Thread(target=lambda: answers.append(office.api.get("/api/calls"))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert answers == [[]] * 4
    for stream in streams:
        stream.close()


def test_the_end_of_the_server_ends_every_stream(office: Office, stream: EventStream) -> None:
    stopping = threading.Thread(target=office.server.stop)
    stopping.start()
    kinds = [event["type"] for event in stream]
    stopping.join()
    assert kinds[-1] == "server.stopping"


def test_a_ban_is_told(office: Office, stream: EventStream) -> None:
    office.api.request("POST", "/api/bans", {"address": "192.0.2.9", "reason": "a test"})
    assert stream.next("security.banned")["data"]["reason"] == "a test"
    office.api.request("DELETE", "/api/bans/192.0.2.9")
    assert stream.next("security.unbanned")["data"] == {"address": "192.0.2.9", "reason": "lifted"}


def test_a_program_without_streams_asks_again_and_again(office: Office) -> None:
    remembered = office.api.get("/api/events")
    assert [event["type"] for event in remembered["events"]] == ["server.started"]
    office.phone("100")
    answer = office.api.get(f"/api/events?wait=5&types=registration.*&after={remembered['next']}")
    assert [event["type"] for event in answer["events"]] == ["registration.added"]


def test_a_webhook_is_sent_what_happens_to_the_very_end(office: Office) -> None:
    receiver = Receiver()
    made = office.api.request("POST", "/api/webhooks", {"url": f"{receiver.url}/calls", "types": ["call.*"]})
    assert made.status == 201
    alice, bob = office.phones("100", "101")
    office.connect(alice, bob)
    kinds = [received.json["type"] for received in receiver.wait(2)]
    assert kinds == ["call.started", "call.answered"]

    office.server.stop()

    assert receiver.wait(3)[2].json["data"]["reasonText"] == "the server is shutting down"
    receiver.close()
