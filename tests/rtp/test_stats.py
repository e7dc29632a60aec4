"""Every figure by hand: sequence A.1, loss A.3, jitter A.8 of RFC 3550."""

from __future__ import annotations

import pytest

from rtp.stats import MAX_DROPOUT, MAX_MISORDER, StreamStats

PCMU_PREFIX = 0x8000
MARKER = 0x0080
SSRC = 0x1234


class Stream:
    """Feeds packets to a StreamStats; by default 20 ms of PCMU every 20 ms."""

    def __init__(self) -> None:
        self.ssrc_changes: list[tuple[int, int, float]] = []
        self.stats = StreamStats(lambda old, new, now: self.ssrc_changes.append((old, new, now)))
        self.now = 100.0

    def feed(self, *sequence_numbers: int, prefix: int = PCMU_PREFIX, ssrc: int = SSRC, length: int = 172) -> None:
        for number in sequence_numbers:
            self.stats.on_packet(prefix, number & 0xFFFF, number * 160 & 0xFFFFFFFF, ssrc, length, self.now)
            self.now += 0.02

    def at(self, now: float, number: int, rtp_timestamp: int, prefix: int = PCMU_PREFIX) -> None:
        self.stats.on_packet(prefix, number & 0xFFFF, rtp_timestamp & 0xFFFFFFFF, SSRC, 172, now)

    @property
    def losses(self) -> tuple[int, int, int]:
        return self.stats.lost, self.stats.out_of_order, self.stats.duplicates


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_totals_and_times(stream: Stream) -> None:
    stream.feed(*range(10), length=172)
    stream.feed(10, length=92)
    stats = stream.stats
    assert (stats.packets, stats.octets) == (11, 1812)
    assert (stats.first_at, stats.last_at) == (100.0, pytest.approx(100.2))
    assert (stats.ssrc, stats.payload_type, stats.codec) == (SSRC, 0, ("PCMU", 8000))


def test_nothing_received_is_all_zero_and_unknown(stream: Stream) -> None:
    stats = stream.stats
    assert (stats.packets, stats.lost, stats.jitter_s) == (0, 0, 0.0)
    assert (stats.first_at, stats.last_at, stats.ssrc, stats.payload_type) == (None, None, None, None)


def test_a1_in_order_across_the_wrap(stream: Stream) -> None:
    stream.feed(*range(65530, 65546))
    assert stream.losses == (0, 0, 0)
    assert stream.stats.packets == 16


def test_a1_loss_and_lateness_across_the_wrap(stream: Stream) -> None:
    stream.feed(65533, 65534, 65537, 65536)  # 65535 is lost, 0 is late
    assert stream.losses == (1, 1, 0)


def test_a1_two_whole_turns_of_the_sequence_numbers(stream: Stream) -> None:
    stream.feed(*range(2 * 65536 + 5))
    assert stream.losses == (0, 0, 0)
    assert stream.stats.packets == 2 * 65536 + 5


def test_a1_duplicate(stream: Stream) -> None:
    stream.feed(1, 2, 2, 3, 1)
    assert stream.losses == (0, 0, 2)
    assert stream.stats.packets == 5


def test_a1_reordered_packet_is_not_lost(stream: Stream) -> None:
    stream.feed(1, 2, 4, 3, 5)
    assert stream.losses == (0, 1, 0)


def test_a1_second_copy_of_a_late_packet_is_a_duplicate(stream: Stream) -> None:
    stream.feed(1, 2, 4, 3, 3, 5)
    assert stream.losses == (0, 1, 1)


def test_a1_packets_from_before_the_first_are_late_not_lost(stream: Stream) -> None:
    stream.feed(10, 9, 11, 8)
    assert stream.losses == (0, 2, 0)


def test_a1_copy_of_the_first_packet_after_a_gap_is_a_duplicate(stream: Stream) -> None:
    stream.feed(10, 15, 10)
    assert stream.losses == (4, 0, 1)


def test_a1_dropout_up_to_the_limit_is_loss(stream: Stream) -> None:
    stream.feed(10, 10 + MAX_DROPOUT - 1)
    assert stream.losses == (MAX_DROPOUT - 2, 0, 0)


@pytest.mark.parametrize("jump", [MAX_DROPOUT, 30000, 65536 - MAX_MISORDER - 1])
def test_a1_large_jump_restarts_with_two_in_sequence(stream: Stream, jump: int) -> None:
    stream.feed(*range(200, 210))
    start = 209 + jump
    stream.feed(start, start + 1, start + 2, start + 4)
    assert stream.losses == (1, 0, 0)
    assert stream.stats.packets == 14


def test_a1_a_single_wild_packet_restarts_nothing(stream: Stream) -> None:
    stream.feed(*range(200, 210), 30000, *range(210, 220))
    assert stream.losses == (0, 0, 0)


