"""The passwords of the numbers, judged by the files that the server reads.  One thread, that of the command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from commands.selftest.verdict import Finding, Level, shown_numbers
from config import Config, ConfigError
from sip.credentials import PasswordDigests
from sip.digest import Algorithm, user_digest
from sip.numbering import NumberPlan
from sip.password_store import PasswordStore
from sip.passwords import weakness
from store import open_passwords

_WORDS = """
123 1234 12345 123456 1234567 12345678 123456789 1234567890 123123 123321 654321 987654321 0000 00000 000000 00000000
111 1111 11111 111111 1111111 11111111 1212 121212 123qwe 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 2000 2222 222222 3333
4321 4444 5555 555555 6666 666666 7777 777777 8888 888888 88888888 9999 999999 a123456 aa123456 abc123 abcd1234 access
admin admin123 administrator asdfgh asterisk baseball callcenter changeme cisco default demo dragon extension football
freepbx fritzbox grandstream guest hello iloveyou letmein linphone login master michael monkey office p@ssw0rd passw0rd
password password1 password123 pbx phone phone123 polycom qazwsx qwe123 qwerty qwerty123 qwertyuiop root secret service
shadow sip sip123 sipserver snom sunshine superman support telephone temp test test123 test1234 trixbox trustno1 user
voip voip123 welcome welcome1 yealink zaq12wsx zxcvbnm
"""
COMMONEST = tuple(_WORDS.split())
"""What scanners try first."""


def candidates(number: str) -> list[str]:
    """What is tried for that number: itself and what people make of it, and what everybody takes."""
    own = [number, number * 2, number * 3, number[::-1], f"{number}{number[::-1]}"]
    own += [f"{word}{number}" for word in ("ext", "sip", "user", "pass", "phone", "a", "abc", "password")]
    own += [f"{number}{tail}" for tail in ("0", "1", "12", "123", "1234", "abc", "pass", "!", "00", "000")]
    return list(dict.fromkeys([*own, *COMMONEST, *(word.capitalize() for word in COMMONEST if word.isalpha())]))


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
    weak |= {number: _COMMON for number, digests in known.items() if _is_common(number, credentials.realm, digests)}
    return Passwords(known, weak)


_COMMON = "It is among the first that everybody tries."


def _is_common(number: str, realm: str, digests: PasswordDigests) -> bool:
    return any(
        user_digest(algorithm, number, realm, password) == digests.by(algorithm)
        for password in candidates(number)
        for algorithm in Algorithm
    )


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
