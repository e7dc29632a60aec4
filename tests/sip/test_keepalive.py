"""sip/keepalive.py: OPTIONS pings to phones behind NAT."""

from __future__ import annotations

import logging

import pytest

from tests.support.bench_phone import FakePhone
from tests.support.harness import CoreHarness


@pytest.fixture
def behind_nat(office: CoreHarness) -> FakePhone:
    """101 behind NAT."""
    return FakePhone(office, "101", "198.51.100.7", 61_234, own="10.0.0.5:5060").registered()


def last_seen(office: CoreHarness) -> float:
    return office.core.registrations(office.now)[0].contacts[0].last_seen_at


def test_a_phone_behind_nat_is_pinged_at_its_interval(office: CoreHarness, behind_nat: FakePhone) -> None:
    office.advance(19.9)
    behind_nat.expect_nothing()
    for _ in range(5):
        office.advance(0.2)
        ping = behind_nat.expect("OPTIONS")
        behind_nat.respond(ping, 200, "OK")
        office.advance(19.8)
        behind_nat.expect_nothing()
    assert ping.request_uri == behind_nat.contact_uri
    assert (ping["Via"].partition(";")[0], ping["Max-Forwards"]) == ("SIP/2.0/UDP 198.51.100.1:5060", "70")
    assert (ping["To"], bool(ping.from_tag), ping.to_tag) == (f"<{behind_nat.contact_uri}>", True, "")


def test_other_phones_are_left_alone(office: CoreHarness, alice: FakePhone) -> None:
    office.advance(100)
    alice.expect_nothing()


def test_any_answer_shows_that_the_phone_lives(office: CoreHarness, behind_nat: FakePhone) -> None:
    office.advance(20)
    ping = behind_nat.expect("OPTIONS")
    office.advance(0.1)
    behind_nat.respond(ping, 404)
    assert last_seen(office) == office.now_at


def test_a_silent_phone_is_noted_once_and_again_when_it_is_back(
    office: CoreHarness, behind_nat: FakePhone, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sip.keepalive")
    office.advance(120)
    assert [record.getMessage().partition(" at ")[0] for record in caplog.records] == ["101 does not answer"]
    assert len(office.core.registrations(office.now)) == 1
    office.forget()
    office.advance(20)
    behind_nat.respond(behind_nat.expect("OPTIONS"), 200, "OK")
    assert "answers again" in caplog.records[-1].getMessage()
    office.forget()


def test_a_ping_that_cannot_be_sent_is_an_unanswered_one(
    office: CoreHarness, behind_nat: FakePhone, caplog: pytest.LogCaptureFixture
) -> None:
    office.unreachable.add(behind_nat.host)
    office.advance(20)
    assert "does not answer" in caplog.text


def test_pings_stop_when_the_binding_goes(office: CoreHarness, behind_nat: FakePhone) -> None:
    behind_nat.register(expires=0)
    behind_nat.expect("200 REGISTER")
    office.advance(100)
    behind_nat.expect_nothing()
    assert len(office.core._keepalive) == 0


def test_pings_stop_when_the_binding_expires(office: CoreHarness, behind_nat: FakePhone) -> None:
    behind_nat.register(expires=60)
    behind_nat.expect("200 REGISTER")
    office.advance(60)
    office.forget()
    office.advance(100)
    assert "OPTIONS" not in [sent.message.what for sent in office.sent if sent.at > 95]


def test_a_refresh_starts_no_second_series(office: CoreHarness, behind_nat: FakePhone) -> None:
    for _ in range(5):
        behind_nat.registered()
    office.advance(20.1)
    assert office.unread(behind_nat.way) == ["OPTIONS"]
    office.forget()


def test_a_phone_that_came_home_is_not_pinged_any_more(office: CoreHarness, behind_nat: FakePhone) -> None:
    home = FakePhone(office, "101", "10.0.0.5", own="10.0.0.5:5060").registered()
    office.advance(100)
    home.expect_nothing()
    assert len(office.core._keepalive) == 0


def test_over_tcp_pings_take_the_connection_and_wait_while_it_is_gone(office: CoreHarness) -> None:
    phone = FakePhone(office, "101", "198.51.100.7", 43_210, own="10.0.0.5:5060", connection=7).registered()
    office.advance(20)
    phone.respond(phone.expect("OPTIONS"), 200, "OK")
    office.close_connection(("198.51.100.7", 43_210), 7)
    office.advance(100)
    assert office.unread() == []
    phone.connection = 8
    phone.registered()
    office.advance(20)
    phone.expect("OPTIONS")


def test_0_turns_pings_off() -> None:
    office = CoreHarness(nat_keepalive=0.0)
    phone = FakePhone(office, "101", "198.51.100.7", 61_234, own="10.0.0.5:5060").registered()
    office.advance(100)
    phone.expect_nothing()
    office.assert_clean()
