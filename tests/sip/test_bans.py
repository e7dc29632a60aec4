"""Who is banned, by what, for how long, and who is not."""

from __future__ import annotations

import logging
import random
from ipaddress import ip_address, ip_network

import pytest

from sip.bans import PROTECTED_FACTOR, BanList, BanPolicy, BanTableFull, ban_source
from sip.snapshots import BanSnapshot

AFTER, WINDOW_S, TIME_S = 10, 600.0, 3600.0
NOW, NOW_AT = 1_000.0, 1_700_000_000.0
STRANGER, LAN, PHONE = "203.0.113.7", "192.168.0.9", "198.51.100.1"


def ban_list(after: int = AFTER, **bounds: int) -> BanList:
    network = ip_network("192.168.0.0/16")
    return BanList(
        BanPolicy(after, WINDOW_S, TIME_S), lambda host: ip_address(host) in network, {PHONE}.__contains__, **bounds
    )


def fail(bans: BanList, host: str, times: int, now: float = NOW, proven: bool = False) -> int:
    """So many wrong passwords at one moment; how many bans they led to."""
    return sum(bans.record_failure(host, now, proven=proven) for _ in range(times))


# ------------------------------------------------------------------------------------------------ wrong passwords


def test_the_tenth_wrong_password_within_the_window_bans_a_stranger() -> None:
    bans = ban_list()
    assert fail(bans, STRANGER, AFTER - 1) == 0
    assert not bans.is_banned(STRANGER, NOW)
    assert fail(bans, STRANGER, 1, NOW + WINDOW_S - 1) == 1
    assert bans.is_banned(STRANGER, NOW + WINDOW_S - 1)


def test_the_window_opens_with_the_first_failure_and_then_anew() -> None:
    bans = ban_list()
    fail(bans, STRANGER, AFTER - 1)
    assert fail(bans, STRANGER, AFTER - 1, NOW + WINDOW_S) == 0
    assert fail(bans, STRANGER, 1, NOW + WINDOW_S) == 1


def test_a_ban_lasts_its_time_and_no_longer() -> None:
    bans = ban_list()
    fail(bans, STRANGER, AFTER)
    assert bans.is_banned(STRANGER, NOW + TIME_S - 0.001)
    assert not bans.is_banned(STRANGER, NOW + TIME_S)


def test_after_a_ban_the_count_begins_at_nothing() -> None:
    bans = ban_list()
    fail(bans, STRANGER, AFTER)
    assert fail(bans, STRANGER, AFTER - 1, NOW + TIME_S) == 0
    assert not bans.is_banned(STRANGER, NOW + TIME_S)


def test_each_source_has_its_own_count() -> None:
    bans = ban_list()
    for last in range(1, 200):
        fail(bans, f"203.0.113.{last}", AFTER - 1)
    assert len(bans) == 0


def test_the_addresses_of_one_ipv6_network_are_banned_together() -> None:
    bans = ban_list()
    for number in range(AFTER):
        fail(bans, f"2001:db8::{number}", 1)
    assert bans.is_banned("2001:db8::abcd", NOW)
    assert not bans.is_banned("2001:db8:0:1::abcd", NOW)


def test_zero_bans_nobody_but_those_whom_a_person_bans() -> None:
    bans = ban_list(after=0)
    assert fail(bans, STRANGER, 1000, proven=True) == 0
    bans.add(STRANGER, None, "no business here", NOW, NOW_AT)
    assert bans.is_banned(STRANGER, NOW)


# ------------------------------------------------------------------------------------------------ who is protected


@pytest.mark.parametrize("host", [LAN, PHONE])
def test_packets_that_anybody_could_forge_ban_neither_the_lan_nor_a_registered_phone(host: str) -> None:
    bans = ban_list()
    assert fail(bans, host, 100 * AFTER) == 0
    assert not bans.is_banned(host, NOW)
    assert bans.suspect_count == 0


@pytest.mark.parametrize("host", [LAN, PHONE])
def test_proven_failures_ban_them_too_but_not_for_one_phone_with_a_wrong_password(host: str) -> None:
    bans = ban_list()
    assert fail(bans, host, PROTECTED_FACTOR * AFTER - 1, proven=True) == 0
    assert fail(bans, host, 1, proven=True) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_never_banned_for_failures(host: str) -> None:
    assert fail(ban_list(), host, 100 * PROTECTED_FACTOR * AFTER, proven=True) == 0


# ------------------------------------------------------------------------------------------------ people


def test_a_person_bans_with_an_end_or_without() -> None:
    bans = ban_list()
    ban = bans.add(STRANGER, 60.0, "a minute", NOW, NOW_AT)
    assert ban == BanSnapshot(STRANGER, NOW_AT, NOW_AT + 60, "a minute", 0)
    bans.add("203.0.113.8", None, "for good", NOW, NOW_AT)
    assert bans.is_banned(STRANGER, NOW + 59)
    assert not bans.is_banned(STRANGER, NOW + 60)
    assert bans.is_banned("203.0.113.8", NOW + 10**9)


