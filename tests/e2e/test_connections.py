"""Phones whose signalling has a connection of its own, on TCP and on TLS, among themselves and with phones on UDP
(RFC 3261 18, RFC 5626, RFC 5658)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from tests.support.office import Office
from tests.support.rtp import media_direction
from tests.support.tls import TlsFiles

PAIRS = [pair for pair in product(("UDP", "TCP", "TLS"), repeat=2) if pair != ("UDP", "UDP")]

on_each = pytest.mark.parametrize("transport", ["TCP", "TLS"])


@pytest.fixture
def office(start_office: Callable[..., Office], tls_files: TlsFiles) -> Office:
    return start_office(tls_cert=tls_files.certificate, tls_key=tls_files.key)


@pytest.mark.parametrize(("caller", "callee"), PAIRS)
def test_a_call_across_transports(office: Office, caller: str, callee: str) -> None:
    """The phones check the Record-Route: each must find one for its own transport."""
    alice, bob = office.phone("100", transport=caller), office.phone("101", transport=callee)
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    call.wait_ringing()
    ring.answer()
    call.wait_answered()
    for sender, listener in ((call, ring), (ring, call)):
        packets = sender.media.make_packets(5)
        sender.media.send(*packets)
        assert [listener.media.receive() for _ in packets] == packets

    assert ring.hold().status == 200
    assert media_direction(call.remote_sdp) == "sendonly"
    assert call.resume().status == 200
    assert ring.hang_up().status == 200

    assert call.wait_ended().method == "BYE"
    assert office.last_ended()["terminationReason"] == "normal"


@on_each
def test_a_call_comes_in_over_the_connection_that_the_phone_opened(office: Office, transport: str) -> None:
    alice, bob = office.phone("100"), office.phone("101", transport=transport)
    (user,) = (each for each in office.api.get("/api/users") if each["number"] == "101")
    assert user["transport"].lower() == transport.lower()
    assert f"{user['address']}:{user['port']}" == bob.address

    _, ring = office.connect(alice, bob)

    assert ring.invite["Via"].startswith(f"SIP/2.0/{transport}")
    assert office.only_call()["toAddress"] == bob.address


@on_each
def test_a_cancel_and_a_refusal(office: Office, transport: str) -> None:
    alice, bob = office.phone("100", transport=transport), office.phone("101", transport=transport)
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    call.wait_ringing()
    assert call.cancel().status == 487
    assert ring.wait_ended().method == "CANCEL"

    busy = alice.call("101")
    bob.expect_call().reject(486)
    assert busy.wait_rejected().status == 486


@pytest.mark.parametrize(("caller", "callee"), [("UDP", "TCP"), ("TLS", "TLS")])
def test_a_phone_that_lost_its_connection_in_a_call_still_gets_the_bye(
    office: Office, caller: str, callee: str
) -> None:
    alice, bob = office.phone("100", transport=caller), office.phone("101", transport=callee)
    call, ring = office.connect(alice, bob)
    bob.reconnect()
    bob.register()

    assert call.hang_up().status == 200

    assert ring.wait_ended().method == "BYE"
