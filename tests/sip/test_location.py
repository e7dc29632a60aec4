"""sip/location.py: bindings, their order, their end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from sip import location
from sip.facts import Departure
from sip.flow import Flow
from sip.location import Binding, LocationService
from sip.snapshots import DepartureSnapshot, NumberRecord
from sip.timers import TimerQueue
from sip.uri import Uri

WALL_S = 1_700_000_000.0
"""Wall clock when the monotonic clock says 0."""


@dataclass
class Observer:
    seen: list[tuple[str, Binding]] = field(default_factory=list)

    def bound(self, binding: Binding, now: float, *, is_new: bool) -> None:
        self.seen.append(("bound", binding))

    def unbound(self, binding: Binding, departure: DepartureSnapshot) -> None:
        self.seen.append(("unbound", binding))


class Bench:
    def __init__(self) -> None:
        self.timers = TimerQueue()
        self.observer = Observer()
        self.location = LocationService(self.timers, self.observer, lambda now: now + WALL_S)

    def add(
        self, contact: str, number: str = "100", *, q: float = 1.0, expires: float = 60.0, conn: int = 0
    ) -> Binding:
        flow = Flow("TCP" if conn else "UDP", "192.0.2.1", 5060, "192.0.2.10", 5060, conn)
        binding = Binding(
            number=number,
            contact=Uri.parse(contact),
            parameters="",
            instance="",
            call_id="c",
            cseq=1,
            flow=flow,
            expires=expires,
            q=q,
            user_agent="",
            behind_nat=False,
            registered_at=0.0,
            last_seen_at=0.0,
        )
        self.location.add(binding, 0.0)
        return binding


def test_16_6_contacts_in_the_order_of_q_then_the_newest_first() -> None:
    bench = Bench()
    low = bench.add("sip:a@h", q=0.1)
    old = bench.add("sip:b@h", q=0.5)
    new = bench.add("sip:c@h", q=0.5)
    best = bench.add("sip:d@h", q=1.0)
    assert bench.location.bindings("100") == [best, new, old, low]


def test_10_3_an_expired_binding_goes_by_timer() -> None:
    bench = Bench()
    binding = bench.add("sip:a@h", expires=60.0)
    bench.timers.fire_due(59.9)
    assert bench.location.bindings("100") == [binding]
    bench.timers.fire_due(60.0)
    assert bench.location.bindings("100") == []
    assert bench.location.numbers() == []
    assert bench.observer.seen == [("bound", binding), ("unbound", binding)]
    assert len(bench.timers) == 0


def test_a_longer_expiry_is_waited_for_without_another_timer() -> None:
    bench = Bench()
    binding = bench.add("sip:a@h", expires=60.0)
    for _ in range(10):
        binding.expires += 60.0
        bench.location.refreshed(binding, 0.0)
    assert len(bench.timers) == 1
    bench.timers.fire_due(60.0)
    assert (bench.location.bindings("100"), len(bench.timers)) == ([binding], 1)
    bench.timers.fire_due(binding.expires)
    assert (bench.location.bindings("100"), len(bench.timers)) == ([], 0)


def test_a_shorter_expiry_ends_at_its_time_with_one_timer() -> None:
    bench = Bench()
    binding = bench.add("sip:a@h", expires=600.0)
    binding.expires = 60.0
    bench.location.refreshed(binding, 0.0)
    assert len(bench.timers) == 1
    bench.timers.fire_due(60.0)
    assert bench.location.bindings("100") == []


def test_removing_twice_is_harmless_and_stops_the_timer() -> None:
    bench = Bench()
    binding = bench.add("sip:a@h")
    bench.location.remove(binding, Departure.ADMINISTRATOR, 1.0)
    bench.location.remove(binding, Departure.ADMINISTRATOR, 1.0)
    assert len(bench.timers) == 0
    assert [what for what, _ in bench.observer.seen] == ["bound", "unbound"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_and_goes_each_binding_ends_at_its_own_time(seed: int) -> None:
    """Made, refreshed for longer or shorter, removed, in any order; one timer for all of them."""
    bench, chance = Bench(), random.Random(seed)
    live: list[Binding] = []
    for second in range(600):
        now = float(second)
        bench.timers.fire_due(now)
        live = [binding for binding in live if binding.expires > now]
        assert sorted(bench.location.all(), key=id) == sorted(live, key=id)
        assert len(bench.timers) == bool(live)
        for _ in range(chance.randrange(4)):
            choice = chance.random()
            if choice < 0.4 or not live:
                number = str(chance.randrange(100, 111))
                live.append(bench.add(f"sip:{second}@h", number, expires=now + chance.randrange(1, 90)))
            elif choice < 0.8:
                binding = chance.choice(live)
                binding.expires = now + chance.randrange(1, 90)
                bench.location.refreshed(binding, now)
            else:
                bench.location.remove(live.pop(chance.randrange(len(live))), Departure.ADMINISTRATOR, now)
    ended = [binding for what, binding in bench.observer.seen if what == "unbound"]
    assert len(ended) == len(set(map(id, ended)))


def test_bindings_that_are_gone_are_let_go_of_before_they_would_have_expired() -> None:
    bench = Bench()
    for number in range(1_000):
        binding = bench.add(f"sip:{number}@h", "100", expires=7200.0)
        if number % 2:
            bench.location.remove(binding, Departure.ADMINISTRATOR, 1.0)
    for binding in list(bench.location.all())[10:]:
        bench.location.remove(binding, Departure.ADMINISTRATOR, 1.0)
    assert len(bench.location._waiting) < 100


def test_the_device_of_a_contact_is_found_by_user_host_and_port() -> None:
    bench = Bench()
    first = bench.add("sip:a@192.0.2.10;ob")
    second = bench.add("sip:b@192.0.2.10:5070;transport=tcp")
    find = bench.location.find_device
    assert find("100", Uri.parse("sip:%61@192.0.2.10:5060")) is first
    assert find("100", Uri.parse("sip:b@192.0.2.10:5070")) is second
    assert find("100", Uri.parse("sip:b@192.0.2.10:5071")) is None
    assert find("100", None) is None
    assert find("101", Uri.parse("sip:a@192.0.2.10")) is None


def test_an_only_device_is_found_by_a_contact_it_has_changed_since() -> None:
    bench = Bench()
    only = bench.add("sip:a@192.0.2.10:40001")
    assert bench.location.find_device("100", Uri.parse("sip:a@192.0.2.10:5060")) is only
    assert bench.location.find_device("100", None) is only


def test_bindings_of_one_connection() -> None:
    bench = Bench()
    bench.add("sip:a@h", conn=1)
    other = bench.add("sip:b@h", "101", conn=2)
    bench.add("sip:c@h", "102")
    assert bench.location.on_connection(2) == [other]


def test_snapshot_lists_the_device_heard_of_last_first() -> None:
    bench = Bench()
    bench.add("sip:a@h").last_seen_at = 5.0
    bench.add("sip:b@h").last_seen_at = 9.0
    (registration,) = bench.location.snapshot(10.0, 1_000.0)
    assert [contact.uri for contact in registration.contacts] == ["sip:b@h", "sip:a@h"]
    assert {(contact.expires_s, contact.expires_at) for contact in registration.contacts} == {(50, 1_050.0)}


def test_a_snapshot_shows_no_password() -> None:
    bench = Bench()
    bench.add("sip:a:sea-gull@h")
    (registration,) = bench.location.snapshot(10.0, 1_000.0)
    assert [contact.uri for contact in registration.contacts] == ["sip:a:***@h"]


def test_how_the_last_registrations_of_a_number_ended_is_remembered() -> None:
    bench = Bench()
    assert (bench.location.departures("100"), bench.location.first_seen_at("100")) == ((), None)
    assert bench.location.absence("100") == {"number": "100"}
    bench.add("sip:a@h", expires=60.0)
    bench.timers.fire_due(60.0)
    bench.location.remove(bench.add("sip:b@h"), Departure.REMOVED_BY_ANOTHER, 70.0, "192.0.2.11:5060")

    expired, removed = bench.location.departures("100")
    assert (expired.why, expired.at, expired.address, expired.by) == (
        Departure.EXPIRED,
        WALL_S + 60.0,
        "192.0.2.10:5060",
        "",
    )
    assert (removed.why, removed.at, removed.by) == (Departure.REMOVED_BY_ANOTHER, WALL_S + 70.0, "192.0.2.11:5060")
    absence = bench.location.absence("100")
    assert (absence["departure"], absence["departedAt"]) == ("removed-by-another", WALL_S + 70.0)


def test_departures_are_bounded_by_number_and_by_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "MAX_DEPARTED_NUMBERS", 2)
    bench = Bench()
    for number in ("100", "101", "100", "102"):
        for _ in range(location.MAX_DEPARTURES_PER_NUMBER + 1):
            bench.location.remove(bench.add("sip:a@h", number), Departure.ADMINISTRATOR, 1.0)
    assert bench.location.departures("101") == ()
    assert len(bench.location.departures("100")) == len(bench.location.departures("102")) == 8


def test_of_a_number_known_from_earlier_runs_the_departure_is_when_it_was_last_heard() -> None:
    bench = Bench()
    bench.location.restore_record(NumberRecord("100", WALL_S - 500.0, WALL_S - 100.0, 7))
    (departure,) = bench.location.departures("100")
    assert (departure.why, departure.at) == (Departure.RESTART, WALL_S - 100.0)
    assert bench.location.first_seen_at("100") == WALL_S - 500.0
