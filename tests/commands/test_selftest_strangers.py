"""What the self-test finds of what strangers are told and allowed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from commands.selftest import strangers
from commands.selftest.scene import find
from commands.selftest.verdict import Finding, Level
from tests.support.office import Office, office_config
from tests.support.selftest import INSIDE, NEIGHBOUR, scene_of, settings_of, talkative_server

PROTECTED = (("100", "sea-gull-17"), ("105", "sand-dune-23"))
ONLY_THIS_ADDRESS = (ip_network("127.0.0.1/32"),)


def check(
    office: Office, *own_addresses: str, protected: tuple[str, ...] = (), **changes: object
) -> dict[str, Finding]:
    scene = scene_of(office, *own_addresses, **changes)
    return {each.check: each for each in strangers.check(scene, frozenset(protected))}


@pytest.mark.parametrize("settings", [{}, {"ext_passwords": PROTECTED}, {"auth_required": True}])
def test_strangers_are_told_nothing(start_office: Callable[..., Office], settings: dict[str, object]) -> None:
    office = start_office(trusted_networks=(), **settings)
    found = check(office, protected=tuple(number for number, _ in settings.get("ext_passwords", ())))  # type: ignore[attr-defined]
    assert {name: finding.level for name, finding in found.items()} == dict.fromkeys(
        ("enumeration", "strangers", "amplification", "banner"), Level.OK
    )
    assert "REGISTER, INVITE, MESSAGE" in found["strangers"].meaning


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of this machine on Linux only")
def test_a_phone_is_not_disturbed_by_a_look_from_outside(start_office: Callable[..., Office]) -> None:
    office = start_office(trusted_networks=ONLY_THIS_ADDRESS)
    phone = office.phone("103")
    found = check(office, INSIDE, NEIGHBOUR)
    assert found["enumeration"].level is found["strangers"].level is Level.OK
    assert found["own-network"].level is Level.WARNING
    assert len(phone.messages("received")) == 1
    assert office.numbers() == ["103"]


def test_a_server_with_older_settings_lets_strangers_in(office: Office) -> None:
    found = check(office, trusted_networks=())
    assert found["strangers"].level is Level.DANGER
    assert "REGISTER (200)" in found["strangers"].meaning
    assert found["enumeration"].level is Level.DANGER
    assert "REGISTER (a number without a phone): 200 and 404" in found["enumeration"].meaning


def test_no_ban_comes_of_it(start_office: Callable[..., Office]) -> None:
    office = start_office(trusted_networks=(), ext_passwords=PROTECTED, ban_after=6)
    check(office, protected=("100", "105"))
    assert office.api.get("/api/bans") == []
    wrong = [each for each in office.api.get("/api/registrations/failures") if "password for 100" in each["reason"]]
    assert [each["count"] for each in wrong] == [1]


def test_where_a_ban_comes_soon_no_password_is_tried(start_office: Callable[..., Office]) -> None:
    office = start_office(trusted_networks=(), ext_passwords=PROTECTED, ban_after=2)
    assert check(office, protected=("100", "105"))["enumeration"].level is Level.OK
    assert not [each for each in office.api.get("/api/registrations/failures") if "wrong" in each["reason"]]


def test_where_every_address_is_trusted_it_says_what_it_can_not_see(start_office: Callable[..., Office]) -> None:
    office = start_office(auth_required=True)
    found = check(office)
    assert found["enumeration"].level is found["strangers"].level is Level.SKIPPED
    assert "Every address of this machine lies in TRUSTED_NETWORKS" in found["strangers"].meaning
    assert "asked for a password whatever the number is" in found["strangers"].meaning
    assert "--host" in found["strangers"].advice


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of this machine on Linux only")
def test_an_address_that_is_not_answered_is_named(start_office: Callable[..., Office]) -> None:
    office = start_office(trusted_networks=ONLY_THIS_ADDRESS)
    office.server.add_ban(NEIGHBOUR, None, "a test")
    found = check(office, INSIDE, NEIGHBOUR)
    assert found["strangers"].level is Level.SKIPPED
    assert f"does not answer {NEIGHBOUR}" in found["strangers"].meaning


def test_a_password_for_everybody_closes_the_own_network_too(start_office: Callable[..., Office]) -> None:
    assert check(start_office(auth_required=True))["own-network"].level is Level.OK


def test_numbers_with_a_password_are_not_called_open(start_office: Callable[..., Office]) -> None:
    office = start_office(ext_min=100, ext_max=101, ext_passwords=(("100", "sea-gull-17"),))
    found = check(office, protected=("100",))["own-network"]
    assert found.level is Level.WARNING
    assert "one of 101 and call" in found.meaning
    office = start_office(ext_min=100, ext_max=100, ext_passwords=(("100", "sea-gull-17"),))
    assert check(office, protected=("100",))["own-network"].level is Level.OK


def test_without_the_api_any_number_may_have_a_phone(office: Office) -> None:
    phone = office.phone("100")
    scene = scene_of(office, api_port=0)
    assert scene.live is None and scene.calls is None and scene.free_numbers() == []
    check(office, api_port=0, trusted_networks=())
    assert [message.start_line for message in phone.messages("received")] == ["SIP/2.0 200 OK"]


def test_a_banner_is_seen(tmp_path: Path) -> None:
    with talkative_server(Server="Acme 1.0") as port:
        scene = find(office_config(tmp_path, sip_port=port), "", [INSIDE])
        assert scene is not None
        found = {each.check: each for each in strangers.check(scene, frozenset())}
    assert found["banner"].level is Level.WARNING
    assert "server: Acme 1.0" in found["banner"].meaning


@pytest.mark.parametrize(
    ("ext_min", "ext_max", "unknown"), [(100, 110, "111"), (100, 999, "99"), (1, 9, "10"), (200, 999, "199")]
)
def test_the_unknown_number_looks_like_the_others(office: Office, ext_min: int, ext_max: int, unknown: str) -> None:
    assert scene_of(office, ext_min=ext_min, ext_max=ext_max).unknown_number == unknown


def test_the_server_is_found_at_a_given_host(office: Office) -> None:
    scene = find(settings_of(office, sip_host="0.0.0.0", server_address="selftest.invalid"), "localhost", [INSIDE])
    assert scene is not None
    assert scene.server == (INSIDE, office.server.sip_port)
    assert scene.views == ("Seen from your own network, as 127.0.0.1: there the rules are laxer, by design.",)


def test_the_length_of_a_number_makes_no_difference(start_office: Callable[..., Office]) -> None:
    office = start_office(trusted_networks=(), ext_passwords=(("999", "sea-gull-17"),), ext_min=1, ext_max=999)
    assert scene_of(office).unknown_number == "1000"
    assert check(office, protected=("999",))["enumeration"].level is Level.OK


@pytest.mark.parametrize(("size", "level"), [(1, Level.OK), (3000, Level.WARNING)])
def test_large_answers_are_noticed(tmp_path: Path, size: int, level: Level) -> None:
    with talkative_server(Warning="x" * size) as port:
        scene = find(office_config(tmp_path, sip_port=port, trusted_networks=()), "", [INSIDE])
        assert scene is not None
        found = {each.check: each for each in strangers.check(scene, frozenset())}
    assert found["amplification"].level is level


def test_a_second_look_finds_the_same(start_office: Callable[..., Office]) -> None:
    office = start_office(trusted_networks=(), ext_passwords=PROTECTED)
    for protected in (("100",), ("100", "105"), ("105",)):
        assert check(office, protected=protected)["enumeration"].level is Level.OK
