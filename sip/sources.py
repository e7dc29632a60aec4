"""Where traffic comes from, for the guards: what counts as one source, and which sources have a registered phone.

Pure.  `source_of` may be called by any thread.  `LiveSources` is changed under the core lock; other threads only ask
`in`, a single look-up in a dict, which needs no lock.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address


def source_of(host: str) -> str:
    """What limits and bans go by: an IPv4 address, or the /64 an IPv6 subscriber may choose addresses from.

    A link-local IPv6 address stands for itself, since everybody on the wire shares its /64.  `host` is an address as
    the system writes it, with or without a zone; an IPv4-mapped one is the IPv4 one.
    """
    return host if ":" not in host else _ipv6_source(host)


@lru_cache(maxsize=4096)
def _ipv6_source(host: str) -> str:
    address = IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback or address.is_link_local:
        return str(address)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def is_loopback_source(source: str) -> bool:
    """A program on this machine: the system lets no packet with such an address in from outside."""
    return source[:4] == "127." or source == "::1"


class LiveSources:
    """Sources of live registrations.

    Invariant: `_counts` says for each source how many holders (bindings) have it, and holds none with 0.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __contains__(self, source: str) -> bool:
        return source in self._counts

    def __len__(self) -> int:
        """Sources, each counted once."""
        return len(self._counts)

    def move(self, before: str, after: str) -> None:
        """A holder that was counted at host `before` is at host `after` now; "" is nowhere."""
        counts = self._counts
        if after:
            source = source_of(after)
            counts[source] = counts.get(source, 0) + 1
        if before:
            source = source_of(before)
            if counts[source] > 1:
                counts[source] -= 1
            else:
                del counts[source]
