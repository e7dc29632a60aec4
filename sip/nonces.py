"""Nonces that need no memory, and the counts already used with them (RFC 7616 3.3, 3.4, 5.4, 5.5).

Pure; guarded by the core lock.  A nonce carries its time of issue and a keyed hash over it and over the address it was
given to.  So a flood of challenges stores nothing, and a nonce that comes back proves that its sender receives what is
sent to that address: a forged source never has one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections import OrderedDict
from typing import Final

NONCE_LIFETIME_S: Final = 300.0
"""Long enough for phones behind NAT, which register every minute or two, to keep using one nonce."""
MAX_USED_NONCES: Final = 16_384
"""Only requests with the right password get into the table; under 50 of them a second none leaves it early."""

_TIME_BYTES: Final = 5
_RANDOM_BYTES: Final = 4
_MAC_BYTES: Final = 9
_TIME_RANGE_MS: Final = 1 << 8 * _TIME_BYTES
_WINDOW: Final = 64
"""How far a request may lag behind a later one of the same phone: UDP changes the order."""


class Nonces:
    """Issues and checks nonces.

    Invariant: of a fresh nonce every count that was used is known, or the nonce counts as stale; `_used` holds at most
    `capacity` nonces in the order of their first use, each with its time of issue, the highest count and the bits of
    the `_WINDOW` counts up to it.
    """

    def __init__(self, secret: bytes, lifetime_s: float = NONCE_LIFETIME_S, capacity: int = MAX_USED_NONCES) -> None:
        """`secret` should be new with each start: the clock of nonces is the monotonic one."""
        self._secret = secret
        self._lifetime_ms = int(lifetime_s * 1000)
        self._capacity = capacity
        # The monotonic clock of a machine tells when it was started, which is nobody's business.
        self._offset_ms = int.from_bytes(hmac.digest(secret, b"offset", "sha256")[:_TIME_BYTES], "big")
        self._used: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._forgotten_ms = -1
        """What was issued up to then (monotonic) is stale, because its counts may have been forgotten."""

    def issue(self, host: str, now: float) -> str:
        """A new nonce for the peer at `host`: 24 characters of Base64."""
        issued = (int(now * 1000) + self._offset_ms) % _TIME_RANGE_MS
        head = issued.to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_RANDOM_BYTES)
        return base64.b64encode(head + self._mac(head, host)).decode("ascii")

    def is_fresh(self, nonce: str, host: str, now: float) -> bool:
        """Issued here, to `host`, and not too long ago."""
        return self._issued_ms(nonce, host, now) is not None

    def use(self, nonce: str, count: int, host: str, now: float) -> bool:
        """Note the use of a nonce with this count; False when it is a replay or the nonce is not fresh.  To be asked
        only after the digest was found right."""
        issued = self._issued_ms(nonce, host, now)
        if issued is None or count < 1:
            return False
        _, top, bits = self._used.get(nonce) or self._begin(nonce, issued, now)
        if count > top:
            bits = (bits << min(count - top, _WINDOW) | 1) & (1 << _WINDOW) - 1
            top = count
        else:
            bit = 1 << top - count
            if top - count >= _WINDOW or bits & bit:
                return False
            bits |= bit
        self._used[nonce] = issued, top, bits
        return True

    @property
    def used_count(self) -> int:
        """Nonces whose counts are remembered."""
        return len(self._used)

    def _begin(self, nonce: str, issued: int, now: float) -> tuple[int, int, int]:
        oldest_fresh = int(now * 1000) - self._lifetime_ms
        while self._used:
            first = next(iter(self._used.values()))[0]
            if first >= oldest_fresh and len(self._used) < self._capacity:
                break
            self._used.popitem(last=False)
            self._forgotten_ms = max(self._forgotten_ms, first)
        entry = self._used[nonce] = issued, 0, 0
        return entry

    def _issued_ms(self, nonce: str, host: str, now: float) -> int | None:
        """Monotonic milliseconds of issue; None when the nonce is not ours, not for this peer, or too old."""
        try:
            raw = base64.b64decode(nonce, validate=True)
        except (binascii.Error, ValueError):
            return None
        head, mac = raw[: _TIME_BYTES + _RANDOM_BYTES], raw[_TIME_BYTES + _RANDOM_BYTES :]
        if not hmac.compare_digest(mac, self._mac(head, host)):
            return None
        now_ms = int(now * 1000)
        age = (now_ms + self._offset_ms - int.from_bytes(head[:_TIME_BYTES], "big")) % _TIME_RANGE_MS
        issued = now_ms - age
        return issued if age <= self._lifetime_ms and issued > self._forgotten_ms else None

    def _mac(self, head: bytes, host: str) -> bytes:
        return hmac.digest(self._secret, head + host.encode("utf-8", "surrogateescape"), "sha256")[:_MAC_BYTES]
