"""sip/recorder.py: what of registrations and calls is kept, when an answer waits for it, and how it comes back."""

from __future__ import annotations

import queue
import time
from dataclasses import replace
from itertools import count

import pytest

from config import Config
from sip import driver
from sip.credentials import Credentials, PasswordDigests
from sip.engine import SipEngine
from sip.flow import Flow
from sip.message import parse_datagram
from sip.recorder import CLOCK_STEP_S, REFRESH_SLACK_S
from sip.snapshots import CallState, NumberRecord, StoredBinding, TerminationReason
from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.events import FakeEvents
from tests.support.harness import EVERYWHERE, CoreHarness, FakeRelay
from tests.support.recorder import FakeRecorder


def only_binding(office: CoreHarness) -> StoredBinding:
    (binding,) = office.recorder.bindings.values()
    return binding


def ticket_of(phone: FakePhone, pattern: str = "200 REGISTER") -> int:
    """The ticket of the answer that has just been sent to it."""
    return phone.expect_sent(pattern).effect.ticket


# ------------------------------------------------------------------------------------------------ registrations


def test_a_new_binding_is_kept_with_its_flow_and_the_200_waits_for_it(office: CoreHarness) -> None:
    phone = FakePhone(office, "105", "192.0.2.50", 5066, contact_parameters=";q=0.7")
    phone.register(headers=(("User-Agent", "Desk 9"),))

    assert ticket_of(phone) == office.recorder.tickets == 1
    kept = only_binding(office)
    assert (kept.number, kept.contact, kept.parameters, kept.q) == ("105", phone.contact_uri, ";q=0.7", 0.7)
    assert (kept.transport, kept.remote_host, kept.remote_port) == ("UDP", "192.0.2.50", 5066)
    assert (kept.call_id, kept.cseq) == ("register-105@192.0.2.50:5066", 1)
    assert (kept.user_agent, kept.behind_nat, kept.password_mark) == ("Desk 9", False, "")
    assert (kept.registered_at, kept.last_seen_at) == (office.now_at, office.now_at)
    assert kept.expires_at == office.now_at + 3600 + REFRESH_SLACK_S
    assert office.recorder.registrations == {"105": 1}


def test_other_answers_to_a_register_wait_for_nothing(office: CoreHarness, alice: FakePhone) -> None:
    alice.register("")  # asks for the bindings only
    assert ticket_of(alice) == 0
    alice.register("<mailto:alice@example.com>")
    assert ticket_of(alice, "400 REGISTER") == 0
    assert len(office.recorder.bindings) == 1


def test_a_refresh_that_adds_little_is_not_written(office: CoreHarness, alice: FakePhone) -> None:
    before = office.recorder.tickets
    for _ in range(3):
        office.advance((REFRESH_SLACK_S - 1) / 3)
        alice.register()
        assert ticket_of(alice) == 0
    assert office.recorder.tickets == before


def test_a_refresh_that_adds_a_minute_is_written_and_waited_for(office: CoreHarness, alice: FakePhone) -> None:
    first = only_binding(office)
    office.advance(REFRESH_SLACK_S)
    alice.register()
    assert ticket_of(alice) == office.recorder.tickets
    kept = only_binding(office)
    assert kept.binding_id == first.binding_id
    assert kept.expires_at == first.expires_at + REFRESH_SLACK_S
    assert (kept.registered_at, kept.last_seen_at) == (first.registered_at, office.now_at)
    assert office.recorder.registrations["100"] == 2


def test_what_is_kept_outlives_what_was_promised_whatever_was_not_written(
    office: CoreHarness, alice: FakePhone
) -> None:
    for _ in range(20):
        office.advance(25)
        alice.register()
        alice.expect("200 REGISTER")
        (registration,) = office.core.registrations(office.now)
        assert 0 <= only_binding(office).expires_at - registration.contacts[0].expires_at <= REFRESH_SLACK_S


