"""Whether addresses, links or routes of this machine have changed: a DHCP lease, a new interface, a cable.

On Linux the kernel says so on a netlink socket (rtnetlink(7)), which is only looked at; elsewhere, and in case that a
message got lost, it is supposed every now and then.  For one thread; no lock.
"""

from __future__ import annotations

import contextlib
import socket

SUPPOSED_EVERY_S = 30.0
"""So often the addresses are looked at although nobody said that they have changed."""

_LINK, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV4_RULE, _IPV6_ADDRESS, _IPV6_ROUTE = 0x1, 0x10, 0x40, 0x80, 0x100, 0x400
_GROUPS = _LINK | _IPV4_ADDRESS | _IPV4_ROUTE | _IPV4_RULE | _IPV6_ADDRESS | _IPV6_ROUTE
_NETLINK_ROUTE = 0
_MAX_READ = 64
"""Messages looked at in one go; what is left is news for the next time."""


class AddressWatch:
    """Of the network that the thread which makes it is in."""

    def __init__(self, now: float) -> None:
        self._supposed_at = now + SUPPOSED_EVERY_S
        self._socket = _netlink_socket()

    def has_news(self, now: float) -> bool:
        """Something may have changed since the last time; `now` is monotonic seconds."""
        is_due = now >= self._supposed_at
        if self._take_messages() or is_due:
            self._supposed_at = now + SUPPOSED_EVERY_S
            return True
        return False

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _take_messages(self) -> bool:
        if self._socket is None:
            return False
        for count in range(_MAX_READ):
            try:
                self._socket.recv(65_536)
            except BlockingIOError:
                return count > 0
            except OSError:
                return True  # ENOBUFS: more has changed than the kernel could keep for us
        return True


def _netlink_socket() -> socket.socket | None:
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    with contextlib.suppress(OSError):
        sock = socket.socket(family, socket.SOCK_RAW, _NETLINK_ROUTE)
        try:
            sock.setblocking(False)
            sock.bind((0, _GROUPS))
        except OSError:
            sock.close()
            raise
        return sock
    return None
