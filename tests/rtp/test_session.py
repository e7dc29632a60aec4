from __future__ import annotations

from collections.abc import Callable

import pytest

from rtp.figures import MediaEventKind, RelayTotals
from rtp.latch import Verdict
from rtp.packet import FIXED_HEADER
from rtp.session import ACTIVE_S, MAX_EVENTS, MAX_REPORTED_SOURCES, MediaSession

CALLER = ("192.0.2.1", 4000)
CALLEE = ("192.0.2.2", 5000)
STRANGER = ("198.51.100.66", 9)
OFFSET = 1_000_000.0

Make = Callable[..., bytes]


@pytest.fixture
def session() -> MediaSession:
    session = MediaSession("call-1", "audio", (10000, 10002))
    for side, address in zip(session.sides, (CALLER, CALLEE), strict=True):
        side.announce(address, (address[0], address[1] + 1), frozenset({address[0]}), 0.0)
    return session


def count(session: MediaSession, side: int, *packets: bytes, now: float = 10.0) -> None:
    for packet in packets:
        session.sides[side].stats.on_packet(*FIXED_HEADER.unpack_from(packet), len(packet), now)


def test_events_tell_what_was_learnt_from_where(session: MediaSession, rtp: Make) -> None:
    caller, callee = session.sides
    caller.judge_rtp(CALLER, rtp(1), 1.0)
    for number in range(4):
        callee.judge_rtp((CALLEE[0], 6000), rtp(number), 2.0)
    first, second = session.drain_events()
    assert (first.at, first.side, first.kind) == (1.0, 0, MediaEventKind.LATCHED)
    assert first.text == "the caller's media comes from 192.0.2.1:4000, as announced"
    assert (second.at, second.side, second.kind) == (2.0, 1, MediaEventKind.LATCHED)
    assert second.text == "the callee's media comes from 192.0.2.2:6000, announced was 192.0.2.2:5000"
    assert session.drain_events() == []


def test_events_tell_that_a_side_moves(session: MediaSession, rtp: Make) -> None:
    caller = session.sides[0]
    caller.judge_rtp(CALLER, rtp(1), 1.0)
    session.drain_events()
    caller.announce(("192.0.2.7", 4000), None, frozenset({"192.0.2.7"}), 3.0)
    (event,) = session.drain_events()
    assert (event.at, event.side, event.kind) == (3.0, 0, MediaEventKind.RELEARNING)
    assert "192.0.2.1:4000" in event.text


def test_events_tell_of_a_foreign_source_once(session: MediaSession, rtp: Make) -> None:
    for number in range(100):
        assert session.sides[0].judge_rtp(STRANGER, rtp(number), 1.0) is Verdict.REJECTED
    (event,) = session.drain_events()
    assert event.kind is MediaEventKind.REJECTED
    assert "198.51.100.66:9" in event.text
    assert session.sides[0].rejected == 100


def test_events_of_many_foreign_sources_are_bounded(session: MediaSession, rtp: Make) -> None:
    for port in range(1, 1000):
        session.sides[0].judge_rtp((STRANGER[0], port), rtp(1), 1.0)
    assert len(session.drain_events()) == MAX_REPORTED_SOURCES
    assert session.sides[0].rejected == 999


def test_events_nobody_fetches_are_bounded_and_the_newest_stay(session: MediaSession, rtp: Make) -> None:
    caller = session.sides[0]
    for port in range(1, 200):
        caller.announce((CALLER[0], port), None, frozenset({CALLER[0]}), float(port))
        caller.judge_rtp((CALLER[0], port), rtp(1), float(port))
    events = session.drain_events()
    assert len(events) == MAX_EVENTS
    assert events[-1].at == 199.0


def test_events_tell_of_a_new_ssrc(session: MediaSession, rtp: Make) -> None:
    count(session, 1, rtp(1, ssrc=0xA), rtp(7, ssrc=0xB), rtp(8, ssrc=0xB))
    (event,) = session.drain_events()
    assert (event.side, event.kind) == (1, MediaEventKind.NEW_SSRC)
    assert "0x0000000b" in event.text


def test_ipv6_addresses_are_written_in_brackets(session: MediaSession, rtp: Make) -> None:
    session.sides[0].announce(("2001:db8::1", 4000), None, frozenset({"2001:db8::1"}), 0.0)
    session.sides[0].judge_rtp(("2001:db8::1", 4000), rtp(1), 1.0)
    assert "[2001:db8::1]:4000" in session.drain_events()[0].text


def test_destination_is_announced_then_learnt_then_nothing_on_hold(session: MediaSession, rtp: Make) -> None:
    caller = session.sides[0]
    assert caller.destination() == CALLER
    for number in range(4):
        caller.judge_rtp((CALLER[0], 7000), rtp(number), 1.0)
    assert caller.destination() == (CALLER[0], 7000)
    caller.announce(None, None, frozenset({CALLER[0]}), 2.0)
    assert (caller.destination(), caller.rtcp_destination()) == (None, None)
    caller.announce(CALLER, (CALLER[0], 4001), frozenset({CALLER[0]}), 3.0)
    assert caller.destination() == (CALLER[0], 7000)


