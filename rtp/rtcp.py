"""Reports inside RTCP compound packets (RFC 3550 6.4, checked as A.2 says). Pure.

Only what the relay puts to use is taken: reception report blocks and the NTP time of sender reports. SDES, BYE, APP and
feedback packets are stepped over by their lengths. A reduced-size packet (RFC 5506) may begin with any RTCP type.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from rtp.packet import Buffer

SENDER_REPORT = 200
RECEIVER_REPORT = 201

MAX_PACKETS = 32
"""Packets in one datagram; real compounds have two to five."""

_COMMON_HEADER = struct.Struct("!BBH")
_SENDER_INFO = struct.Struct("!IQIII")
_REPORT_BLOCK = struct.Struct("!IIIIII")


class RtcpError(ValueError):
    """The bytes are not a well-formed RTCP compound packet (or are encrypted, RFC 3711 3.4)."""


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says about the stream of `ssrc` (RFC 3550 6.4.1); times in 1/65536 s, jitter in RTP units."""

    ssrc: int
    cumulative_lost: int
    interarrival_jitter: int
    last_sr: int
    delay_since_last_sr: int


@dataclass(frozen=True, slots=True)
class Report:
    """One SR or RR; `ntp_middle` is the middle half of a sender report's NTP time, None in a receiver report."""

    ssrc: int
    ntp_middle: int | None
    blocks: tuple[ReportBlock, ...]


def parse_reports(data: Buffer) -> tuple[Report, ...]:
    """The sender and receiver reports of a compound packet; RtcpError when its parts do not add up."""
    reports = []
    offset = 0
    for _ in range(MAX_PACKETS):
        first, packet_type, length = _header_at(data, offset)
        end = offset + length
        if first & 0x20 and end != len(data):
            raise RtcpError("padding before the last packet")
        if packet_type in (SENDER_REPORT, RECEIVER_REPORT):
            reports.append(_parse_report(data[offset:end], first & 0x1F, packet_type))
        if end == len(data):
            return tuple(reports)
        offset = end
    raise RtcpError(f"more than {MAX_PACKETS} packets in one datagram")


def _header_at(data: Buffer, offset: int) -> tuple[int, int, int]:
    """First byte, packet type and whole length in bytes of the packet at `offset`."""
    if len(data) - offset < _COMMON_HEADER.size:
        raise RtcpError("the packet ends inside a header")
    first, packet_type, words = _COMMON_HEADER.unpack_from(data, offset)
    if first >> 6 != 2:
        raise RtcpError(f"RTCP version {first >> 6}")
    if not 192 <= packet_type <= 223:
        raise RtcpError(f"RTCP packet type {packet_type}")
    length = 4 * (words + 1)
    if offset + length > len(data):
        raise RtcpError("a length field points beyond the end")
    return first, packet_type, length


def _parse_report(packet: Buffer, block_count: int, packet_type: int) -> Report:
    """One SR or RR; what follows its blocks is a profile's extension (RFC 3550 6.4.3) and of no interest."""
    is_sender_report = packet_type == SENDER_REPORT
    blocks_at = 28 if is_sender_report else 8
    if len(packet) < blocks_at + block_count * _REPORT_BLOCK.size:
        raise RtcpError("a report is shorter than its block count says")
    ssrc = int.from_bytes(packet[4:8])
    ntp_middle = None
    if is_sender_report:
        ntp_middle = _SENDER_INFO.unpack_from(packet, 4)[1] >> 16 & 0xFFFFFFFF
    offsets = range(blocks_at, blocks_at + block_count * _REPORT_BLOCK.size, _REPORT_BLOCK.size)
    return Report(ssrc, ntp_middle, tuple(_parse_block(packet, offset) for offset in offsets))


def _parse_block(packet: Buffer, offset: int) -> ReportBlock:
    ssrc, losses, _, jitter, last_sr, delay_since_last_sr = _REPORT_BLOCK.unpack_from(packet, offset)
    cumulative_lost = losses & 0xFFFFFF
    if cumulative_lost & 0x800000:  # a signed 24-bit number: duplicates can make it negative
        cumulative_lost -= 0x1000000
    return ReportBlock(ssrc, cumulative_lost, jitter, last_sr, delay_since_last_sr)


def round_trip_s(arrival: float, sr_passed_at: float, delay_since_last_sr: int) -> float | None:
    """Round trip in seconds to a receiver that answers a sender report (RFC 3550 6.4.1); None when it is impossible.

    `sr_passed_at` and `arrival` are on one clock, in seconds; the receiver's delay is in 1/65536 s.
    """
    elapsed_s = arrival - sr_passed_at - delay_since_last_sr / 65536
    return elapsed_s if elapsed_s >= 0 else None
