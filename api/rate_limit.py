"""How many requests one client address may make: a fixed window that opens with the client's first request.

Called by all waitress workers; `RateLimiter._lock` is a leaf lock.
"""

from __future__ import annotations

import ipaddress
import math
import threading
from dataclasses import dataclass

WINDOW_S = 60.0
MAX_CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class Quota:
    """Where a client stands after a request; `reset_s` whole seconds until it has `limit` requests again."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """The RateLimit fields, and Retry-After when the request came too soon (RFC 9110 10.2.3)."""
        fields = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }
        if not self.allowed:
            fields["Retry-After"] = str(self.reset_s)
        return fields


@dataclass(slots=True)
class _Window:
    opened: float
    count: int


class RateLimiter:
    """At most `limit` requests in WINDOW_S by one client.

    The table holds at most `max_clients` windows, the oldest first, since every window lasts equally long; when it is
    full the oldest is forgotten in its client's favour.
    """

    def __init__(self, limit: int, max_clients: int = MAX_CLIENTS) -> None:
        self._limit = limit
        self._max_clients = max_clients
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def take(self, address: str, now: float) -> Quota:
        """Count one request of `address` at `now` (monotonic seconds)."""
        client = _client(address)
        with self._lock:
            window = self._window(client, now)
            allowed = window.count < self._limit
            window.count += allowed
            used, opened = window.count, window.opened
        return self._quota(allowed, used, opened, now)

    def look(self, address: str, now: float) -> Quota:
        """What `take` would say, without counting."""
        with self._lock:
            window = self._windows.get(_client(address))
            used, opened = (window.count, window.opened) if window is not None else (0, now)
        if now - opened >= WINDOW_S:
            used, opened = 0, now
        return self._quota(used < self._limit, used, opened, now)

    def _quota(self, allowed: bool, used: int, opened: float, now: float) -> Quota:
        reset_s = max(1, math.ceil(opened + WINDOW_S - now))
        return Quota(allowed, self._limit, self._limit - used, reset_s)

    def _window(self, client: str, now: float) -> _Window:
        assert self._lock.locked()
        window = self._windows.get(client)
        if window is not None and now - window.opened < WINDOW_S:
            return window
        self._windows.pop(client, None)
        while self._windows:
            oldest = next(iter(self._windows))
            if len(self._windows) < self._max_clients and now - self._windows[oldest].opened < WINDOW_S:
                break
            del self._windows[oldest]
        return self._windows.setdefault(client, _Window(now, 0))


def _client(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that an IPv6 subscriber can choose addresses from."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))
