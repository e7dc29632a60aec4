"""Click to dial over real sockets: two phones that somebody has asked to be connected."""

from __future__ import annotations

from urllib.parse import quote

from tests.support.event_stream import EventStream
from tests.support.office import Office
from tests.support.rtp import MediaPort


def receive(media: MediaPort, after: bytes) -> bytes:
    """The next packet of another source (RFC 3550 5.1: bytes 8 to 11) than that one's."""
    while (packet := media.receive())[8:12] == after[8:12]:
        pass
    return packet


def test_two_phones_are_connected_and_hear_each_other(office: Office) -> None:
    stream = EventStream(office.server, "?types=call.*")
    alice, bob = office.phones("100", "101")
    answer = office.api.request("POST", "/api/calls", {"from": "100", "to": "101"}, {"Idempotency-Key": "once"})
    assert (answer.status, answer.headers["Location"]) == (201, f"/api/calls/{quote(answer.json['callId'], safe='')}")
    again = office.api.request("POST", "/api/calls", {"from": "100", "to": "101"}, {"Idempotency-Key": "once"})
    assert again.json == answer.json

    first = alice.expect_call()
    first.ring()
    first.answer()
    second = bob.expect_call()
    second.ring()
    ringing = first.media.receive()
    second.answer()
    first.expect("INVITE")
    stream.next("call.answered")

    for sender, listener in ((second, first), (first, second)):
        packets = sender.media.make_packets(5)
        sender.media.send(*packets)
        assert [receive(listener.media, after=ringing) for _ in packets] == packets
    assert first.hold().status == 200
    assert second.reinvite().status == 200
    assert first.hang_up().status == 200
    assert second.wait_ended().method == "BYE"
    ended = stream.next("call.ended")["data"]
    assert (ended["callId"], ended["reasonText"]) == (answer.json["callId"], "100 hung up")
    assert office.last_ended()["callId"] == answer.json["callId"]
    assert office.open_streams() == []
    stream.close()


def test_it_is_hung_up_by_the_api_while_the_second_rings(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call_id = office.api.request("POST", "/api/calls", {"from": "100", "to": "101"}).json["callId"]
    first = alice.expect_call()
    first.answer()
    second = bob.expect_call()
    second.ring()
    assert office.api.request("DELETE", f"/api/calls/{quote(call_id, safe='')}").status == 200
    assert first.wait_ended().method == "BYE"
    assert second.wait_ended().method == "CANCEL"


def test_what_can_not_be_connected_says_why(office: Office) -> None:
    office.phone("100")
    answer = office.api.request("POST", "/api/calls", {"from": "100", "to": "101"})
    assert (answer.status, answer.json["detail"]) == (
        409,
        "101 is not registered: its phone is off, offline or not set up.",
    )
    assert office.api.request("POST", "/api/calls", {"from": "100", "to": "999"}).status == 404
