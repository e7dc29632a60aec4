"""rtp/conversation.py and rtp/rtcp_writer.py: what a phone hears from the server, and what is told of both directions
(RFC 3550, RFC 4733)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from random import Random

import pytest

from rtp.conversation import PHONE, Conversation, Format
from rtp.g711 import silence
from rtp.packet import RtpHeader
from rtp.program import Program
from rtp.rtcp import parse_reports
from rtp.rtcp_writer import BYE, SDES, ntp_time
from rtp.session import MediaSession
from rtp.srtp import SrtpStream

HOST, RTP, RTCP = "192.0.2.10", ("192.0.2.10", 20_000), ("192.0.2.10", 20_001)
NATTED = ("192.0.2.10", 61_234)
PCMU = Format(0, False, 101, 20, True, True)
CODECS: Mapping[int, tuple[str, int]] = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 101: ("telephone-event", 8000)}

Packet = Callable[..., bytes]


class Talk:
    """A conversation and its clock."""

    def __init__(self, program: str, terms: Format = PCMU, *, begun: bool = True) -> None:
        self.media = MediaSession("call", "audio", (10_000, 10_000))
        self.talk = Conversation(self.media, Program(program), "cname", Random(1))
        self.now = 50.0
        self.srtp: tuple[SrtpStream, SrtpStream] | None = None
        self.say(terms)
        if begun:
            self.talk.begin(self.now)

    def say(self, terms: Format) -> None:
        self.talk.agree(RTP, RTCP, frozenset({HOST}), CODECS, terms, self.srtp, self.now)

    def next(self) -> bytes | None:
        """The packet that is due, at its time."""
        due = self.talk.next_packet_at()
        assert due is not None
        self.now = due
        return self.talk.next_packet(self.now)

    def hear(self, packet: bytes, source: tuple[str, int] = RTP) -> bytes | None:
        """As the driver does it."""
        verdict = self.media.sides[PHONE].judge_rtp(source, packet, self.now)
        return self.talk.on_rtp_port(packet, self.now) if verdict.value in ("accepted", "latched") else None


def past_the_beep(talk: Talk) -> Talk:
    while talk.talk.next_packet_at() is not None:
        talk.next()
    return talk


# ------------------------------------------------------------------------------------------------ sending


def test_packets_are_paced_by_what_is_in_them() -> None:
    talk = Talk("tone")
    times = []
    for _ in range(5):
        assert talk.next() is not None
        times.append(talk.now)
    assert times == pytest.approx([50.0, 50.02, 50.04, 50.06, 50.08])


def test_the_phone_says_how_long_packets_are() -> None:
    talk = Talk("tone", PCMU._replace(packet_ms=30))
    packets = [talk.next() for _ in range(3)]
    assert {len(packet or b"") for packet in packets} == {12 + 240}
    assert talk.now == pytest.approx(50.06)


def test_nothing_is_sent_before_the_call_is_up() -> None:
    talk = Talk("tone", begun=False)
    assert talk.talk.next_packet(50.0) is None


def test_nothing_is_sent_where_nobody_has_spoken_unless_signalling_vouches_for_it(rtp: Packet) -> None:
    talk = Talk("tone", PCMU._replace(is_vouched=False))
    assert talk.next() is None
    assert talk.talk.rtcp_destination() is None
    talk.hear(rtp(1))
    assert talk.talk.destination() == RTP
    assert talk.next() is not None


def test_a_phone_behind_nat_is_answered_where_it_sends_from(rtp: Packet) -> None:
    talk = Talk("tone")
    assert talk.talk.destination() == RTP
    for number in range(4):
        talk.hear(rtp(number), NATTED)
    assert talk.talk.destination() == NATTED


def test_strangers_are_not_heard(rtp: Packet) -> None:
    talk = past_the_beep(Talk("echo"))
    assert talk.hear(rtp(1), ("198.51.100.9", 4000)) is None
    assert talk.talk.destination() == RTP


def test_on_hold_nothing_is_sent_and_time_goes_on() -> None:
    talk = Talk("tone")
    before = RtpHeader.parse(talk.next() or b"")
    talk.say(PCMU._replace(may_send=False))
    assert [talk.next() for _ in range(50)] == [None] * 50
    talk.say(PCMU)
    after = RtpHeader.parse(talk.next() or b"")
    assert (after.sequence_number - before.sequence_number) & 0xFFFF == 1
    assert (after.rtp_timestamp - before.rtp_timestamp) & 0xFFFFFFFF == 51 * 160
    assert after.marker


def test_an_echo_on_hold_is_silent(rtp: Packet) -> None:
    talk = past_the_beep(Talk("echo"))
    assert talk.hear(rtp(1)) is not None
    talk.say(PCMU._replace(may_send=False))
    assert talk.hear(rtp(2)) is None
    talk.say(PCMU)
    assert talk.hear(rtp(90)) is not None


def test_only_what_was_agreed_on_comes_back(rtp: Packet) -> None:
    talk = past_the_beep(Talk("echo"))
    assert talk.hear(rtp(1, payload_type=0)) is not None
    assert talk.hear(rtp(2, payload_type=8)) is None
    assert talk.hear(rtp(3, payload_type=101, payload=bytes((5, 10, 0, 160)))) is not None
    assert talk.hear(b"\x80" + bytes(3)) is None
    assert talk.hear(b"\x9f" + bytes(11)) is None


def test_the_other_law_is_spoken_too() -> None:
    talk = Talk("quality", PCMU._replace(payload_type=8, is_a_law=True))
    packets = [talk.next() or b"" for _ in range(15)]
    assert {packet[1] & 0x7F for packet in packets} == {8}
    assert packets[-1][12:] == silence(160, is_a_law=True)


def test_a_key_is_counted_once_for_all_its_packets(rtp: Packet) -> None:
    talk = Talk("tone")
    pressed: list[str] = []
    talk.talk._program.press = pressed.append  # type: ignore[method-assign]
    for start in (800, 2400):
        for number in range(4):
            event = bytes((11, 0x8A if number == 3 else 0x0A, 0, 160))
            talk.hear(rtp(number, payload_type=101, rtp_timestamp=start, payload=event))
    talk.hear(rtp(9, payload_type=101, rtp_timestamp=4000, payload=bytes((16, 0, 0, 0))))
    talk.hear(rtp(10, payload_type=101, rtp_timestamp=4400, payload=b"\x01"))
    assert pressed == ["#", "#"]


# ------------------------------------------------------------------------------------------------ RTCP


def parts(compound: bytes) -> list[tuple[int, bytes]]:
    """Packet types and contents of a compound packet."""
    found = []
    while compound:
        _, kind, words = struct.unpack_from("!BBH", compound)
        found.append((kind, compound[4 : 4 * (words + 1)]))
        compound = compound[4 * (words + 1) :]
    return found


def test_a_report_is_a_whole_compound_packet(rtp: Packet) -> None:
    talk = Talk("tone")
    talk.hear(rtp(65_535))
    talk.hear(rtp(2))
    talk.next()
    packet = talk.talk.report(60.0, 1000.0)
    (report,) = parse_reports(packet)
    assert report.ntp_middle == ntp_time(1060.0) >> 16 & 0xFFFFFFFF
    (block,) = report.blocks
    assert (block.ssrc, block.cumulative_lost) == (0x1234, 2)
    kinds = parts(packet)
    assert [kind for kind, _ in kinds] == [200, SDES]
    assert struct.unpack_from("!III", kinds[0][1], 12) == (kinds_timestamp(talk, 60.0), 1, 160)
    fraction, highest = kinds[0][1][28], struct.unpack_from("!I", kinds[0][1], 32)[0]
    assert (fraction, highest) == (256 * 2 // 4, 0x10002)
    assert kinds[1][1][4:12] == b"\x01\x05cname\x00"


def kinds_timestamp(talk: Talk, now: float) -> int:
    assert talk.talk._stream is not None
    return talk.talk._stream.timestamp_at(now)


def test_who_has_sent_nothing_sends_a_receiver_report_and_a_bye_at_the_end() -> None:
    talk = Talk("tone")
    assert [kind for kind, _ in parts(talk.talk.report(50.0, 0.0, is_last=True))] == [201, SDES, BYE]


def test_the_next_fraction_is_that_of_the_time_between(rtp: Packet) -> None:
    talk = Talk("tone")
    for number in (1, 2, 5):
        talk.hear(rtp(number))
    talk.talk.report(50.0, 0.0)
    for number in (6, 7, 8):
        talk.hear(rtp(number))
    kinds = parts(talk.talk.report(55.0, 0.0))
    assert kinds[0][1][8] == 0
    assert int.from_bytes(kinds[0][1][9:12]) == 2


def test_a_sender_report_of_the_phone_is_answered_with_its_time(rtp: Packet, report: Callable[..., bytes]) -> None:
    talk = Talk("tone")
    talk.hear(rtp(1))
    talk.media.on_rtcp(PHONE, report(0x1234, ntp_middle=0xCAFE), 50.5)
    (block,) = parse_reports(talk.talk.report(52.5, 0.0))[0].blocks
    assert (block.last_sr, block.delay_since_last_sr) == (0xCAFE, 2 * 65_536)


def test_reports_come_at_random_about_every_five_seconds_the_first_sooner() -> None:
    talk = Talk("tone").talk
    assert all(1.0 < talk.next_report_s(is_first=True) < 3.1 for _ in range(50))
    assert all(2.0 < talk.next_report_s(is_first=False) < 6.2 for _ in range(50))


# ------------------------------------------------------------------------------------------------ figures


def test_what_the_phone_reports_is_how_the_other_direction_is(
    rtp: Packet, report: Callable[..., bytes], block: Callable[..., bytes]
) -> None:
    talk = Talk("quality")
    for _ in range(100):
        talk.next()
    ssrc = RtpHeader.parse(talk.next() or b"").ssrc
    outgoing = talk.talk.snapshots(talk.now, 0.0, is_open=True)[1]
    assert (outgoing.packets, outgoing.mos, outgoing.remote_lost) == (101, None, None)
    sent = parse_reports(talk.talk.report(talk.now, 0.0))[0]
    talk.hear(rtp(1))
    about = block(ssrc, lost=5, jitter=80, last_sr=sent.ntp_middle, delay=0)
    talk.media.on_rtcp(PHONE, report(0x1234, blocks=about, packet_type=201), talk.now + 0.03)
    outgoing = talk.talk.snapshots(talk.now, 0.0, is_open=True)[1]
    assert (outgoing.remote_lost, outgoing.remote_jitter_ms) == (5, 10.0)
    assert outgoing.rtt_ms == pytest.approx(30.0, abs=1.0)
    assert outgoing.mos is not None and 3.0 < outgoing.mos < 4.3


def test_loudness_and_loss_of_what_the_phone_sends(rtp: Packet) -> None:
    talk = Talk("quality")
    milliwatt = bytes.fromhex("1e0b0b1e9e8b8b9e") * 20
    for number in (1, 2, 4):
        talk.hear(rtp(number, payload=milliwatt if number == 2 else b"\xff" * 160))
    incoming = talk.talk.snapshots(talk.now, 0.0, is_open=True)[0]
    assert (incoming.packets, incoming.lost, incoming.codec) == (3, 1, "PCMU")
    assert incoming.peak_dbm0 == pytest.approx(0.0, abs=0.1)
    assert talk.talk.last_packet_at() == talk.now


# ------------------------------------------------------------------------------------------------ SRTP

THEIRS, OURS = bytes(range(30)), bytes(range(100, 130))


def encrypted(program: str) -> Talk:
    talk = Talk(program, begun=False)
    talk.srtp = SrtpStream(THEIRS, 10), SrtpStream(OURS, 10)
    talk.say(PCMU)
    talk.talk.begin(talk.now)
    return talk


def test_an_encrypted_echo(rtp: Packet) -> None:
    phone, ear = SrtpStream(THEIRS, 10), SrtpStream(OURS, 10)
    talk = encrypted("echo")
    while talk.talk.next_packet_at() is not None:
        ear.open(talk.next() or b"")
    back = talk.hear(phone.protect(rtp(1, payload=b"secret")))
    assert back is not None
    assert b"secret" not in back
    assert ear.open(back)[12:] == b"secret"


def test_what_is_not_encrypted_right_is_refused(rtp: Packet, report: Callable[..., bytes]) -> None:
    talk = past_the_beep(encrypted("echo"))
    assert talk.hear(rtp(1)) is None
    assert talk.hear(SrtpStream(OURS, 10).protect(rtp(2))) is None
    talk.talk.on_rtcp(report(0x1234), 51.0)
    incoming = talk.talk.snapshots(talk.now, 0.0, is_open=True)[0]
    assert (incoming.packets, incoming.rejected) == (0, 3)
    assert talk.talk.last_packet_at() is None


def test_reports_are_encrypted_too(report: Callable[..., bytes]) -> None:
    talk = encrypted("tone")
    talk.next()
    assert parts(SrtpStream(OURS, 10).open_rtcp(talk.talk.report(60.0, 0.0)))[0][0] == 200
    talk.talk.on_rtcp(SrtpStream(THEIRS, 10).protect_rtcp(report(0x1234)), 61.0)
    assert talk.talk.last_packet_at() == 61.0


def test_counters_go_on_when_the_keys_stay(rtp: Packet) -> None:
    ear = SrtpStream(OURS, 10)
    talk = encrypted("tone")
    ear.open(talk.next() or b"")
    talk.srtp = SrtpStream(bytes(30), 10), SrtpStream(OURS, 10)
    talk.say(PCMU)
    assert talk.talk._sealer is not talk.srtp[1]
    ear.open(talk.next() or b"")
    assert talk.hear(SrtpStream(THEIRS, 10).protect(rtp(1))) is None
    talk.hear(SrtpStream(bytes(30), 10).protect(rtp(2)))
    assert talk.talk.snapshots(talk.now, 0.0, is_open=True)[0].packets == 1
