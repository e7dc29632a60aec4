"""Digest access authentication as SIP uses it (RFC 7616, RFC 8760, RFC 3261 22): challenges, what phones answer, and
the digests in both.  Pure.

Only `qop=auth` with SHA-256 or MD5 is offered and accepted: without `qop` (RFC 2069) there is no count that would give
a replay away.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from sip.errors import HeaderError
from sip.grammar import QUOTED_PAIR, TOKEN
from sip.headers import Headers

_MAX_CHARS = 2048
"""Real credentials have some 300 characters."""


class Algorithm(StrEnum):
    """Those offered, the preferred one first (RFC 8760 2.3)."""

    SHA_256 = "SHA-256"
    MD5 = "MD5"


@dataclass(frozen=True, slots=True)
class DigestAnswer:
    """The credentials of one request (RFC 7616 3.4); `nc` is the text, which the digest covers, `count` its value."""

    username: str
    realm: str
    nonce: str
    uri: str
    algorithm: Algorithm
    response: str
    cnonce: str
    nc: str

    @property
    def count(self) -> int:
        return int(self.nc, 16)

    def expected_response(self, ha1: str, method: str) -> str:
        """What `response` must be when the phone knows the password behind `ha1`."""
        return request_digest(self.algorithm, ha1, method, self.uri, self.nonce, self.nc, self.cnonce)


# ------------------------------------------------------------------------------------------------ digests


def user_digest(algorithm: Algorithm, username: str, realm: str, password: str) -> str:
    """HA1 = H(A1) of RFC 7616 3.4.2: as good as the password itself to whoever gets hold of it."""
    return _digest(algorithm, f"{username}:{realm}:{password}")


def request_digest(algorithm: Algorithm, ha1: str, method: str, uri: str, nonce: str, nc: str, cnonce: str) -> str:
    """The response for qop=auth (RFC 7616 3.4.1, 3.4.3)."""
    ha2 = _digest(algorithm, f"{method}:{uri}")
    return _digest(algorithm, f"{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}")


def _digest(algorithm: Algorithm, text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    if algorithm is Algorithm.SHA_256:
        return hashlib.sha256(data).hexdigest()
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


# ------------------------------------------------------------------------------------------------ challenges


def challenge(realm: str, nonce: str, algorithm: Algorithm, *, stale: bool) -> str:
    """Value of one WWW-Authenticate or Proxy-Authenticate (RFC 7616 3.3), short because it answers strangers."""
    text = f'Digest realm="{realm}",nonce="{nonce}",algorithm={algorithm},qop="auth"'
    return text + ",stale=true" if stale else text


# ------------------------------------------------------------------------------------------------ credentials

_SCHEME = re.compile(r"Digest[ \t]++", re.IGNORECASE | re.ASCII)
_PARAMETER = re.compile(
    rf"[ \t,]*+(?P<name>{TOKEN.pattern})[ \t]*+=[ \t]*+"
    r"(?:\"(?P<quoted>(?:[^\"\\\x00\r\n]++|\\[^\x00\r\n])*+)\"|(?P<plain>[^\",\x00-\x20\x7f]++))[ \t]*+(?=,|\Z)",
    re.ASCII,
)
_REST = re.compile(r"[ \t,]*+", re.ASCII)
_REQUIRED = ("username", "nonce", "uri", "response", "cnonce", "nc", "qop")
_NONCE_COUNT = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_HEX_DIGITS = {Algorithm.SHA_256: 64, Algorithm.MD5: 32}
_HEX = re.compile(r"[0-9a-f]++", re.ASCII)


def find_answer(headers: Headers, name: str, realm: str) -> DigestAnswer | None:
    """The credentials for this realm among the lines of that (canonical) name; None when there are none.

    Raises `HeaderError` for credentials that can't be used.  Lines of other realms and schemes are for others (RFC 3261
    22.3), and of two for one realm the first counts.
    """
    for text in headers.get_all(name):
        scheme = _SCHEME.match(text)
        if scheme is None:
            continue
        if len(text) > _MAX_CHARS:
            raise HeaderError(name, "credentials are too long")
        parameters = _parameters(name, text, scheme.end())
        if parameters.get("realm") == realm:
            return _answer(name, parameters)
    return None


def _parameters(header: str, text: str, start: int) -> dict[str, str]:
    """Quoted or not, whatever RFC 7616 says of the single parameter: phones do both.  Only the last step, which makes
    no progress, looks at a character twice."""
    found: dict[str, str] = {}
    while (match := _PARAMETER.match(text, start)) is not None:
        name, quoted, plain = match["name"].lower(), match["quoted"], match["plain"]
        if name in found:
            raise HeaderError(header, f"two values of {name}")
        found[name] = plain if quoted is None else QUOTED_PAIR.sub(r"\1", quoted)
        start = match.end()
    if not _REST.fullmatch(text, start):
        raise HeaderError(header, "malformed credentials")
    return found


def _answer(header: str, parameters: dict[str, str]) -> DigestAnswer:
    for name in _REQUIRED:
        if not parameters.get(name):
            raise HeaderError(header, f"{name} is missing")
    if parameters["qop"].lower() != "auth":
        raise HeaderError(header, "qop is not auth")
    if parameters.get("userhash", "false").lower() != "false":
        raise HeaderError(header, "userhash was not offered")
    try:
        # RFC 7616 3.3: MD5 unless it says otherwise.
        algorithm = Algorithm(parameters.get("algorithm", "MD5").upper())
    except ValueError:
        raise HeaderError(header, "algorithm was not offered") from None
    response = parameters["response"].lower()
    if len(response) != _HEX_DIGITS[algorithm] or not _HEX.fullmatch(response):
        raise HeaderError(header, f"response is no {algorithm} digest")
    if not _NONCE_COUNT.fullmatch(parameters["nc"]):
        raise HeaderError(header, "nc is no count of 8 hexadecimal digits")
    return DigestAnswer(
        username=parameters["username"],
        realm=parameters["realm"],
        nonce=parameters["nonce"],
        uri=parameters["uri"],
        algorithm=algorithm,
        response=response,
        cnonce=parameters["cnonce"],
        nc=parameters["nc"],
    )
