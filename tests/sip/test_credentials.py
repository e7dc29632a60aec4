"""sip/credentials.py: the table of HA1 values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sip.credentials import Credentials, PasswordDigests
from sip.digest import Algorithm, DigestAnswer

REALM = "sipserver"


def table(**passwords: str) -> Credentials:
    """`n100="secret"` gives 100 a password."""
    numbers = {name[1:]: password for name, password in passwords.items()}
    return Credentials(
        REALM, {number: PasswordDigests.of(number, REALM, password) for number, password in numbers.items()}
    )


def answer_of(number: str, password: str, algorithm: Algorithm = Algorithm.SHA_256) -> DigestAnswer:
    blank = DigestAnswer(number, REALM, "nonce", "sip:office", algorithm, "", "cnonce", "00000001")
    ha1 = PasswordDigests.of(number, REALM, password).by(algorithm)
    return replace(blank, response=blank.expected_response(ha1, "REGISTER"))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_right_password_is_accepted_by_either_algorithm(algorithm: Algorithm) -> None:
    credentials = table(n100="correct horse", n101="other")
    assert credentials.accepts(answer_of("100", "correct horse", algorithm), "REGISTER")
    assert not credentials.accepts(answer_of("100", "other", algorithm), "REGISTER")
    assert not credentials.accepts(answer_of("100", "correct horse", algorithm), "INVITE")


def test_a_number_without_password_proves_nothing() -> None:
    assert not table(n100="x").accepts(answer_of("101", "x"), "REGISTER")
    assert not table().accepts(answer_of("", ""), "REGISTER")


def test_two_numbers_with_one_password_have_different_digests() -> None:
    first, second = (PasswordDigests.of(number, REALM, "same") for number in ("100", "101"))
    assert first.sha256 != second.sha256
    assert first.md5 != second.md5


def test_digests_are_not_shown() -> None:
    digests = PasswordDigests.of("100", REALM, "secret")
    assert digests.md5 not in repr(digests)
    assert digests.sha256 not in repr(digests)


def test_numbers() -> None:
    credentials = table(n100="a", n101="b")
    assert sorted(credentials.numbers()) == ["100", "101"]
    assert ("100" in credentials, "102" in credentials, len(credentials)) == (True, False, 2)
    assert not Credentials(REALM)


def test_changes_are_new_other_and_lost_passwords() -> None:
    before = table(n100="a", n101="b", n102="c")
    assert table(n100="a", n101="x", n103="d").changed_since(before) == {"101", "102", "103"}
    assert before.changed_since(before) == frozenset()


def test_another_realm_changes_every_password() -> None:
    assert Credentials("elsewhere").changed_since(table(n100="a")) == {"100"}
