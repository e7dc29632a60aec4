"""The diary of failed registrations."""

from __future__ import annotations

from sip.diary import MAX_TEXT, RegistrationDiary
from sip.facts import Denial
from sip.snapshots import RegistrationFailure

AT = 1_700_000_000.0
WRONG = "the password is wrong"


def note(
    diary: RegistrationDiary,
    number: str = "100",
    address: str = "203.0.113.7",
    *,
    at: float = AT,
    reason: str = WRONG,
    status: int = 401,
    user_agent: str = "Phone 1.0",
) -> None:
    diary.note(number, address, "UDP", user_agent, status, reason, at, Denial.WRONG)


def test_a_failure_says_who_from_where_why_and_when() -> None:
    diary = RegistrationDiary()
    note(diary)
    assert diary.snapshots() == (
        RegistrationFailure("100", "203.0.113.7", "UDP", "Phone 1.0", 401, WRONG, AT, AT, 1, Denial.WRONG),
    )


def test_alike_failures_are_counted_together_from_first_to_last() -> None:
    diary = RegistrationDiary()
    note(diary)
    note(diary, at=AT + 30)
    note(diary, at=AT + 60, user_agent="Phone 1.1")
    assert diary.snapshots() == (
        RegistrationFailure("100", "203.0.113.7", "UDP", "Phone 1.1", 401, WRONG, AT, AT + 60, 3, Denial.WRONG),
    )


def test_another_number_source_or_reason_is_another_entry() -> None:
    diary = RegistrationDiary()
    note(diary)
    note(diary, number="101")
    note(diary, address="203.0.113.8")
    note(diary, reason="the number is none of this office", status=404)
    assert len(diary.snapshots()) == len(diary) == 4


def test_the_latest_failure_comes_first() -> None:
    diary = RegistrationDiary()
    note(diary, "100", at=AT)
    note(diary, "101", at=AT + 1)
    note(diary, "100", at=AT + 2)
    assert [failure.number for failure in diary.snapshots()] == ["100", "101"]


def test_a_scan_of_every_number_leaves_room_for_the_phone_with_the_wrong_password() -> None:
    diary = RegistrationDiary(max_entries=500, max_per_source=50)
    note(diary, "100", "192.168.0.9")
    for number in range(10_000):
        note(diary, str(number), "203.0.113.7", at=AT + number)
    failures = diary.snapshots()
    assert len(failures) == 51
    assert failures[0].number == "9999"
    assert failures[-1].address == "192.168.0.9"


def test_many_sources_displace_the_one_that_failed_longest_ago() -> None:
    diary = RegistrationDiary(max_entries=100)
    note(diary, "100", "192.168.0.8")
    note(diary, "101", "192.168.0.9")
    for number in range(98):
        note(diary, address=f"203.0.113.{number}", at=AT + number)
    note(diary, "100", "192.168.0.8", at=AT + 98)
    note(diary, address="198.51.100.1", at=AT + 99)
    addresses = {failure.address for failure in diary.snapshots()}
    assert "192.168.0.8" in addresses
    assert "192.168.0.9" not in addresses
    assert len(diary) == len(addresses) == 100


def test_the_addresses_of_one_ipv6_network_share_their_room() -> None:
    diary = RegistrationDiary(max_per_source=10)
    for number in range(1, 100):
        note(diary, address=f"2001:db8::{number}")
    assert len(diary) == 10
    assert {failure.address for failure in diary.snapshots()} == {f"2001:db8::{number}" for number in range(90, 100)}


def test_forged_sources_do_not_grow_the_diary() -> None:
    diary = RegistrationDiary(max_entries=100)
    for number in range(20_000):
        note(diary, address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", at=AT + number)
        assert len(diary) <= 100
    assert len(diary.snapshots()) == 100


def test_texts_of_the_network_are_cut() -> None:
    diary = RegistrationDiary()
    note(diary, "1" * 60_000, user_agent="x" * 60_000)
    (failure,) = diary.snapshots()
    assert failure.number == "1" * MAX_TEXT
    assert failure.user_agent == "x" * MAX_TEXT


def test_every_failure_is_counted_also_when_it_is_forgotten() -> None:
    diary = RegistrationDiary(max_entries=2)
    for number in ("100", "101", "102", "102"):
        note(diary, number)
    assert (diary.noted, len(diary)) == (4, 2)
