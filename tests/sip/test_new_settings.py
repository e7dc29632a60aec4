"""Settings that change while phones are registered and call."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from sip.facts import Departure
from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.harness import CoreHarness


def configure(office: CoreHarness, **settings: Any) -> int:
    ended = office.core.configure(replace(office.core._exchange.config, **settings), office.now)
    office.forget()
    return ended


def registered(office: CoreHarness) -> list[str]:
    return [each.number for each in office.core.registrations(office.now)]


def test_a_number_more_can_register_and_be_called(office: CoreHarness, alice: FakePhone) -> None:
    late = FakePhone(office, "125", "192.0.2.25")
    late.register()
    late.expect("404 REGISTER")

    assert configure(office, ext_max=130) == 0

    late.register()
    late.expect("200 REGISTER")
    call = establish(alice, late)
    hang_up(call.caller, call.callee)


def test_the_phone_of_a_number_that_is_gone_is_signed_off(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    assert configure(office, ext_max=100) == 1
    assert registered(office) == ["100"]
    assert [each.why for each in office.core._exchange.location.departures("101")] == [Departure.ADMINISTRATOR]
    bob.register()
    bob.expect("404 REGISTER")
    alice.send_request("INVITE", "sip:101@192.0.2.1", body=alice.sdp())
    alice.expect("404 INVITE")


@pytest.mark.parametrize(
    "settings",
    [{"auth_required": True}, {"trusted_networks": (ip_network("203.0.113.0/24"),)}],
    ids=["everybody needs a password", "the network is trusted no more"],
)
def test_who_would_not_be_let_in_any_more_is_signed_off(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, settings: dict[str, Any]
) -> None:
    call = establish(alice, bob)
    assert configure(office, **settings) == 2
    assert registered(office) == []
    hang_up(call.caller, call.callee)
    alice.register()
    assert alice.expect("40? REGISTER").status in (401, 403)
    assert configure(office, auth_required=False, trusted_networks=(ip_network("0.0.0.0/0"),)) == 0
    alice.register()
    alice.expect("200 REGISTER")


def test_who_stays_is_only_parted_from_the_device_that_may_not(office: CoreHarness, alice: FakePhone) -> None:
    FakePhone(office, "100", "198.51.100.7").registered()
    assert configure(office, trusted_networks=(ip_network("192.0.2.0/24"),)) == 1
    (left,) = office.core.registrations(office.now)
    assert [contact.address for contact in left.contacts] == [alice.host]


def test_times_and_names_are_those_of_the_new_settings(office: CoreHarness, alice: FakePhone) -> None:
    configure(office, expires_default=120, expires_max=300, server_header="Office 2")
    alice.register()
    answer = alice.expect("200 REGISTER")
    assert answer["Server"] == "Office 2"
    (registration,) = office.core.registrations(office.now)
    assert registration.contacts[0].expires_s <= 300


def test_an_unanswered_call_ends_after_the_new_time(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    configure(office, call_setup_timeout=5.0)
    alice.invite("101")
    bob.respond(bob.expect("INVITE"), 180, "Ringing")
    alice.expect("180 INVITE")
    office.advance(5.1)
    bob.expect("CANCEL")


def test_failures_are_counted_by_the_new_policy(office: CoreHarness) -> None:
    configure(office, ban_after=2, ban_time=60.0)
    assert (office.core.admission.bans.policy.after, office.core.admission.bans.policy.time_s) == (2, 60.0)
