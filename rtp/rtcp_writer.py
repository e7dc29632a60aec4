"""RTCP that the server sends itself (RFC 3550 6.4 to 6.6). Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

from rtp.rtcp import RECEIVER_REPORT, SENDER_REPORT

SDES = 202
BYE = 203
_CNAME = 1
_NTP_EPOCH_S = 2_208_988_800  # 1970 in seconds since 1900

_HEADER = struct.Struct("!BBH")
_BLOCK = struct.Struct("!IIIIII")
_SENDER_INFO = struct.Struct("!QIII")


class SenderInfo(NamedTuple):
    """What an SR says of its own stream; `ntp` is a 64-bit NTP time."""

    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int


class Reception(NamedTuple):
    """A report block: what arrived here of the stream of `ssrc`. `fraction_lost` is in 1/256, since the last report;
    jitter in units of the timestamp, times in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest_sequence: int
    jitter: int
    last_sr: int
    delay_since_last_sr: int


def ntp_time(wall_s: float) -> int:
    """Seconds since 1970 as 64-bit NTP time (RFC 3550 4)."""
    return round((wall_s + _NTP_EPOCH_S) * 4_294_967_296)


def report(ssrc: int, cname: str, sender: SenderInfo | None, reception: Reception | None, *, is_last: bool) -> bytes:
    """A compound packet: SR or RR, then SDES with the CNAME, as must be (6.1), and a BYE at the end."""
    body = struct.pack("!I", ssrc)
    if sender is not None:
        body += _SENDER_INFO.pack(
            sender.ntp, sender.rtp_timestamp, sender.packets & 0xFFFFFFFF, sender.octets & 0xFFFFFFFF
        )
    if reception is not None:
        body += _block(reception)
    packets = _packet(SENDER_REPORT if sender is not None else RECEIVER_REPORT, int(reception is not None), body)
    name = cname.encode()[:255]
    items = struct.pack("!IBB", ssrc, _CNAME, len(name)) + name
    packets += _packet(SDES, 1, items + bytes(4 - len(items) % 4))
    return packets + _packet(BYE, 1, struct.pack("!I", ssrc)) if is_last else packets


def _block(reception: Reception) -> bytes:
    lost = max(-0x800000, min(reception.lost, 0x7FFFFF)) & 0xFFFFFF
    return _BLOCK.pack(
        reception.ssrc,
        reception.fraction_lost << 24 | lost,
        reception.highest_sequence & 0xFFFFFFFF,
        reception.jitter & 0xFFFFFFFF,
        reception.last_sr,
        reception.delay_since_last_sr & 0xFFFFFFFF,
    )


def _packet(packet_type: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body