def test_a_shorter_time_is_written_and_waited_for(office: CoreHarness, alice: FakePhone) -> None:
    alice.register(expires=120)
    assert ticket_of(alice) == office.recorder.tickets == 2
    assert only_binding(office).expires_at == office.now_at + 120 + REFRESH_SLACK_S


def test_a_phone_that_moved_is_written_and_waited_for(office: CoreHarness, alice: FakePhone) -> None:
    alice.own, alice.port = f"{alice.host}:{alice.port}", 5099  # the same contact by another way
    alice.register()
    assert ticket_of(alice) == office.recorder.tickets == 2
    assert only_binding(office).remote_port == 5099


@pytest.mark.parametrize(
    ("contact", "field"),
    [
        ("<sip:100@192.0.2.10;transport=udp;x=1>", "contact"),
        ('<sip:100@192.0.2.10>;+sip.instance="<urn:uuid:7>"', "instance"),
    ],
)
def test_a_changed_contact_or_device_is_written_and_waited_for(office: CoreHarness, contact: str, field: str) -> None:
    phone = FakePhone(office, "100", "192.0.2.10")
    phone.register("<sip:100@192.0.2.10>")
    phone.expect("200 REGISTER")
    before = only_binding(office)

    phone.register(contact)

    assert ticket_of(phone) == office.recorder.tickets > 1
    assert getattr(only_binding(office), field) != getattr(before, field)


def test_a_binding_made_with_a_password_says_so(office: CoreHarness, alice: FakePhone) -> None:
    """What the registrar is told about the password, which the gatekeeper's tests see to, is kept."""
    (binding,) = office.core._exchange.location.bindings("100")
    binding.password_mark = "0123456789abcdef"
    office.core._exchange.location.refreshed(binding, office.now)
    assert only_binding(office).password_mark == "0123456789abcdef"


def test_a_removal_is_kept_and_waited_for(office: CoreHarness, alice: FakePhone) -> None:
    alice.register(expires=0)
    assert ticket_of(alice) == office.recorder.tickets == 2
    assert office.recorder.bindings == {}


def test_the_star_removes_all_and_is_waited_for(office: CoreHarness, alice: FakePhone) -> None:
    FakePhone(office, "100", "192.0.2.77").registered()
    alice.register("*", expires=0)
    assert ticket_of(alice) == office.recorder.tickets == 4
    assert office.recorder.bindings == {}


def test_an_expired_binding_is_removed(office: CoreHarness, alice: FakePhone) -> None:
    office.advance(3601)
    assert office.recorder.bindings == {}


def test_a_removal_by_the_administrator_holds_back_no_answer_of_anybody(office: CoreHarness, alice: FakePhone) -> None:
    office.core.remove_registrations("100", office.now)
    assert office.recorder.bindings == {}
    alice.send_request("OPTIONS", "sip:192.0.2.1")
    assert ticket_of(alice, "* OPTIONS") == 0


def test_a_device_that_replaces_another_leaves_one(office: CoreHarness, alice: FakePhone) -> None:
    alice.register(f"<sip:100@{alice.host}:5070>")  # the same Call-ID: the same device
    assert ticket_of(alice) == office.recorder.tickets
    assert only_binding(office).contact == f"sip:100@{alice.host}:5070"


