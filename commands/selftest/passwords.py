"""The passwords of the numbers, judged by the files that the server reads.  One thread, that of the command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from commands.selftest.verdict import Finding, Level, shown_numbers
from config import Config, ConfigError
from sip.common_passwords import candidates, common_among
from sip.credentials import PasswordDigests
from sip.numbering import NumberPlan
from sip.password_store import PasswordStore
from sip.passwords import weakness
from store import open_passwords

_COMMON = "It is among the first that everybody tries."


@dataclass(frozen=True, slots=True)
class Passwords:
    """`known`: the digests of every number that has a password; `weak`: number to why its password is bad, a sentence
    that doesn't hold it."""

    known: Mapping[str, PasswordDigests]
    weak: Mapping[str, str]

    @property
    def protected(self) -> frozenset[str]:
        """Numbers with a password."""
        return frozenset(self.known)


def read(config: Config) -> Passwords:
    """Raises `ConfigError` when they can't be used; the server would not start with them either."""
    with open_passwords(config) as keeper:
        credentials = PasswordStore(config, keeper).load()
    known = {number: found for number in credentials.numbers() if (found := credentials.digests(number)) is not None}
    weak = {
        number: fault
        for number, text in dict(config.ext_passwords).items()
        if (fault := weakness(number, text)) is not None
    }
    weak |= dict.fromkeys(common_among(credentials), _COMMON)
    return Passwords(known, weak)


# ------------------------------------------------------------------------------------------------ findings


def check(config: Config, passwords: Passwords) -> Iterator[Finding]:
    yield _strength(passwords)
    yield _coverage(config, passwords.protected)


def _strength(passwords: Passwords) -> Finding:
    if passwords.weak:
        weak = sorted(passwords.weak, key=int)
        return Finding(
            "weak-passwords",
            Level.DANGER,
            f"Easy to guess: the password of {shown_numbers(weak)}",
            " ".join(f"{number}: {passwords.weak[number]}" for number in weak[:5])
            + " Scanners find such a password within minutes, and call at your expense.",
            "Set a good one: python sipserver.py passwd NUMBER --generate; then enter it in the phone.",
        )
    if not passwords.protected:
        return Finding("weak-passwords", Level.OK, "No password is easy to guess", "There is none.")
    return Finding(
        "weak-passwords",
        Level.OK,
        "No password is easy to guess",
        f"None of {len(passwords.protected)} is among the {len(candidates('100'))} that are tried first, such as the "
        "number itself.",
    )


def _coverage(config: Config, protected: frozenset[str]) -> Finding:
    missing = [number for number in NumberPlan(config.ext_min, config.ext_max).numbers() if number not in protected]
    if not missing:
        return Finding(
            "missing-passwords", Level.OK, "Every number has a password", "Nobody registers without knowing one."
        )
    count = f"{len(missing)} of {config.ext_max - config.ext_min + 1} numbers"
    if config.auth_required:
        return Finding(
            "missing-passwords",
            Level.OK,
            "No phone gets in without a password",
            f"AUTH_REQUIRED is on, so {count} have no password and can't be used: {shown_numbers(missing)}.",
        )
    return Finding(
        "missing-passwords",
        Level.WARNING,
        f"No password: {shown_numbers(missing)}",
        f"{count} can be registered by every device in TRUSTED_NETWORKS. Outside these networks they can't be used.",
        "Set one for each number in use (python sipserver.py passwd NUMBER --generate), then AUTH_REQUIRED=true.",
    )


def unreadable(error: ConfigError) -> Finding:
    """The files with passwords can't be used."""
    return Finding(
        "weak-passwords",
        Level.SKIPPED,
        "The passwords could not be looked at",
        f"{error}.",
        "Run this command as the user that the server runs as, on its machine and with its settings.",
    )