def test_rtcp_is_learnt_anew_when_rtp_moves(session: MediaSession, report: Make) -> None:
    caller = session.sides[0]
    assert caller.judge_rtcp((CALLER[0], 4001), report(1), 1.0) is Verdict.LATCHED
    caller.announce((CALLER[0], 8000), (CALLER[0], 4001), frozenset({CALLER[0]}), 2.0)
    assert caller.rtcp_latch.source is None


def test_unproven_packets_count_as_dropped(session: MediaSession, rtp: Make) -> None:
    for number in range(4):
        session.sides[0].judge_rtp((CALLER[0], 7000), rtp(number), 1.0)
    assert (session.sides[0].dropped, session.sides[0].rejected) == (3, 0)


def test_codecs_of_the_receiver_come_first_then_the_senders(session: MediaSession, rtp: Make) -> None:
    session.set_codecs(0, {96: ("speex", 16000), 97: ("iLBC", 8000)})
    session.set_codecs(1, {96: ("opus", 48000)})
    count(session, 0, rtp(1, payload_type=96))
    assert session.sides[0].stats.codec == ("opus", 48000)
    count(session, 0, rtp(2, payload_type=97))
    assert session.sides[0].stats.codec == ("iLBC", 8000)
    count(session, 0, rtp(3, payload_type=8))
    assert session.sides[0].stats.codec == ("PCMA", 8000)


def test_snapshot_of_a_stream(session: MediaSession, rtp: Make) -> None:
    session.sides[0].judge_rtp(CALLER, rtp(1), 10.0)
    count(session, 0, rtp(1), now=10.0)
    count(session, 0, rtp(2), rtp(4), now=10.5)
    snapshot = session.snapshot(0, 11.0, OFFSET, is_open=True)
    assert (snapshot.call_id, snapshot.kind, snapshot.side, snapshot.relay_port) == ("call-1", "audio", 0, 10000)
    assert (snapshot.from_address, snapshot.from_port) == CALLER
    assert (snapshot.to_address, snapshot.to_port) == CALLEE
    assert (snapshot.packets, snapshot.bytes, snapshot.lost) == (3, 3 * 172, 1)
    assert (snapshot.codec, snapshot.payload_type, snapshot.ssrc) == ("PCMU", 0, 0x1234)
    assert (snapshot.first_packet_at, snapshot.last_packet_at) == (OFFSET + 10.0, OFFSET + 10.5)
    assert (snapshot.remote_lost, snapshot.remote_jitter_ms, snapshot.rtt_ms) == (None, None, None)


def test_snapshot_of_a_stream_that_never_came(session: MediaSession) -> None:
    snapshot = session.snapshot(1, 11.0, OFFSET, is_open=True)
    assert (snapshot.packets, snapshot.codec, snapshot.ssrc, snapshot.mos) == (0, None, None, None)
    assert (snapshot.first_packet_at, snapshot.last_packet_at, snapshot.active) == (None, None, False)
    assert (snapshot.from_address, snapshot.from_port) == CALLEE


def test_snapshot_before_anything_is_announced() -> None:
    snapshot = MediaSession("call-2", "video", (10000, 10002)).snapshot(0, 1.0, OFFSET, is_open=True)
    assert (snapshot.from_address, snapshot.from_port, snapshot.to_address, snapshot.to_port) == (None,) * 4


def test_active_while_packets_come_and_the_session_is_open(session: MediaSession, rtp: Make) -> None:
    count(session, 0, rtp(1), now=10.0)
    assert session.snapshot(0, 10.0 + ACTIVE_S, OFFSET, is_open=True).active
    assert not session.snapshot(0, 10.1 + ACTIVE_S, OFFSET, is_open=True).active
    assert not session.snapshot(0, 10.0, OFFSET, is_open=False).active


def test_a_side_is_heard_by_its_last_packet_rtcp_included(session: MediaSession, rtp: Make, report: Make) -> None:
    def heard_at() -> tuple[float | None, float | None]:
        return session.pulse(0).heard_at, session.pulse(1).heard_at

    assert heard_at() == (None, None)
    session.on_rtcp(1, report(1), 9.0)
    count(session, 0, rtp(1), now=10.0)
    assert heard_at() == (10.0, 9.0)
    count(session, 1, rtp(1), now=12.0)
    session.on_rtcp(0, report(1), 15.0)
    assert heard_at() == (15.0, 12.0)
    session.on_rtcp(1, b"\x80\xc8\x00\x06" + bytes(30), 16.0)  # SRTCP: nothing in it can be read
    assert heard_at() == (15.0, 16.0)


