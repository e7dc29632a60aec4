"""How many messages a source may send: one phone, an office behind NAT, a flood, many forged sources."""

from __future__ import annotations

import logging
import random

import pytest

from sip import flood
from sip.flood import BURST_S, REGISTERED_FACTOR, REPORT_INTERVAL_S, STRANGERS_FACTOR, SourceGuard, TokenBucket

RATE = 100
BURST = int(RATE * BURST_S)
STRANGER, OFFICE = "203.0.113.7", "198.51.100.1"
NOW = 1_000.0


def about(messages: int) -> object:
    """One more or less: a bucket's fill is a sum of floats."""
    return pytest.approx(messages, abs=1)


def guard(rate: int = RATE, max_sources: int = 1000) -> SourceGuard:
    return SourceGuard(rate, {OFFICE, "2001:db8:1::/64"}.__contains__, max_sources)


def allowed(flood: SourceGuard, host: str, messages: int, now: float = NOW) -> int:
    """How many of so many messages at one moment come in."""
    return sum(flood.allow(host, now) for _ in range(messages))


def forged(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


# ------------------------------------------------------------------------------------------------ one source


def test_a_stranger_may_send_a_burst_of_ten_seconds_worth() -> None:
    assert allowed(guard(), STRANGER, 5 * BURST) == about(BURST)


def test_after_its_burst_a_stranger_may_send_the_rate() -> None:
    flood = guard()
    allowed(flood, STRANGER, 5 * BURST)
    assert allowed(flood, STRANGER, BURST, NOW + 1.0) == about(RATE)


def test_silence_fills_the_bucket_up_to_the_burst_and_no_further() -> None:
    flood = guard()
    allowed(flood, STRANGER, 5 * BURST)
    assert allowed(flood, STRANGER, 5 * BURST, NOW + 1000 * BURST_S) == about(BURST)


def test_messages_that_were_dropped_do_not_prolong_the_wait() -> None:
    flood = guard()
    allowed(flood, STRANGER, 100 * BURST)
    assert flood.allow(STRANGER, NOW + 1.5 / RATE)


def test_one_source_does_not_use_up_what_another_may_send() -> None:
    flood = guard()
    allowed(flood, STRANGER, 5 * BURST)
    assert allowed(flood, "203.0.113.8", 2 * BURST) == about(BURST)


def test_fifty_phones_behind_one_nat_come_back_after_a_power_cut() -> None:
    """A REGISTER, the challenge, a REGISTER with credentials, twice repeated; a SUBSCRIBE and an OPTIONS: at once."""
    assert allowed(guard(), STRANGER, 50 * 8) == 50 * 8


def test_a_source_with_a_registered_phone_may_send_ten_times_as_much_and_not_without_bound() -> None:
    assert allowed(guard(), OFFICE, 5 * REGISTERED_FACTOR * BURST) == about(REGISTERED_FACTOR * BURST)


def test_the_first_registration_lifts_a_source_at_once() -> None:
    registered: set[str] = set()
    flood = SourceGuard(RATE, registered.__contains__)
    allowed(flood, STRANGER, 5 * BURST)
    assert not flood.allow(STRANGER, NOW)
    registered.add(STRANGER)
    assert allowed(flood, STRANGER, BURST, NOW + 1.0) == about(REGISTERED_FACTOR * RATE)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_programs_on_this_machine_are_not_limited(host: str) -> None:
    flood = guard()
    assert allowed(flood, host, 200 * BURST) == 200 * BURST
    assert allowed(flood, STRANGER, BURST // 2) == BURST // 2, "nor do they use up what strangers may send"


def test_the_addresses_of_one_ipv6_network_are_one_source() -> None:
    flood = guard()
    assert sum(flood.allow(f"2001:db8::{number:x}", NOW) for number in range(2 * BURST)) == about(BURST)
    assert flood.allow("2001:db8:0:1::1", NOW)
    assert allowed(flood, "2001:db8:1::1", 2 * BURST) == 2 * BURST, "a phone is registered in that network"


def test_zero_is_no_limit() -> None:
    flood = guard(rate=0)
    assert allowed(flood, STRANGER, 200 * BURST) == 200 * BURST
    assert len(flood) == flood.dropped == 0


# ------------------------------------------------------------------------------------------------ many sources


def test_all_strangers_together_may_send_ten_times_what_one_may() -> None:
    flood = guard()
    let_in = sum(flood.allow(forged(number), NOW) for number in range(5 * STRANGERS_FACTOR * BURST))
    assert let_in == about(STRANGERS_FACTOR * BURST)


def test_while_forged_sources_flood_registered_phones_still_call() -> None:
    flood = guard()
    for number in range(5 * STRANGERS_FACTOR * BURST):
        flood.allow(forged(number), NOW)
    assert not flood.allow(STRANGER, NOW)
    assert allowed(flood, OFFICE, 2 * BURST) == 2 * BURST


def test_a_stranger_turned_away_with_the_crowd_has_lost_nothing_of_its_own() -> None:
    flood = guard()
    for number in range(5 * STRANGERS_FACTOR * BURST):
        flood.allow(forged(number), NOW)
    assert not flood.allow(STRANGER, NOW)
    assert allowed(flood, STRANGER, 5 * BURST, NOW + 2 * BURST_S) == about(BURST)


def test_forged_sources_do_not_grow_the_table() -> None:
    flood = guard(max_sources=100)
    largest = 0
    for number in range(20_000):
        flood.allow(forged(number), NOW + number / 1000)
        largest = max(largest, len(flood))
    assert largest <= 100


def test_a_limited_source_is_not_forgotten_while_it_goes_on_sending() -> None:
    flood = guard(max_sources=100)
    allowed(flood, STRANGER, 2 * BURST)
    for number in range(1000):
        flood.allow(forged(number), NOW)
        assert not flood.allow(STRANGER, NOW)


def test_property_no_source_ever_exceeds_its_burst_and_rate() -> None:
    """Any pattern of arrivals: between any two moments no more than the burst and the rate times their distance."""
    random_source = random.Random(4711)
    flood, now, times = guard(), NOW, []
    for _ in range(20_000):
        now += random_source.choice((0.0, 0.0, 0.0, 0.001, 0.01, 0.5))
        if flood.allow(STRANGER, now):
            times.append(now)
    assert len(times) > 2 * BURST
    for first in range(0, len(times), 97):
        for last in range(first, len(times), 101):
            assert last - first + 1 <= BURST + RATE * (times[last] - times[first]) + 1


# ------------------------------------------------------------------------------------------------ saying so


def test_a_flood_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    flood = guard()
    with caplog.at_level(logging.WARNING, "sip.flood"):
        allowed(flood, STRANGER, 3 * BURST)
        assert len(caplog.records) == 1
        assert STRANGER in caplog.text
        allowed(flood, STRANGER, 3 * BURST, NOW + REPORT_INTERVAL_S)
        assert len(caplog.records) == 2


def test_what_was_dropped_is_counted() -> None:
    flood = guard()
    let_in = allowed(flood, STRANGER, 2 * BURST)
    assert flood.dropped == 2 * BURST - let_in > 0


# ------------------------------------------------------------------------------------------------ one connection


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(RATE)
    assert sum(bucket.take(NOW) for _ in range(5 * BURST)) == about(BURST)
    assert sum(bucket.take(NOW + 1.0) for _ in range(BURST)) == about(RATE)


def test_a_stream_waits_for_as_long_as_it_must_and_no_longer() -> None:
    bucket = TokenBucket(4)
    assert bucket.delay_s(NOW) == 0.0
    while bucket.take(NOW):
        pass
    assert bucket.delay_s(NOW) == pytest.approx(0.25)
    assert not bucket.take(NOW + 0.2)
    assert bucket.take(NOW + 0.25)


def test_sources_of_which_something_was_dropped_are_remembered_the_newest_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "MAX_DROPPED_SOURCES", 2)
    guard = SourceGuard(1, lambda _source: False)
    for at, host in ((0.0, "192.0.2.1"), (1.0, "192.0.2.2"), (2.0, "192.0.2.1"), (3.0, "192.0.2.3")):
        while guard.allow(host, at):
            pass
    assert guard.recently_dropped() == [("192.0.2.1", 2.0), ("192.0.2.3", 3.0)]
