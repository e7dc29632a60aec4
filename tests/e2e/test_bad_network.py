"""Packets get lost or arrive twice; everything still works, once (RFC 3261 17, 13.3.1.4)."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from sip.timers import TimerSettings
from tests.support.office import Office
from tests.support.phone import SoftPhone

QUICK = TimerSettings(t1_s=0.1)
"""Real timers, five times faster."""


@pytest.fixture
def bad_network(start_office: Callable[..., Office]) -> Office:
    return start_office(timers=QUICK)


def quick_phones(office: Office) -> tuple[SoftPhone, SoftPhone]:
    return office.phone("100", t1_s=0.1), office.phone("101", t1_s=0.1)


def whole_call(office: Office, alice: SoftPhone, bob: SoftPhone) -> None:
    """Ring, answer, talk, hang up; the end is normal, and there was one call."""
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    ring.answer()
    call.wait_answered()
    packets = call.media.make_packets(3)
    call.media.send(*packets)
    assert [ring.media.receive() for _ in packets] == packets
    call.hang_up()
    ring.wait_ended()
    assert office.last_ended()["terminationReason"] == "normal"
    assert len(office.api.get("/api/calls/history")) == 1
    assert office.open_streams() == []


@pytest.mark.parametrize(
    ("who", "direction", "pattern"),
    [
        ("caller", "sent", "INVITE"),
        ("caller", "received", "100 INVITE"),
        ("caller", "received", "180 INVITE"),
        ("caller", "received", "200 INVITE"),
        ("caller", "sent", "ACK"),
        ("caller", "sent", "BYE"),
        ("caller", "received", "200 BYE"),
        ("callee", "received", "INVITE"),
        ("callee", "sent", "1?? INVITE"),
        ("callee", "sent", "200 INVITE"),
        ("callee", "received", "ACK"),
        ("callee", "received", "BYE"),
        ("callee", "sent", "200 BYE"),
    ],
)
@pytest.mark.parametrize("fault", ["lost", "doubled"])
def test_a_call_survives_one_packet(bad_network: Office, fault: str, who: str, direction: str, pattern: str) -> None:
    alice, bob = quick_phones(bad_network)
    phone = alice if who == "caller" else bob
    (phone.lose if fault == "lost" else phone.double)(direction, pattern)

    whole_call(bad_network, alice, bob)
    assert phone.link.unmet == []


def test_a_call_survives_when_everything_is_lost_once(bad_network: Office) -> None:
    alice, bob = quick_phones(bad_network)
    for phone, requests, responses in ((alice, "sent", "received"), (bob, "received", "sent")):
        for pattern in ("INVITE", "ACK", "BYE"):
            phone.lose(requests, pattern)
        for pattern in ("1?? INVITE", "200 INVITE", "200 BYE"):
            phone.lose(responses, pattern)

    whole_call(bad_network, alice, bob)
    assert alice.link.unmet == bob.link.unmet == []


def test_every_copy_of_an_answer_has_the_same_description(bad_network: Office) -> None:
    alice, bob = quick_phones(bad_network)
    alice.lose("sent", "ACK", times=2)

    whole_call(bad_network, alice, bob)

    answers = alice.messages("received", "200 INVITE")
    assert len(answers) >= 3
    assert len({(answer.body, answer.to_tag) for answer in answers}) == 1


@pytest.mark.parametrize("fault", ["lost", "doubled"])
@pytest.mark.parametrize(("direction", "pattern"), [("sent", "REGISTER"), ("received", "200 REGISTER")])
def test_a_registration_counts_once(bad_network: Office, fault: str, direction: str, pattern: str) -> None:
    alice = bad_network.unregistered("100", t1_s=0.1)
    (alice.lose if fault == "lost" else alice.double)(direction, pattern)

    alice.register()
    alice.register()

    assert alice.link.unmet == []
    (user,) = bad_network.api.get("/api/users")
    assert user["registrationCount"] == 2
    assert len(user["contacts"]) == 1


@pytest.mark.parametrize(
    ("who", "direction", "pattern"),
    [
        ("caller", "sent", "CANCEL"),
        ("caller", "received", "200 CANCEL"),
        ("caller", "received", "487 INVITE"),
        ("caller", "sent", "ACK"),
        ("callee", "received", "CANCEL"),
        ("callee", "sent", "200 CANCEL"),
        ("callee", "sent", "487 INVITE"),
        ("callee", "received", "ACK"),
    ],
)
def test_a_cancel_survives_one_lost_packet(bad_network: Office, who: str, direction: str, pattern: str) -> None:
    alice, bob = quick_phones(bad_network)
    phone = alice if who == "caller" else bob
    phone.lose(direction, pattern)
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    call.wait_ringing()

    assert call.cancel().status == 487
    assert ring.wait_ended().method == "CANCEL"
    ring.request.wait_ack()
    phone.wait(lambda: not phone.link.unmet, f"the loss of {pattern}")
    assert bad_network.last_ended()["terminationReason"] == "cancelled"


def test_a_copy_of_an_invite_rings_nobody_twice(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    alice.double("sent", "INVITE")

    call, ring = office.connect(alice, bob)
    call.hang_up()

    assert ring.request.copies == 0
    assert len(bob.messages("received", "INVITE")) == 1


def test_a_phone_that_vanished_is_noticed(start_office: Callable[..., Office]) -> None:
    """Its port is closed, so the system answers each packet with ICMP port unreachable."""
    # Where the system tells of it, at once; elsewhere only the timers do.
    office = start_office(timers=None if sys.platform.startswith("linux") else TimerSettings(t1_s=0.02))
    alice, bob, carol = office.phones("100", "101", "102")
    bob.close()

    response = alice.call("101").wait_rejected()

    assert response.status in (408, 480)
    assert office.last_ended()["terminationReason"] == "unreachable"
    assert office.open_streams() == []
    office.connect(alice, carol)


def test_a_caller_that_vanished_leaves_no_call_behind(start_office: Callable[..., Office]) -> None:
    office = start_office(media_timeout=0.3, timers=TimerSettings(t1_s=0.02))
    alice, bob = office.phones("100", "101")
    _, ring = office.connect(alice, bob)
    alice.close()

    assert ring.wait_ended().method == "BYE"
    assert office.last_ended()["terminationReason"] == "media-timeout"
    assert office.open_streams() == []
