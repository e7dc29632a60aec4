"""IP packets made around what was said: IPv4 (RFC 791), IPv6 (RFC 8200), UDP (RFC 768), TCP (RFC 9293).  Pure.

A `Packet` may be longer than the bytes it has: what is missing was not captured.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address
Endpoint = tuple[Address, int]

TCP, UDP = 6, 17

_MAX_LENGTH = 65_535
_IPV4_LENGTH = 20
_UDP_LENGTH = 8
_TCP_LENGTH = 20
MAX_SEGMENT = 32_768
"""Bytes of a message in one TCP segment: what a machine hands to its network card at once."""

_HOPS = 64
_DONT_FRAGMENT = 0x4000
_PUSH_ACK = 0x18
_WINDOW = 65_535


@dataclass(frozen=True, slots=True)
class Packet:
    """From the IP header on; `length` is what it was on the wire."""

    data: bytes
    length: int


def udp_packet(source: Endpoint, target: Endpoint, payload: bytes, length: int) -> Packet:
    """One datagram of `length` bytes, of which `payload` is known."""
    room = _MAX_LENGTH - _UDP_LENGTH - (_IPV4_LENGTH if source[0].version == 4 else 0)
    length = min(length, room)
    payload = payload[:length]
    header = struct.pack("!HHHH", source[1], target[1], _UDP_LENGTH + length, 0)
    # Without all bytes nobody can check it; 0 is how UDP says so, over IPv6 it may not (RFC 8200 8.1).
    checksum = 0xFFFF if source[0].version == 6 else 0
    if len(payload) == length:
        checksum = _checksum(_pseudo_header(source, target, UDP, _UDP_LENGTH + length) + header + payload) or 0xFFFF
    return _ip(source, target, UDP, header[:6] + checksum.to_bytes(2) + payload, _UDP_LENGTH + length)


@dataclass(slots=True)
class TcpDirection:
    """What one end of a connection has sent: the next sequence number."""

    next_sequence: int = 1


def tcp_packets(
    source: Endpoint, target: Endpoint, sent: TcpDirection, other: TcpDirection, payload: bytes, length: int
) -> list[Packet]:
    """The segments of a message of `length` bytes, of which `payload` is known; `sent` moves on."""
    packets = []
    for start in range(0, max(1, length), MAX_SEGMENT):
        size = min(MAX_SEGMENT, length - start)
        part = payload[start : start + size]
        header = struct.pack(
            "!HHIIBBHHH",
            source[1],
            target[1],
            sent.next_sequence & 0xFFFFFFFF,
            other.next_sequence & 0xFFFFFFFF,
            _TCP_LENGTH // 4 << 4,
            _PUSH_ACK,
            _WINDOW,
            0,
            0,
        )
        pseudo = _pseudo_header(source, target, TCP, _TCP_LENGTH + size)
        checksum = _checksum(pseudo + header + part) if len(part) == size else 0
        segment = header[:16] + checksum.to_bytes(2) + header[18:] + part
        packets.append(_ip(source, target, TCP, segment, _TCP_LENGTH + size))
        sent.next_sequence += size
    return packets


def _ip(source: Endpoint, target: Endpoint, protocol: int, content: bytes, length: int) -> Packet:
    """`length` is that of the content on the wire."""
    if source[0].version == 6:
        header = struct.pack("!IHBB", 6 << 28, length, protocol, _HOPS) + source[0].packed + target[0].packed
        return Packet(header + content, len(header) + length)
    total = _IPV4_LENGTH + length
    addresses = source[0].packed + target[0].packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, total, 0, _DONT_FRAGMENT, _HOPS, protocol, 0) + addresses
    header = header[:10] + _checksum(header).to_bytes(2) + header[12:]
    return Packet(header + content, total)


def _pseudo_header(source: Endpoint, target: Endpoint, protocol: int, length: int) -> bytes:
    addresses = source[0].packed + target[0].packed
    if source[0].version == 6:
        return addresses + struct.pack("!IxxxB", length, protocol)
    return addresses + struct.pack("!xBH", protocol, length)


def _checksum(data: bytes) -> int:
    """The ones' complement of the ones' complement sum of all 16-bit words (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
