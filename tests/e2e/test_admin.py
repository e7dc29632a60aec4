"""What the administrator may do, and where: ending calls, dropping registrations, only in development."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.support.office import Office


@pytest.fixture
def development(start_office: Callable[..., Office]) -> Office:
    return start_office(app_env="development")


def test_clear_calls_hangs_up_every_call_on_both_sides(development: Office) -> None:
    alice, bob, carol, dave = development.phones("100", "101", "102", "103")
    call, ring = development.connect(alice, bob)
    ringing = carol.call("103")
    rung = dave.expect_call()
    rung.ring()
    ringing.wait_ringing()

    answer = development.api.request("POST", "/api/admin/clear-calls")

    assert (answer.status, answer.json["cleared"]) == (200, 2)
    assert [side.wait_ended().method for side in (call, ring)] == ["BYE", "BYE"]
    assert ringing.wait_rejected().status == 480
    assert rung.wait_ended().method == "CANCEL"
    assert development.last_ended()["terminationReason"] == "admin"
    assert development.open_streams() == []


def test_clear_users_drops_every_registration(development: Office) -> None:
    alice, _ = development.phones("100", "101")

    answer = development.api.request("POST", "/api/admin/clear-users")

    assert (answer.status, answer.json["cleared"]) == (200, 2)
    assert development.numbers() == []
    assert alice.call("101").wait_rejected().status == 403


def test_a_call_goes_on_when_its_registrations_are_dropped(development: Office) -> None:
    alice, bob = development.phones("100", "101")
    call, ring = development.connect(alice, bob)

    development.api.request("POST", "/api/admin/clear-users")

    assert call.hold().status == 200
    assert call.hang_up().status == 200
    assert ring.wait_ended().method == "BYE"


# ------------------------------------------------------------------------------------------------ one call


def test_hanging_up_one_call_tells_both_phones_and_leaves_the_others_alone(office: Office) -> None:
    alice, bob, carol, dave = office.phones("100", "101", "102", "103")
    call, ring = office.connect(alice, bob)
    other, _ = office.connect(carol, dave)

    answer = office.api.request("DELETE", f"/api/calls/{quote(call.call_id, safe='')}")

    assert (answer.status, answer.json["callId"]) == (200, call.call_id)
    assert [side.wait_ended().method for side in (call, ring)] == ["BYE", "BYE"]
    assert office.only_call()["callId"] == other.call_id
    (ended,) = office.api.get("/api/calls/history")
    assert (ended["terminationReason"], ended["reasonText"]) == ("admin", "ended by the administrator")
    again = office.api.request("DELETE", f"/api/calls/{quote(call.call_id, safe='')}")
    assert again.status == 404


def test_hanging_up_a_call_that_rings(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    call.wait_ringing()

    assert office.api.request("DELETE", f"/api/calls/{quote(call.call_id, safe='')}").status == 200

    assert ring.wait_ended().method == "CANCEL"
    assert call.wait_rejected().status == 480


@pytest.mark.parametrize("path", ["/api/admin/clear-calls", "/api/admin/clear-users"])
def test_production_has_no_such_routes(office: Office, path: str) -> None:
    alice, bob = office.phones("100", "101")
    office.connect(alice, bob)

    assert office.api.request("POST", path).status == 404

    assert office.numbers() == ["100", "101"]
    assert office.only_call()["state"] == "ESTABLISHED"


# ------------------------------------------------------------------------------------------------ draining


def test_a_draining_server_takes_no_new_calls_and_ends_with_the_last_one(office: Office) -> None:
    alice, bob, carol = office.phones("100", "101", "102")
    call, ring = office.connect(alice, bob)

    answer = office.api.request("POST", "/api/admin/drain")

    assert (answer.status, answer.json["activeCalls"]) == (200, 1)
    refused = carol.call("100").wait_rejected()
    assert (refused.status, refused.reason) == (503, "No More Calls")
    assert not office.server.drained
    assert ring.hold().status == 200
    call.hang_up()
    ring.wait_ended()
    assert office.server.drained


def test_a_draining_server_still_registers_phones(office: Office) -> None:
    assert not office.server.drained
    office.api.request("POST", "/api/admin/drain")
    office.phone("100")
    assert office.numbers() == ["100"]
    assert office.server.drained