def test_a1_misorder_up_to_the_limit(stream: Stream) -> None:
    stream.feed(1000, 1002, *range(1003, 1001 + MAX_MISORDER), 1001)
    assert stream.losses == (0, 1, 0)


def test_a3_loss_is_expected_minus_received(stream: Stream) -> None:
    received = [n for n in range(1000, 2000) if n % 7]
    stream.feed(*received)
    expected = received[-1] - received[0] + 1
    assert stream.stats.lost == expected - len(received)


def test_a3_a_duplicate_does_not_hide_a_loss(stream: Stream) -> None:
    stream.feed(1, 2, 2, 4)
    assert stream.stats.lost == 1


def test_a_number_lost_a_turn_ago_is_not_found_again(stream: Stream) -> None:
    stream.feed(0, 1, 3, *range(4, 65536 + 5), 65536 + 2)
    assert stream.losses == (1, 0, 1)


def test_memory_of_missing_packets_is_bounded(stream: Stream) -> None:
    stream.feed(*range(0, 200 * 2500, 2500))
    assert len(stream.stats._missing) <= 2 * MAX_MISORDER + 1
    assert stream.stats.lost == 199 * 2499


def test_ssrc_change_needs_two_in_sequence_and_keeps_the_totals(stream: Stream) -> None:
    stream.feed(1, 2, 4)
    stream.feed(5000, ssrc=0xBEEF)
    assert (stream.stats.ssrc, stream.ssrc_changes) == (SSRC, [])
    stream.feed(5001, ssrc=0xBEEF)
    assert stream.stats.ssrc == 0xBEEF
    assert [change[:2] for change in stream.ssrc_changes] == [(SSRC, 0xBEEF)]
    stream.feed(5003, ssrc=0xBEEF)
    assert (stream.stats.packets, stream.stats.lost) == (6, 2)


def test_a_stray_source_between_packets_takes_nothing_over(stream: Stream) -> None:
    for number in range(10):
        stream.feed(number)
        stream.feed(7000 + number, ssrc=0xBEEF)
    assert stream.stats.ssrc == SSRC
    assert stream.ssrc_changes == []
    assert stream.losses == (0, 0, 0)
    assert stream.stats.packets == 20


def test_a8_even_arrival_has_no_jitter(stream: Stream) -> None:
    for number in range(1000):
        stream.at(50.0 + number * 0.02, number, number * 160)
    assert stream.stats.jitter_s == pytest.approx(0.0, abs=1e-9)


def test_a8_by_hand(stream: Stream) -> None:
    # Packets due every 160 units; they come at 0, 160, 360, 480, 700: |D| = 0, 40, 40, 60 units of 1/8000 s.
    for number, arrival in enumerate((0, 160, 360, 480, 700)):
        stream.at(arrival / 8000, number, number * 160)
    jitter = 0.0
    for deviation in (0, 40, 40, 60):
        jitter += (deviation - jitter) / 16
    assert stream.stats.jitter_s * 8000 == pytest.approx(jitter)
    assert jitter == pytest.approx(8.291, abs=0.001)


def test_a8_timestamp_wrap_is_no_jitter(stream: Stream) -> None:
    start = (1 << 32) - 800
    for number in range(20):
        stream.at(10.0 + number * 0.02, number, start + number * 160)
    assert stream.stats.jitter_s == pytest.approx(0.0, abs=1e-9)


def test_a8_new_timestamp_base_is_no_jitter(stream: Stream) -> None:
    for number in range(20):
        stream.at(10.0 + number * 0.02, number, number * 160 + (500_000_000 if number >= 10 else 0))
    assert stream.stats.jitter_s == pytest.approx(0.0, abs=1e-9)


def test_a8_pause_without_timestamp_progress_is_no_jitter(stream: Stream) -> None:
    for number in range(20):
        stream.at(10.0 + number * 0.02 + (60.0 if number >= 10 else 0.0), number, number * 160)
    assert stream.stats.jitter_s == pytest.approx(0.0, abs=1e-9)


def test_a8_marker_and_talkspurt_keep_the_cadence(stream: Stream) -> None:
    for number in range(20):
        gap = 50 if number >= 10 else 0  # a second of silence: no packets, the timestamp goes on
        prefix = PCMU_PREFIX | (MARKER if number in (0, 10) else 0)
        stream.at(10.0 + (number + gap) * 0.02, number, (number + gap) * 160, prefix)
    assert stream.stats.jitter_s == pytest.approx(0.0, abs=1e-9)
    assert stream.losses == (0, 0, 0)


