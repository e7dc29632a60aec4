"""What the core tells of registrations, calls, their sound and bans, and when."""

from __future__ import annotations

import pytest

from rtp.pulse import Pulse
from sip.facts import Departure, Fact
from sip.snapshots import CallState
from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.harness import CoreHarness, FakeEvent


def contents(office: CoreHarness, kind: str) -> list:
    return [told.content for told in office.events.of(kind)]


@pytest.fixture(autouse=True)
def registered(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    """What comes before the test is of no interest."""
    office.events.forget()


# ------------------------------------------------------------------------------------------------ registrations


def test_a_registration_is_added_refreshed_and_expires(office: CoreHarness) -> None:
    phone = FakePhone(office, "102", "192.0.2.12")
    phone.register()
    phone.register()
    office.advance(4000)
    told = office.events.told
    kinds = ["registration.added", "registration.refreshed", "registration.expired"]
    assert [each.kind for each in told if "102" in (each.content.number, "")] == kinds
    added, refreshed, expired = (each.content for each in told if each.content.number == "102")
    assert (added.contact.text, added.flow.remote, round(added.expires_s)) == (
        phone.contact_uri,
        ("192.0.2.12", 5060),
        3600,
    )
    assert refreshed.registered_at == added.registered_at
    assert (expired.why, expired.address) == (Departure.EXPIRED, "192.0.2.12:5060")


def test_a_registration_is_removed_by_the_phone_and_by_the_administrator(office: CoreHarness, alice: FakePhone) -> None:
    alice.register(expires=0)
    office.core.remove_registrations("101", office.now)
    assert office.events.kinds() == ["registration.removed"] * 2
    phone, administrator = contents(office, "registration.removed")
    assert (phone.number, phone.why, administrator.number, administrator.why) == (
        "100",
        Departure.UNREGISTERED,
        "101",
        Departure.ADMINISTRATOR,
    )


def test_a_registration_fails(office: CoreHarness) -> None:
    FakePhone(office, "999", "192.0.2.12").register()
    (failure,) = contents(office, "registration.failed")
    assert (failure.number, failure.address, failure.status) == ("999", "192.0.2.12", 404)


def test_failures_are_told_no_faster_than_the_log_may_grow(office: CoreHarness) -> None:
    for number in range(900, 1000):
        FakePhone(office, str(number), "192.0.2.12").register()
    assert 1 <= len(contents(office, "registration.failed")) <= 20


# ------------------------------------------------------------------------------------------------ calls


def test_a_call_is_started_rings_is_answered_and_ended(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 180)
    bob.respond(received, 180)
    callee = bob.answer(received)
    caller = alice.caller_dialog(invite, office.sent[-1].message)
    office.forget()
    hang_up(callee, caller)
    assert office.events.kinds() == ["call.started", "call.ringing", "call.answered", "call.ended"]
    states = [told.content.state for told in office.events.told]
    assert states == [CallState.INITIATED, CallState.RINGING, CallState.ESTABLISHED, CallState.TERMINATED]
    ended = office.events.told[-1]
    assert (ended.at, ended.content.reason_text, ended.content.from_number) == (office.now_at, "101 hung up", "100")


@pytest.mark.parametrize(("status", "reason"), [(486, "busy"), (603, "rejected"), (480, "rejected")])
def test_a_call_that_nobody_answers_fails(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, status: int, reason: str
) -> None:
    alice.invite("101")
    bob.respond(bob.expect("INVITE"), status)
    assert office.events.kinds() == ["call.started", "call.failed"]
    (failed,) = contents(office, "call.failed")
    assert (failed.status, failed.termination_reason) == (status, reason)


def test_a_call_to_nobody_fails(office: CoreHarness, alice: FakePhone) -> None:
    alice.send_request("INVITE", "sip:102@192.0.2.1")
    assert office.events.kinds() == ["call.started", "call.failed"]


def test_a_call_that_the_server_cuts_off_fails_and_one_that_a_person_ends_is_ended(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    establish(alice, bob)
    office.advance(61)
    assert office.events.kinds()[-2:] == ["media.timeout", "call.failed"]
    office.forget()
    establish(alice, bob)
    office.end_calls()
    assert office.events.kinds()[-1] == "call.ended"
    office.forget()


@pytest.mark.parametrize("side", [0, 1])
def test_a_hold_is_told_when_it_is_accepted_and_its_end_too(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, side: int
) -> None:
    call = establish(alice, bob)
    dialog, phone, other = ((call.caller, alice, bob), (call.callee, bob, alice))[side]
    for direction, mirrored in (("sendonly", "recvonly"), ("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
        told_before = len(contents(office, "call.held"))
        dialog.request("INVITE", phone.sdp(direction))
        received = other.expect("INVITE")
        office.advance(3)  # the media timer looks in between
        assert len(contents(office, "call.held")) == told_before
        other.respond(received, 200, "OK", body=other.sdp(mirrored))
        dialog.request("ACK")
        office.forget()
    assert [(held.held, held.by) for held in contents(office, "call.held")] == [(True, side), (False, side)]
    assert contents(office, "call.held")[0].call.from_number == "100"


def test_a_hold_that_is_refused_is_none(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    office.events.forget()
    call.caller.request("INVITE", alice.sdp("sendonly"))
    received = bob.expect("INVITE")
    office.advance(5)
    bob.respond(received, 488)
    office.advance(5)
    office.forget()
    assert contents(office, "call.held") == []


# ------------------------------------------------------------------------------------------------ sound


def test_what_is_noticed_of_the_sound_is_told(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    establish(alice, bob)
    (stream,) = office.relay.open_sessions
    answered_at = office.now_at
    for _ in range(10):
        office.advance(1)
        stream.packet_at = office.now
        stream.heard[0] = Pulse(packets=50, received=50, last_at=office.now)
    assert office.events.kinds()[-2:] == ["media.started", "media.one_way"]
    (one_way,) = contents(office, "media.one_way")
    assert (one_way.call.from_number, one_way.call.to_number) == ("100", "101")
    assert (one_way.fact, one_way.side, one_way.since_at) == (Fact.ONE_WAY_AUDIO, 1, answered_at)


def test_silence_of_both_is_told_when_it_is_noticed_and_when_it_ends_the_call(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    establish(alice, bob)
    office.advance(61)
    facts = [content.fact for content in contents(office, "media.timeout")]
    assert facts == [Fact.NO_AUDIO, Fact.MEDIA_TIMEOUT]
    office.forget()


# ------------------------------------------------------------------------------------------------ bans


def test_a_ban_by_a_person_is_told_and_its_end_too(office: CoreHarness) -> None:
    admission = office.core.admission
    admission.add_ban("192.0.2.66", 60.0, "noise", office.now)
    admission.add_ban("192.0.2.67", None, "noise", office.now)
    assert admission.lift_ban("192.0.2.67", office.now)
    assert not admission.lift_ban("192.0.2.67", office.now)
    office.advance(61)
    admission.expire_bans(office.now)
    assert office.events.kinds() == ["security.banned"] * 2 + ["security.unbanned"] * 2
    first, second = contents(office, "security.banned")
    assert (first.address, first.reason, second.until_at) == ("192.0.2.66", "noise", None)
    assert contents(office, "security.unbanned") == [("192.0.2.67", True), ("192.0.2.66", False)]


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", b"Signal= *\r\nDuration= 250\r\n", "*"),
        ("application/dtmf", b"#", "#"),
        ("application/dtmf", b"11", "#"),
        ("application/dtmf; charset=x", b"d\r\n", "D"),
        ("application/dtmf-relay", b"Signal=55\r\n", None),
        ("text/plain", b"5", None),
        ("application/dtmf", b"", None),
    ],
)
def test_a_key_told_by_info(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, kind: str, body: bytes, key: str | None
) -> None:
    call = establish(alice, bob)
    info = call.callee.request("INFO", body, (("Content-Type", kind),))
    received = alice.expect("INFO")
    assert received.body == body
    bob.inject(info.to_bytes())  # a copy
    alice.respond(received, 200, "OK")
    bob.expect("200 INFO")
    digits = contents(office, "dtmf.received")
    assert [(digit.digit, digit.side, digit.way, digit.call.to_number) for digit in digits] == (
        [(key, 1, "info", "101")] if key else []
    )
    office.forget()


def test_a_key_heard_in_the_sound_is_told_at_once_and_stands_in_no_record(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = establish(alice, bob)
    (stream,) = office.relay.open_sessions
    stream.events = [FakeEvent(office.now, 0, "the caller has pressed a key", key) for key in "4711"]
    office.core.media_changed(call.caller.call_id, office.now)
    assert "".join(digit.digit for digit in contents(office, "dtmf.received")) == "4711"
    assert [line for line in office.journal() if "key" in line] == [
        "the caller has pressed a key, told by the sound",
    ]


def test_keys_of_an_encrypted_stream_can_not_be_read(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    key_line = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"
    offer = alice.sdp().replace(b"RTP/AVP", b"RTP/SAVP") + key_line
    invite = alice.invite("101", offer)
    received = bob.expect("INVITE")
    answer = bob.sdp().replace(b"RTP/AVP", b"RTP/SAVP") + key_line
    bob.respond(received, 200, "OK", body=answer)
    alice.caller_dialog(invite, alice.expect("200 INVITE")).request("ACK")
    (stream,) = office.relay.open_sessions
    stream.events = [FakeEvent(office.now, 0, "the caller has pressed a key", "4")]
    office.core.media_changed(invite.call_id, office.now)
    assert contents(office, "dtmf.received") == []
    office.forget()
