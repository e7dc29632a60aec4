"""What the self-test finds of passwords."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from commands.selftest import passwords
from commands.selftest.verdict import Finding, Level
from config import Config, ConfigError
from sip.credentials import PasswordDigests
from sip.kept_passwords import PASSWORD_FILE, passwords_in
from sip.password_store import PasswordStore
from sip.passwords import generate

GOOD = "sea-gull-17"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return replace(Config(), data_dir=tmp_path, ext_max=103)


def check(config: Config) -> dict[str, Finding]:
    return {each.check: each for each in passwords.check(config, passwords.read(config))}


@pytest.mark.parametrize(
    "password", ["101", "101101", "password101", "101123", "1234", "Password", "yealink", "qwerty123"]
)
def test_a_password_that_everybody_tries_is_found(config: Config, password: str) -> None:
    PasswordStore(config, passwords_in(config)).set("100", GOOD)
    PasswordStore(config, passwords_in(config)).set("101", password)
    found = check(config)["weak-passwords"]
    assert (found.level, found.title) == (Level.DANGER, "Easy to guess: the password of 101")
    assert password == "101" or password not in found.meaning


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_either_digest_alone_gives_it_away(config: Config, algorithm: str) -> None:
    PasswordStore(config, passwords_in(config)).set("100", GOOD)
    path = config.data_dir / PASSWORD_FILE
    content = json.loads(path.read_text())
    weak = PasswordDigests.of("100", config.auth_realm, "1234")
    content["numbers"]["100"][algorithm] = weak.sha256 if algorithm == "SHA-256" else weak.md5
    path.write_text(json.dumps(content))
    assert passwords.read(config).weak.keys() == {"100"}


def test_passwords_in_the_settings_are_judged_by_the_house_rules_too(config: Config) -> None:
    config = replace(config, ext_passwords=(("100", "x7"), ("101", GOOD), ("102", "letmein")))
    found = passwords.read(config)
    assert found.weak == {"100": "It has 2 characters; at least 8 are needed.", "102": passwords._COMMON}
    assert found.protected == {"100", "101", "102"}
    assert found.known["101"] == PasswordDigests.of("101", config.auth_realm, GOOD)


def test_good_passwords_are_good(config: Config) -> None:
    for number in ("100", "101", "102", "103"):
        PasswordStore(config, passwords_in(config)).set(number, generate())
    found = check(config)
    assert {name: each.level for name, each in found.items()} == {
        "weak-passwords": Level.OK,
        "missing-passwords": Level.OK,
    }
    assert found["missing-passwords"].title == "Every number has a password"


@pytest.mark.parametrize(("auth_required", "level"), [(False, Level.WARNING), (True, Level.OK)])
def test_numbers_without_a_password_are_named(config: Config, auth_required: bool, level: Level) -> None:
    PasswordStore(config, passwords_in(config)).set("101", GOOD)
    found = check(replace(config, auth_required=auth_required))["missing-passwords"]
    assert found.level is level
    assert "100, 102, 103" in found.title + found.meaning
    assert "3 of 4 numbers" in found.meaning


def test_no_password_at_all_is_not_a_weak_one(config: Config) -> None:
    found = check(config)
    assert (found["weak-passwords"].level, found["missing-passwords"].level) == (Level.OK, Level.WARNING)


def test_the_digests_of_kept_and_given_passwords_are_known(config: Config) -> None:
    PasswordStore(config, passwords_in(config)).set("100", GOOD)
    PasswordStore(config, passwords_in(config)).set("101", "an old one, kept")
    config = replace(config, ext_passwords=(("101", "the new one, given"),))
    assert passwords.read(config).known == {
        "100": PasswordDigests.of("100", config.auth_realm, GOOD),
        "101": PasswordDigests.of("101", config.auth_realm, "the new one, given"),
    }


def test_a_damaged_file_is_said_to_be_one(config: Config) -> None:
    (config.data_dir / PASSWORD_FILE).write_text("{")
    with pytest.raises(ConfigError) as error:
        passwords.read(config)
    found = passwords.unreadable(error.value)
    assert found.level is Level.SKIPPED
    assert "is damaged" in found.meaning
