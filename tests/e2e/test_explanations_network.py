"""Faults of the network, made by packet filters and public addresses in a network of the tests' own, and explained."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from sip.timers import TimerSettings
from tests.support.explained import ExplainedOffice, key_of, say
from tests.support.namespaces import Host, missing
from tests.support.office import eventually
from tests.support.phone import SoftPhone
from tests.support.rtp import session_description

_MISSING = missing() or ("" if shutil.which("iptables") else "packet filters need iptables")

pytestmark = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)

PUBLIC = "9.9.9.9"
"""An address of the Internet, which in here is ours."""
OTHER = "8.8.4.4"
PRIVATE = "192.168.77.2"
EVERYWHERE = (ip_network("0.0.0.0/0"),)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host("exp")
    for address in (PUBLIC, OTHER, PRIVATE):
        subprocess.run(["ip", "-n", made.name, "address", "add", f"{address}/32", "dev", "lo"], check=True)
    yield made
    made.close()


@pytest.fixture
def start(host: Host, tmp_path: Any) -> Iterator[Callable[..., ExplainedOffice]]:
    """Starts an office in that network; to be called, and used, by what runs in there."""
    offices: list[ExplainedOffice] = []

    def make(timers: TimerSettings | None = None, **settings: Any) -> ExplainedOffice:
        usual = {"sip_host": "0.0.0.0", "rtp_host": "0.0.0.0", "trusted_networks": EVERYWHERE}
        offices.append(ExplainedOffice(tmp_path / str(len(offices)), timers, **{**usual, **settings}))
        return offices[-1]

    yield make
    for each in offices:
        host.run(each.close)


@contextmanager
def filtered(*rule: str) -> Iterator[None]:
    """While a rule of the packet filter is in force, for what comes in."""
    subprocess.run(["iptables", "-I", "INPUT", *rule], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "-D", "INPUT", *rule], check=True, capture_output=True)


class PrivateContact(SoftPhone):
    """It puts a private address into Contact, and the public one that it has into Via."""

    @property
    def contact(self) -> str:
        return f"<sip:{self.number}@192.168.1.50:5060>"


def test_a_banned_phone_is_silent_for_the_server(host: Host, start: Callable[..., ExplainedOffice]) -> None:
    def scenario() -> None:
        office = start(TimerSettings(t1_s=0.004))
        alice, bob = office.phone("100"), office.phone("101", host=OTHER)
        office.api.request("POST", "/api/bans", {"address": OTHER, "reason": "a test"})
        call = alice.call(bob.number)
        call.wait_rejected()
        assert office.keys(call) == ["callee-banned certain", "callee-silent likely"]
        office.api.request("DELETE", f"/api/bans/{OTHER}")
        assert office.keys(call) == ["callee-silent likely"]

    host.run(scenario)


@pytest.mark.parametrize("kind", ["host", "net", "port"])
def test_a_router_says_that_the_phone_is_not_there(
    host: Host, start: Callable[..., ExplainedOffice], kind: str
) -> None:
    def scenario() -> None:
        office = start()
        alice, bob = office.phone("100"), office.phone("101", host=OTHER)
        with filtered("-p", "udp", "-d", OTHER, "-j", "REJECT", "--reject-with", f"icmp-{kind}-unreachable"):
            call = alice.call(bob.number)
            call.wait_rejected()
        variant = "port" if kind == "port" else "host"
        assert office.keys(call) == [f"callee-address-unreachable.{variant} certain"]

    host.run(scenario)


def test_a_firewall_keeps_the_sound_of_one_phone_back(host: Host, start: Callable[..., ExplainedOffice]) -> None:
    def scenario() -> None:
        office = start()
        call, ring = office.connect(office.phone("100"), office.phone("101"))
        assert call.media.remote is not None
        with filtered("-p", "udp", "--dport", str(call.media.remote[1]), "-j", "DROP"):
            call.media.send(*call.media.make_packets(60))
            say(ring, call)
            office.hang_up(call)
        assert office.keys(call) == ["one-way-audio.nothing likely"]
        assert f"UDP port {call.media.remote[1]}" in office.explain(call)["findings"][0]["sentence"]

    host.run(scenario)


def test_a_phone_in_the_internet_asks_for_its_sound_at_a_private_address(
    host: Host, start: Callable[..., ExplainedOffice]
) -> None:
    def scenario() -> None:
        office = start()
        alice, bob = office.phone("100"), office.phone("101", host=OTHER)
        call = alice.call("101")
        ring = bob.expect_call()
        ring.describe = lambda direction="sendrecv": session_description("192.168.1.50", ring.media.port)  # type: ignore
        ring.answer()
        call.wait_answered()
        call.media.send(*call.media.make_packets(60))
        eventually(lambda: any(each["packets"] == 60 for each in office.open_streams()), "the packets")
        office.hang_up(call)
        assert office.keys(call) == ["one-way-audio.nothing likely", "private-address-in-sdp likely"]

    host.run(scenario)


def test_a_phone_in_the_internet_is_told_a_private_address_of_the_server(
    host: Host, start: Callable[..., ExplainedOffice]
) -> None:
    def scenario() -> None:
        office = start(server_address=PRIVATE)
        alice, bob = office.phone("100", host=OTHER), office.phone("101", t1_s=0.01)
        # There is no way from the Internet to such an address.
        with filtered("-p", "udp", "-s", OTHER, "-d", PRIVATE, "-j", "DROP"):
            call = alice.call("101")
            bob.expect_call().send_answer()
            call.wait_answered()
            office.wait_for(call, "ack-missing.address certain")
            assert PRIVATE in office.explain(call)["findings"][0]["sentence"]

    host.run(scenario)


def test_a_phone_whose_messages_are_changed_in_part(host: Host, start: Callable[..., ExplainedOffice]) -> None:
    def scenario() -> None:
        office = start()
        office.phone("101")
        office.phone("100", host=OTHER)
        alice = PrivateContact(office.server, "100", host=OTHER)
        call = alice.call("101")
        call.invite.wait_for(100)
        assert office.keys(call) == ["sip-alg.via possible"]
        alice.close()

    host.run(scenario)


# ------------------------------------------------------------------------------------------------ registrations


def refusal(office: ExplainedOffice, number: str) -> list[str]:
    """How the newest refused registration of that number is explained."""
    row = office.api.get(f"/api/registrations/failures?extension={number}")[0]
    return [key_of(finding) for finding in row["explanation"]]


def test_an_address_that_guesses_is_banned(host: Host, start: Callable[..., ExplainedOffice]) -> None:
    def scenario() -> None:
        office = start(trusted_networks=(), ext_passwords=(("100", "correct horse"),), ban_after=2)
        phone = office.unregistered("100", host=OTHER, password="wrong")
        for _ in range(2):
            phone.send_register().wait_final()
        assert refusal(office, "100") == ["source-banned.guessing certain", "wrong-password certain"]

    host.run(scenario)


def test_an_address_that_sends_too_much(host: Host, start: Callable[..., ExplainedOffice]) -> None:
    def scenario() -> None:
        office = start(sip_rate_limit=1)
        phone = office.unregistered("999", host=OTHER)
        phone.send_register().wait_final()
        assert refusal(office, "999") == ["unknown-user.number certain"]
        for _ in range(20):
            phone.link.send(phone.make_request("OPTIONS", phone.server_uri, phone.server_uri))
        expected = ["unknown-user.number certain", "source-rate-limited likely"]
        eventually(lambda: refusal(office, "999") == expected, "dropped messages")

    host.run(scenario)


def test_a_phone_whose_registration_is_changed_in_part(host: Host, start: Callable[..., ExplainedOffice]) -> None:
    def scenario() -> None:
        office = start()
        office.phone("101", host=OTHER)
        phone = PrivateContact(office.server, "100", host=OTHER)
        phone.register()
        found = {number: office.api.get(f"/api/users/{number}/explain") for number in ("100", "101")}
        phone.close()
        assert [key_of(each) for each in found["100"]["findings"]] == ["phone-behind-sip-alg possible"]
        assert found["101"]["findings"] == []

    host.run(scenario)


# ------------------------------------------------------------------------------------------------ the doctor


class Hidden(SoftPhone):
    """Behind the router of PUBLIC addresses: it believes to be at a private one."""

    @property
    def address(self) -> str:
        return f"192.168.1.50:{self.link.local[1]}"


def diagnosis(office: ExplainedOffice) -> dict[str, str]:
    """Severity by rule and variant."""
    return {key_of(finding).split()[0]: finding["severity"] for finding in office.api.get("/api/doctor")["findings"]}


def test_the_doctor_sees_who_is_told_what_and_who_shares_a_router(
    host: Host, start: Callable[..., ExplainedOffice]
) -> None:
    def scenario() -> None:
        office = start(server_address=PRIVATE, nat_keepalive=0.0)
        before = diagnosis(office)
        assert "private-address-for-public-phones" not in before and "phones-behind-one-nat" not in before
        phones = [Hidden(office.server, number, host=OTHER) for number in ("100", "101")]
        for phone in phones:
            phone.register()
        found = diagnosis(office)
        for phone in phones:
            phone.close()
        assert found["private-address-for-public-phones"] == "problem"
        assert found["nat-without-keepalive"] == "warning"
        assert found["phones-behind-one-nat"] == "info"
        assert found["advertised-addresses.setting"] == "info"

    host.run(scenario)


def test_the_doctor_sees_bans_fights_silence_and_routers_that_rewrite(
    host: Host, start: Callable[..., ExplainedOffice]
) -> None:
    def scenario() -> None:
        office = start(TimerSettings(t1_s=0.002), nat_keepalive=0.05)
        office.phone("102", host=OTHER)
        office.api.request("POST", "/api/bans", {"address": OTHER, "reason": "a test"})
        for address in ("127.0.0.2", "127.0.0.3") * 2:
            phone = office.unregistered("103", host=address)
            phone.send_register(0, ("Contact", "*")).wait_final()
            phone.register()
        silent = Hidden(office.server, "104", host=PUBLIC)
        silent.automatic.discard("OPTIONS")
        silent.register()
        alice = PrivateContact(office.server, "105", host=PUBLIC)
        alice.register()
        call = alice.call("999")
        call.wait_rejected()
        expected = {
            "phone-banned": "problem",
            "two-phones-one-number": "problem",
            "phones-not-answering": "warning",
            "sip-alg.via": "warning",
            "phone-behind-sip-alg": "warning",
        }
        eventually(lambda: expected.items() <= diagnosis(office).items(), "what the doctor says")
        silent.close()
        alice.close()

    host.run(scenario)
