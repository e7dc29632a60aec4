"""sip/proxy.py: CANCEL on its way to the phones (RFC 3261 9, 16.10)."""

from __future__ import annotations

from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.harness import CoreHarness


def test_9_2_cancel_of_nothing_is_481(alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    hang_up(call.caller, call.callee)
    invite = alice.invite("101")
    invite.headers[0] = ("Via", alice.via("z9hG4bKunknown"))
    bob.expect("INVITE")
    alice.cancel(invite)
    alice.expect("481 CANCEL")
    bob.expect_nothing()


def test_9_2_cancel_of_an_invite_answered_already_is_200_and_without_effect(alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.send_request("INVITE", "sip:999@192.0.2.1", headers=(("Proxy-Require", "x"),))
    alice.expect("420 INVITE")
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    call = establish(alice, bob)
    alice.cancel(call.invite)
    alice.expect("200 CANCEL")
    bob.expect_nothing()


def test_9_1_cancel_has_the_branch_and_uri_of_the_forwarded_invite(alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 180, "Ringing")
    alice.expect("180 INVITE")
    alice.cancel(invite, 'Q.850;cause=16;text="Terminated"')
    alice.expect("200 CANCEL")
    cancel = bob.expect("CANCEL")
    assert cancel.all("Via") == received.all("Via")[:1]
    assert (cancel.request_uri, cancel["CSeq"]) == (received.request_uri, f"{received.cseq} CANCEL")
    assert (cancel["From"], cancel["To"], cancel.call_id) == (received["From"], received["To"], received.call_id)
    assert cancel["Reason"] == 'Q.850;cause=16;text="Terminated"'
    bob.respond(cancel, 200, "OK")
    bob.respond(received, 487, "Request Terminated")
    ack = bob.expect("ACK")
    assert (ack.branch, ack.to_tag) == (received.branch, "to101")
    assert alice.expect("487 INVITE").to_tag == "to101"
    alice.expect_nothing()


def test_9_1_cancel_waits_for_a_provisional(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    bob.expect_nothing()
    bob.respond(received, 100, "Trying")
    bob.expect("CANCEL")
    bob.respond(received, 487, "Request Terminated")
    bob.expect("ACK")
    alice.ack_failure(invite, alice.expect("487 INVITE"))


def test_9_1_no_cancel_after_a_final_response(alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    bob.respond(received, 486, "Busy Here")
    assert bob.expect("ACK").branch == received.branch
    alice.expect("486 INVITE")
    bob.expect_nothing()


def test_16_10_a_200_after_cancel_is_still_forwarded(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 180, "Ringing")
    alice.expect("180 INVITE")
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    bob.respond(bob.expect("CANCEL"), 200, "OK")
    callee = bob.answer(received)
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    caller.request("ACK")
    callee.expect("ACK")
    hang_up(caller, callee)
    assert [row.snapshot.termination_reason for row in office.ended_calls()] == ["normal"]


def test_a_cancelled_phone_that_never_answers_gives_the_caller_487(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite = alice.invite("101")
    bob.respond(bob.expect("INVITE"), 180, "Ringing")
    alice.expect("180 INVITE")
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    bob.expect("CANCEL")
    office.advance(32.1)
    alice.expect("487 INVITE")
    assert office.relay.open_sessions == []
