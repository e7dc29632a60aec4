"""What the self-test finds of sound: the media ports, and a call of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from commands.selftest import media, passwords
from commands.selftest.media import MAX_INJECTED, Outcome
from commands.selftest.trial_call import NoCall, trial_call
from commands.selftest.verdict import Finding, Level
from rtp.latch import RtpLatch, Verdict
from tests.support.office import Office
from tests.support.rtp import free_media_range
from tests.support.selftest import INSIDE, answering_port, scene_of, settings_of

RANGE = 40


def check(office: Office, **changes: object) -> dict[str, Finding]:
    scene = scene_of(office, **changes)
    return {each.check: each for each in media.check(scene, passwords.read(scene.config).known)}


@pytest.fixture
def media_range() -> Iterator[dict[str, int]]:
    first = free_media_range(RANGE)
    yield {"rtp_port": first, "rtp_port_max": first + RANGE - 1}


def test_strangers_get_into_no_call(office: Office) -> None:
    found = check(office)["media-injection"]
    assert found.level is Level.OK
    assert office.numbers() == []
    ended = office.last_ended()
    assert (ended["fromNumber"], ended["toNumber"], ended["terminationReason"]) == ("109", "110", "normal")
    assert office.open_streams() == []


def test_a_relay_that_listens_to_everybody_is_dangerous(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(latch: RtpLatch, source: tuple[str, int], *_: object) -> Verdict:
        latch.source = source
        return Verdict.LATCHED

    monkeypatch.setattr(RtpLatch, "judge", careless)
    assert check(office)["media-injection"].level is Level.DANGER


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        (Outcome(injected=0, diverted=0, spoken=40), Level.OK),
        (Outcome(injected=MAX_INJECTED, diverted=0, spoken=40), Level.OK),
        (Outcome(injected=MAX_INJECTED + 1, diverted=0, spoken=40), Level.DANGER),
        (Outcome(injected=0, diverted=1, spoken=40), Level.DANGER),
        (Outcome(injected=0, diverted=0, spoken=0), Level.WARNING),
    ],
)
def test_fewer_than_five_foreign_packets_are_borne(outcome: Outcome, level: Level) -> None:
    assert media.judge(outcome).level is level


def test_numbers_whose_password_is_kept_are_called_with_it(start_office: Callable[..., Office]) -> None:
    office = start_office(auth_required=True, ext_min=100, ext_max=101, ext_passwords=(("101", "sand-dune-23"),))
    office.server.set_password("100", "sea-gull-17")
    assert check(office)["media-injection"].level is Level.OK
    assert office.numbers() == []
    assert office.last_ended()["terminationReason"] == "normal"


def test_a_stranger_calls_with_passwords_too(start_office: Callable[..., Office]) -> None:
    office = start_office(trusted_networks=(), ext_passwords=(("100", "sea-gull-17"), ("101", "sand-dune-23")))
    assert check(office)["media-injection"].level is Level.OK


def test_no_phone_is_disturbed(start_office: Callable[..., Office]) -> None:
    office = start_office(ext_min=100, ext_max=102)
    phones = office.phones("100", "101")
    found = check(office)["media-injection"]
    assert (found.level, "two numbers without a phone" in found.meaning) == (Level.SKIPPED, True)
    assert [len(phone.messages("received")) for phone in phones] == [1, 1]


def test_a_phone_that_comes_up_meanwhile_is_left_alone(office: Office) -> None:
    scene = scene_of(office)
    phone = office.phone("110")
    with pytest.raises(NoCall, match="A phone of 110 has come up"), trial_call(scene, INSIDE, ("109", "110"), {}):
        pytest.fail("there must be no call")
    assert office.numbers() == ["110"]
    (user,) = office.api.get("/api/users")
    assert [contact["port"] for contact in user["contacts"]] == [int(phone.address.rpartition(":")[2])]


def test_registrations_are_taken_back_when_the_test_fails(office: Office) -> None:
    with suppress(RuntimeError), trial_call(scene_of(office), INSIDE, ("109", "110"), {}):
        assert office.numbers() == ["109", "110"]
        raise RuntimeError("the test was interrupted")
    assert office.numbers() == []
    office.last_ended()


def test_numbers_that_need_an_unknown_password_are_not_called(start_office: Callable[..., Office]) -> None:
    found = check(start_office(auth_required=True))["media-injection"]
    assert (found.level, "passwords can be read here" in found.meaning) == (Level.SKIPPED, True)


def test_a_server_with_other_passwords_says_no(start_office: Callable[..., Office]) -> None:
    office = start_office(auth_required=True)
    found = check(office, ext_passwords=(("100", "sea-gull-17"), ("101", "sand-dune-23")))["media-injection"]
    assert found.level is Level.SKIPPED
    assert found.meaning == "The registration of 100 was answered 403 Number Has No Password Yet."


def test_a_call_in_progress_is_not_disturbed(start_office: Callable[..., Office], media_range: dict[str, int]) -> None:
    office = start_office(**media_range)
    office.connect(*office.phones("100", "101"))
    found = check(office)
    assert {name: each.level for name, each in found.items()} == dict.fromkeys(
        ("media-ports", "media-injection"), Level.SKIPPED
    )
    assert "calls in progress (1)" in found["media-ports"].meaning


def test_without_the_api_nothing_is_tried(start_office: Callable[..., Office], media_range: dict[str, int]) -> None:
    office = start_office(**media_range)
    assert {each.level for each in check(office, api_port=0).values()} == {Level.SKIPPED}


# ------------------------------------------------------------------------------------------------ without a call


def test_media_ports_are_silent_without_a_call(
    start_office: Callable[..., Office], media_range: dict[str, int]
) -> None:
    found = check(start_office(**media_range))["media-ports"]
    assert found.level is Level.OK
    assert f"{RANGE} ports" in found.meaning


def test_a_media_port_that_answers_is_dangerous(office: Office) -> None:
    with answering_port() as port:
        found = check(office, rtp_port=port - port % 2, rtp_port_max=port - port % 2 + 3)["media-ports"]
    assert found.level is Level.DANGER
    assert f"ports {port} was answered" in found.meaning


def test_a_large_range_is_sampled(office: Office) -> None:
    found = check(office, rtp_port=20_000, rtp_port_max=29_999)["media-ports"]
    assert (found.level, f"{media.MAX_SPRAYED} ports" in found.meaning) == (Level.OK, True)


def test_any_free_ports_are_no_range(office: Office) -> None:
    assert settings_of(office).rtp_port == 0
    assert check(office)["media-ports"].level is Level.SKIPPED
