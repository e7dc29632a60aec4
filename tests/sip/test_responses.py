"""sip/responses.py: responses on their way back, forks and their winner (RFC 3261 16.7 to 16.9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sip.snapshots import TerminationReason
from sip.timers import TimerSettings
from sip.trace_keeper import TRACE_AFTER_S
from tests.support.bench_phone import SDP, FakePhone, TestCall, establish, hang_up
from tests.support.harness import CoreHarness
from tests.support.sip_text import SipText


@pytest.fixture
def desk(office: CoreHarness) -> FakePhone:
    """The first device of 101."""
    return FakePhone(office, "101", "192.0.2.11").registered()


@pytest.fixture
def cell(office: CoreHarness) -> FakePhone:
    """The second device of 101."""
    return FakePhone(office, "101", "198.51.100.7", 43210, own="10.0.0.5:5060", connection=7).registered()


def ring(caller: FakePhone, *phones: FakePhone) -> tuple[SipText, list[SipText]]:
    """Call 101; all of these phones ring."""
    invite = caller.invite("101")
    received = [phone.expect("INVITE") for phone in phones]
    for phone, request in zip(phones, received, strict=True):
        phone.respond(request, 180, "Ringing", tag=f"at-{phone.host}")
        caller.expect("180 INVITE")
    return invite, received


# ------------------------------------------------------------------------------------------------ one phone


def test_16_7_step_3_only_our_via_comes_off(alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    bob.respond(bob.expect("INVITE"), 180, "Ringing")
    ringing = alice.expect_sent("180 INVITE")
    via = f"SIP/2.0/UDP 192.0.2.10:5060;rport=5060;branch={invite.branch};received=192.0.2.10"
    assert ringing.message.all("Via") == [via]
    assert ringing.data.startswith(b"SIP/2.0 180 Ringing\r\n")


def test_16_7_step_4_a_100_stays_here_and_other_provisionals_go_on(alice: FakePhone, bob: FakePhone) -> None:
    alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 100, "Trying")
    alice.expect_nothing()
    for status in (180, 181, 182, 183, 199):
        bob.respond(received, status)
        alice.expect(f"{status} INVITE")


def test_a_response_without_a_via_for_the_caller_is_dropped(alice: FakePhone, bob: FakePhone) -> None:
    alice.invite("101")
    received = bob.expect("INVITE")
    received.headers = [header for header in received.headers if header != ("Via", received.all("Via")[1])]
    bob.respond(received, 180)
    alice.expect_nothing()


def test_16_7_forwards_every_2xx_with_identical_bytes(alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    ok = bob.respond(bob.expect("INVITE"), 200, "OK", body=bob.sdp())
    first = alice.expect_sent("200 INVITE").data
    for _ in range(3):
        bob.inject(ok.to_bytes())
        assert alice.expect_sent("200 INVITE").data == first
    alice.caller_dialog(invite, SipText.parse(first)).request("ACK")
    bob.expect("ACK")


def test_17_1_1_3_a_failure_is_acknowledged_hop_by_hop(alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 486, "Busy Here")
    ack = bob.expect("ACK")
    assert (ack.all("Via"), ack.request_uri, ack.to_tag) == (received.all("Via")[:1], received.request_uri, "to101")
    alice.ack_failure(invite, alice.expect("486 INVITE"))
    bob.expect_nothing()


def test_16_7_step_6_a_503_goes_upstream_as_500(alice: FakePhone, bob: FakePhone) -> None:
    alice.invite("101")
    bob.respond(bob.expect("INVITE"), 503, "Service Unavailable")
    bob.expect("ACK")
    alice.expect("500 INVITE")


def test_a_redirect_is_left_to_the_caller(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    alice.invite("101")
    bob.respond(bob.expect("INVITE"), 302, "Moved Temporarily", headers=(("Contact", "<sip:102@192.0.2.1>"),))
    bob.expect("ACK")
    assert alice.expect("302 INVITE")["Contact"] == "<sip:102@192.0.2.1>"
    assert office.core.calls() == ()


def test_16_8_a_phone_that_never_answers_is_408(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    alice.invite("101")
    office.advance(32.1)
    assert office.unread(bob.way) == ["INVITE"] * 7
    alice.expect("408 INVITE")
    office.forget()


def test_16_9_a_phone_that_cannot_be_reached_is_480(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    office.unreachable.add(bob.host)
    alice.invite("101")
    alice.expect("480 INVITE")
    (row,) = office.ended_calls()
    assert row.snapshot.termination_reason == "unreachable"
    assert office.relay.open_sessions == []


def test_rfc_4320_4_1_no_408_to_a_message(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("MESSAGE", "sip:101@192.0.2.1")
    office.advance(40)
    assert all(what == "100 MESSAGE" for what in office.unread(alice.way))
    office.forget()


def test_16_6_step_11_timer_c_cancels_a_call_that_rings_for_ever(alice: FakePhone, bob: FakePhone) -> None:
    office = alice.office
    call = establish(alice, bob)
    # A re-INVITE has no set-up limit but Timer C.
    call.caller.request("INVITE", alice.sdp(version=2))
    alice.expect("100 INVITE")
    received = bob.expect("INVITE")
    bob.respond(received, 180)
    alice.expect("180 INVITE")
    keep_talking(office)
    office.advance(100)
    bob.respond(received, 180)
    alice.expect("180 INVITE")
    keep_talking(office)
    office.advance(180.9)
    bob.expect_nothing()
    office.advance(0.2)
    bob.respond(bob.expect("CANCEL"), 200, "OK")
    bob.respond(received, 487, "Request Terminated")
    bob.expect("ACK")
    alice.expect("408 INVITE")
    assert len(office.core.calls()) == 1


def test_16_8_timer_c_before_any_provisional_counts_as_408() -> None:
    office = CoreHarness(TimerSettings(timer_c_s=10.0))
    alice = FakePhone(office, "100", "192.0.2.10").registered()
    bob = FakePhone(office, "101", "192.0.2.11").registered()
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    office.advance(10)
    alice.ack_failure(invite, alice.expect("408 INVITE"))
    assert office.core.calls() == ()
    office.forget()
    bob.respond(received, 200, "OK", body=bob.sdp())
    bob.expect("ACK")
    bob.respond(bob.expect("BYE"), 200, "OK")
    alice.expect_nothing()
    office.assert_clean()


def test_a_provisional_without_a_tag_makes_no_dialog(alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    bob.respond(bob.expect("INVITE"), 180, tag=None)
    assert alice.expect("180 INVITE").to_tag == ""
    alice.send_request("PRACK", bob.contact_uri, from_=invite["From"], call_id=invite.call_id)
    alice.expect("481 PRACK")


def keep_talking(office: CoreHarness, seconds: float = 250.0) -> None:
    for session in office.relay.open_sessions:
        session.packet_at = office.now + seconds


def test_a_contact_or_route_that_cannot_be_read_does_not_lose_the_call(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    alice.invite("101", headers=(("Record-Route", "<sip:"), ("Contact", "<sip:")))
    received = bob.expect("INVITE")
    bob.respond(received, 200, "OK", body=bob.sdp(), headers=(("Contact", "<sip:"),))
    alice.expect("200 INVITE")
    office.end_calls()
    assert bob.expect("BYE").request_uri == "sip:101@192.0.2.11:5060"
    assert alice.expect("BYE").request_uri == "sip:100@192.0.2.10:5060"


def test_12_1_2_a_2xx_without_a_to_tag_makes_a_call_all_the_same(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    callee = bob.answer(received, tag=None)
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    caller.request("ACK")
    callee.expect("ACK")
    callee.request("INFO")
    assert caller.expect("INFO").from_tag == ""
    caller.request("BYE")
    callee.expect("BYE")
    assert office.core.calls() == ()


# ------------------------------------------------------------------------------------------------ forks


def test_16_6_every_device_of_a_number_rings(
    office: CoreHarness, alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    invite, (at_desk, at_cell) = ring(alice, desk, cell)
    assert (at_desk.request_uri, at_cell.request_uri) == (desk.contact_uri, cell.contact_uri)
    assert at_desk.branch != at_cell.branch
    assert len(office.relay.open_sessions) == 2
    alice.cancel(invite)


def test_16_7_step_10_the_losers_get_cancel_with_a_reason(
    office: CoreHarness, alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    invite, (at_desk, at_cell) = ring(alice, desk, cell)
    callee = cell.answer(at_cell, tag="at-198.51.100.7")
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    cancel = desk.expect("CANCEL")
    assert cancel["Reason"] == 'SIP;cause=200;text="Call completed elsewhere"'
    assert cancel.branch == at_desk.branch
    desk.respond(cancel, 200, "OK")
    desk.respond(at_desk, 487, "Request Terminated", tag="at-192.0.2.11")
    desk.expect("ACK")
    alice.expect_nothing()
    assert len(office.relay.open_sessions) == 1
    caller.request("ACK")
    callee.expect("ACK")
    hang_up(caller, callee)
    assert office.relay.open_sessions == []


def both_answer(alice: FakePhone, desk: FakePhone, cell: FakePhone) -> list[TestCall]:
    """Both phones answer before the CANCEL reaches the second."""
    invite, requests = ring(alice, desk, cell)
    calls = []
    for phone, request in zip((desk, cell), requests, strict=True):
        callee = phone.answer(request, tag=f"at-{phone.host}")
        answer = alice.expect("200 INVITE")
        caller = alice.caller_dialog(invite, answer)
        caller.request("ACK")
        if phone is cell:
            phone.expect("CANCEL")
        phone.expect("ACK")
        calls.append(TestCall(caller, callee, invite, answer))
    return calls


def test_13_2_2_4_a_second_2xx_reaches_the_caller_and_is_hung_up_by_it(
    office: CoreHarness, alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    first, second = both_answer(alice, desk, cell)
    assert len(office.relay.open_sessions) == 2
    hang_up(second.caller, second.callee)
    assert len(office.relay.open_sessions) == 1
    assert [call.state for call in office.core.calls()] == ["ESTABLISHED"]
    hang_up(first.caller, first.callee)
    assert office.relay.open_sessions == []


def test_13_2_2_4_the_caller_may_keep_the_second_instead(
    office: CoreHarness, alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    first, second = both_answer(alice, desk, cell)
    hang_up(first.caller, first.callee)
    (call,) = office.core.calls()
    assert (call.state, call.to_address) == ("ESTABLISHED", "198.51.100.7:43210")
    assert len(office.relay.open_sessions) == 1
    hang_up(second.callee, second.caller)
    assert office.core.calls() == ()


def test_a_late_copy_of_the_2xx_does_not_revive_a_leg_hung_up(
    office: CoreHarness, alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    first, second = both_answer(alice, desk, cell)
    hang_up(second.caller, second.callee)
    copy = next(sent for sent in reversed(office.sent) if sent.message.what == "INVITE" and sent.flow.connection == 7)
    cell.respond(copy.message, 200, "OK", tag="at-198.51.100.7", body=cell.sdp())
    alice.expect("200 INVITE")
    hang_up(first.caller, first.callee)
    assert office.core.calls() == ()


def test_the_server_hangs_up_every_leg_that_answered(
    office: CoreHarness, alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    both_answer(alice, desk, cell)
    office.end_calls()
    desk.expect("BYE")
    cell.expect("BYE")
    assert {alice.expect("BYE").from_tag, alice.expect("BYE").from_tag} == {"at-192.0.2.11", "at-198.51.100.7"}


def fail(phone: FakePhone, request: SipText, status: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
    phone.respond(request, status, tag=f"at-{phone.host}", headers=headers)
    phone.expect("ACK")


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        (404, 302, 302),
        (500, 486, 486),
        (503, 480, 480),
        (503, 500, 500),
        (480, 415, 415),
        (484, 407, 407),
        (408, 486, 486),
        (486, 603, 603),
        (600, 604, 600),
        (302, 600, 600),
    ],
)
def test_16_7_step_6_the_best_response_wins(
    alice: FakePhone, desk: FakePhone, cell: FakePhone, first: int, second: int, best: int
) -> None:
    _, (at_desk, at_cell) = ring(alice, desk, cell)
    fail(desk, at_desk, first)
    if first >= 600:
        cell.expect("CANCEL")
    alice.expect_nothing()
    fail(cell, at_cell, second)
    alice.expect(f"{best} INVITE")
    alice.expect_nothing()


def test_16_7_step_5_a_6xx_cancels_the_others_and_waits_for_them(
    alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    _, (at_desk, at_cell) = ring(alice, desk, cell)
    fail(desk, at_desk, 603)
    alice.expect_nothing()
    cell.respond(cell.expect("CANCEL"), 200, "OK")
    fail(cell, at_cell, 487)
    alice.expect("603 INVITE")


def test_16_7_step_5_a_2xx_after_a_6xx_still_wins(alice: FakePhone, desk: FakePhone, cell: FakePhone) -> None:
    invite, (at_desk, at_cell) = ring(alice, desk, cell)
    fail(desk, at_desk, 603)
    cell.expect("CANCEL")
    callee = cell.answer(at_cell, tag="at-198.51.100.7")
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    caller.request("ACK")
    callee.expect("ACK")
    hang_up(caller, callee)


def test_16_7_step_7_challenges_of_all_branches_are_joined(alice: FakePhone, desk: FakePhone, cell: FakePhone) -> None:
    _, (at_desk, at_cell) = ring(alice, desk, cell)
    fail(desk, at_desk, 407, (("Proxy-Authenticate", 'Digest realm="desk"'),))
    fail(cell, at_cell, 401, (("WWW-Authenticate", 'Digest realm="cell"'),))
    response = alice.expect("401 INVITE")
    assert response.all("WWW-Authenticate") == ['Digest realm="cell"']
    assert response.all("Proxy-Authenticate") == ['Digest realm="desk"']


def test_a_device_that_fails_gives_its_ports_back_at_once(
    office: CoreHarness, alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    invite, (at_desk, _) = ring(alice, desk, cell)
    fail(desk, at_desk, 486)
    assert len(office.relay.open_sessions) == 1
    alice.cancel(invite)


def test_early_media_of_several_devices_have_ports_of_their_own(
    office: CoreHarness, alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    invite = alice.invite("101")
    offered = {phone.expect("INVITE").body for phone in (desk, cell)}
    assert len(offered) == 2
    alice.cancel(invite)


def test_cancel_reaches_every_device(alice: FakePhone, desk: FakePhone, cell: FakePhone) -> None:
    invite, (at_desk, at_cell) = ring(alice, desk, cell)
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    desk.expect("CANCEL")
    cell.expect("CANCEL")
    fail(desk, at_desk, 487)
    fail(cell, at_cell, 487)
    alice.expect("487 INVITE")


def test_a_message_goes_to_every_device_and_the_first_success_answers(
    alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    alice.send_request("MESSAGE", "sip:101@192.0.2.1")
    desk.respond(desk.expect("MESSAGE"), 404)
    alice.expect_nothing()
    cell.respond(cell.expect("MESSAGE"), 202, "Accepted")
    alice.expect("202 MESSAGE")


def test_rfc_4320_4_2_an_answer_to_a_message_after_its_time_goes_nowhere(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    alice.send_request("MESSAGE", "sip:101@192.0.2.1")
    received = bob.expect("MESSAGE")
    office.advance(33)
    office.forget()
    bob.respond(received, 200, "OK")
    assert office.unread() == []


# ------------------------------------------------------------------------------------------------ answers too late


def test_an_answer_after_the_server_gave_up_is_acknowledged_and_hung_up(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite, (received,) = ring(alice, bob)
    office.end_calls()
    bob.expect("CANCEL")
    alice.ack_failure(invite, alice.expect("480 INVITE"))
    ok = bob.respond(received, 200, "OK", tag="late", body=bob.sdp())
    ack, bye = bob.expect("ACK"), bob.expect("BYE")
    for request, cseq in ((ack, received.cseq), (bye, received.cseq + 1)):
        assert (request.request_uri, request.cseq, request.to_tag) == (bob.contact_uri, cseq, "late")
        assert (request["From"], request.call_id) == (received["From"], received.call_id)
        assert len(request.all("Via")) == 1
    assert ack.branch not in (received.branch, bye.branch)
    bob.respond(bye, 200, "OK")
    bob.inject(ok.to_bytes())
    bob.expect("ACK")
    bob.expect_nothing()
    alice.expect_nothing()


# ------------------------------------------------------------------------------------------------ unusable bodies


def test_an_answer_that_cannot_be_served_ends_the_call_on_both_sides(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite, (received,) = ring(alice, bob)
    ok = bob.respond(received, 200, "OK", tag="at-192.0.2.11", body=b"v=0\r\nm=audio nonsense\r\n")
    bob.expect("ACK")
    bob.respond(bob.expect("BYE"), 200, "OK")
    alice.ack_failure(invite, alice.expect("500 INVITE"))
    assert office.core.calls() == ()
    assert office.relay.open_sessions == []
    bob.inject(ok.to_bytes())
    bob.expect("ACK")
    bob.expect_nothing()


def test_an_unusable_answer_of_a_second_device_ends_that_device_only(
    office: CoreHarness, alice: FakePhone, desk: FakePhone, cell: FakePhone
) -> None:
    invite, (at_desk, at_cell) = ring(alice, desk, cell)
    callee = desk.answer(at_desk, tag="at-192.0.2.11")
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    cell.expect("CANCEL")
    cell.respond(at_cell, 200, "OK", tag="at-198.51.100.7", body=b"nonsense", headers=(SDP,))
    assert cell.expect("ACK").to_tag == cell.expect("BYE").to_tag == "at-198.51.100.7"
    alice.expect_nothing()
    assert len(office.relay.open_sessions) == 1
    hang_up(caller, callee)


def test_an_unusable_answer_of_a_second_phone_behind_one_contact_leaves_the_first_its_media(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite, (received,) = ring(alice, bob)
    callee = bob.answer(received, tag="one")
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    bob.respond(received, 200, "OK", tag="two", body=b"nonsense", headers=(SDP,))
    assert bob.expect("ACK").to_tag == bob.expect("BYE").to_tag == "two"
    assert len(office.relay.open_sessions) == 1
    hang_up(caller, callee)


def test_a_late_offer_without_free_ports_is_503(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    office.relay.free = 0
    alice.invite("101", body=b"")
    received = bob.expect("INVITE")
    bob.respond(received, 200, "OK", body=bob.sdp())
    assert alice.expect("503 INVITE").reason == "No Free Media Ports"
    bob.expect("ACK")
    bob.expect("BYE")


def test_an_answer_to_a_reinvite_that_cannot_be_served_ends_the_call(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    call.caller.request("INVITE", alice.sdp(version=2))
    alice.expect("100 INVITE")
    received = bob.expect("INVITE")
    bob.respond(received, 200, "OK", body=b"nonsense", headers=(SDP,))
    alice.expect("500 INVITE")
    assert bob.expect("ACK").cseq == received.cseq
    bob.expect("BYE")
    alice.expect("BYE")
    assert office.relay.open_sessions == []
    bob.expect_nothing()


def test_early_media_that_cannot_be_served_leave_the_call_ringing(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite, (received,) = ring(alice, bob)
    bob.respond(received, 183, tag="at-192.0.2.11", body=b"nonsense", headers=(SDP,))
    alice.expect_nothing()
    callee = bob.answer(received, tag="at-192.0.2.11")
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    caller.request("ACK")
    callee.expect("ACK")
    hang_up(callee, caller)


def without_lower_vias(request: SipText) -> SipText:
    """As a phone sees it that answers the top Via only."""
    top, *_ = request.all("Via")
    return SipText(request.start_line, [("Via", top), *(each for each in request.headers if each[0] != "Via")], b"")


@pytest.mark.parametrize("status", [200, 404, 603])
def test_16_7_step_3_a_final_response_without_the_caller_s_via_fails_the_branch(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, status: int
) -> None:
    invite = alice.invite("101")
    bob.respond(without_lower_vias(bob.expect("INVITE")), status, "Strange", body=bob.sdp() if status == 200 else b"")
    bob.expect("ACK")
    if status == 200:
        bob.respond(bob.expect("BYE"), 200, "OK")
    alice.ack_failure(invite, alice.expect("502 INVITE"))
    assert office.core.calls() == ()
    office.assert_clean()


def test_16_7_step_3_a_reinvite_answered_without_the_caller_s_via_is_acknowledged_and_refused(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    call.caller.request("INVITE", alice.sdp(version=2))
    alice.expect("100 INVITE")
    bob.respond(without_lower_vias(bob.expect("INVITE")), 200, "OK", body=bob.sdp(version=2), headers=(SDP,))
    bob.expect("ACK")
    alice.expect("502 INVITE")
    hang_up(call.callee, call.caller)
    office.assert_clean()


def test_16_7_step_3_the_same_outside_a_call(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("MESSAGE", "sip:101@192.0.2.1")
    bob.respond(without_lower_vias(bob.expect("MESSAGE")), 200, "OK")
    alice.expect("502 MESSAGE")
    office.assert_clean()


# ------------------------------------------------------------------------------------------------ ICMP


def test_18_4_what_came_back_ends_the_branch_it_names_at_once(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    alice.invite("101")
    sent = bob.expect_sent("INVITE")
    office.core.undelivered(bob.host, bob.port, sent.data, "port unreachable", office.now)
    office.collect()
    assert alice.expect("480 INVITE")
    office.advance(TRACE_AFTER_S)
    (ended,) = office.ended_calls()
    assert ended.snapshot.termination_reason is TerminationReason.UNREACHABLE
    facts = {entry.fact: entry.details for entry in ended.entries}
    assert facts["unreachable"]["why"] == "port unreachable"
    assert facts["unreachable"]["address"] == "192.0.2.11:5060"


@pytest.mark.parametrize(
    ("change", "port"),
    [
        (lambda data: data.replace(b"z9hG4bK", b"z9hG4bKx", 1), 5060),
        (lambda data: data[:8], 5060),
        (lambda _data: b"", 5060),
        (lambda data: data, 5061),
    ],
    ids=["another branch", "a short quotation", "none", "from another place"],
)
def test_a_word_that_may_be_forged_ends_nothing(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, change: Callable[[bytes], bytes], port: int
) -> None:
    alice.invite("101")
    sent = bob.expect_sent("INVITE")
    office.core.undelivered(bob.host, port, change(sent.data), "port unreachable", office.now)
    office.collect()
    assert len(office.core.calls()) == 1


def test_a_word_without_a_branch_explains_the_silence_that_follows(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    alice.invite("101")
    bob.expect("INVITE")
    office.core.undelivered(bob.host, bob.port, b"", "host unreachable", office.now)
    office.advance(33.0)
    office.advance(TRACE_AFTER_S)
    (ended,) = office.ended_calls()
    (fact,) = [entry.details for entry in ended.entries if entry.fact == "unanswered"]
    assert fact["why"] == "host unreachable"
