from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from rtp.packet import FIXED_HEADER
from rtp.shared_stats import SharedStats, memory_length, read, record_offset, write
from rtp.stats import StreamStats

Make = Callable[..., bytes]
CODECS = {96: ("opus", 48000)}
OFFSET = record_offset(1, 0)


def nobody(_old: int, _new: int, _now: float) -> None:
    """Nothing is told."""


@pytest.fixture
def memory() -> memoryview:
    memory = memoryview(bytearray(memory_length(2)))
    for slot in (0, 1):
        for side in (0, 1):
            write(StreamStats(nobody).state(), memory, record_offset(slot, side))
    return memory


def feed(stats: StreamStats, packet: bytes, now: float) -> None:
    stats.on_packet(*FIXED_HEADER.unpack_from(packet), len(packet), now)


def test_a_record_says_what_was_written(memory: memoryview) -> None:
    stats = StreamStats(nobody)
    assert read(memory, OFFSET) == stats.state()


def test_records_do_not_overlap(memory: memoryview, rtp: Make) -> None:
    before = [bytes(memory[: record_offset(1, 0)]), bytes(memory[record_offset(1, 1) :])]
    feed(SharedStats(nobody, {}, memory, OFFSET), rtp(1), 1.0)
    assert [bytes(memory[: record_offset(1, 0)]), bytes(memory[record_offset(1, 1) :])] == before
    assert read(memory, OFFSET).packets == 1


@pytest.mark.parametrize("seed", range(5))
def test_every_packet_stands_in_the_record_at_once(memory: memoryview, rtp: Make, seed: int) -> None:
    rng = random.Random(seed)
    alone, shared = StreamStats(nobody), SharedStats(nobody, CODECS, memory, OFFSET)
    alone.set_codecs(CODECS)
    for number in range(300):
        packet = rtp(
            number + rng.choice([0, 0, 0, 0, 1, -1, 5, 4000]),
            payload_type=rng.choice([0, 0, 0, 96, 101]),
            ssrc=rng.choice([1, 1, 1, 1, 2]),
            marker=rng.random() < 0.1,
        )
        now = 10.0 + number * 0.02 + rng.random() * 0.005
        for stats in (alone, shared):
            feed(stats, packet, now)
        assert read(memory, OFFSET) == alone.state()


def test_what_is_dropped_and_rejected_stands_there_too(memory: memoryview) -> None:
    stats = SharedStats(nobody, {}, memory, OFFSET)
    stats.on_dropped()
    stats.on_rejected()
    stats.on_rejected()
    assert (read(memory, OFFSET).dropped, read(memory, OFFSET).rejected) == (1, 2)


@pytest.mark.parametrize("payload_type", [0, 96, 101, 77])
def test_a_stream_that_changes_hands_goes_on_as_if_it_had_not(memory: memoryview, rtp: Make, payload_type: int) -> None:
    alone, first = StreamStats(nobody), StreamStats(nobody)
    for stats in (alone, first):
        stats.set_codecs(CODECS)
    packets = [(rtp(number, payload_type=payload_type), 1.0 + number * 0.021) for number in range(20) if number != 7]
    for packet, now in packets[:10]:
        feed(alone, packet, now)
        feed(first, packet, now)
    write(first.state(), memory, OFFSET)
    second = SharedStats(nobody, CODECS, memory, OFFSET)
    for packet, now in packets[10:]:
        feed(alone, packet, now)
        feed(second, packet, now)
    first.resume(read(memory, OFFSET))
    assert first.state() == alone.state()
    assert (first.codec, first.ssrc, first.lost) == (alone.codec, alone.ssrc, 1)


def test_what_is_late_stands_in_the_record_though_it_is_next_in_line(memory: memoryview, rtp: Make) -> None:
    stats = SharedStats(nobody, {}, memory, OFFSET)
    for number in range(5):
        feed(stats, rtp(number), 10.0 + number * 0.02)
    feed(stats, rtp(5), 10.5)
    state = read(memory, OFFSET)
    assert (state.late, round(state.gap_s, 6), state.gap_at) == (1, 0.42, 10.5)