def test_a_moved_device_is_kept_by_its_new_contact_before_the_old_one_goes(
    office: CoreHarness, alice: FakePhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the two must leave one of them."""
    kept_at_removal: list[set[str]] = []
    remove = office.recorder.remove_binding

    def note(binding_id: str, server: str = "") -> int:
        kept_at_removal.append({binding.contact for binding in office.recorder.bindings.values()})
        return remove(binding_id)

    monkeypatch.setattr(office.recorder, "remove_binding", note)
    alice.register(f"<sip:100@{alice.host}:5070>")
    assert kept_at_removal == [{alice.contact_uri, f"sip:100@{alice.host}:5070"}]


def test_a_lost_connection_makes_the_next_refresh_be_written(office: CoreHarness) -> None:
    phone = FakePhone(office, "103", "192.0.2.30", 40_001, connection=7).registered()
    office.close_connection(("192.0.2.30", 40_001), 7)
    phone.port, phone.connection = 40_002, 8
    phone.register("<sip:103@192.0.2.30:40001;transport=tcp>")
    assert ticket_of(phone) == office.recorder.tickets == 2
    assert only_binding(office).remote_port == 40_002


def test_what_is_kept_follows_a_clock_that_is_set(office: CoreHarness, alice: FakePhone) -> None:
    """As on a machine without a clock of its own, some seconds after it has started."""
    before, offset = only_binding(office), office.core.wall_offset
    for second in range(1, int(CLOCK_STEP_S)):
        office.core.set_wall_offset(offset + second)
    assert office.recorder.tickets == 1

    office.core.set_wall_offset(offset + 86_400)

    assert office.recorder.tickets == 2
    assert only_binding(office) == replace(before, expires_at=before.expires_at + 86_400)
    office.core.set_wall_offset(offset + 86_401)
    assert office.recorder.tickets == 2
    alice.register()
    assert ticket_of(alice) == 0


# ------------------------------------------------------------------------------------------------ coming back


def restarted(before: CoreHarness, after_s: float = 1.0, **settings: object) -> CoreHarness:
    """Another server on what the first one has kept, `after_s` later."""
    office = CoreHarness(**settings)  # type: ignore[arg-type]
    office.now = before.now + after_s
    for number, registrations in before.recorder.registrations.items():
        office.core.restore_record(NumberRecord(number, before.now_at - 1000, before.now_at, registrations))
    for stored in before.recorder.bindings.values():
        flow = Flow(stored.transport, "192.0.2.1", 5060, stored.remote_host, stored.remote_port)
        office.core.restore_binding(stored, flow, office.now)
    assert office.recorder.tickets == 0, "what is kept is not written again"
    return office


def moved_to(office: CoreHarness, phone: FakePhone) -> FakePhone:
    """The phone has not noticed."""
    return replace(phone, office=office)


def test_a_phone_that_never_noticed_can_be_called_at_once(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    later = restarted(office)
    alice, bob = moved_to(later, alice), moved_to(later, bob)
    call = establish(alice, bob)
    hang_up(call.caller, call.callee)
    later.assert_clean()


def test_a_restored_binding_looks_as_before(office: CoreHarness, alice: FakePhone) -> None:
    (before,) = office.core.registrations(office.now)
    later = restarted(office, 10.0)
    (after,) = later.core.registrations(later.now)
    old, new = before.contacts[0], after.contacts[0]
    assert (new.uri, new.address, new.port, new.registered_at) == (old.uri, old.address, old.port, old.registered_at)
    assert 0 <= new.expires_at - old.expires_at <= REFRESH_SLACK_S
    assert after.count == 1
    assert after.first_seen_at == office.now_at - 1000


def test_counting_goes_on(office: CoreHarness, alice: FakePhone) -> None:
    later = restarted(office)
    alice = moved_to(later, alice)
    later.advance(REFRESH_SLACK_S * 2)
    alice.register()
    alice.expect("200 REGISTER")
    assert later.core.registrations(later.now)[0].count == 2
    assert later.recorder.registrations == {"100": 2}


def test_the_first_refresh_after_a_restart_is_written_only_if_it_must(office: CoreHarness, alice: FakePhone) -> None:
    later = restarted(office)
    alice = moved_to(later, alice)
    alice.register()
    alice.expect("200 REGISTER")
    assert later.recorder.tickets == 0


def test_a_restored_phone_that_registers_with_another_contact_value_is_kept_by_that(office: CoreHarness) -> None:
    """The URI is the same, so it is the same binding; what stands around it is what the last REGISTER said."""
    phone = FakePhone(office, "105", "192.0.2.50", 5066, contact_parameters=';+sip.instance="<urn:uuid:7>";q=0.7')
    phone.registered()
    again = restarted(office)
    phone.office = again

    phone.register(f"<{phone.contact_uri}>")

    phone.expect("200 REGISTER")
    kept = only_binding(again)
    assert (kept.contact, kept.parameters, kept.instance, kept.q) == (phone.contact_uri, "", "", 1.0)
    assert [contact.uri for contact in again.core.registrations(again.now)[0].contacts] == [phone.contact_uri]


def test_a_restored_binding_expires_in_time(office: CoreHarness, alice: FakePhone) -> None:
    later = restarted(office, 10.0)
    later.advance(3590 + REFRESH_SLACK_S - 0.1)
    assert len(later.core.registrations(later.now)) == 1
    later.advance(0.2)
    assert later.core.registrations(later.now) == ()


def test_an_expired_binding_does_not_come_back(office: CoreHarness, alice: FakePhone) -> None:
    later = restarted(office, 3600 + REFRESH_SLACK_S)
    assert later.core.registrations(later.now) == ()
    later.assert_clean()


def test_a_restored_phone_behind_nat_is_kept_reachable(office: CoreHarness) -> None:
    phone = FakePhone(office, "102", "198.51.100.7", 61_234, own="10.0.0.5:5060").registered()
    later = restarted(office)
    phone = moved_to(later, phone)
    later.advance(20.0)
    phone.respond(phone.expect("OPTIONS"), 200, "OK")


def test_10_3_step_7_an_old_register_is_still_refused(office: CoreHarness, alice: FakePhone) -> None:
    later = restarted(office)
    alice = moved_to(later, alice)
    alice.register_cseq -= 1
    alice.register()
    alice.expect("500 REGISTER")


def test_a_phone_on_tcp_is_reached_at_the_port_of_its_contact(office: CoreHarness, alice: FakePhone) -> None:
    """The port that its connection came from is no port it listens at."""
    phone = FakePhone(office, "103", "192.0.2.30", 40_001, own="192.0.2.30:5062", connection=7).registered()
    later = restarted(office)
    moved_to(later, alice).invite(phone.number)
    sent = [each for each in later.sent if each.flow.transport == "TCP"]
    assert [(each.message.what, each.flow.remote_port, each.flow.connection) for each in sent] == [("INVITE", 5062, 0)]


def test_a_number_that_is_not_ours_any_more_does_not_come_back(office: CoreHarness, alice: FakePhone) -> None:
    FakePhone(office, "105", "192.0.2.50").registered()
    later = restarted(office, ext_min=100, ext_max=104)
    assert [each.number for each in later.core.registrations(later.now)] == ["100"]


@pytest.mark.parametrize("shown", ["", "another", "secret"])
@pytest.mark.parametrize("now", ["", "secret"])
def test_a_binding_comes_back_only_if_the_password_is_still_the_one_it_was_made_with(
    office: CoreHarness, alice: FakePhone, shown: str, now: str
) -> None:
    """It may have been set, changed or removed while no server was there to notice."""
    later = CoreHarness()
    later.core.set_credentials(credentials(now), later.now)
    kept = replace(only_binding(office), password_mark=credentials(shown).mark("100"))
    flow = Flow("UDP", "192.0.2.1", 5060, kept.remote_host, kept.remote_port)
    assert later.core.restore_binding(kept, flow, later.now) == (shown == now)
    assert len(later.core.registrations(later.now)) == (shown == now)


def credentials(password: str) -> Credentials:
    """Number 100 with that password, or without one."""
    digests = {"100": PasswordDigests.of("100", "office", password)} if password else {}
    return Credentials("office", digests)


# ------------------------------------------------------------------------------------------------ calls


def test_a_call_is_kept_when_it_begins_when_it_is_answered_and_when_it_ends(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    recorder = office.recorder
    call = establish(alice, bob)
    assert [each.state for each in recorder.calls] == [CallState.INITIATED, CallState.ESTABLISHED]
    begun, answered = recorder.calls
    assert (begun.call_id, begun.from_number, begun.to_number) == (call.invite.call_id, "100", "101")
    assert (begun.answered_at, answered.answered_at) == (None, office.now_at)
    assert answered.ringing_at == office.now_at
    assert answered.to_address == f"{bob.host}:{bob.port}"
    assert recorder.ended == []

    office.advance(20)
    hang_up(call.callee, call.caller)

    (ended,) = recorder.ended
    assert (ended.termination_reason, ended.ended_by) == (TerminationReason.NORMAL, "callee")
    assert ended.ended_at == office.now_at
    assert ended.duration_s(office.now_at) == 20
    assert [(each.kind, each.side) for each in recorder.streams[0]] == [("audio", 0), ("audio", 1)]


@pytest.mark.parametrize("by", ["caller", "callee"])
@pytest.mark.parametrize(("status", "reason"), [(200, "OK"), (481, "Call Does Not Exist")])
def test_the_answer_to_a_bye_waits_until_the_end_of_the_call_is_kept(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, by: str, status: int, reason: str
) -> None:
    call = establish(alice, bob)
    dialog, other, phone = (call.caller, bob, alice) if by == "caller" else (call.callee, alice, bob)
    bye = dialog.request("BYE")
    end = office.recorder.tickets
    assert len(office.recorder.ended) == 1
    FakePhone(office, "103", "192.0.2.30").registered()
    other.respond(other.expect("BYE"), status, reason)
    assert ticket_of(phone, f"{status} BYE") == end < office.recorder.tickets
    phone.inject(bye.to_bytes())
    assert ticket_of(phone, f"{status} BYE") == end, "so does that to a copy"


def test_the_2xx_to_an_invite_waits_until_the_beginning_of_the_call_is_kept(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    """That is hardly ever a wait: the phone has rung since."""
    before = office.recorder.tickets
    alice.invite("101")
    invite = bob.expect("INVITE")
    assert office.recorder.tickets == before + 1
    bob.respond(invite, 180, "Ringing")
    assert ticket_of(alice, "180 INVITE") == 0
    bob.respond(invite, 200, "OK", body=bob.sdp())
    assert ticket_of(alice, "200 INVITE") == before + 1


def test_a_call_that_nobody_can_take_is_kept(office: CoreHarness, alice: FakePhone) -> None:
    alice.send_request("INVITE", "sip:104@192.0.2.1", body=alice.sdp())
    alice.expect("480 INVITE")
    (ended,) = office.recorder.ended
    assert (ended.to_number, ended.status, ended.termination_reason) == ("104", 480, TerminationReason.UNREACHABLE)
    assert ended.reason_text


def test_a_refused_call_is_kept_although_it_never_was_one(office: CoreHarness) -> None:
    stranger = FakePhone(office, "107", "192.0.2.99")
    stranger.send_request("INVITE", "sip:101@192.0.2.1", body=stranger.sdp())
    stranger.expect("403 INVITE")
    assert office.recorder.calls == []
    (ended,) = office.recorder.ended
    assert (ended.from_number, ended.to_number, ended.status) == ("107", "101", 403)
    assert ended.termination_reason is TerminationReason.REJECTED


# ------------------------------------------------------------------------------------------------ the engine


class Wire:
    """A transport that keeps what it is given."""

    name = "UDP"
    port = 5060

    def __init__(self) -> None:
        self.sent: queue.SimpleQueue[str] = queue.SimpleQueue()

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def is_running(self) -> bool:
        return True

    def send(self, flow: Flow, data: bytes, token: object) -> str | None:
        self.sent.put(data.split(b"\r\n", 1)[0].decode())
        return None

    def lines(self) -> list[str]:
        return [self.sent.get_nowait() for _ in range(self.sent.qsize())]


class Desk:
    """An engine whose wire and recorder are in our hands."""

    def __init__(self) -> None:
        self.recorder = FakeRecorder()
        config = Config(sip_host="127.0.0.1", trusted_networks=EVERYWHERE)
        self.engine = SipEngine(config, FakeRelay(), self.recorder, FakeEvents())  # type: ignore[arg-type]
        self.wire = Wire()
        self.engine._transports.add(self.wire)
        self._cseq = count(1)

    def register(self, number: str = "100") -> bytes:
        cseq = next(self._cseq)
        contact = f"sip:{number}@127.0.0.1:6000"
        lines = (
            "REGISTER sip:127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:6000;branch=z9hG4bK-{cseq}",
            f"From: <sip:{number}@127.0.0.1>;tag=t{cseq}",
            f"To: <sip:{number}@127.0.0.1>",
            f"Call-ID: {number}@127.0.0.1",
            f"CSeq: {cseq} REGISTER",
            "Max-Forwards: 70",
            f"Contact: <{contact}>",
            "Content-Length: 0",
        )
        data = "\r\n".join((*lines, "", "")).encode()
        self.receive(data)
        return data

    def receive(self, data: bytes) -> None:
        flow = Flow("UDP", "127.0.0.1", 5060, "127.0.0.1", 6000)
        self.engine._on_message(parse_datagram(data), data, flow)  # type: ignore[arg-type]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "can't be stored"])
def test_an_answer_waits_until_its_ticket_is_settled(desk: Desk, stored: bool) -> None:
    desk.register()
    assert desk.wire.lines() == []
    assert desk.recorder.hurries == 1, "the recorder knows that somebody waits"

    desk.engine.on_settled(1, stored)

    assert desk.wire.lines() == ["SIP/2.0 200 OK"]


def test_each_answer_waits_for_its_own_ticket(desk: Desk) -> None:
    for number in ("100", "101", "102"):
        desk.register(number)
    desk.engine.on_settled(2, True)
    assert len(desk.wire.lines()) == 2
    desk.engine.on_settled(3, True)
    assert len(desk.wire.lines()) == 1
    desk.engine.on_settled(3, True)
    assert desk.wire.lines() == []


def test_who_need_not_wait_does_not_wait_for_others(desk: Desk) -> None:
    desk.register("100")
    desk.engine.on_settled(1, True)
    desk.wire.lines()
    desk.register("101")
    desk.register("100")  # a refresh
    assert desk.wire.lines() == ["SIP/2.0 200 OK"]


def test_a_settled_ticket_needs_no_waiting(desk: Desk) -> None:
    desk.engine.on_settled(1, False)
    desk.register()
    assert desk.wire.lines() == ["SIP/2.0 200 OK"]


def test_17_2_2_what_answers_a_copy_of_the_request_waits_as_well(desk: Desk) -> None:
    data = desk.register()
    desk.receive(data)
    assert desk.wire.lines() == []
    desk.engine.on_settled(1, True)
    assert desk.wire.lines() == ["SIP/2.0 200 OK", "SIP/2.0 200 OK"]
    assert len(desk.recorder.bindings) == 1


def test_an_answer_to_an_older_change_need_not_wait_for_a_newer_one(desk: Desk) -> None:
    """A BYE makes its change when it comes, and is answered when the other phone has answered."""
    desk.register("100")
    desk.register("101")
    desk.engine._held.reverse()
    desk.engine.on_settled(1, True)
    assert len(desk.wire.lines()) == 1
    desk.engine.on_settled(2, True)
    assert len(desk.wire.lines()) == 1


def test_no_answer_waits_for_ever(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_LONGEST_HOLD_S", 0.0)
    monkeypatch.setattr(driver, "_LONGEST_SLEEP_S", 0.01)
    desk.register()
    desk.engine.start()
    try:
        assert desk.wire.sent.get(timeout=5) == "SIP/2.0 200 OK"
    finally:
        desk.engine.stop()
    desk.engine.on_settled(1, True)
    assert desk.wire.lines() == []


def test_the_engine_takes_up_what_was_kept(desk: Desk) -> None:
    desk.register("100")
    desk.register("101")
    kept = list(desk.recorder.bindings.values())
    damaged = replace(kept[1], contact="no address")
    records = [NumberRecord("100", time.time() - 5000, time.time(), 7)]
    later = Desk()

    assert later.engine.restore([kept[0], damaged], records) == 1

    (registration,) = later.engine.registrations()
    assert (registration.number, registration.count) == ("100", 7)
    assert (registration.contacts[0].address, registration.contacts[0].port) == ("127.0.0.1", 6000)
    assert later.recorder.tickets == 0
