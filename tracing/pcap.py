"""The messages of a call as a capture that Wireshark and its kin open: the classic libpcap format with microseconds and
packets that begin with their IP header (LINKTYPE_RAW).  Pure.

Addresses, ports and times are those of the messages.  What was not on the wire like that:

- TCP comes without handshake and in segments of our own making, whose numbers fit together.
- TLS is shown in the clear, as TCP; its port on the server is `CLEAR_PORT`, since programs expect encryption on 5061.
- A server that a phone knows by a name, or by an address of the other family, has the address that this machine sends
  from to that phone.
- Secrets are masked, so a message may differ in length from what was sent.
- Messages whose text was not kept, and RTP packets, are cut off behind their headers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from sip.inet import parse_ip
from sip.journal import EntryKind
from sip.trace import HEADER_RECORD, CallTrace, RtpHeaders, TraceEntry
from sip.trace import Endpoint as HostAndPort
from tracing.packets import Address, Endpoint, Packet, TcpDirection, tcp_packets, udp_packet

CLEAR_PORT = 5060

_MAGIC = 0xA1B2C3D4
_SNAP_LENGTH = 262_144
_LINKTYPE_RAW = 101

_Timed = tuple[float, Packet]


def capture(trace: CallTrace, route_source: Callable[[str], str]) -> bytes:
    """The whole file.  `route_source` says which address of this machine faces that host."""
    addresses = _LocalAddresses(trace.entries, route_source)
    timed = [*_sip(trace.entries, addresses), *(packet for log in trace.headers for packet in _rtp(log, addresses))]
    timed.sort(key=lambda each: each[0])
    header = struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, _SNAP_LENGTH, _LINKTYPE_RAW)
    return header + b"".join(_record(at, packet) for at, packet in timed)


def _record(at: float, packet: Packet) -> bytes:
    seconds, microseconds = divmod(round(at * 1_000_000), 1_000_000)
    return struct.pack("<IIII", seconds, microseconds, len(packet.data), packet.length) + packet.data


class _LocalAddresses:
    """Where the phones reach the server, as addresses."""

    def __init__(self, entries: Sequence[TraceEntry], route_source: Callable[[str], str]) -> None:
        self._route_source = route_source
        self._by_phone: dict[str, Address] = {}
        for entry in entries:
            if entry.local is not None and entry.remote is not None:
                address, phone = parse_ip(entry.local[0]), parse_ip(entry.remote[0])
                if address is not None and phone is not None and address.version == phone.version:
                    self._by_phone.setdefault(str(phone), address)

    def towards(self, phone: Address) -> Address:
        known = self._by_phone.get(str(phone))
        if known is None:
            known = parse_ip(self._route_source(str(phone)))
            if known is None or known.version != phone.version:
                known = IPv6Address("::") if phone.version == 6 else IPv4Address("0.0.0.0")
            self._by_phone[str(phone)] = known
        return known


# ------------------------------------------------------------------------------------------------ SIP


def _sip(entries: Sequence[TraceEntry], addresses: _LocalAddresses) -> Iterator[_Timed]:
    connections: dict[tuple[Endpoint, Endpoint], tuple[TcpDirection, TcpDirection]] = {}
    for entry in entries:
        if entry.local is None or entry.remote is None:
            continue
        phone = parse_ip(entry.remote[0])
        if phone is None:
            continue
        port = CLEAR_PORT if entry.transport == "TLS" else entry.local[1]
        ours, theirs = (addresses.towards(phone), port), (phone, entry.remote[1])
        length = len(entry.data) or entry.size
        is_received = entry.kind is EntryKind.RECEIVED
        source, target = (theirs, ours) if is_received else (ours, theirs)
        if entry.transport == "UDP":
            yield entry.at, udp_packet(source, target, entry.data, length)
            continue
        from_phone, from_server = connections.setdefault((ours, theirs), (TcpDirection(), TcpDirection()))
        sent, other = (from_phone, from_server) if is_received else (from_server, from_phone)
        for packet in tcp_packets(source, target, sent, other, entry.data, length):
            yield entry.at, packet


# ------------------------------------------------------------------------------------------------ RTP


def _rtp(log: RtpHeaders, addresses: _LocalAddresses) -> Iterator[_Timed]:
    """As they came from the phone; what the other phone was sent has the same headers and the same time."""
    sources = [_endpoint(source) for source in log.sources]
    for at, length, source, header in HEADER_RECORD.iter_unpack(log.records):
        phone = sources[source] if source < len(sources) else None
        if phone is not None:
            yield at, udp_packet(phone, (addresses.towards(phone[0]), log.relay_port), header, length)


def _endpoint(source: HostAndPort) -> Endpoint | None:
    address = parse_ip(source[0])
    return None if address is None else (address, source[1])
