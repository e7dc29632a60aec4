"""Where a webhook may lead, and a connection that leads there and nowhere else.

An integrator's receiver often stands on the same machine or in the same network, so private and loopback addresses are
welcome. Never are: link-local ones, among which clouds keep the secrets of a machine, such services elsewhere,
multicast and unspecified ones. What counts is the address that is connected to, judged when it has been looked up: a
name that leads elsewhere the next time (DNS rebinding) gains nothing.

The connection is one of `http.client`: what libraries above it do (follow redirects, pool, obey proxies of the
environment) is what must not happen here, and the address can't be pinned there without taking them apart.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from http.client import HTTPConnection, HTTPSConnection
from typing import Final, NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S: Final = 5.0
"""For each step: to connect, to send, to wait for the answer."""

MAX_URL: Final = 2_000

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
        ),
    )
)
"""Services of clouds that give a machine its secrets; most are link-local anyway."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class ForbiddenTarget(OSError):
    """Nothing is sent there."""


class Target(NamedTuple):
    """An URL taken apart."""

    is_https: bool
    host: str
    port: int
    path: str


def read_url(text: str) -> Target:
    """Raises `ValueError` with what is wrong, as the end of a sentence that begins with "it"."""
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"must be at most {MAX_URL} printable ASCII characters without spaces")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; the signature shows who sends")
    if parts.fragment:
        raise ValueError("must not have a part behind #")
    is_https = parts.scheme == "https"
    try:
        port = parts.port or (443 if is_https else 80)
    except ValueError:
        raise ValueError("has no usable port") from None
    try:
        address = ipaddress.ip_address(parts.hostname)
    except ValueError:
        pass
    else:
        if why := forbidden(address):
            raise ValueError(f"must not lead to {why}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(is_https, parts.hostname, port, path)


def forbidden(address: Ip) -> str:
    """Why nothing may be sent to that address; "" when it may."""
    real = _embedded(address)
    if real in _METADATA:
        return "a service that gives machines their secrets"
    if real.is_link_local:
        return "a link-local address"
    if real.is_multicast or real == ipaddress.IPv4Address("255.255.255.255"):
        return "more than one receiver"
    if real.is_unspecified or (real.version == 4 and int(real) >> 24 == 0):
        return "no address at all"
    return ""


def _embedded(address: Ip) -> Ip:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def open_connection(target: Target) -> HTTPConnection:
    """Connected to an address that has been looked at. Raises `OSError`, `ForbiddenTarget` among them."""
    sock = _connect(target.host, target.port)
    try:
        if not target.is_https:
            connection = HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
            connection.auto_open = 0  # never to an address that nobody has looked at
            connection.sock = sock
            return connection
        context = ssl.create_default_context()
        secure = HTTPSConnection(target.host, target.port, timeout=TIMEOUT_S, context=context)
        secure.auto_open = 0
        secure.sock = context.wrap_socket(sock, server_hostname=target.host)
    except BaseException:
        sock.close()
        raise
    return secure


def _connect(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    trouble: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in found:
        why = forbidden(ipaddress.ip_address(str(address[0]).partition("%")[0]))
        if why:
            trouble = ForbiddenTarget(f"{host} leads to {why}")
            continue
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(TIMEOUT_S)
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            trouble = error
        else:
            return sock
    raise trouble
