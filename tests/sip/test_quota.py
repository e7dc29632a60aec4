"""sip/quota.py: how many connections there may be, in all and from one source."""

from __future__ import annotations

from sip.quota import ConnectionQuota


def test_one_source_can_not_take_all() -> None:
    quota = ConnectionQuota(total=5, per_source=2)
    assert [quota.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert quota.enter("192.0.2.2")
    quota.leave("192.0.2.1")
    assert quota.enter("192.0.2.1")


def test_all_together_are_bounded() -> None:
    quota = ConnectionQuota(total=5, per_source=2)
    assert [quota.enter(f"192.0.2.{number}") for number in range(6)] == [True] * 5 + [False]
    quota.leave("192.0.2.3")
    assert quota.enter("192.0.2.9")


def test_the_addresses_of_one_ipv6_network_are_one_source() -> None:
    quota = ConnectionQuota(total=10, per_source=2)
    assert [quota.enter(f"2001:db8::{number}") for number in range(3)] == [True, True, False]
    assert quota.enter("2001:db8:0:1::1")
    quota.leave("2001:db8::1")
    assert quota.enter("2001:db8::ffff")


def test_who_was_turned_away_leaves_no_trace() -> None:
    quota = ConnectionQuota(total=1, per_source=1)
    assert quota.enter("192.0.2.1")
    for number in range(2, 100):
        assert not quota.enter(f"192.0.2.{number}")
    quota.leave("192.0.2.1")
    assert quota._by_source == {}
    assert quota.enter("192.0.2.2")
