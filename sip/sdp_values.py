"""Single values of session descriptions: addresses, directions, a=rtpmap and a=rtcp (RFC 8866, RFC 3605).  Pure.

Phones repeat the same few texts all day, so what was read in one is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address

from sip.errors import ParseError
from sip.uri import unbracket

_MAX_ADDRESS = 255
_CACHEABLE_LENGTH = 96


class SdpError(ParseError):
    """The description can't be used.  `status`: 400 malformed, 413 too large, 488 well-formed but not to be served."""


class Direction(StrEnum):
    """Who sends, seen from the side that wrote it (RFC 8866 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


class AddressKind(StrEnum):
    """What an address is good for."""

    UNICAST = "unicast"
    UNSPECIFIED = "unspecified"
    """0.0.0.0 or ::, "send me nothing" (RFC 3264 8.4)."""
    MULTICAST = "multicast"
    NAME = "name"
    """A host name, or anything else that is no IP address."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A c= line (RFC 8866 5.7).  `address` is canonical when it is an IP address, without the TTL of a multicast."""

    network_type: str
    address_type: str
    address: str
    kind: AddressKind

    @property
    def is_ip(self) -> bool:
        return self.network_type == "IN" and self.address_type in ("IP4", "IP6")


_RTPMAP = re.compile(rb"[ \t]*([0-9]{1,3})[ \t]+([!-.0-~]+)/([0-9]{1,9})(?:/[!-~]*)?\s*")
_RTCP = re.compile(rb"[ \t]*([0-9]{1,5})(?:[ \t]+(.*))?[ \t]*[\r\n]*", re.DOTALL)


def parse_rtpmap(value: bytes) -> tuple[int, tuple[str, int]] | None:
    """Payload type, encoding name and clock rate in Hz (RFC 8866 6.6); None when malformed or overlong."""
    return _parse_rtpmap(value) if len(value) <= _CACHEABLE_LENGTH else None


@lru_cache(maxsize=1024)
def _parse_rtpmap(value: bytes) -> tuple[int, tuple[str, int]] | None:
    match = _RTPMAP.fullmatch(value)
    if match is None or int(match[1]) > 127:
        return None
    return int(match[1]), (match[2].decode("latin-1"), int(match[3]))


def parse_connection(value: bytes) -> Connection:
    """Network type, address type and address.  Raises `SdpError` (400)."""
    if len(value) > _MAX_ADDRESS:
        raise SdpError("overlong c= line")
    return _parse_connection(value)


@lru_cache(maxsize=1024)
def _parse_connection(value: bytes) -> Connection:
    words = value.decode("latin-1").split()
    if len(words) != 3:
        raise SdpError("malformed c= line")
    kind, address = classify_address(words[2].partition("/")[0])
    return Connection(words[0].upper(), words[1].upper(), address, kind)


def parse_rtcp(value: bytes) -> tuple[int | None, Connection | None]:
    """Port and address (RFC 3605 2.1); None where there is none that can be read."""
    match = _RTCP.fullmatch(value)
    if match is None or not 0 < int(match[1]) < 65536:
        return None, None
    try:
        return int(match[1]), parse_connection(match[2]) if match[2] and match[2].strip() else None
    except SdpError:
        return int(match[1]), None


def classify_address(text: str) -> tuple[AddressKind, str]:
    """What `text` is, and its canonical form when it is an IP address, the one sockets give."""
    try:
        address = ip_address(text)
    except ValueError:
        return AddressKind.NAME, text
    if "%" in text:
        # A zone means something on the sender's machine only.
        return AddressKind.NAME, text
    if address.is_unspecified:
        return AddressKind.UNSPECIFIED, str(address)
    if address.is_multicast or text == "255.255.255.255":
        return AddressKind.MULTICAST, str(address)
    return AddressKind.UNICAST, str(address)


@lru_cache(maxsize=256)
def connection_value(host: str) -> bytes:
    """Host as it stands in c= and a=rtcp: `IN IP4 192.0.2.1`, `IN IP6 2001:db8::1`; a name counts as IP4."""
    host = unbracket(host)
    return f"IN {'IP6' if ':' in host else 'IP4'} {host}".encode()
