"""Offers and answers through the core: early media, late offers, re-INVITE, UPDATE, PRACK (RFC 3261 13, 14; RFC 3311;
RFC 3262), and that a rejected one leaves the media as they were."""

from __future__ import annotations

import pytest

from tests.support.bench_phone import Dialog, FakePhone, TestCall, establish, hang_up
from tests.support.harness import CoreHarness
from tests.support.rtp import media_addresses, media_direction, session_description
from tests.support.sip_text import SipText


def reinvite(by: Dialog, to: Dialog, body: bytes) -> SipText:
    """A re-INVITE that has reached the other phone."""
    by.request("INVITE", body)
    by.expect("100 INVITE")
    return to.expect("INVITE")


def accept(by: Dialog, to: Dialog, received: SipText) -> SipText:
    to.phone.respond(received, 200, "OK", body=to.phone.sdp())
    answer = by.expect("200 INVITE")
    by.request("ACK")
    to.expect("ACK")
    return answer


def moved(phone: FakePhone, port: int) -> bytes:
    return session_description(phone.host, port, version=9)


def test_both_sides_are_led_to_the_relay(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    facing_caller, facing_callee = stream.ports
    invite = next(sent.message for sent in office.sent if sent.message.what == "INVITE")
    assert media_addresses(invite.body)[0] == ("192.0.2.1", facing_callee)
    assert media_addresses(call.answer.body)[0] == ("192.0.2.1", facing_caller)
    assert stream.peers == {0: ("192.0.2.10", 20_000), 1: ("192.0.2.11", 20_000)}
    assert call.answer["Content-Length"] == str(len(call.answer.body))


def test_each_side_is_told_the_address_it_reaches_us_at(office: CoreHarness, alice: FakePhone) -> None:
    bob = FakePhone(office, "101", "198.51.100.7", 40_000, own="10.0.0.5:5060").registered()
    alice.invite("101")
    received = bob.expect("INVITE")
    assert media_addresses(received.body)[0][0] == "198.51.100.1"
    bob.respond(received, 183, body=session_description("10.0.0.5", 4_000))
    assert media_addresses(alice.expect("183 INVITE").body)[0][0] == "192.0.2.1"
    (stream,) = office.relay.open_sessions
    assert stream.hosts[1] == {"10.0.0.5", "198.51.100.7"}


def test_early_media_then_a_failure_frees_the_ports(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 183, body=bob.sdp())
    assert alice.expect("183 INVITE").body
    assert len(office.relay.open_sessions) == 1
    bob.respond(received, 486)
    assert office.relay.open_sessions == []


def test_13_2_1_late_offer_in_the_200_and_answer_in_the_ack(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite = alice.invite("101", body=b"")
    received = bob.expect("INVITE")
    assert (received.body, office.relay.open_sessions) == (b"", [])
    callee = bob.answer(received)
    offer = alice.expect("200 INVITE")
    (stream,) = office.relay.open_sessions
    assert media_addresses(offer.body)[0] == ("192.0.2.1", stream.ports[0])
    caller = alice.caller_dialog(invite, offer)
    caller.request("ACK", alice.sdp())
    ack = callee.expect("ACK")
    assert media_addresses(ack.body)[0] == ("192.0.2.1", stream.ports[1])
    assert stream.peers == {0: ("192.0.2.10", 20_000), 1: ("192.0.2.11", 20_000)}
    hang_up(caller, callee)


def test_an_answer_in_the_ack_that_cannot_be_served_ends_the_call(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite = alice.invite("101", body=b"")
    bob.answer(bob.expect("INVITE"))
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    caller.request("ACK", b"v=0\r\nm=audio x\r\n")
    assert bob.expect("BYE")["Reason"].startswith("SIP;cause=200")
    alice.expect("BYE")
    assert office.ended_calls()[-1].snapshot.termination_reason == "error"


@pytest.mark.parametrize("from_callee", [False, True])
def test_14_a_reinvite_moves_media_and_keeps_the_ports(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, from_callee: bool
) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    by, to = (call.callee, call.caller) if from_callee else (call.caller, call.callee)
    received = reinvite(by, to, moved(by.phone, 30_000))
    assert media_addresses(received.body)[0] == ("192.0.2.1", stream.ports[0 if from_callee else 1])
    accept(by, to, received)
    assert stream.peers[1 if from_callee else 0] == (by.phone.host, 30_000)
    assert office.relay.open_sessions == [stream]


@pytest.mark.parametrize("status", [488, 491, 500, 603])
def test_14_1_a_rejected_reinvite_leaves_the_media_as_they_were(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, status: int
) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    before = dict(stream.peers)
    video = moved(alice, 30_000) + b"m=video 30002 RTP/AVP 96\r\n"
    received = reinvite(call.caller, call.callee, video)
    assert (len(office.relay.open_sessions), stream.peers != before) == (2, True)
    bob.respond(received, status)
    bob.expect("ACK")
    alice.expect(f"{status} INVITE")
    assert (office.relay.open_sessions, stream.peers) == ([stream], before)
    assert len(office.core.calls()) == 1


def test_a_reinvite_without_free_ports_is_503_and_the_call_goes_on(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    office.relay.free = 1
    call.caller.request("INVITE", alice.sdp(version=2) + b"m=video 30002 RTP/AVP 96\r\n")
    alice.expect("100 INVITE")
    alice.expect("503 INVITE")
    bob.expect_nothing()
    hang_up(call.caller, call.callee)


def test_a_reinvite_nobody_answers_leaves_the_media_as_they_were(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    before = dict(stream.peers)
    reinvite(call.caller, call.callee, moved(alice, 30_000))
    office.advance(33)
    alice.expect("408 INVITE")
    assert stream.peers == before
    office.forget()


def test_14_2_glare_both_reinvites_rejected_with_491(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    before = dict(stream.peers)
    at_bob = reinvite(call.caller, call.callee, moved(alice, 30_000))
    at_alice = reinvite(call.callee, call.caller, moved(bob, 40_000))
    bob.respond(at_bob, 491)
    bob.expect("ACK")
    alice.expect("491 INVITE")
    alice.respond(at_alice, 491)
    alice.expect("ACK")
    bob.expect("491 INVITE")
    assert stream.peers == before
    accept(call.caller, call.callee, reinvite(call.caller, call.callee, moved(alice, 30_000)))
    assert stream.peers[0] == ("192.0.2.10", 30_000)


def test_hold_and_two_reinvites_on_resume(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    held = reinvite(call.caller, call.callee, alice.sdp("sendonly", 2))
    assert media_direction(held.body) == "sendonly"
    accept(call.caller, call.callee, held)
    for version, port in ((3, 31_000), (4, 32_000)):
        body = session_description(alice.host, port, "sendrecv", version)
        accept(call.caller, call.callee, reinvite(call.caller, call.callee, body))
        assert stream.peers[0] == ("192.0.2.10", port)
    assert office.relay.open_sessions == [stream]


def test_12_2_1_2_a_reinvite_refreshes_the_targets(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    alice.own, bob.own = "192.0.2.10:5070", "192.0.2.11:5070"
    accept(call.caller, call.callee, reinvite(call.caller, call.callee, alice.sdp(version=2)))
    office.end_calls()
    assert alice.expect("BYE").request_uri == "sip:100@192.0.2.10:5070"
    assert bob.expect("BYE").request_uri == "sip:101@192.0.2.11:5070"


def test_a_reinvite_can_be_cancelled(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    before = dict(stream.peers)
    call.caller.cseq += 1
    again = alice.send_request(
        "INVITE",
        call.caller.target,
        from_=call.caller.local,
        to=call.caller.remote,
        call_id=call.caller.call_id,
        cseq=call.caller.cseq,
        body=moved(alice, 30_000),
    )
    alice.expect("100 INVITE")
    received = bob.expect("INVITE")
    bob.respond(received, 180)
    alice.expect("180 INVITE")
    alice.cancel(again)
    alice.expect("200 CANCEL")
    bob.expect("CANCEL")
    bob.respond(received, 487)
    bob.expect("ACK")
    alice.expect("487 INVITE")
    assert stream.peers == before
    hang_up(call.caller, call.callee)


# ------------------------------------------------------------------------------------------------ UPDATE, PRACK


def test_rfc_3311_an_update_moves_media_and_a_rejected_one_does_not(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    call.caller.request("UPDATE", moved(alice, 30_000))
    bob.respond(bob.expect("UPDATE"), 488)
    alice.expect("488 UPDATE")
    assert stream.peers[0] == ("192.0.2.10", 20_000)
    call.caller.request("UPDATE", moved(alice, 30_000))
    update = bob.expect("UPDATE")
    assert media_addresses(update.body)[0] == ("192.0.2.1", stream.ports[1])
    bob.respond(update, 200, "OK", body=bob.sdp())
    assert media_addresses(alice.expect("200 UPDATE").body)[0] == ("192.0.2.1", stream.ports[0])
    assert stream.peers[0] == ("192.0.2.10", 30_000)


def early(alice: FakePhone, bob: FakePhone) -> tuple[SipText, SipText, TestCall]:
    """A call with a reliable 183 that has an answer in it."""
    invite = alice.invite("101", headers=(("Supported", "100rel"),))
    received = bob.expect("INVITE")
    progress = bob.respond(received, 183, body=bob.sdp(), headers=(("Require", "100rel"), ("RSeq", "1")))
    answer = alice.expect("183 INVITE")
    call = TestCall(alice.caller_dialog(invite, answer), bob.callee_dialog(received, progress), invite, answer)
    return invite, received, call


def test_rfc_3262_prack_in_an_early_dialog(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    invite, received, call = early(alice, bob)
    assert (call.answer["RSeq"], call.answer["Require"]) == ("1", "100rel")
    call.caller.request("PRACK", headers=(("RAck", f"1 {invite.cseq} INVITE"),))
    prack = bob.expect("PRACK")
    assert prack["RAck"] == f"1 {invite.cseq} INVITE"
    bob.respond(prack, 200, "OK")
    alice.expect("200 PRACK")
    bob.respond(received, 200, "OK")
    alice.expect("200 INVITE")
    call.caller.request("BYE")
    bob.expect("BYE")


def test_rfc_3262_prack_may_carry_an_offer(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    _, _, call = early(alice, bob)
    (stream,) = office.relay.open_sessions
    call.caller.request("PRACK", moved(alice, 30_000))
    prack = bob.expect("PRACK")
    assert media_addresses(prack.body)[0] == ("192.0.2.1", stream.ports[1])
    bob.respond(prack, 200, "OK", body=bob.sdp())
    assert media_addresses(alice.expect("200 PRACK").body)[0] == ("192.0.2.1", stream.ports[0])
    assert stream.peers[0] == ("192.0.2.10", 30_000)


@pytest.mark.parametrize("body", [b"", b"offer"])
def test_rfc_3311_update_in_an_early_dialog_does_not_disturb_the_invite(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, body: bytes
) -> None:
    invite, received, call = early(alice, bob)
    (stream,) = office.relay.open_sessions
    call.caller.request("UPDATE", moved(alice, 30_000) if body else b"")
    update = bob.expect("UPDATE")
    bob.respond(update, 200, "OK", body=bob.sdp() if body else b"")
    alice.expect("200 UPDATE")
    bob.respond(received, 200, "OK")
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    assert stream.peers[0] == ("192.0.2.10", 30_000 if body else 20_000)
    caller.cseq = call.caller.cseq
    caller.request("BYE")
    bob.expect("BYE")
    assert office.relay.open_sessions == []


def test_update_during_a_reinvite_both_rejected(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    before = dict(stream.peers)
    at_bob = reinvite(call.caller, call.callee, moved(alice, 30_000))
    call.callee.request("UPDATE", moved(bob, 40_000))
    alice.respond(alice.expect("UPDATE"), 491)
    bob.expect("491 UPDATE")
    bob.respond(at_bob, 488)
    bob.expect("ACK")
    alice.expect("488 INVITE")
    assert stream.peers == before


def test_update_rejected_during_a_reinvite_that_is_accepted(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    at_bob = reinvite(call.caller, call.callee, moved(alice, 30_000))
    call.callee.request("UPDATE", moved(bob, 40_000))
    alice.respond(alice.expect("UPDATE"), 491)
    bob.expect("491 UPDATE")
    accept(call.caller, call.callee, at_bob)
    assert stream.peers == {0: ("192.0.2.10", 30_000), 1: ("192.0.2.11", 20_000)}


def test_a_body_that_is_no_description_stays_as_it_is(alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    dtmf = b"Signal=5\r\nDuration=160\r\n"
    call.caller.request("INFO", dtmf, headers=(("Content-Type", "application/dtmf-relay"),))
    assert bob.expect("INFO").body == dtmf
    alice.send_request("INVITE", "sip:101@192.0.2.1", headers=(("Content-Type", "text/plain"),), body=b"hello")
    assert bob.expect("INVITE").body == b"hello"
