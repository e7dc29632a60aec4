"""sip/challenge_choice.py: SHA-256 for every phone that knows it, and MD5 for those that fail at it."""

from __future__ import annotations

import pytest

from sip.challenge_choice import ChallengeChoice
from sip.digest import Algorithm

BOTH = (Algorithm.SHA_256, Algorithm.MD5)
MD5 = (Algorithm.MD5,)

PHONE = ("192.0.2.10", "100")


@pytest.fixture
def choice() -> ChallengeChoice:
    return ChallengeChoice()


def register(choice: ChallengeChoice, branch: str, phone: tuple[str, str] = PHONE) -> tuple[Algorithm, ...]:
    return choice.offer(*phone, "Phone/1.0", branch)


def test_a_phone_that_registers_again_without_an_answer_is_asked_for_md5_from_then_on(choice: ChallengeChoice) -> None:
    assert register(choice, "1") == BOTH
    assert register(choice, "2") == MD5
    choice.answered(*PHONE, Algorithm.MD5)
    assert register(choice, "3") == MD5
    assert choice.offer(*PHONE, "Phone/1.0", None) == MD5


def test_a_copy_of_its_register_is_no_sign_of_failure(choice: ChallengeChoice) -> None:
    assert [register(choice, "1") for _ in range(3)] == [BOTH] * 3


def test_who_answers_by_sha_256_is_asked_for_both_each_time(choice: ChallengeChoice) -> None:
    for branch in "123":
        assert register(choice, branch) == BOTH
        choice.answered(*PHONE, Algorithm.SHA_256)
    assert len(choice) == 0


def test_who_answers_by_md5_knows_no_better(choice: ChallengeChoice) -> None:
    register(choice, "1")
    choice.answered(*PHONE, Algorithm.MD5)
    assert register(choice, "2") == MD5
    assert choice.offer(*PHONE, "Phone/1.0", None) == MD5


def test_other_requests_may_be_under_way_at_the_same_time(choice: ChallengeChoice) -> None:
    assert [choice.offer(*PHONE, "Phone/1.0", None) for _ in range(3)] == [BOTH] * 3
    assert len(choice) == 0


@pytest.mark.parametrize("other", [("192.0.2.11", "100"), ("192.0.2.10", "101")])
def test_phones_are_told_apart_by_source_and_number(choice: ChallengeChoice, other: tuple[str, str]) -> None:
    register(choice, "1")
    register(choice, "2")
    assert register(choice, "3", other) == BOTH


@pytest.mark.parametrize(
    ("user_agent", "offered"),
    [
        ("baresip v1.0.0 (x86_64/linux)", MD5),
        ("baresip v3.10.1 (x86_64/Linux)", MD5),
        ("baresip v3.11.0 (x86_64/Linux)", BOTH),
        ("baresip v4.0.0", BOTH),
        ("PJSUA v2.10 Linux-5.10", MD5),
        ("PJSUA v2.14 Linux-5.10", BOTH),
        ("Twinkle/1.10.2", MD5),
        ("SIPp", MD5),
        ("Linphonec/5.1.65", BOTH),
        ("", BOTH),
    ],
)
def test_programs_that_are_known_to_fail_need_not(
    choice: ChallengeChoice, user_agent: str, offered: tuple[Algorithm, ...]
) -> None:
    assert choice.offer(*PHONE, user_agent, "1") == offered


def test_the_memory_is_bounded_and_forgets_who_was_asked_longest_ago() -> None:
    choice = ChallengeChoice(capacity=10)
    for number in range(100):
        register(choice, "1", ("192.0.2.10", str(number)))
    assert len(choice) == 10
    assert register(choice, "2", ("192.0.2.10", "99")) == MD5
    assert register(choice, "2", ("192.0.2.10", "0")) == BOTH
