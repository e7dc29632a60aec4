"""Kinds of IP addresses, as far as explanations need them.  Pure."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

from sip.networks import Networks
from sip.uri import unbracket

_PRIVATE: Final = Networks(
    tuple(
        ip_network(network)
        for network in (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "127.0.0.0/8",
            "fc00::/7",
            "fe80::/10",
            "::1/128",
        )
    )
)
"""No router of the Internet leads there (RFC 1918, RFC 6598, RFC 3927, RFC 4193, loopback)."""


def is_private(host: str) -> bool:
    """An address that nobody outside its own network can reach; False for names."""
    return unbracket(host) in _PRIVATE


def host_of(address: str) -> str:
    """Of host:port, as the API shows it; "" of none."""
    return unbracket(address.rpartition(":")[0])


_LOOPBACK: Final = Networks((ip_network("127.0.0.0/8"), ip_network("::1/128")))


def is_loopback(host: str) -> bool:
    """Reached by this machine alone."""
    return unbracket(host) in _LOOPBACK or host.lower() == "localhost"


def is_everywhere(host: str) -> bool:
    """A server that listens there listens on every address of its machine."""
    return host in ("", "0.0.0.0", "::")
