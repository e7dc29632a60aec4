"""sip/call_control.py: how calls are answered, refreshed, watched and ended (RFC 3261 13 to 15, RFC 4028)."""

from __future__ import annotations

import pytest

from rtp.pulse import Pulse
from sip.call_control import HOLD_LIMIT_S, SESSION_GRACE_S, reason_value
from sip.snapshots import CallState
from tests.support.bench_phone import FakePhone, TestCall, establish, hang_up
from tests.support.harness import CoreHarness, FakeEvent
from tests.support.rtp import media_addresses


def ended(office: CoreHarness) -> tuple[str, int, str]:
    """Reason, status and by whom of the call that ended last."""
    snapshot = office.ended_calls()[-1].snapshot
    assert snapshot.state is CallState.TERMINATED
    return str(snapshot.termination_reason), snapshot.status, snapshot.ended_by


def keep_talking(office: CoreHarness, seconds: float) -> None:
    """Media flow until then."""
    for session in office.relay.open_sessions:
        session.packet_at = office.now + seconds


# ------------------------------------------------------------------------------------------------ states for people


def test_initiated_ringing_established_terminated(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    (call,) = office.core.calls()
    assert (call.state, call.from_number, call.to_number) == (CallState.INITIATED, "100", "101")
    assert (call.from_address, call.to_address) == ("192.0.2.10:5060", "192.0.2.11:5060")
    assert (call.invited_at, call.ringing_at, call.answered_at) == (office.now_at, None, None)
    office.advance(0.3)
    bob.respond(received, 180)
    rang_at = office.now_at
    (call,) = office.core.calls()
    assert (call.state, call.ringing_at, call.status) == (CallState.RINGING, rang_at, 0)
    office.advance(0.3)
    callee = bob.answer(received)
    answered_at = office.now_at
    (call,) = office.core.calls()
    assert (call.state, call.answered_at, call.status) == (CallState.ESTABLISHED, answered_at, 200)
    office.forget()
    caller = alice.caller_dialog(invite, office.sent[-1].message)
    office.advance(0.3)
    hang_up(callee, caller)
    assert office.core.calls() == ()
    (row,) = office.ended_calls()
    call = row.snapshot
    assert (call.state, call.ended_at, call.ringing_at, call.answered_at) == (
        CallState.TERMINATED,
        office.now_at,
        rang_at,
        answered_at,
    )
    assert (call.status, call.termination_reason, call.reason_text) == (200, "normal", "101 hung up")
    assert row.streams[0].kind == "audio"


def test_an_ipv6_address_is_shown_in_brackets(office: CoreHarness, bob: FakePhone) -> None:
    six = FakePhone(office, "100", "2001:db8::7", own="[2001:db8::7]:5060").registered()
    six.invite("101")
    assert office.core.calls()[0].from_address == "[2001:db8::7]:5060"
    assert media_addresses(bob.expect("INVITE").body)[0][0] == "192.0.2.1"


def test_15_1_2_bye_from_either_side_ends_the_call(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    hang_up(call.caller, call.callee)
    assert ended(office) == ("normal", 200, "caller")
    call = establish(alice, bob)
    hang_up(call.callee, call.caller)
    assert ended(office) == ("normal", 200, "callee")
    assert office.relay.open_sessions == []


def test_15_1_2_the_call_is_over_when_the_bye_comes_whatever_the_other_phone_says(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    call.caller.request("BYE")
    assert office.relay.open_sessions == []
    bob.respond(bob.expect("BYE"), 481)
    alice.expect("481 BYE")


def test_a_bye_that_is_never_answered_leaves_nothing(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    call.caller.request("BYE")
    office.advance(40)
    assert "200 BYE" not in office.unread(alice.way)
    office.forget()


def test_crossing_byes_are_both_delivered(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    call.caller.request("BYE")
    call.callee.request("BYE")
    alice.respond(alice.expect("BYE"), 200, "OK")
    bob.respond(bob.expect("BYE"), 200, "OK")
    alice.expect("200 BYE")
    bob.expect("200 BYE")
    assert office.core.call_totals().total == 1


def test_15_bye_in_an_early_dialog(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 180)
    caller = alice.caller_dialog(invite, alice.expect("180 INVITE"))
    caller.request("BYE")
    bob.respond(bob.expect("BYE"), 200, "OK")
    caller.expect("200 BYE")
    bob.respond(received, 487, "Request Terminated")
    bob.expect("ACK")
    alice.expect("487 INVITE")
    assert ended(office)[0] == "cancelled"


# ------------------------------------------------------------------------------------------------ how calls fail


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (486, "busy"),
        (600, "busy"),
        (603, "rejected"),
        (480, "rejected"),
        (488, "rejected"),
        (404, "rejected"),
        (500, "error"),
    ],
)
def test_the_answer_of_the_phone_says_why(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, status: int, reason: str
) -> None:
    alice.invite("101")
    bob.respond(bob.expect("INVITE"), status)
    assert ended(office) == (reason, status, "callee")
    assert office.relay.open_sessions == []


def test_a_caller_that_gives_up(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 180)
    alice.cancel(invite)
    bob.respond(received, 487)
    assert ended(office) == ("cancelled", 487, "caller")
    assert office.relay.open_sessions == []


def test_a_phone_that_is_off(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    alice.invite("101")
    office.advance(33)
    assert ended(office)[:2] == ("unreachable", 408)
    assert office.relay.open_sessions == []


def test_a_number_that_is_not_registered(office: CoreHarness, alice: FakePhone) -> None:
    alice.send_request("INVITE", "sip:102@192.0.2.1")
    assert ended(office) == ("unreachable", 480, "server")


def test_a_phone_that_rings_too_long_is_cancelled_and_the_caller_gets_408(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 180)
    alice.expect("180 INVITE")
    office.advance(179.9)
    bob.expect_nothing()
    office.advance(0.2)
    bob.respond(bob.expect("CANCEL"), 200, "OK")
    bob.respond(received, 487)
    alice.ack_failure(invite, alice.expect("408 INVITE"))
    assert ended(office)[:2] == ("noanswer", 408)


def test_a_phone_that_takes_the_call_and_never_rings_is_a_timeout(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 100)
    office.advance(180.1)
    bob.respond(received, 487)
    assert ended(office)[:2] == ("timeout", 408)
    office.forget()


def test_no_ports_left_is_503_and_they_come_back(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    office.relay.free = 1
    call = establish(alice, bob)
    carol = FakePhone(office, "102", "192.0.2.12").registered()
    invite = carol.invite("101")
    response = carol.expect("503 INVITE")
    assert response.reason == "No Free Media Ports"
    carol.ack_failure(invite, response)
    bob.expect_nothing()
    assert ended(office) == ("error", 503, "server")
    hang_up(call.caller, call.callee)
    establish(carol, bob)


def test_ports_that_suffice_for_one_device_only_are_all_given_back(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    FakePhone(office, "101", "192.0.2.13").registered()
    office.relay.free = 1
    alice.invite("101")
    alice.expect("503 INVITE")
    assert office.relay.open_sessions == []
    bob.expect_nothing()


def test_a_broken_offer_is_refused_and_leaves_nothing(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    alice.invite("101", body=b"v=0\r\nm=audio x RTP/AVP 0\r\n")
    alice.expect("400 INVITE")
    assert (ended(office)[0], office.relay.open_sessions) == ("error", [])
    bob.expect_nothing()


# ------------------------------------------------------------------------------------------------ ended by the server


def test_15_the_server_ends_an_established_call_with_a_bye_to_both(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    call.callee.request("INFO")
    alice.respond(alice.expect("INFO"), 200, "OK")
    bob.expect("200 INFO")
    office.end_calls()
    for phone, dialog, other in ((alice, call.caller, call.callee), (bob, call.callee, call.caller)):
        bye = phone.expect("BYE")
        # As the other phone would have sent it (12.2.1.1).
        assert (bye.request_uri, bye["From"], bye["To"]) == (phone.contact_uri, dialog.remote, dialog.local)
        assert (bye.call_id, bye.cseq) == (dialog.call_id, other.cseq + 1)
        assert bye["Reason"] == 'SIP;cause=200;text="the server is shutting down"'
        assert (len(bye.all("Via")), "Route" in bye, bye["Max-Forwards"]) == (1, False, "70")
        phone.respond(bye, 200, "OK")
    assert ended(office) == ("admin", 200, "server")
    assert office.relay.open_sessions == []


def test_15_a_bye_of_the_server_travels_the_route_set(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101", headers=(("Record-Route", "<sip:edge.example;lr>"),))
    received = bob.expect("INVITE")
    received.headers.insert(0, ("Record-Route", "<sip:core.example;lr>"))
    bob.answer(received)
    alice.caller_dialog(invite, alice.expect("200 INVITE")).request("ACK")
    bob.expect("ACK")
    office.end_calls()
    assert alice.expect("BYE").all("Route") == ["<sip:edge.example;lr>"]
    assert bob.expect("BYE").all("Route") == ["<sip:core.example;lr>"]


def test_the_server_ends_a_ringing_call_with_cancel_and_480(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 180)
    alice.expect("180 INVITE")
    office.end_calls()
    alice.ack_failure(invite, alice.expect("480 INVITE"))
    cancel = bob.expect("CANCEL")
    assert cancel["Reason"] == 'SIP;cause=480;text="the server is shutting down"'
    bob.respond(received, 487)
    bob.expect("ACK")
    alice.expect_nothing()
    assert (ended(office), office.relay.open_sessions) == (("admin", 480, "server"), [])


def test_the_server_ends_a_call_that_has_no_provisional_yet(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    alice.invite("101")
    received = bob.expect("INVITE")
    office.end_calls()
    alice.expect("480 INVITE")
    bob.expect_nothing()
    bob.respond(received, 180)
    bob.expect("CANCEL")
    alice.expect_nothing()


def test_the_server_ends_a_call_in_the_middle_of_a_reinvite(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    call.caller.request("INVITE", alice.sdp(version=2))
    alice.expect("100 INVITE")
    received = bob.expect("INVITE")
    office.end_calls()
    assert bob.expect("BYE").cseq == call.caller.cseq + 1
    alice.expect("BYE")
    bob.respond(received, 487)
    bob.expect("ACK")
    alice.expect("487 INVITE")
    assert office.relay.open_sessions == []


def test_ending_twice_is_ending_once(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    establish(alice, bob)
    office.end_calls()
    office.end_calls()
    alice.expect("BYE")
    alice.expect_nothing()
    assert office.core.call_totals().total == 1


def test_rfc_3326_the_reason_text_cannot_break_out_of_its_header() -> None:
    assert reason_value(200, 'a "b" \\ c\r\nX: y') == 'SIP;cause=200;text="a \\"b\\" \\\\ c  X: y"'


# ------------------------------------------------------------------------------------------------ session timers


def session(alice: FakePhone, bob: FakePhone, value: str) -> TestCall:
    call = establish(alice, bob, headers=(("Session-Expires", value), ("Require", "timer")))
    keep_talking(alice.office, 5_000)
    return call


def test_rfc_4028_session_expires_passes_through(alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101", headers=(("Session-Expires", "1800"), ("Supported", "timer"), ("Min-SE", "90")))
    received = bob.expect("INVITE")
    assert (received["Session-Expires"], received["Supported"], received["Min-SE"]) == ("1800", "timer", "90")
    bob.answer(received, headers=(("Session-Expires", "1800;refresher=uac"),))
    answer = alice.expect("200 INVITE")
    assert answer["Session-Expires"] == "1800;refresher=uac"
    alice.caller_dialog(invite, answer).request("BYE")


def test_rfc_4028_10_a_session_nobody_refreshes_is_ended(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    session(alice, bob, "1800;refresher=uac")
    office.advance(1800 + SESSION_GRACE_S - 0.1)
    bob.expect_nothing()
    office.advance(0.2)
    bob.expect("BYE")
    alice.expect("BYE")
    assert ended(office)[0] == "timeout"
    office.forget()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_rfc_4028_8_a_refresh_sets_the_timer_anew(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, method: str
) -> None:
    call = session(alice, bob, "600")
    office.advance(300)
    call.callee.request(method)
    received = call.caller.expect(method)
    alice.respond(received, 200, "OK", headers=(("x", "900"),))
    office.advance(600)
    assert len(office.core.calls()) == 1
    office.advance(300 + SESSION_GRACE_S)
    assert ended(office)[0] == "timeout"
    office.forget()


def test_rfc_4028_a_refresh_without_session_expires_ends_the_timer(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = session(alice, bob, "600")
    call.caller.request("UPDATE")
    bob.respond(bob.expect("UPDATE"), 200, "OK")
    office.advance(2_000)
    assert len(office.core.calls()) == 1


# ------------------------------------------------------------------------------------------------ media watch


def test_a_call_without_media_is_ended_after_the_time_set(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    establish(alice, bob)
    office.advance(59.9)
    assert len(office.core.calls()) == 1
    office.advance(0.2)
    assert ended(office) == ("media-timeout", 200, "server")
    assert "60 seconds" in bob.expect("BYE")["Reason"]
    alice.expect("BYE")
    office.forget()


def test_a_call_lives_while_packets_come(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    establish(alice, bob)
    (stream,) = office.relay.open_sessions
    for _ in range(30):
        stream.packet_at = office.now
        office.advance(50)
    assert len(office.core.calls()) == 1
    office.advance(15)
    assert ended(office)[0] == "media-timeout"
    office.forget()


def put_on_hold(call: TestCall, direction: str) -> None:
    alice, bob = call.caller.phone, call.callee.phone
    call.caller.request("INVITE", alice.sdp(direction, version=2))
    alice.expect("100 INVITE")
    bob.respond(bob.expect("INVITE"), 200, "OK", body=bob.sdp())
    alice.expect("200 INVITE")
    call.caller.request("ACK")
    bob.expect("ACK")


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_a_call_on_hold_may_be_silent_for_an_hour(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, direction: str
) -> None:
    call = establish(alice, bob)
    put_on_hold(call, direction)
    office.advance(HOLD_LIMIT_S - 5)
    assert len(office.core.calls()) == 1
    office.advance(11)
    assert ended(office)[0] == "media-timeout"
    assert "3600 seconds" in office.ended_calls()[0].snapshot.reason_text
    office.forget()


def test_music_on_hold_may_last_longer(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    put_on_hold(call, "sendonly")
    keep_talking(office, 3_600)
    office.advance(HOLD_LIMIT_S + 3_500)
    assert len(office.core.calls()) == 1


def test_after_hold_the_usual_time_counts_from_the_resumption(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    put_on_hold(call, "sendonly")
    office.advance(1_000)
    put_on_hold(call, "sendrecv")
    office.advance(50)
    assert len(office.core.calls()) == 1
    office.advance(20)
    assert ended(office)[0] == "media-timeout"
    office.forget()


def test_what_the_relay_noticed_is_in_the_record(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    stream.events.append(FakeEvent(office.now, 0, "first packet"))
    office.advance(5)
    stream.events.append(FakeEvent(office.now, 1, "media stopped"))
    hang_up(call.caller, call.callee)
    lines = office.journal()
    assert lines.index("caller: first packet") < lines.index("callee: media stopped")


def test_both_limits_are_settings() -> None:
    office = CoreHarness(media_timeout=10.0, call_setup_timeout=20.0)
    caller = FakePhone(office, "100", "192.0.2.10").registered()
    callee = FakePhone(office, "101", "192.0.2.11").registered()
    establish(caller, callee)
    office.advance(10)
    assert ended(office)[0] == "media-timeout"
    office.forget()
    caller.invite("101")
    received = callee.expect("INVITE")
    callee.respond(received, 180)
    office.forget()
    office.advance(20)
    assert "CANCEL" in office.unread(callee.way)
    office.assert_clean()


def test_a_call_without_any_stream_through_the_relay_does_not_last_for_ever(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    """Neither phone says BYE, and there is nothing to listen for."""
    invite = alice.invite("101", body=b"")
    bob.respond(bob.expect("INVITE"), 200, "OK")
    alice.caller_dialog(invite, alice.expect("200 INVITE")).request("ACK")
    office.advance(HOLD_LIMIT_S - 10)
    assert len(office.core.calls()) == 1
    office.advance(20)
    assert ended(office)[0] == "media-timeout"
    office.forget()


def test_one_way_audio_stands_in_the_journal_while_the_call_lasts(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    establish(alice, bob)
    answered_at = office.now_at
    (stream,) = office.relay.open_sessions
    for _ in range(20):
        office.advance(1)
        stream.packet_at = office.now
        stream.heard[0] = Pulse(packets=50, received=50, last_at=office.now)
    (call,) = office.core._exchange.calls.live()
    (entry,) = [each for each in call.journal.entries() if each.fact == "one-way-audio"]
    assert answered_at + 5 <= entry.at <= answered_at + 7
    assert (entry.details["side"], entry.details["since"], entry.details["packets"]) == (1, answered_at, 0)
    assert entry.text == "no sound of the callee has come for 6 s, while the caller's arrives"


def test_without_a_media_timeout_silence_ends_no_call_and_is_noted(alice: FakePhone, bob: FakePhone) -> None:
    office = CoreHarness(media_timeout=0.0)
    establish(FakePhone(office, "100", "192.0.2.10").registered(), FakePhone(office, "101", "192.0.2.11").registered())
    office.advance(600)
    (call,) = office.core._exchange.calls.live()
    assert [each.fact for each in call.journal.entries() if each.kind == "media"] == ["no-audio"]
