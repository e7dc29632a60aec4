from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from rtp.udp import CAN_TWIN, bind_udp, connected_twin, part_from_peer, plain_address, socket_address


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_bound_socket_does_not_block(stack: ExitStack) -> None:
    sock = stack.enter_context(bind_udp("127.0.0.1", 0))
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def test_port_held_by_another_is_an_os_error(stack: ExitStack) -> None:
    port = stack.enter_context(bind_udp("127.0.0.1", 0)).getsockname()[1]
    with pytest.raises(OSError, match="in use"):
        bind_udp("127.0.0.1", port)


@pytest.mark.skipif(not CAN_TWIN, reason="only Linux lets a connected socket share a port this way")
def test_twin_gets_its_peer_and_the_first_socket_gets_the_rest(stack: ExitStack) -> None:
    sock = stack.enter_context(bind_udp("0.0.0.0", 0))
    port = sock.getsockname()[1]
    peer = stack.enter_context(bind_udp("127.0.0.1", 0))
    stranger = stack.enter_context(bind_udp("127.0.0.1", 0))
    twin = connected_twin(sock, peer.getsockname())
    assert twin is not None
    stack.enter_context(twin)
    peer.sendto(b"from peer", ("127.0.0.1", port))
    stranger.sendto(b"from stranger", ("127.0.0.1", port))
    peer.sendto(b"to another address of this machine", ("127.0.0.2", port))
    assert twin.recvfrom(100) == (b"from peer", peer.getsockname())
    assert sock.recvfrom(100) == (b"from stranger", stranger.getsockname())
    assert sock.recvfrom(100) == (b"to another address of this machine", peer.getsockname())
    twin.send(b"back")
    peer.setblocking(True)
    assert peer.recvfrom(100) == (b"back", ("127.0.0.1", port))


@pytest.mark.skipif(not CAN_TWIN, reason="only Linux lets a connected socket share a port this way")
@pytest.mark.parametrize(("bound", "host"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::", "::1")])
def test_a_twin_that_has_parted_from_its_peer_loses_nothing(stack: ExitStack, bound: str, host: str) -> None:
    sock = stack.enter_context(bind_udp(bound, 0))
    port = sock.getsockname()[1]
    peer = stack.enter_context(bind_udp(host, 0))
    twin = connected_twin(sock, peer.getsockname()[:2])
    assert twin is not None
    peer.sendto(b"before", (host, port))
    part_from_peer(twin)
    peer.sendto(b"after", (host, port))
    assert twin.recvfrom(100)[0] == b"before"
    twin.close()
    assert sock.recvfrom(100)[0] == b"after"


@pytest.mark.skipif(not CAN_TWIN, reason="only Linux lets a connected socket share a port this way")
def test_twin_leaves_no_way_onto_the_port(stack: ExitStack) -> None:
    sock = stack.enter_context(bind_udp("0.0.0.0", 0))
    twin = connected_twin(sock, ("127.0.0.1", 9))
    assert twin is not None
    stack.enter_context(twin)
    intruder = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    intruder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with pytest.raises(OSError, match="in use"):
        intruder.bind(sock.getsockname())


def test_no_twin_when_the_peer_cannot_be_reached(stack: ExitStack) -> None:
    sock = stack.enter_context(bind_udp("127.0.0.1", 0))
    assert connected_twin(sock, ("255.255.255.255", 9)) is None


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        (("192.0.2.1", 5), ("192.0.2.1", 5)),
        (("::ffff:192.0.2.1", 5, 0, 0), ("192.0.2.1", 5)),
        (("2001:db8::1", 5, 0, 3), ("2001:db8::1", 5)),
    ],
)
def test_plain_address(source: tuple[str, int], plain: tuple[str, int]) -> None:
    assert plain_address(source) == plain


@pytest.mark.parametrize(
    ("address", "on_ipv4", "on_ipv6"),
    [
        (("192.0.2.1", 5), ("192.0.2.1", 5), ("::ffff:192.0.2.1", 5)),
        (("2001:db8::1", 5), None, ("2001:db8::1", 5)),
        (("phone.example", 5), None, None),
        (("192.0.2.1", 0), None, None),
        (("192.0.2.1", 65536), None, None),
        (("0.0.0.0", 5), None, None),
        (("::", 5), None, None),
        (("224.2.17.12", 5), None, None),
    ],
)
def test_only_one_host_that_can_be_reached_is_sent_to(
    stack: ExitStack, address: tuple[str, int], on_ipv4: tuple[str, int] | None, on_ipv6: tuple[str, int] | None
) -> None:
    ipv4 = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    assert socket_address(ipv4, address) == on_ipv4
    if socket.has_ipv6:
        ipv6 = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        assert socket_address(ipv6, address) == on_ipv6
