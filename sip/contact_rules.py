"""Which Contacts are refused because requests sent there would hit the wrong one: this server, everybody on a network,
or nobody.  Pure.

Judged are addresses alone.  Names aren't looked up, and nothing is ever sent to the host of a Contact: requests go to
the flow a phone registered by.  But the Contact is what other phones are told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network

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
    host = unbracket(contact.host).partition("%")[0]
    address = parse_ip(host)
    if address is None and _ODD_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return "is no address that can be reached"
    if is_own_address(str(address or host), contact.effective_port):
        return "points at this server itself"
    if address is None:
        is_loopback = host.rstrip(".").lower() == "localhost"
    elif address.is_unspecified or any(address in network for network in _NOWHERE):
        return "points at nobody or everybody"
    elif address.is_multicast:
        return "points at a multicast group"
    else:
        is_loopback = address.is_loopback
    if is_loopback and not _is_loopback(flow.remote_host):
        return "points at the phone itself (loopback)"
    return None


def _is_loopback(host: str) -> bool:
    address = parse_ip(host.partition("%")[0])
    return address is not None and address.is_loopback
