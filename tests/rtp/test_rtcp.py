from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from rtp.rtcp import MAX_PACKETS, Report, ReportBlock, RtcpError, parse_reports, round_trip_s

SDES = struct.pack("!BBHI", 0x81, 202, 2, 0x11) + b"\x01\x01a\0"
BYE = struct.pack("!BBHI", 0x81, 203, 1, 0x11)
APP = struct.pack("!BBHI4s", 0x80, 204, 2, 0x11, b"test")
PLI = struct.pack("!BBHII", 0x81, 206, 2, 0x11, 0x22)

Make = Callable[..., bytes]


def test_6_4_1_sender_report(report: Make, block: Make) -> None:
    data = report(0x11, 0xABCD1234, block(0x22, lost=5, jitter=80, last_sr=7, delay=65536))
    assert parse_reports(data) == (Report(0x11, 0xABCD1234, (ReportBlock(0x22, 5, 80, 7, 65536),)),)


def test_6_4_2_receiver_report(report: Make, block: Make) -> None:
    data = report(0x11, blocks=block(0x22) + block(0x33), packet_type=201)
    (parsed,) = parse_reports(data)
    assert parsed.ntp_middle is None
    assert [each.ssrc for each in parsed.blocks] == [0x22, 0x33]


@pytest.mark.parametrize("lost", [0, 1, 0x7FFFFF, -1, -0x800000])
def test_6_4_1_cumulative_lost_is_signed_24_bits(report: Make, block: Make, lost: int) -> None:
    (parsed,) = parse_reports(report(0x11, blocks=block(0x22, lost=lost)))
    assert parsed.blocks[0].cumulative_lost == lost


def test_6_1_compound_steps_over_other_packets(report: Make, block: Make) -> None:
    data = report(0x11, 1, block(0x22)) + SDES + APP + report(0x12, packet_type=201) + BYE
    assert [parsed.ssrc for parsed in parse_reports(data)] == [0x11, 0x12]


def test_6_4_3_profile_extension_is_ignored(report: Make, block: Make) -> None:
    data = bytearray(report(0x11, blocks=block(0x22), packet_type=201) + b"profile1")
    struct.pack_into("!H", data, 2, len(data) // 4 - 1)
    (parsed,) = parse_reports(data)
    assert len(parsed.blocks) == 1


def test_rfc5506_reduced_size_packet_has_no_reports() -> None:
    assert parse_reports(PLI) == ()


def test_padding_is_allowed_in_the_last_packet_only(report: Make) -> None:
    padded = bytearray(BYE + b"\0\0\0\4")
    padded[0] |= 0x20
    struct.pack_into("!H", padded, 2, 2)
    assert len(parse_reports(report(0x11) + padded)) == 1
    with pytest.raises(RtcpError):
        parse_reports(bytes(padded) + report(0x11))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\xc9\x00",
        b"\x00\xc9\x00\x01" + bytes(4),  # version 0
        b"\x80\x00\x00\x01" + bytes(4),  # an RTP payload type
        b"\x80\xe0\x00\x01" + bytes(4),  # packet type 224
        b"\x80\xc9\x00\x02" + bytes(4),  # longer than the datagram
        b"\x80\xc9\x00\x01" + bytes(8),  # something behind that is no header
        b"\x81\xc9\x00\x01" + bytes(4),  # a block is promised and missing
        b"\x80\xc8\x00\x01" + bytes(4),  # a sender report without sender info
        b"\x80\xc9\x00\x00",  # no room for its own SSRC
    ],
)
def test_malformed_is_rtcp_error(data: bytes) -> None:
    with pytest.raises(RtcpError):
        parse_reports(data)


def test_number_of_packets_is_bounded() -> None:
    assert parse_reports(BYE * MAX_PACKETS) == ()
    with pytest.raises(RtcpError):
        parse_reports(BYE * (MAX_PACKETS + 1))


def test_every_cut_of_a_compound_is_an_error_or_a_shorter_compound(report: Make, block: Make) -> None:
    parts = [report(0x11, 1, block(0x22)), SDES, BYE]
    data = b"".join(parts)
    whole = {len(parts[0]), len(parts[0] + parts[1]), len(data)}
    for cut in range(len(data) + 1):
        if cut in whole:
            assert len(parse_reports(data[:cut])) == 1
        else:
            with pytest.raises(RtcpError):
                parse_reports(data[:cut])


@pytest.mark.parametrize("seed", range(20))
def test_mutations_raise_nothing_but_rtcp_error(report: Make, block: Make, seed: int) -> None:
    rng = random.Random(seed)
    base = report(0x11, 1, block(0x22) + block(0x33)) + SDES + APP + BYE
    for _ in range(200):
        data = bytearray(base[: rng.randrange(len(base) + 1)])
        for _ in range(rng.randrange(5)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            reports = parse_reports(data)
        except RtcpError:
            continue
        assert all(0 <= each.ssrc < 1 << 32 for each in reports)


def test_6_4_1_round_trip_of_the_rfcs_example() -> None:
    # RFC 3550 figure 2: A = 46864.500 s, LSR = 46853.125 s, DLSR = 5.250 s: the trip took 6.125 s.
    assert round_trip_s(46864.500, 46853.125, 0x00054000) == 6.125


def test_6_4_1_impossible_round_trip_is_none() -> None:
    assert round_trip_s(10.0, 9.0, 2 * 65536) is None