def test_a_person_may_ban_whom_failures_would_not() -> None:
    bans = ban_list()
    for host in (LAN, PHONE):
        bans.add(host, None, "stolen phone", NOW, NOW_AT)
        assert bans.is_banned(host, NOW)


def test_a_person_lifts_a_ban_and_the_failures_are_forgotten() -> None:
    bans = ban_list()
    fail(bans, STRANGER, AFTER)
    fail(bans, STRANGER, AFTER - 1)
    assert bans.lift(STRANGER)
    assert not bans.is_banned(STRANGER, NOW)
    assert fail(bans, STRANGER, AFTER - 1) == 0
    assert not bans.lift(STRANGER)


def test_the_ban_of_a_person_outlives_one_for_failures() -> None:
    bans = ban_list()
    bans.add(STRANGER, None, "for good", NOW, NOW_AT)
    fail(bans, STRANGER, AFTER)
    assert [ban.reason for ban in bans.snapshots(NOW, NOW_AT)] == ["for good"]
    bans.expire(NOW + TIME_S)
    assert bans.is_banned(STRANGER, NOW + TIME_S)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7\n", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::/64"),
        ("2001:DB8::7/64", "2001:db8::/64"),
        ("fe80::7", "fe80::7"),
    ],
)
def test_what_a_person_may_ban(text: str, source: str) -> None:
    assert ban_source(text) == source


@pytest.mark.parametrize(
    "text",
    ["", "phone", "203.0.113", "203.0.113.7/24", "203.0.113.7/32", "2001:db8::/48", "fe80::/64", "::/0", "1.2.3.4/x"],
)
def test_what_a_person_may_not_ban(text: str) -> None:
    bans = ban_list()
    with pytest.raises(ValueError):
        bans.add(text, None, "", NOW, NOW_AT)
    with pytest.raises(ValueError):
        bans.lift(text)


# ------------------------------------------------------------------------------------------------ seen from outside


def test_the_list_of_bans() -> None:
    bans = ban_list()
    fail(bans, STRANGER, AFTER)
    bans.add("2001:db8::7", 60.0, "noise", NOW + 5, NOW_AT + 5)
    bans.add(LAN, None, "old phone", NOW + 9, NOW_AT + 9)
    assert bans.snapshots(NOW + 10, NOW_AT + 10) == (
        BanSnapshot(LAN, NOW_AT + 9, None, "old phone", 0),
        BanSnapshot("2001:db8::/64", NOW_AT + 5, NOW_AT + 65, "noise", 0),
        BanSnapshot(STRANGER, NOW_AT, NOW_AT + TIME_S, "10 wrong passwords within 600 seconds", 10),
    )
    assert [ban.address for ban in bans.snapshots(NOW + TIME_S, NOW_AT + TIME_S)] == [LAN]


def test_every_ban_and_its_end_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bans = ban_list()
    with caplog.at_level(logging.INFO, "sip.bans"):
        fail(bans, STRANGER, AFTER)
        bans.add(LAN, None, "old phone", NOW, NOW_AT)
        bans.lift(LAN)
        bans.expire(NOW + TIME_S)
    assert [record.getMessage() for record in caplog.records] == [
        "203.0.113.7 is banned for 3600 s: 10 wrong passwords within 600 seconds",
        "192.168.0.9 was banned by the administrator: old phone",
        "the ban of 192.168.0.9 was lifted by the administrator",
        "the ban of 203.0.113.7 is over",
    ]


def test_bans_that_are_over_are_dropped() -> None:
    bans = ban_list()
    fail(bans, STRANGER, AFTER)
    bans.add(LAN, 60.0, "a minute", NOW, NOW_AT)
    bans.add(PHONE, 90.0, "longer", NOW, NOW_AT)
    bans.expire(NOW + 60)
    assert len(bans) == 2
    bans.expire(NOW + 90)
    assert len(bans) == 1
    bans.expire(NOW + TIME_S)
    assert len(bans) == 0


def test_the_revision_tells_what_must_be_saved() -> None:
    bans = ban_list()
    seen = [bans.revision]

    def changed() -> bool:
        seen.append(bans.revision)
        return seen[-1] != seen[-2]

    fail(bans, STRANGER, AFTER - 1)
    assert not changed(), "a count is no ban"
    fail(bans, STRANGER, 1)
    assert changed()
    bans.add(LAN, None, "old phone", NOW, NOW_AT)
    assert changed()
    bans.lift(LAN)
    assert changed()
    bans.lift(LAN)
    bans.expire(NOW)
    assert not changed()
    bans.expire(NOW + TIME_S)
    assert changed()


