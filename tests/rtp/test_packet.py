from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from rtp.packet import PacketKind, RtpError, RtpHeader, classify

# RFC 7983 7, figure 3: first byte -> where the packet goes; ranges not in it are dropped.
RFC7983_ROWS = [
    (range(4), PacketKind.STUN),
    (range(4, 16), PacketKind.UNKNOWN),
    (range(16, 20), PacketKind.ZRTP),
    (range(20, 64), PacketKind.DTLS),
    (range(64, 80), PacketKind.UNKNOWN),  # TURN channels end at the phone's own TURN server, not here
    (range(80, 128), PacketKind.UNKNOWN),
    (range(128, 192), PacketKind.RTP),
    (range(192, 256), PacketKind.UNKNOWN),
]


@pytest.mark.parametrize(("first_bytes", "kind"), RFC7983_ROWS)
def test_rfc7983_7_kind_by_first_byte(first_bytes: range, kind: PacketKind) -> None:
    assert {classify(bytes([first]) + bytes(40)) for first in first_bytes} == {kind}


def test_rfc5761_4_rtcp_by_second_byte() -> None:
    kinds = {second: classify(bytes([0x80, second]) + bytes(30)) for second in range(256)}
    assert [second for second, kind in kinds.items() if kind is PacketKind.RTCP] == list(range(192, 224))
    assert set(kinds.values()) == {PacketKind.RTCP, PacketKind.RTP}


@pytest.mark.parametrize(
    ("start", "shortest", "kind"),
    [
        (b"\x80\x00", 12, PacketKind.RTP),
        (b"\x80\xc8", 8, PacketKind.RTCP),
        (b"\x00\x01", 20, PacketKind.STUN),
        (b"\x10\x00", 12, PacketKind.ZRTP),
        (b"\x16\xfe", 13, PacketKind.DTLS),
    ],
)
def test_too_short_for_its_kind_is_unknown(start: bytes, shortest: int, kind: PacketKind) -> None:
    assert classify(start.ljust(shortest, b"\0")) is kind
    assert {classify(start.ljust(shortest, b"\0")[:n]) for n in range(shortest)} == {PacketKind.UNKNOWN}


def test_rfc3550_5_1_header_fields(rtp: Callable[..., bytes]) -> None:
    packet = rtp(0xFFFE, payload_type=101, marker=True, rtp_timestamp=0xDEADBEEF, ssrc=0xCAFE)
    assert RtpHeader.parse(packet) == RtpHeader(
        marker=True, payload_type=101, sequence_number=0xFFFE, rtp_timestamp=0xDEADBEEF, ssrc=0xCAFE, length=12
    )


def test_rfc3550_5_1_csrc_list_counts_as_header() -> None:
    packet = bytes([0x83, 0]) + bytes(10) + bytes(12) + b"payload"
    assert RtpHeader.parse(packet).length == 24
    with pytest.raises(RtpError):
        RtpHeader.parse(packet[:23])


def test_rfc3550_5_3_1_extension_counts_as_header() -> None:
    packet = bytes([0x91, 0]) + bytes(10) + bytes(4) + struct.pack("!HH", 0xBEDE, 2) + bytes(8) + b"payload"
    assert RtpHeader.parse(packet).length == 12 + 4 + 4 + 8
    for cut in range(12, 28):
        with pytest.raises(RtpError):
            RtpHeader.parse(packet[:cut])


@pytest.mark.parametrize("packet", [b"", b"\x80" * 11, b"\x00" * 12, b"\x40" * 12, b"\xc0" * 12])
def test_no_rtp_is_rtp_error(packet: bytes) -> None:
    with pytest.raises(RtpError):
        RtpHeader.parse(packet)
