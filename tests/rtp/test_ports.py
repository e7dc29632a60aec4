from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator

import pytest

from rtp import ports as ports_module
from rtp.ports import NoPortsAvailable, PortAllocator, PortPair
from rtp.udp import bind_udp

PAIRS = 4


@pytest.fixture
def first(ports: Callable[[int], int]) -> int:
    return ports(2 * PAIRS)


@pytest.fixture
def held() -> Iterator[list[PortPair]]:
    held: list[PortPair] = []
    yield held
    for pair in held:
        pair.rtp.close()
        pair.rtcp.close()


def give_back(allocator: PortAllocator, pair: PortPair) -> None:
    pair.rtp.close()
    pair.rtcp.close()
    allocator.release(pair.port)


def test_rfc3550_11_even_rtp_port_and_the_odd_one_above(first: int, held: list[PortPair]) -> None:
    allocator = PortAllocator("127.0.0.1", first, first + 2 * PAIRS - 1)
    held += [allocator.allocate() for _ in range(PAIRS)]
    assert [pair.port for pair in held] == list(range(first, first + 2 * PAIRS, 2))
    for pair in held:
        assert pair.rtp.getsockname() == ("127.0.0.1", pair.port)
        assert pair.rtcp.getsockname() == ("127.0.0.1", pair.port + 1)


@pytest.mark.parametrize(
    ("cut_low", "cut_high", "pairs"), [(0, 0, 4), (1, 0, 3), (0, 1, 3), (1, 1, 2), (1, 2, 2), (3, 2, 1)]
)
def test_pairs_lie_wholly_in_the_range(
    first: int, held: list[PortPair], cut_low: int, cut_high: int, pairs: int
) -> None:
    allocator = PortAllocator("127.0.0.1", first + cut_low, first + 2 * PAIRS - 1 - cut_high)
    held += [allocator.allocate() for _ in range(pairs)]
    with pytest.raises(NoPortsAvailable):
        allocator.allocate()
    assert all(first + cut_low <= pair.port < first + 2 * PAIRS - 1 - cut_high for pair in held)


def test_a_port_just_freed_is_the_last_to_be_used_again(first: int, held: list[PortPair]) -> None:
    allocator = PortAllocator("127.0.0.1", first, first + 2 * PAIRS - 1)
    used = []
    for _ in range(PAIRS + 1):
        pair = allocator.allocate()
        used.append(pair.port)
        give_back(allocator, pair)
    assert used == [*range(first, first + 2 * PAIRS, 2), first]


@pytest.mark.parametrize("offset", [0, 1], ids=["RTP port", "RTCP port"])
def test_a_port_another_program_holds_is_skipped(first: int, held: list[PortPair], offset: int) -> None:
    allocator = PortAllocator("127.0.0.1", first, first + 2 * PAIRS - 1)
    with bind_udp("127.0.0.1", first + 2 + offset):
        held += [allocator.allocate() for _ in range(PAIRS - 1)]
        assert first + 2 not in [pair.port for pair in held]
        with pytest.raises(NoPortsAvailable):
            allocator.allocate()
    held.append(allocator.allocate())
    assert held[-1].port == first + 2


def test_exhaustion_says_so_and_ends_with_a_release(first: int, held: list[PortPair]) -> None:
    allocator = PortAllocator("127.0.0.1", first, first + 2 * PAIRS - 1)
    held += [allocator.allocate() for _ in range(PAIRS)]
    with pytest.raises(NoPortsAvailable, match=f"all {PAIRS} port pairs from {first} to {first + 2 * PAIRS - 1} "):
        allocator.allocate()
    give_back(allocator, held.pop(1))
    held.append(allocator.allocate())
    assert held[-1].port == first + 2


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
@pytest.mark.parametrize("failing", [1, 2], ids=["RTP socket", "RTCP socket"])
def test_running_out_of_descriptors_leaks_nothing(
    first: int, held: list[PortPair], monkeypatch: pytest.MonkeyPatch, code: int, failing: int
) -> None:
    opened: list[socket.socket] = []

    def bind(host: str, port: int) -> socket.socket:
        if len(opened) + 1 == failing:
            raise OSError(code, "no more")
        opened.append(bind_udp(host, port))
        return opened[-1]

    allocator = PortAllocator("127.0.0.1", first, first + 2 * PAIRS - 1)
    with monkeypatch.context() as patch:
        patch.setattr(ports_module, "bind_udp", bind)
        with pytest.raises(NoPortsAvailable, match="no more"):
            allocator.allocate()
    assert all(sock.fileno() == -1 for sock in opened)
    held += [allocator.allocate() for _ in range(PAIRS)]


def test_a_range_without_room_has_no_ports() -> None:
    with pytest.raises(NoPortsAvailable):
        PortAllocator("127.0.0.1", 20001, 20002).allocate()


def test_its_length_is_the_pairs_of_the_range() -> None:
    spans = ((10000, 10999), (10001, 10004), (10000, 10003))
    assert [len(PortAllocator("127.0.0.1", *span)) for span in spans] == [500, 1, 2]