# ------------------------------------------------------------------------------------------------ a restart


def restarted(bans: BanList, at: float, later_s: float, wall_step_s: float = 0.0) -> tuple[BanList, float]:
    """A new list that took over what the old one had, and its `now`, which begins at nothing."""
    again, now = ban_list(), 3.0
    again.restore(bans.snapshots(at, NOW_AT), now, NOW_AT + later_s + wall_step_s)
    return again, now


def test_bans_go_on_where_they_were_after_a_restart() -> None:
    bans = ban_list()
    fail(bans, STRANGER, AFTER)
    bans.add(LAN, None, "old phone", NOW, NOW_AT)
    again, now = restarted(bans, NOW, later_s=600)
    assert again.is_banned(STRANGER, now + TIME_S - 601)
    assert not again.is_banned(STRANGER, now + TIME_S - 600)
    assert again.is_banned(LAN, now + 10**9)
    assert again.snapshots(now, NOW_AT + 600) == bans.snapshots(NOW + 600, NOW_AT + 600)


def test_what_ended_during_a_restart_is_over() -> None:
    bans = ban_list()
    fail(bans, STRANGER, AFTER)
    again, _ = restarted(bans, NOW, later_s=TIME_S)
    assert len(again) == 0


def test_a_wall_clock_set_back_bans_nobody_for_years() -> None:
    bans = ban_list()
    fail(bans, STRANGER, AFTER)
    again, now = restarted(bans, NOW, later_s=0, wall_step_s=-(10.0**9))
    assert not again.is_banned(STRANGER, now + TIME_S)


def test_bans_taken_over_end_in_their_order() -> None:
    bans = ban_list()
    for last in range(1, 50):
        fail(bans, f"203.0.113.{last}", AFTER, NOW + last)
    again, now = restarted(bans, NOW + 50, later_s=0)
    for seconds in range(int(TIME_S) - 60, int(TIME_S) + 1):
        again.expire(now + seconds)
        assert len(again) == len(again.snapshots(now + seconds, NOW_AT))
    assert len(again) == 0


# ------------------------------------------------------------------------------------------------ bounds


def test_suspects_are_bounded_and_the_one_that_began_first_is_forgotten() -> None:
    bans = ban_list(max_suspects=100)
    fail(bans, STRANGER, AFTER - 1)
    for number in range(99):
        fail(bans, f"203.0.114.{number}", 1)
    assert bans.suspect_count == 100
    fail(bans, "203.0.115.1", 1)
    assert bans.suspect_count == 100
    assert fail(bans, STRANGER, 1) == 0


def test_suspects_whose_window_is_over_make_room_first() -> None:
    bans = ban_list(max_suspects=100)
    for number in range(50):
        fail(bans, f"203.0.114.{number}", 1)
    fail(bans, STRANGER, 1, NOW + WINDOW_S)
    assert bans.suspect_count == 1


def test_the_oldest_ban_for_failures_makes_room_and_no_ban_of_a_person_does() -> None:
    bans = ban_list(max_bans=10)
    bans.add(STRANGER, None, "for good", NOW, NOW_AT)
    for number in range(11):
        fail(bans, f"203.0.114.{number}", AFTER, NOW + number)
    assert not bans.is_banned("203.0.114.0", NOW + 11)
    assert bans.is_banned("203.0.114.1", NOW + 11)
    assert bans.is_banned(STRANGER, NOW + 11)


def test_people_are_told_when_there_is_no_room_for_another_ban() -> None:
    bans = ban_list(max_bans=2)
    bans.add("203.0.114.1", None, "", NOW, NOW_AT)
    bans.add("203.0.114.2", None, "", NOW, NOW_AT)
    bans.add("203.0.114.2", 60.0, "changed", NOW, NOW_AT)
    with pytest.raises(BanTableFull):
        bans.add("203.0.114.3", None, "", NOW, NOW_AT)


def test_property_the_tables_never_outgrow_their_bounds_and_a_ban_needs_its_failures() -> None:
    random_source = random.Random(815)
    bans, now = ban_list(max_suspects=50, max_bans=20), NOW
    failures: dict[str, int] = {}
    for _ in range(20_000):
        now += random_source.choice((0.0, 0.1, 5.0))
        host = f"10.0.{random_source.randrange(3)}.{random_source.randrange(40)}"
        failures[host] = failures.get(host, 0) + 1
        if bans.record_failure(host, now, proven=random_source.random() < 0.5):
            assert failures.pop(host) >= AFTER
        bans.expire(now)
        assert bans.suspect_count <= 50
        assert len(bans) <= 20
        assert all(bans.is_banned(ban.address, now) for ban in bans.snapshots(now, NOW_AT))
