"""Who a message is from, as this server says it (RFC 3325 5, 7).  Pure.

What phones claim about themselves is dropped, Remote-Party-ID included: it never became an RFC, but many phones show
it in preference to the From.
"""

from __future__ import annotations

from functools import lru_cache

from sip.headers import Field, Headers
from sip.uri import bracket

_CLAIMS = frozenset({"p-asserted-identity", "p-preferred-identity", "remote-party-id"})


def assert_identity(headers: Headers, number: str, host: str) -> None:
    """Replace every claim by our word that the sender is `number` at `host`, the server's address for the receiver;
    by nothing when `number` is "" or the sender asks for privacy: phones are outside the trust domain."""
    names = headers.first
    if not _CLAIMS.isdisjoint(names):
        for name in _CLAIMS:
            headers.remove(name)
    if number and not ("privacy" in names and _wants_privacy(headers)):
        headers.append_field(_our_word(number, host))


@lru_cache(maxsize=1024)
def _our_word(number: str, host: str) -> Field:
    return Field.own("P-Asserted-Identity", f"<sip:{number}@{bracket(host)}>")


def _wants_privacy(headers: Headers) -> bool:
    """Privacy: id (RFC 3325 9.3); the values are separated by semicolons (RFC 3323 4.2)."""
    return any(
        value.strip().lower() == "id"
        for text in headers.get_all("privacy")
        for value in text.replace(",", ";").split(";")
    )
