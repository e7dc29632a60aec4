"""sip/nonces.py: nonces without memory, their lifetime, and replays (RFC 7616 3.3, 3.4, 5.4, 5.5)."""

from __future__ import annotations

import base64
import random

import pytest

from sip.nonces import NONCE_LIFETIME_S, Nonces

SECRET = b"s" * 32
HOST = "192.0.2.10"
START = 5000.0


@pytest.fixture
def nonces() -> Nonces:
    return Nonces(SECRET)


def test_a_nonce_is_fresh_for_its_lifetime(nonces: Nonces) -> None:
    nonce = nonces.issue(HOST, START)
    assert nonces.is_fresh(nonce, HOST, START)
    assert nonces.is_fresh(nonce, HOST, START + NONCE_LIFETIME_S)
    assert not nonces.is_fresh(nonce, HOST, START + NONCE_LIFETIME_S + 0.002)


def test_a_nonce_from_the_future_is_stale(nonces: Nonces) -> None:
    assert not nonces.is_fresh(nonces.issue(HOST, START), HOST, START - 1.0)


def test_a_nonce_is_for_the_address_it_was_given_to(nonces: Nonces) -> None:
    assert not nonces.is_fresh(nonces.issue(HOST, START), "192.0.2.11", START)


def test_a_nonce_of_another_start_is_stale(nonces: Nonces) -> None:
    assert not Nonces(b"t" * 32).is_fresh(nonces.issue(HOST, START), HOST, START)


def test_every_changed_bit_makes_a_nonce_stale(nonces: Nonces) -> None:
    raw = base64.b64decode(nonces.issue(HOST, START))
    for bit in range(len(raw) * 8):
        forged = (int.from_bytes(raw, "big") ^ 1 << bit).to_bytes(len(raw), "big")
        assert not nonces.is_fresh(base64.b64encode(forged).decode(), HOST, START), bit


@pytest.mark.parametrize(
    "text", ["", "x", "====", "AAAA", "A" * 23, "A" * 24, "A" * 28, "é" * 24, "\udcff" * 24, "A B="]
)
def test_what_is_no_nonce_is_stale(nonces: Nonces, text: str) -> None:
    assert not nonces.is_fresh(text, HOST, START)
    assert not nonces.use(text, 1, HOST, START)


def test_nonces_of_one_moment_differ_and_show_no_clock(nonces: Nonces) -> None:
    issued = {nonces.issue(HOST, START) for _ in range(1000)}
    assert len(issued) == 1000
    assert {len(nonce) for nonce in issued} == {24}
    begin = {Nonces(bytes([number]) * 32).issue(HOST, START)[:6] for number in range(20)}
    assert len(begin) == 20


def test_nothing_is_stored_for_nonces_that_are_issued(nonces: Nonces) -> None:
    for _ in range(100):
        nonces.issue(HOST, START)
    assert nonces.used_count == 0


def test_3_4_a_count_is_used_once(nonces: Nonces) -> None:
    nonce = nonces.issue(HOST, START)
    assert [nonces.use(nonce, count, HOST, START) for count in (1, 1, 2, 2, 1, 3)] == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]


def test_counts_of_two_nonces_are_their_own(nonces: Nonces) -> None:
    first, second = nonces.issue(HOST, START), nonces.issue(HOST, START)
    assert [nonces.use(nonce, 1, HOST, START) for nonce in (first, second)] == [True, True]


def test_requests_that_overtake_one_another_are_no_replay(nonces: Nonces) -> None:
    nonce = nonces.issue(HOST, START)
    assert [nonces.use(nonce, count, HOST, START) for count in (3, 1, 2, 1)] == [True, True, True, False]


def test_a_count_far_behind_counts_as_a_replay(nonces: Nonces) -> None:
    nonce = nonces.issue(HOST, START)
    assert nonces.use(nonce, 100, HOST, START)
    assert nonces.use(nonce, 37, HOST, START)
    assert not nonces.use(nonce, 36, HOST, START)
    assert nonces.use(nonce, 2**32 - 1, HOST, START)
    assert not nonces.use(nonce, 100, HOST, START)


def test_a_count_of_zero_is_none(nonces: Nonces) -> None:
    assert not nonces.use(nonces.issue(HOST, START), 0, HOST, START)


def test_a_stale_nonce_is_not_used(nonces: Nonces) -> None:
    nonce = nonces.issue(HOST, START)
    assert not nonces.use(nonce, 1, HOST, START + NONCE_LIFETIME_S + 1.0)
    assert nonces.used_count == 0


def test_a_random_order_lets_each_count_of_the_window_through_once(nonces: Nonces) -> None:
    seed = 3
    counts = list(range(1, 65)) * 3
    random.Random(seed).shuffle(counts)
    nonce = nonces.issue(HOST, START)
    passed = [count for count in counts if nonces.use(nonce, count, HOST, START)]
    assert sorted(passed) == list(range(1, 65)), f"seed {seed}"


def test_the_table_is_bounded_and_what_it_forgets_is_stale() -> None:
    nonces = Nonces(SECRET, capacity=4)
    issued = []
    for step in range(10):
        now = START + step
        issued.append(nonces.issue(HOST, now))
        assert nonces.use(issued[-1], 1, HOST, now)
    assert nonces.used_count == 4
    now = START + 10
    assert [nonces.is_fresh(nonce, HOST, now) for nonce in issued] == [False] * 6 + [True] * 4
    assert not any(nonces.use(nonce, 1, HOST, now) for nonce in issued)
    assert all(nonces.use(nonce, 2, HOST, now) for nonce in issued[6:])


def test_expired_nonces_make_room_before_fresh_ones() -> None:
    nonces = Nonces(SECRET, capacity=4)
    old = [nonces.issue(HOST, START) for _ in range(3)]
    assert all(nonces.use(nonce, 1, HOST, START) for nonce in old)
    later = START + NONCE_LIFETIME_S + 1.0
    fresh = nonces.issue(HOST, later)
    unused = nonces.issue(HOST, START + 2.0)
    assert nonces.use(fresh, 1, HOST, later)
    assert nonces.used_count == 1
    assert nonces.use(unused, 1, HOST, later)
