"""UDP sockets of the relay: binding, addresses as text, a connected twin on the same port."""

from __future__ import annotations

import contextlib
import socket
import sys
from ipaddress import ip_address

from rtp.latch import Address

CAN_TWIN = sys.platform == "linux"
"""Whether two sockets may share a port so that the connected one gets exactly its peer's packets."""

MAX_DATAGRAM = 65_535
"""More than any has: what is read is whole."""

_MAPPED_PREFIX = "::ffff:"


def bind_udp(host: str, port: int) -> socket.socket:
    """A non-blocking socket on `port`; OSError when the port is not to be had. Host "::" takes IPv4 too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6 and host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def connected_twin(sock: socket.socket, peer: tuple[str, int]) -> socket.socket | None:
    """A second socket on the same port that receives what `peer` sends, and nothing else once its queue is drained.

    The kernel prefers it to `sock` for packets of the peer, filters all others out for it and needs no route look-up
    to send. `sock` goes on hearing everybody else. What came between bind and connect may be in its queue: read it
    with the sender's address until it is empty. None when the system has no descriptor or no route to spare.
    """
    twin: socket.socket | None = None
    try:
        twin = socket.socket(sock.family, socket.SOCK_DGRAM)
        twin.setblocking(False)
        # Sharing is allowed for this moment only, so that no other program can slip onto the port.
        _set_sharing(sock, True)
        _set_sharing(twin, True)
        if twin.family == socket.AF_INET6:
            v6_only = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            twin.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
        twin.bind(sock.getsockname())
        twin.connect(peer)
        _set_sharing(twin, False)
        _set_sharing(sock, False)
    except OSError:
        if twin is not None:
            twin.close()
        return None
    return twin


def part_from_peer(twin: socket.socket) -> None:
    """From here on what its peer sends goes to the socket that the twin was made of; what has come before is still in
    the twin.  It is connected to itself for that: closed at once, it would lose what comes just then."""
    with contextlib.suppress(OSError):
        twin.connect(twin.getsockname())


def _set_sharing(sock: socket.socket, allowed: bool) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(allowed))


def plain_address(source: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    """Address as signalling writes it: no flow label, no scope, IPv4 not mapped into IPv6."""
    host = source[0]
    if host.startswith(_MAPPED_PREFIX):
        host = host.removeprefix(_MAPPED_PREFIX)
    return host, source[1]


def socket_address(sock: socket.socket, address: Address) -> Address | None:
    """Address as `sendto` of this socket wants it; None when it is not that of one host this socket can reach.

    A name is refused too: looking it up would stop the relay.
    """
    host, port = address
    try:
        ip = ip_address(host)
    except ValueError:
        return None
    if ip.is_unspecified or ip.is_multicast or not 0 < port < 65536:
        return None
    if sock.family == socket.AF_INET6:
        return (_MAPPED_PREFIX + host, port) if ip.version == 4 else address
    return address if ip.version == 4 else None
