"""What proves that a phone is the number it claims to be: a table of HA1 values.

Pure; a table never changes, so it needs no lock: a new password makes a new table.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sip.digest import Algorithm, DigestAnswer, user_digest

_MARK_LENGTH = 16


@dataclass(frozen=True, slots=True, repr=False)
class PasswordDigests:
    """HA1 of one number for each algorithm (RFC 7616 5.2): all that is kept of its password."""

    sha256: str
    md5: str

    @classmethod
    def of(cls, number: str, realm: str, password: str) -> PasswordDigests:
        return cls(
            user_digest(Algorithm.SHA_256, number, realm, password),
            user_digest(Algorithm.MD5, number, realm, password),
        )

    def by(self, algorithm: Algorithm) -> str:
        return self.sha256 if algorithm is Algorithm.SHA_256 else self.md5


class Credentials:
    """The numbers that have a password, in one realm."""

    def __init__(self, realm: str, digests: Mapping[str, PasswordDigests] | None = None) -> None:
        self.realm = realm
        self._digests = dict(digests or {})
        self._decoy = PasswordDigests.of("", realm, secrets.token_hex(16))

    def __contains__(self, number: str) -> bool:
        return number in self._digests

    def __len__(self) -> int:
        return len(self._digests)

    def numbers(self) -> list[str]:
        return list(self._digests)

    def digests(self, number: str) -> PasswordDigests | None:
        """None without a password."""
        return self._digests.get(number)

    def mark(self, number: str) -> str:
        """What tells the password of that number from any other, and is no help in finding it out; "" without one."""
        known = self._digests.get(number)
        if known is None:
            return ""
        return hashlib.sha256(f"{known.sha256}{known.md5}".encode("ascii")).hexdigest()[:_MARK_LENGTH]

    def accepts(self, answer: DigestAnswer, method: str) -> bool:
        """The sender of this request knows the password of `answer.username`.  Takes the same time for numbers
        without one, and compares in constant time."""
        known = self._digests.get(answer.username)
        expected = answer.expected_response((known or self._decoy).by(answer.algorithm), method)
        return hmac.compare_digest(expected, answer.response) and known is not None

    def changed_since(self, older: Credentials) -> frozenset[str]:
        """Numbers that got a password, another password, or lost theirs; with another realm, all of them."""
        if self.realm != older.realm:
            return frozenset(self._digests.keys() | older._digests.keys())
        return frozenset(number for number, _ in self._digests.items() ^ older._digests.items())
