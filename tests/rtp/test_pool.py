from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from rtp import pool as pool_module
from rtp.loop import RelayLoop
from rtp.pool import PairPool
from rtp.ports import NoPortsAvailable, PortAllocator

PAIRS = 5


@pytest.fixture
def first(ports: Callable[[int], int]) -> int:
    return ports(2 * PAIRS)


@pytest.fixture
def loop() -> RelayLoop:
    """Nobody runs it, so that a test does what it would do, step by step."""
    return RelayLoop(lambda: 5.0)


@pytest.fixture
def pool(loop: RelayLoop, first: int) -> Iterator[PairPool]:
    pool = PairPool(loop, PortAllocator("127.0.0.1", first, first + 2 * PAIRS - 1))
    yield pool
    pool.close()
    loop.close()


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_a_pair_given_back_rests_bound_and_is_taken_again(pool: PairPool) -> None:
    pair = pool.take()
    pool.give_back(pair)
    assert not is_free(pair.port)
    assert pool.take() is pair


def test_the_pair_that_rested_longest_is_taken_first(pool: PairPool) -> None:
    pairs = [pool.take() for _ in range(3)]
    for pair in pairs:
        pool.give_back(pair)
    assert [pool.take() for _ in range(3)] == pairs


def test_two_or_none(pool: PairPool) -> None:
    held = [*pool.take_two(), *pool.take_two()]
    with pytest.raises(NoPortsAvailable):
        pool.take_two()
    last = pool.take()
    assert last not in held
    for pair in (*held, last):
        pool.give_back(pair)


def test_what_comes_between_calls_is_read_and_forgotten(loop: RelayLoop, pool: PairPool) -> None:
    pair = pool.take()
    heard: list[float] = []
    loop.serve(pair.rtp, heard.append)
    pool.give_back(pair)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"late", ("127.0.0.1", pair.port))
        loop._handlers[pair.rtp.fileno()](5.0)
    with pytest.raises(BlockingIOError):
        pair.rtp.recv(100)
    assert heard == []


def test_only_so_many_rest(loop: RelayLoop, pool: PairPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MAX_RESTING", 2)
    pairs = [pool.take() for _ in range(4)]
    for pair in pairs:
        pool.give_back(pair)
    loop.stop()
    loop.run()
    assert [is_free(pair.port) for pair in pairs] == [True, True, False, False]
    assert len({pool.take().port for _ in range(PAIRS)}) == PAIRS
