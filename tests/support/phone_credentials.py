"""What phones answer when they are asked for their password (RFC 7616, RFC 8760, RFC 3261 22).

On purpose not the server's own digest code: what one of the two gets wrong, the other notices.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.sip_text import Header, SipText

_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^",\s]+))')

_HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}

_HEADERS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


@dataclass(frozen=True, slots=True)
class Question:
    """One challenge; `header` is where its answer goes."""

    header: str
    realm: str
    nonce: str
    algorithm: str
    qop: str
    stale: bool

    def answer(
        self, user: str, password: str, method: str, uri: str, *, count: int = 1, cnonce: str = "0a4f113b"
    ) -> Header:
        """The header line of the request that is sent again."""

        def digest(text: str) -> str:
            return _HASHES[self.algorithm](text.encode()).hexdigest()

        ha1, ha2 = digest(f"{user}:{self.realm}:{password}"), digest(f"{method}:{uri}")
        nc = f"{count:08x}"
        response = digest(f"{ha1}:{self.nonce}:{nc}:{cnonce}:{self.qop}:{ha2}")
        return (
            self.header,
            f'Digest username="{user}", realm="{self.realm}", nonce="{self.nonce}", uri="{uri}", '
            f'response="{response}", algorithm={self.algorithm}, cnonce="{cnonce}", qop={self.qop}, nc={nc}',
        )


def questions(response: SipText) -> list[Question]:
    """The challenges of a 401 or 407, in their order; none of any other response."""
    if response.status not in _HEADERS:
        return []
    asked_by, answered_by = _HEADERS[response.status]
    found = []
    for text in response.all(asked_by):
        assert text.startswith("Digest "), text
        words = {match[1]: match[2] or match[3] for match in _PARAMETER.finditer(text)}
        stale = words.get("stale") == "true"
        found.append(Question(answered_by, words["realm"], words["nonce"], words["algorithm"], words["qop"], stale))
    return found


def question(response: SipText, algorithm: str = "") -> Question:
    """The one with that algorithm, or the first, which the server prefers."""
    found = [each for each in questions(response) if algorithm in ("", each.algorithm)]
    assert found, f"{response.start_line} asks for no {algorithm or 'password'}"
    return found[0]
