"""Which Contacts are refused because requests sent there would hit the wrong one: this server, everybody on a network,
or nobody.  Pure.

Judged are addresses alone.  Names aren't looked up, and nothing is ever sent to the host of a Contact: requests go to
the flow a phone registered by.  But the Contact is what other phones are told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Network
from typing import NamedTuple

from sip.flow import Flow
from sip.inet import parse_ip
from sip.uri import Uri, unbracket

_NOWHERE = (IPv4Network("0.0.0.0/8"), IPv4Network("240.0.0.0/4"))
"""This network (RFC 1122 3.2.1.3), and class E with the broadcast address in it."""
_ODD_NUMBER = re.compile(r"0[Xx][0-9A-Fa-f]*|[0-9]+", re.ASCII)
"""How a host ends that no name is (RFC 1123 2.1), but that systems take for an address, such as 127.1 or 0x7f000001."""


def contact_fault(contact: Uri, flow: Flow, is_own_address: Callable[[str, int], bool]) -> str | None:
    """What is wrong with the Contact of a request that came by `flow`, as the rest of "the Contact ..."; None when
    nothing is.  `is_own_address(host, port)` says whether this server is reached there."""
    place = _place(contact.host)
    if place.is_odd:
        return "is no address that can be reached"
    if is_own_address(place.address, contact.effective_port):
        return "points at this server itself"
    if place.fault is None and place.is_loopback and not _place(flow.remote_host).is_loopback:
        return "points at the phone itself (loopback)"
    return place.fault


class _Place(NamedTuple):
    """Where a host is: `is_odd` means nobody can tell, `fault` what is wrong with it for every phone."""

    address: str
    is_odd: bool
    is_loopback: bool
    fault: str | None


def _place(host: str) -> _Place:
    return _place_cached(host) if len(host) <= _CACHEABLE_LENGTH else _find_place(host)


def _find_place(host: str) -> _Place:
    host = unbracket(host).partition("%")[0]
    address = parse_ip(host)
    if address is None:
        is_odd = _ODD_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None
        return _Place(host, is_odd, host.rstrip(".").lower() == "localhost", None)
    fault = None
    if address.is_unspecified or any(address in network for network in _NOWHERE):
        fault = "points at nobody or everybody"
    elif address.is_multicast:
        fault = "points at a multicast group"
    return _Place(str(address), False, address.is_loopback, fault)


_CACHEABLE_LENGTH = 64
_place_cached = lru_cache(maxsize=4096)(_find_place)
"""Those of all phones: each is asked for with every REGISTER and INVITE."""
