"""What counts as one source, and which sources have a registered phone."""

from __future__ import annotations

import pytest

from sip.sources import LiveSources, is_loopback_source, source_of


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fd00::1", "fd00::/64"),
        ("fe80::1", "fe80::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
    ],
)
def test_an_ipv4_address_is_one_source_and_so_is_an_ipv6_network_of_64_bits(host: str, source: str) -> None:
    assert source_of(host) == source


@pytest.mark.parametrize(
    ("source", "expected"),
    [("127.0.0.1", True), ("127.9.8.7", True), ("::1", True), ("128.0.0.1", False), ("12.7.0.1", False)],
)
def test_only_this_machine_is_loopback(source: str, expected: bool) -> None:
    assert is_loopback_source(source) is expected


def test_a_source_lives_as_long_as_the_last_binding_from_there() -> None:
    live = LiveSources()
    for _ in ("desk phone", "soft phone"):
        live.move("", "203.0.113.7")
    assert len(live) == 1
    live.move("203.0.113.7", "")
    assert "203.0.113.7" in live
    live.move("203.0.113.7", "")
    assert "203.0.113.7" not in live
    assert len(live) == 0


def test_a_phone_that_moved_leaves_its_old_source() -> None:
    live = LiveSources()
    live.move("", "203.0.113.7")
    live.move("203.0.113.7", "2001:db8::7")
    assert "203.0.113.7" not in live
    assert "2001:db8::/64" in live


def test_a_phone_that_stays_where_it_is_counts_once() -> None:
    live = LiveSources()
    live.move("", "2001:db8::7")
    live.move("2001:db8::7", "2001:db8::8")
    live.move("2001:db8::8", "")
    live.move("", "")
    assert len(live) == 0
