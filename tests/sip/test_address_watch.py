"""sip/address_watch.py: when it is worth asking the system for our addresses again."""

from __future__ import annotations

import errno
import socket

import pytest

from sip import address_watch
from sip.address_watch import SUPPOSED_EVERY_S, AddressWatch


class Netlink:
    """Messages and faults that the kernel has for us, in order."""

    def __init__(self, *waiting: bytes | OSError) -> None:
        self.waiting = list(waiting)

    def recv(self, _size: int) -> bytes:
        if not self.waiting:
            raise BlockingIOError
        met = self.waiting.pop(0)
        if isinstance(met, OSError):
            raise met
        return met

    def close(self) -> None:
        pass


@pytest.fixture
def netlink(monkeypatch: pytest.MonkeyPatch) -> Netlink:
    netlink = Netlink()
    monkeypatch.setattr(address_watch, "_netlink_socket", lambda: netlink)
    return netlink


def test_what_the_kernel_says_is_news_once(netlink: Netlink) -> None:
    watch = AddressWatch(0.0)
    assert not watch.has_news(1.0)
    netlink.waiting += [b"address", b"route"]
    assert watch.has_news(2.0)
    assert not watch.has_news(3.0)


def test_more_than_the_kernel_could_keep_is_news(netlink: Netlink) -> None:
    watch = AddressWatch(0.0)
    netlink.waiting.append(OSError(errno.ENOBUFS, "no buffer"))
    assert watch.has_news(1.0)


def test_a_storm_of_messages_is_left_for_the_next_time(netlink: Netlink) -> None:
    watch = AddressWatch(0.0)
    netlink.waiting += [b"route"] * (2 * address_watch._MAX_READ)
    assert watch.has_news(1.0)
    assert netlink.waiting
    assert watch.has_news(2.0)


@pytest.mark.parametrize("speaks", [True, False])
def test_now_and_then_it_is_supposed(monkeypatch: pytest.MonkeyPatch, netlink: Netlink, speaks: bool) -> None:
    if not speaks:
        monkeypatch.setattr(address_watch, "_netlink_socket", lambda: None)
    watch = AddressWatch(0.0)
    times = [SUPPOSED_EVERY_S / 2, SUPPOSED_EVERY_S, SUPPOSED_EVERY_S + 1, 2 * SUPPOSED_EVERY_S]
    assert [watch.has_news(now) for now in times] == [False, True, False, True]
    watch.close()


@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="the system has no netlink")
def test_the_kernel_lets_us_listen() -> None:
    sock = address_watch._netlink_socket()
    assert sock is not None
    with pytest.raises(BlockingIOError):
        sock.recv(1)
    sock.close()
