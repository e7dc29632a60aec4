"""Calls to SIPS addresses: TLS on every hop, or no call (RFC 5630)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.office import Office
from tests.support.phone import SoftPhone
from tests.support.tls import TlsFiles


@pytest.fixture
def office(start_office: Callable[..., Office], tls_files: TlsFiles) -> Office:
    return start_office(tls_cert=tls_files.certificate, tls_key=tls_files.key)


def secure(office: Office, number: str) -> SoftPhone:
    return office.phone(number, transport="TLS", scheme="sips")


def test_5_3_a_call_between_sips_phones_is_sips_all_the_way(office: Office) -> None:
    alice, bob = secure(office, "100"), secure(office, "101")
    call, ring = office.connect(alice, bob)

    assert ring.invite.request_uri == f"sips:101@{bob.address}"
    assert [value.startswith("<sips:") for value in ring.invite.all("Record-Route")] == [True]
    assert ring.hold().status == 200
    assert call.resume().status == 200
    assert ring.hang_up().status == 200
    assert call.wait_ended().method == "BYE"


@pytest.mark.parametrize("transport", ["UDP", "TCP", "TLS"])
def test_5_3_sips_does_not_reach_a_phone_that_is_registered_without(office: Office, transport: str) -> None:
    """Also over TLS: a SIP contact says that the phone does not wish for SIPS (5.1.1.1)."""
    alice, _ = secure(office, "100"), office.phone("101", transport=transport)

    refused = alice.call("101").wait_rejected()

    assert (refused.status, refused["Warning"].partition(" ")[0]) == (480, "380")
    assert office.last_ended()["terminationReason"] == "unreachable"


def test_5_3_sips_rings_only_the_secure_phones_of_a_number(office: Office) -> None:
    alice, bob, plain = secure(office, "100"), secure(office, "101"), office.phone("101")
    office.connect(alice, bob)
    assert plain.messages("received", "INVITE") == []


@pytest.mark.parametrize("transport", ["UDP", "TLS"])
def test_5_3_a_sip_call_reaches_a_sips_phone_by_a_sip_uri_over_tls(office: Office, transport: str) -> None:
    alice, bob = office.phone("100", transport=transport), secure(office, "101")
    call = alice.call("101")
    ring = bob.expect_call()
    assert ring.invite.request_uri == f"sip:101@{bob.address}"
    assert ring.invite["Via"].startswith("SIP/2.0/TLS")
    ring.reject(486)
    assert call.wait_rejected().status == 486


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_a_sips_call_that_did_not_come_over_tls_is_refused(office: Office, transport: str) -> None:
    alice = office.phone("100", transport=transport)
    secure(office, "101")
    uri = f"sips:101@127.0.0.1:{office.server.tls_port}"
    assert alice.request("MESSAGE", uri).wait_final().status == 416


def test_5_2_a_sips_contact_is_registered_by_a_sips_request_only(office: Office) -> None:
    phone = office.unregistered("100", transport="TLS")
    refused = phone.send_register(60, ("Contact", f"<sips:100@{phone.address}>")).wait_final()
    assert refused.status == 400
    assert office.numbers() == []