def test_receivers_report_of_the_stream_is_kept(session: MediaSession, rtp: Make, report: Make, block: Make) -> None:
    count(session, 0, rtp(1, ssrc=0xA))
    session.on_rtcp(1, report(0xB, blocks=block(0xA, lost=3, jitter=80) + block(0xC, lost=99), packet_type=201), 11.0)
    snapshot = session.snapshot(0, 11.0, OFFSET, is_open=True)
    assert (snapshot.remote_lost, snapshot.remote_jitter_ms) == (3, 10.0)
    assert session.snapshot(1, 11.0, OFFSET, is_open=True).remote_lost is None


def test_receivers_report_is_forgotten_with_the_source(
    session: MediaSession, rtp: Make, report: Make, block: Make
) -> None:
    count(session, 0, rtp(1, ssrc=0xA))
    session.on_rtcp(1, report(0xB, blocks=block(0xA, lost=3), packet_type=201), 11.0)
    count(session, 0, rtp(500, ssrc=0xD), rtp(501, ssrc=0xD))
    assert session.snapshot(0, 11.0, OFFSET, is_open=True).remote_lost is None


def test_round_trip_is_the_sum_of_both_legs(session: MediaSession, rtp: Make, report: Make, block: Make) -> None:
    count(session, 0, rtp(1, ssrc=0xA))
    count(session, 1, rtp(1, ssrc=0xB))
    session.on_rtcp(0, report(0xA, ntp_middle=77), 10.0)
    session.on_rtcp(1, report(0xB, ntp_middle=88, blocks=block(0xA, last_sr=77, delay=65536)), 11.25)
    assert session.snapshot(0, 12.0, OFFSET, is_open=True).rtt_ms is None
    session.on_rtcp(0, report(0xA, ntp_middle=99, blocks=block(0xB, last_sr=88, delay=32768)), 11.875)
    for side in (0, 1):
        assert session.snapshot(side, 12.0, OFFSET, is_open=True).rtt_ms == 250.0 + 125.0


def test_round_trip_ignores_an_older_sender_report(session: MediaSession, rtp: Make, report: Make, block: Make) -> None:
    count(session, 0, rtp(1, ssrc=0xA))
    session.on_rtcp(0, report(0xA, ntp_middle=77), 10.0)
    session.on_rtcp(1, report(0xB, blocks=block(0xA, last_sr=76, delay=0), packet_type=201), 11.0)
    assert session.sides[1].round_trip_s is None


def test_mos_falls_with_our_losses_and_with_those_the_receiver_reports(
    session: MediaSession, rtp: Make, report: Make, block: Make
) -> None:
    count(session, 0, *(rtp(number, rtp_timestamp=0) for number in range(100)))
    clean = session.snapshot(0, 11.0, OFFSET, is_open=True).mos
    session.on_rtcp(1, report(0xB, blocks=block(0x1234, lost=10), packet_type=201), 11.0)
    reported = session.snapshot(0, 11.0, OFFSET, is_open=True).mos
    count(session, 0, rtp(150, rtp_timestamp=0))
    lossy = session.snapshot(0, 11.0, OFFSET, is_open=True).mos
    assert clean is not None and reported is not None and lossy is not None
    assert clean == pytest.approx(4.40, abs=0.01)
    assert clean > reported > lossy > 1.0


def test_mos_survives_an_absurd_report(session: MediaSession, rtp: Make, report: Make, block: Make) -> None:
    count(session, 0, rtp(1))
    for lost in (0x7FFFFF, -0x800000):
        session.on_rtcp(1, report(0xB, blocks=block(0x1234, lost=lost), packet_type=201), 11.0)
        mos = session.snapshot(0, 11.0, OFFSET, is_open=True).mos
        assert mos is not None
        assert 1.0 <= mos <= 4.5


def test_video_has_no_mos(rtp: Make) -> None:
    session = MediaSession("call-1", "video", (10000, 10002))
    count(session, 0, rtp(1))
    assert session.snapshot(0, 11.0, OFFSET, is_open=True).mos is None


def test_totals_add_up(session: MediaSession, rtp: Make) -> None:
    count(session, 0, rtp(1), rtp(3))
    session.sides[0].rejected = 2
    session.sides[0].dropped = 5
    snapshot = session.snapshot(0, 10.0, OFFSET, is_open=True)
    assert RelayTotals().plus(snapshot).plus(snapshot) == RelayTotals(
        packets=4, bytes=4 * 172, lost=2, rejected=4, dropped=10, active_streams=2
    )


def test_a_key_is_told_once_also_when_two_have_seen_it_and_never_too_fast() -> None:
    news: list[str] = []
    session = MediaSession("call-1", "audio", (10000, 10002), news.append)
    for side, key, now in ((0, (5, 1600), 1.0), (0, (5, 1600), 2.0), (0, (5, 3200), 2.0), (0, (6, 4800), 2.01)):
        session.on_key(side, key, now)
    session.on_key(1, (10, 1600), 2.01)
    events = session.drain_events()
    assert [(event.side, event.key, event.at) for event in events] == [(0, "5", 1.0), (0, "5", 2.0), (1, "*", 2.01)]
    assert news == ["call-1"] * 3
