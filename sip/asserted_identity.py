"""Who a message is from, as this server says it (RFC 3325 5, 7).  Pure.

What phones claim about themselves is dropped, Remote-Party-ID included: it never became an RFC, but many phones show
it in preference to the From.
"""

from __future__ import annotations

from functools import lru_cache

from sip.headers import Field, Headers
from sip.uri import bracket

CLAIMS = frozenset({"p-asserted-identity", "p-preferred-identity", "remote-party-id"})
"""Names of the lines in which a phone says who it is."""


def assert_identity(headers: Headers, number: str, host: str) -> None:
    """Replace every claim by our word that the sender is `number` at `host`, the server's address for the receiver;
    by nothing when `number` is "" or the sender asks for privacy: phones are outside the trust domain."""
    if not CLAIMS.isdisjoint(headers.first):
        for name in CLAIMS:
            headers.remove(name)
    word = our_word(headers, number, host)
    if word is not None:
        headers.append_field(word)


def our_word(headers: Headers, number: str, host: str) -> Field | None:
    """What stands in the place of every claim."""
    if not number or ("privacy" in headers.first and _wants_privacy(headers)):
        return None
    return _line(number, host)


@lru_cache(maxsize=1024)
def _line(number: str, host: str) -> Field:
    return Field.own("P-Asserted-Identity", f"<sip:{number}@{bracket(host)}>")


def _wants_privacy(headers: Headers) -> bool:
    """Privacy: id (RFC 3325 9.3); the values are separated by semicolons (RFC 3323 4.2)."""
    return any(
        value.strip().lower() == "id"
        for text in headers.get_all("privacy")
        for value in text.replace(",", ";").split(";")
    )
