"""Which address of ours a peer reaches us at.

A UDP socket that is connected, but never sends, tells which local address the system would use towards a peer; that
costs no packet.  Safe from any thread; the memory of answers is guarded by a leaf lock.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterable

SOMEWHERE = ("192.0.2.1", "2001:db8::1")
"""Peers far away for `AddressBook.local_host`: TEST-NET-1 and the documentation prefix (RFC 5737, RFC 3849).  No packet
is sent, the system only says which of its addresses it would use."""

_MAX_REMEMBERED = 4096


class AddressBook:
    """Our own addresses, by peer.  `fixed` (SERVER_ADDRESS, or the one address we listen on) overrides everything.

    Answers are remembered until `refresh`, by which a changed address (DHCP, a new interface) is noticed.
    """

    def __init__(self, fixed: str = "") -> None:
        self._fixed = fixed
        self._lock = threading.Lock()
        self._by_peer: dict[str, str] = {}
        self._ports: set[int] = set()
        self._own: set[str] = {fixed.lower()} if fixed else set()

    def add_port(self, port: int) -> None:
        """A port this server listens on."""
        self._ports.add(port)

    def add_own(self, host: str) -> None:
        """An address of ours that nobody is told by `local_host`."""
        with self._lock:
            self._own.add(host.lower())

    def local_host(self, peer: str) -> str:
        """The address to tell this peer (an IP literal)."""
        if self._fixed:
            return self._fixed
        known = self._by_peer.get(peer)
        if known is None:
            known = route_source(peer) or _loopback(peer)
            with self._lock:
                if len(self._by_peer) >= _MAX_REMEMBERED:
                    self._by_peer.clear()
                self._by_peer[peer] = known
                self._own.add(known)
        return known

    def is_own(self, host: str, port: int) -> bool:
        """Does a Route with this host and port lead here?  Former addresses stay ours: dialogs still name them."""
        return port in self._ports and host.lower() in self._own

    def refresh(self, peers: Iterable[str]) -> dict[str, str]:
        """Ask the system again for these peers, and for those that were asked for before; what they are to be told now.
        One that no route leads to any more is left out, and remembered as before: nothing reaches it, and the route may
        come back."""
        if self._fixed:
            return {}
        with self._lock:
            asked = {*self._by_peer, *peers}
        found = {peer: source for peer in asked if (source := route_source(peer)) is not None}
        with self._lock:
            self._by_peer.update(found)
            self._own.update(found.values())
        return found


def address_towards(host: str) -> str:
    """The address of ours that a machine on the network knows us by: the one that packets to `host` come from, or to
    somewhere far away when that is this machine (or "")."""
    found = route_source(host) if host else None
    if found is None or found.startswith("127.") or found == "::1":
        return route_source(SOMEWHERE[0]) or _loopback(SOMEWHERE[0])
    return found


def is_here(host: str) -> bool:
    """This machine has that address now."""
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


def _loopback(peer: str) -> str:
    return "::1" if ":" in peer else "127.0.0.1"


def route_source(peer: str) -> str | None:
    """The address of this machine that packets to that IP address come from; None: no route leads there."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((peer, 9))
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return None


def normalise(host: str) -> str:
    """A socket's address as text: IPv4 in its own form also on a dual-stack socket, IPv6 without zone."""
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    return host.partition("%")[0]


def family_of(host: str) -> socket.AddressFamily:
    """Family of a listening address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_wildcard(host: str) -> bool:
    """Listens on every interface."""
    return host in ("0.0.0.0", "::", "")
