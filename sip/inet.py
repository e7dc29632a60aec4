"""IP addresses as they stand in messages and as sockets give them.  Pure."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from sip.uri import unbracket

_LONGEST_ADDRESS = 64
"""45 characters of IPv6, brackets and the name of an interface."""


def parse_ip(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that the text is, in brackets or not; None when it is a name.  An IPv4-mapped IPv6 address, which
    a socket for both families shows IPv4 peers as, is the IPv4 one."""
    return _parse_ip_cached(unbracket(host)) if len(host) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _parse_ip_cached(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
