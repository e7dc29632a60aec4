"""Calls over UDP from the first ring to the last BYE, on the wire and in the API (RFC 3261 13 to 16)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.office import Office


def test_a_call_as_the_api_shows_it_in_each_state(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    ring = bob.expect_call()

    shown = office.only_call()
    assert shown["state"] == "INITIATED"
    assert shown["callId"] == call.call_id
    assert (shown["fromNumber"], shown["toNumber"]) == ("100", "101")
    assert (shown["fromAddress"], shown["toAddress"]) == (alice.address, bob.address)
    assert shown["inviteTime"]
    assert shown["answerTime"] is None

    ring.ring()
    call.wait_ringing()
    assert office.only_call()["state"] == "RINGING"

    ring.answer()
    call.wait_answered()
    shown = office.only_call()
    assert shown["state"] == "ESTABLISHED"
    assert shown["answerTime"] >= shown["inviteTime"]
    assert len(office.open_streams()) == 2

    call.hang_up()
    ring.wait_ended()
    assert office.api.get("/api/calls") == []
    assert office.open_streams() == []
    (ended,) = office.api.get("/api/calls/history")
    assert ended["state"] == "TERMINATED"
    assert (ended["terminationReason"], ended["statusCode"]) == ("normal", 200)
    assert ended["endTime"] >= ended["answerTime"]
    assert ended["duration"] >= 0


def test_calls_of_one_number_now_and_then(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, _ = office.connect(alice, bob)

    assert [each["callId"] for each in office.api.get("/api/users/101/calls")] == [call.call_id]
    assert office.api.get("/api/users/102/calls") == []

    call.hang_up()
    assert office.api.get("/api/users/101/calls") == []
    history = office.api.get("/api/users/101/calls?history=true")
    assert [each["callId"] for each in history] == [call.call_id]


def test_the_callee_hangs_up(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)

    ring.hang_up()

    assert call.wait_ended().method == "BYE"
    assert office.last_ended()["endedBy"] == "callee"


def test_16_10_a_cancelled_call_stops_ringing(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    call.wait_ringing()

    response = call.cancel()

    assert response.status == 487
    cancel = ring.wait_ended()
    assert cancel.method == "CANCEL"
    assert (cancel.branch, cancel.cseq) == (ring.invite.branch, ring.invite.cseq)
    assert ring.request.wait_ack().branch == ring.invite.branch
    assert office.last_ended()["terminationReason"] == "cancelled"
    assert office.open_streams() == []


def test_an_answer_that_crosses_the_cancel_is_still_a_call(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    bob.automatic.discard("CANCEL")
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    call.wait_ringing()

    cancelled = alice.send_request(call.invite.cancel())
    assert cancelled.wait_final().status == 200
    ring.expect("CANCEL").respond(200)
    ring.answer()

    assert call.wait_answered().status == 200
    assert office.only_call()["state"] == "ESTABLISHED"
    assert call.hang_up().status == 200


@pytest.mark.parametrize(
    ("status", "reason"), [(486, "busy"), (600, "busy"), (603, "rejected"), (488, "rejected"), (480, "rejected")]
)
def test_a_refusal_reaches_the_caller_and_the_history(office: Office, status: int, reason: str) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")

    bob.expect_call().reject(status)

    assert call.wait_rejected().status == status
    ended = office.last_ended()
    assert (ended["statusCode"], ended["terminationReason"]) == (status, reason)
    assert ended["answerTime"] is None
    assert office.open_streams() == []


def test_17_1_1_3_the_ack_of_a_refusal_is_made_hop_by_hop(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    ring = bob.expect_call()

    ack = ring.reject(486)

    assert ack.branch == ring.invite.branch
    assert call.wait_rejected().branch == call.invite.request.branch
    (own,) = alice.messages("sent", "ACK")
    assert own.branch == call.invite.request.branch != ack.branch


def test_13_2_2_4_the_ack_of_an_answer_travels_end_to_end(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    ring = bob.expect_call()

    ack = ring.answer()

    (own,) = alice.messages("sent", "ACK")
    assert own.branch != call.invite.request.branch
    assert own.branch in ack.all("Via")[1]
    assert ack.request_uri == f"sip:101@{bob.address}"
    assert "Route" not in ack
    assert len(own.all("Route")) == 1


def test_a_number_that_is_not_registered(office: Office) -> None:
    alice = office.phone("100")

    response = alice.call("105").wait_rejected()

    assert (response.status, response.reason) == (480, "Number Not Registered")
    assert office.last_ended()["terminationReason"] == "unreachable"


def test_a_number_that_does_not_exist(office: Office) -> None:
    alice = office.phone("100")

    response = alice.call("4711").wait_rejected()

    assert response.status == 404
    assert "100" in response.reason
    assert office.last_ended()["statusCode"] == 404


def test_a_phone_that_is_not_registered_may_not_call(office: Office) -> None:
    office.phone("101")
    stranger = office.unregistered("100")

    response = stranger.call("101").wait_rejected()

    assert (response.status, response.reason) == (403, "Caller Not Registered")


def test_a_call_nobody_answers_is_ended(start_office: Callable[..., Office]) -> None:
    office = start_office(call_setup_timeout=0.3)
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()

    assert call.wait_rejected().status == 408
    assert ring.wait_ended().method == "CANCEL"
    ended = office.last_ended()
    assert (ended["terminationReason"], ended["statusCode"]) == ("noanswer", 408)
    assert office.open_streams() == []


def test_requests_inside_a_call_reach_the_other_phone(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)

    sent = call.send("INFO", ("Content-Type", "application/dtmf-relay"), body=b"Signal=5\r\nDuration=160\r\n")
    assert sent.wait_final().status == 200
    assert ring.expect("INFO").message.body == b"Signal=5\r\nDuration=160\r\n"

    assert ring.send("OPTIONS").wait_final().status == 200
    assert call.expect("OPTIONS").message.request_uri == f"sip:100@{alice.address}"


def test_a_transfer_travels_inside_the_call(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)

    sent = call.send("REFER", ("Refer-To", f"<{alice.uri_of('102')}>"), ("Contact", alice.contact))
    refer = ring.expect("REFER")
    refer.respond(202, ("Contact", bob.contact))
    assert sent.wait_final().status == 202
    assert refer.message["Refer-To"] == f"<{alice.uri_of('102')}>"

    notice = ring.send("NOTIFY", ("Event", "refer"), ("Subscription-State", "terminated"))
    call.expect("NOTIFY").respond(200)
    assert notice.wait_final().status == 200


def test_a_text_message_reaches_the_other_phone(office: Office) -> None:
    alice, bob = office.phones("100", "101")

    text = "Grüße, привет".encode()
    sent = alice.request("MESSAGE", alice.uri_of("101"), ("Content-Type", "text/plain"), body=text)
    received = bob.expect_request("MESSAGE")
    received.respond(200)

    assert received.message.body.decode() == "Grüße, привет"
    assert sent.wait_final().status == 200


def test_unknown_headers_and_codecs_pass_untouched(office: Office) -> None:
    alice, bob = office.phones("100", "101")

    alice.call("101", ("X-Shop", 'a, b;c="d,e"'), ("Session-Expires", "1800;refresher=uac"))
    ring = bob.expect_call()

    assert ring.invite["X-Shop"] == 'a, b;c="d,e"'
    assert ring.invite["Session-Expires"] == "1800;refresher=uac"
    assert b"m=audio" in ring.invite.body
    assert b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n" in ring.invite.body
    assert ring.invite["Content-Length"] == str(len(ring.invite.body))


def test_the_phone_of_the_caller_may_call_itself_busy(office: Office) -> None:
    """A number that dials itself reaches its own phone, which is busy."""
    alice = office.phone("100")
    call = alice.call("100")

    alice.expect_call().reject(486)

    assert call.wait_rejected().status == 486


def test_several_calls_at_once_do_not_meet(office: Office) -> None:
    alice, bob, carol, dave = office.phones("100", "101", "102", "103")
    first, first_ring = office.connect(alice, bob)
    second, second_ring = office.connect(carol, dave)

    for call, ring in ((first, first_ring), (second, second_ring)):
        packets = call.media.make_packets(5)
        call.media.send(*packets)
        assert [ring.media.receive() for _ in packets] == packets
    assert len(office.api.get("/api/calls")) == 2

    first.hang_up()
    assert office.only_call()["callId"] == second.call_id
    assert second.hang_up().status == 200


def test_statistics_count_what_happened(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, _ = office.connect(alice, bob)
    call.hang_up()
    busy = alice.call("101")
    bob.expect_call().reject(486)
    busy.wait_rejected()
    call, ring = office.connect(bob, alice)
    for sender, listener in ((call, ring), (ring, call)):
        sender.media.send(*sender.media.make_packets(1))
        listener.media.receive()

    figures = office.api.get("/api/statistics")

    calls = figures["calls"]
    assert (calls["activeCalls"], calls["totalCalls"]) == (1, 3)
    assert (calls["completedCalls"], calls["failedCalls"]) == (1, 1)
    assert figures["users"]["activeUsers"] == 2
    assert figures["rtp"]["activeStreams"] == 2
