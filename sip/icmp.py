"""What ICMP says of datagrams that never arrived (RFC 792, RFC 4443), asked of the system (Linux: ip(7), IP_RECVERR).

Such an error comes to the socket by itself: `recvfrom` or `sendto` fails with it, and what it is about lies in the
socket's error queue.  Without it a phone that is gone is noticed only when it has not answered for long.
Elsewhere than on Linux nothing is read here, and phones are noticed by their silence.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from typing import Final, NamedTuple

from sip.addresses import normalise

# From <linux/in.h>, <linux/in6.h>, <linux/errqueue.h>; Python has no names for them.
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_ERROR: Final = struct.Struct("=IBBBBII")
"""sock_extended_err: errno, origin, type, code, padding, info, data."""
_ORIGIN_ICMP: Final = 2
_ORIGIN_ICMP6: Final = 3

_UNREACHABLE: Final = {_ORIGIN_ICMP: 3, _ORIGIN_ICMP6: 1}
"""Type "destination unreachable".  Others are no news of a phone (RFC 3261 18.4: time exceeded is ignored)."""
_TOO_BIG: Final = 4
"""ICMP code "fragmentation needed": the system sends smaller pieces from now on."""

_WORDS: Final = {
    errno.ECONNREFUSED: "port unreachable",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
}

_MAX_QUOTED: Final = 1_500
_MAX_AT_ONCE: Final = 64
"""Errors read in one go, so that a flood of them leaves time for messages."""


class Undelivered(NamedTuple):
    """A datagram that came back: where it was sent, the beginning of it as far as it was quoted (often nothing), and
    what the network says, in English."""

    host: str
    port: int
    quoted: bytes
    why: str


def ask_for_errors(sock: socket.socket) -> bool:
    """Have errors kept for `read_errors`; False where the system can't."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        return True
    return False


def read_errors(sock: socket.socket) -> tuple[int, list[Undelivered]]:
    """How many errors were waiting (at most `_MAX_AT_ONCE`), and those of them that say that a datagram could not
    arrive.  Never waits; for a socket that errors were asked for."""
    found: list[Undelivered] = []
    for count in range(_MAX_AT_ONCE):
        try:
            quoted, ancillary, _, source = sock.recvmsg(_MAX_QUOTED, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:
            return count, found
        why = next((why for level, kind, data in ancillary if (why := _reason(level, kind, data))), "")
        if why and source:
            found.append(Undelivered(normalise(source[0]), source[1], quoted, why))
    return _MAX_AT_ONCE, found


def _reason(level: int, kind: int, data: bytes) -> str:
    """ "" for what says nothing of a phone."""
    if (level, kind) not in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
        return ""
    if len(data) < _ERROR.size:
        return ""
    number, origin, icmp_type, code, *_ = _ERROR.unpack_from(data)
    if _UNREACHABLE.get(origin) != icmp_type or (origin == _ORIGIN_ICMP and code == _TOO_BIG):
        return ""
    return _WORDS.get(number, "administratively prohibited" if number == errno.EACCES else "unreachable")
