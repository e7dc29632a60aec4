"""What arrives at media ports: the header of RTP, the reports of RTCP, and the session that counts both."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import pairwise
from math import isfinite
from random import Random

from rtp.conversation import Conversation, Format
from rtp.latch import Verdict
from rtp.packet import FIXED_HEADER, FIXED_HEADER_LENGTH, PacketKind, RtpError, RtpHeader, classify
from rtp.program import Program
from rtp.rtcp import MAX_PACKETS, RtcpError, parse_reports
from rtp.session import MediaSession
from rtp.srtp import SrtpError, SrtpStream

SOURCES = (("192.168.1.20", 4000), ("192.168.1.20", 4001), ("192.168.1.20", 5000), ("198.51.100.9", 4000))
"""As announced for RTP, as announced for RTCP, another port of that host, a stranger."""
STRANGER = 3
MAX_SESSION_PACKETS = 200


def check_rtp(data: bytes) -> None:
    kind = classify(data)
    assert kind is classify(memoryview(data))
    try:
        header = RtpHeader.parse(data)
    except RtpError:
        return
    assert kind in (PacketKind.RTP, PacketKind.RTCP)
    assert FIXED_HEADER_LENGTH <= header.length <= len(data)
    first_two = struct.unpack_from("!H", data)[0]
    prefix = first_two & 0xFF00 | header.marker << 7 | header.payload_type
    packed = FIXED_HEADER.pack(prefix, header.sequence_number, header.rtp_timestamp, header.ssrc)
    assert packed == data[:FIXED_HEADER_LENGTH]


def check_rtcp(data: bytes) -> None:
    try:
        reports = parse_reports(data)
    except RtcpError:
        return
    assert len(data) % 4 == 0
    assert classify(data) is PacketKind.RTCP or len(data) < 8
    assert reports == parse_reports(memoryview(data))
    assert len(reports) <= MAX_PACKETS
    for report in reports:
        assert len(report.blocks) <= 31
        for block in report.blocks:
            assert -(2**23) <= block.cumulative_lost < 2**23
    # In front of it another report: both are read, or there were too many already.
    empty = struct.pack("!BBHI", 0x80, 201, 1, 7)
    with suppress(RtcpError):
        assert parse_reports(empty + data)[1:] == reports


def packets_of(data: bytes) -> list[tuple[int, int, bytes]]:
    """(port, source, packet): a byte that says where it arrives and from whom, a byte for its length, the packet."""
    packets = []
    at = 0
    while at + 2 <= len(data) and len(packets) < MAX_SESSION_PACKETS:
        where, length = data[at], data[at + 1]
        packets.append((where >> 2 & 3, where & 3, data[at + 2 : at + 2 + length]))
        at += 2 + length
    return packets


def check_session(data: bytes) -> None:
    """A stream of both sides: figures stay within reason, and a stranger is never listened to."""
    session = MediaSession("fuzz@call", "audio", (10_000, 10_002))
    for side in (0, 1):
        session.sides[side].announce(SOURCES[0], SOURCES[1], frozenset({SOURCES[0][0]}), 0.0)
        session.set_codecs(side, {96: ("opus", 48_000), 97: ("L16", 0)})
    now = 0.0
    counted = [0, 0]
    for port, source, packet in packets_of(data):
        now += 0.02
        arrive(session, port, source, packet, now, counted)
        check_figures(session, now, counted)


def arrive(session: MediaSession, port: int, source: int, packet: bytes, now: float, counted: list[int]) -> None:
    """Ports 0 and 1 are RTP of the two sides, 2 and 3 their RTCP."""
    number = port & 1
    side = session.sides[number]
    if port & 2:
        verdict = side.judge_rtcp(SOURCES[source], packet, now)
    else:
        verdict = side.judge_rtp(SOURCES[source], packet, now)
    if source == 3:
        assert verdict is Verdict.REJECTED, "a stranger was listened to"
    if verdict not in (Verdict.ACCEPTED, Verdict.LATCHED):
        return
    kind = classify(packet)
    if port & 2:
        session.on_rtcp(number, packet, now)
    elif kind is PacketKind.RTP:
        side.stats.on_packet(*FIXED_HEADER.unpack_from(packet), len(packet), now)
        counted[number] += 1


def check_figures(session: MediaSession, now: float, counted: list[int]) -> None:
    for number in (0, 1):
        figures = session.snapshot(number, now, 0.0, is_open=True)
        assert figures.packets == counted[number]
        assert 0 <= figures.duplicates <= figures.packets
        assert 0 <= figures.out_of_order <= figures.packets
        assert 0 <= figures.lost <= 65_536 * max(1, figures.packets)
        assert figures.jitter_ms >= 0.0
        assert isfinite(figures.jitter_ms)
        assert figures.mos is None or 1.0 <= figures.mos <= 5.0
        assert figures.rtt_ms is None or figures.rtt_ms >= 0.0
    events = [event.at for event in session.drain_events()]
    assert all(earlier <= later for earlier, later in pairwise(events))


def check_conversation(data: bytes) -> None:
    """A phone and the echo: what comes back is never more than what came, and a stranger gets nothing."""
    session = MediaSession("fuzz@call", "audio", (10_000, 10_000))
    talk = Conversation(session, Program("echo"), "cname", Random(1))
    terms = Format(0, False, 101, 20, may_send=True, is_vouched=True)
    talk.agree(SOURCES[0], SOURCES[1], frozenset({SOURCES[0][0]}), {101: ("telephone-event", 8000)}, terms, None, 0.0)
    talk.begin(0.0)
    while talk.next_packet_at() is not None:
        talk.next_packet(talk.next_packet_at() or 0.0)
    now = 1.0
    for where, source, packet in packets_of(data):
        now += 0.02
        judge = session.sides[0].judge_rtcp if where & 1 else session.sides[0].judge_rtp
        if judge(SOURCES[source], packet, now) not in (Verdict.ACCEPTED, Verdict.LATCHED):
            continue
        assert source != STRANGER
        if where & 1:
            talk.on_rtcp(packet, now)
        elif (reply := talk.on_rtp_port(packet, now)) is not None:
            assert len(reply) <= len(packet)
            assert classify(reply) is PacketKind.RTP
    assert talk.destination() in SOURCES[:STRANGER]
    parse_reports(talk.report(now, 0.0, is_last=True))
    assert all(isfinite(figures.jitter_ms) for figures in talk.snapshots(now, 0.0, is_open=True))


def check_srtp(data: bytes) -> None:
    """Nothing that was not sealed with the key is ever opened."""
    stream = SrtpStream(bytes(30), 10)
    for open_it in (stream.open, stream.open_rtcp):
        try:
            open_it(data)
        except SrtpError:
            continue
        raise AssertionError("a forged packet was taken for authentic")
