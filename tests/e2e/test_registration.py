"""Phones come and go: REGISTER on the wire, and what the API makes of it (RFC 3261 10)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tests.support.office import Office, eventually


def test_a_registered_phone_is_shown_with_its_address_and_program(office: Office) -> None:
    alice = office.phone("100")

    (user,) = office.api.get("/api/users")

    assert user["number"] == "100"
    assert user["status"] == "REGISTERED"
    assert user["uri"] == f"sip:100@{alice.address}"
    assert f"{user['address']}:{user['port']}" == alice.address
    assert user["transport"].lower() == "udp"
    assert user["userAgent"] == "SoftPhone"
    assert user["expires"] == 3600
    assert user["registrationCount"] == 1
    lasts = datetime.fromisoformat(user["expiresAt"]) - datetime.fromisoformat(user["registeredAt"])
    assert round(lasts.total_seconds()) == 3600
    assert [contact["uri"] for contact in user["contacts"]] == [user["uri"]]


def test_the_response_lists_the_contact_with_the_time_granted(office: Office) -> None:
    alice = office.phone("100")

    response = alice.register(600)

    assert response.all("Contact") == [f"{alice.contact};expires=600"]


def test_a_refresh_keeps_one_binding_and_counts(office: Office) -> None:
    alice = office.phone("100")
    first = office.api.get("/api/users")[0]

    alice.register(7200)

    (user,) = office.api.get("/api/users")
    assert user["registrationCount"] == 2
    assert user["expires"] == 7200
    assert len(user["contacts"]) == 1
    assert user["registeredAt"] == first["registeredAt"]
    assert user["expiresAt"] > first["expiresAt"]


def test_two_phones_of_one_number_are_two_contacts(office: Office) -> None:
    desk, mobile = office.phones("100", "100")

    (user,) = office.api.get("/api/users")

    assert {contact["uri"] for contact in user["contacts"]} == {f"sip:100@{desk.address}", f"sip:100@{mobile.address}"}


def test_a_phone_that_signs_off_is_gone_and_the_other_stays(office: Office) -> None:
    alice, bob = office.phones("100", "101")

    response = alice.unregister()

    assert response.all("Contact") == []
    assert office.numbers() == ["101"]
    assert bob.register().status == 200


def test_10_3_step_6_a_star_removes_every_contact(office: Office) -> None:
    desk, _ = office.phones("100", "100")

    desk.register(0, ("Contact", "*"))

    assert office.numbers() == []


def test_10_2_3_a_register_without_contact_asks_and_changes_nothing(office: Office) -> None:
    alice = office.phone("100")
    request = alice.make_request("REGISTER", alice.server_uri, alice.uri)

    response = alice.send_request(request).wait_final()

    (contact,) = response.all("Contact")
    assert contact.startswith(alice.contact)
    assert office.api.get("/api/users")[0]["registrationCount"] == 1


def test_a_registration_that_is_too_short_is_refused_with_the_shortest_time(office: Office) -> None:
    alice = office.unregistered("100")

    response = alice.send_register(5).wait_final()

    assert (response.status, response["Min-Expires"]) == (423, "60")
    assert office.numbers() == []


def test_a_number_outside_the_range_is_refused_by_name(office: Office) -> None:
    stranger = office.unregistered("999")

    response = stranger.send_register().wait_final()

    assert response.status == 404
    assert "100" in response.reason
    assert "110" in response.reason


def test_an_expired_registration_vanishes_by_itself(start_office: Callable[..., Office]) -> None:
    office = start_office(expires_min=1)
    alice = office.phone("100")
    bob = office.unregistered("101")

    granted = bob.register(1)

    assert granted["Contact"].endswith(";expires=1")
    eventually(lambda: office.numbers() == ["100"], "the end of the registration of 101")
    assert alice.call("101").wait_rejected().status == 480


def test_who_runs_out_soon_is_listed(office: Office) -> None:
    office.phone("100")
    office.unregistered("101").register(90)

    (soon,) = office.api.get("/api/users/expiring?within=2")

    assert soon["number"] == "101"
    assert 1.4 < soon["minutesUntilExpiry"] <= 1.5


def test_the_administrator_removes_a_phone(office: Office) -> None:
    alice, _ = office.phones("100", "101")

    answer = office.api.request("DELETE", "/api/users/101")

    assert (answer.status, answer.json["removed"]) == (200, 1)
    assert office.numbers() == ["100"]
    assert alice.call("101").wait_rejected().status == 480
    assert office.api.request("DELETE", "/api/users/101").status == 404


def test_a_removed_phone_is_back_with_its_next_register(office: Office) -> None:
    bob = office.phone("101")
    office.api.request("DELETE", "/api/users/101")

    bob.register()

    assert office.numbers() == ["101"]