@pytest.mark.parametrize("payload_type", [101, 13])
def test_a8_events_and_comfort_noise_do_not_touch_jitter_or_codec(stream: Stream, payload_type: int) -> None:
    stream.stats.set_codecs({101: ("telephone-event", 8000)})
    for number in range(30):
        is_event = 10 <= number < 20
        prefix = 0x8000 | payload_type if is_event else PCMU_PREFIX
        stream.at(10.0 + number * 0.02, number, (10 if is_event else number) * 160, prefix)
    assert stream.stats.jitter_s == pytest.approx(0.0, abs=1e-9)
    assert (stream.stats.codec, stream.stats.payload_type) == (("PCMU", 8000), 0)
    assert (stream.stats.packets, stream.losses) == (30, (0, 0, 0))


def test_a8_uses_the_clock_rate_of_the_description(stream: Stream) -> None:
    stream.stats.set_codecs({96: ("opus", 48000)})
    for number in range(50):
        stream.at(10.0 + number * 0.02, number, number * 960, 0x8060)
    assert stream.stats.codec == ("opus", 48000)
    assert stream.stats.jitter_s == pytest.approx(0.0, abs=1e-9)


def test_a8_change_of_clock_rate_keeps_jitter_true(stream: Stream) -> None:
    stream.stats.set_codecs({96: ("opus", 48000)})
    for number in range(20):
        stream.at(10.0 + number * 0.02, number, number * 160)
    for number in range(20, 40):
        stream.at(10.0 + number * 0.02, number, number * 960, 0x8060)
    assert stream.stats.jitter_s == pytest.approx(0.0, abs=1e-9)


def test_a8_duplicates_are_left_out(stream: Stream) -> None:
    for number in range(10):
        stream.at(10.0 + number * 0.02, number, number * 160)
        stream.at(10.015 + number * 0.02, number, number * 160)
    assert stream.stats.jitter_s == pytest.approx(0.0, abs=1e-9)
    assert stream.stats.duplicates == 10


@pytest.mark.parametrize("codecs", [{}, {96: ("strange", 0)}])
def test_unknown_clock_rate_is_counted_without_jitter(stream: Stream, codecs: dict[int, tuple[str, int]]) -> None:
    stream.stats.set_codecs(codecs)
    for number in range(10):
        stream.at(10.0 + number, number, number, 0x8060)
    assert (stream.stats.packets, stream.losses, stream.stats.jitter_s) == (10, (0, 0, 0), 0.0)
    assert stream.stats.payload_type == 96


def test_codecs_learnt_during_the_stream_are_used(stream: Stream) -> None:
    stream.feed(1, 2, prefix=0x8060)
    stream.stats.set_codecs({96: ("iLBC", 8000)})
    stream.feed(3, 4, prefix=0x8060)
    assert stream.stats.codec == ("iLBC", 8000)


def gap_of(stream: Stream) -> tuple[int, float, float]:
    stats = stream.stats
    return stats.late, round(stats.gap_s, 6), round(stats.gap_at, 6)


def test_an_even_stream_has_no_gap(stream: Stream) -> None:
    stream.feed(*range(100))
    assert gap_of(stream) == (0, 0.0, 0.0)


def test_packets_that_are_missing_leave_a_gap(stream: Stream) -> None:
    stream.feed(*range(10))
    stream.now += 0.98
    stream.feed(*range(59, 70))
    assert gap_of(stream) == (0, 1.0, 101.18)
    assert stream.losses == (49, 0, 0)


def test_a_packet_that_comes_late_leaves_a_gap_though_none_is_missing(stream: Stream) -> None:
    stream.feed(*range(10))
    stream.now += 0.15
    stream.feed(10)
    assert gap_of(stream) == (1, 0.17, 100.35)
    stream.now -= 0.15  # those behind it are not late any more than it was
    stream.feed(*range(11, 20))
    assert gap_of(stream)[0] == 1


def test_a_phone_that_pauses_and_counts_on_with_the_clock_leaves_none(stream: Stream) -> None:
    """Silence suppression: the next sequence number, and a timestamp as much later as the packet."""
    for number in range(10):
        stream.at(100 + number * 0.02, number, number * 160)
    stream.at(105.0, 10, 5 * 8000, PCMU_PREFIX | MARKER)
    assert gap_of(stream) == (0, 0.0, 0.0)


def test_a_new_base_of_timestamps_is_neither_late_nor_a_gap(stream: Stream) -> None:
    stream.feed(*range(10))
    stream.at(stream.now, 10, 999_999_999)
    assert gap_of(stream) == (0, 0.0, 0.0)


def test_timestamps_that_wrap_around_are_neither(stream: Stream) -> None:
    for number in range(20):
        stream.at(100 + number * 0.02, number, 0xFFFFFFFF - 800 + number * 160)
    assert gap_of(stream) == (0, 0.0, 0.0)


def test_the_longest_gap_is_remembered_for_a_while(stream: Stream) -> None:
    stream.feed(0, 1)
    stream.now += 1.0
    stream.feed(60)
    first = gap_of(stream)
    stream.feed(62)
    assert gap_of(stream) == first
    stream.feed(*range(63, 63 + 500))
    stream.feed(600)
    assert gap_of(stream)[1] == 0.02
