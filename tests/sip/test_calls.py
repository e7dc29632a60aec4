"""sip/calls.py: the table of calls, the history and its totals."""

from __future__ import annotations

import pytest

from sip import calls
from sip.calls import Call, CallTable, EndedCall, Leg, Party
from sip.flow import Flow
from sip.snapshots import SETUP_BOUNDS_S, TerminationReason
from sip.timers import TimerQueue
from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.harness import CoreHarness
from tests.support.recorder import FakeRecorder

FLOW = Flow("UDP", "192.0.2.1", 5060, "192.0.2.10", 5060)


class Bench:
    def __init__(self) -> None:
        self.timers = TimerQueue()
        self.table = CallTable(self.timers, FakeRecorder())

    def add(self, call_id: str, tag: str = "a", to: str = "101", *legs: str) -> Call:
        call = Call(call_id, Party("100", tag, f"<sip:100@h>;tag={tag}", FLOW), to, 0.0, self.table.new_journal())
        for leg in legs:
            call.legs[leg] = Leg(Party(to, leg, f"<sip:101@h>;tag={leg}", FLOW), None)
        self.table.add(call)
        return call

    def finish(self, call: Call, at: float, reason: TerminationReason = TerminationReason.NORMAL) -> None:
        self.table.finish(call, reason, 200, "text", "caller", at, at)

    @property
    def rows(self) -> list[EndedCall]:
        return self.table.ended()


def test_12_a_dialog_is_found_by_call_id_and_both_tags_from_either_side() -> None:
    bench = Bench()
    call = bench.add("c", "a", "101", "b1", "b2")
    find = bench.table.find
    assert find("c", "a", "b2") == (call, calls.CALLER, call.legs["b2"])
    assert find("c", "b1", "a") == (call, calls.CALLEE, call.legs["b1"])
    for stranger in (("c", "a", "x"), ("c", "x", "a"), ("d", "a", "b1"), ("c", "b1", "b2")):
        assert find(*stranger) is None


def test_an_ended_call_can_be_found_for_a_while_and_is_then_forgotten() -> None:
    bench = Bench()
    call = bench.add("c", "a", "101", "b")
    bench.finish(call, 10.0)
    assert (bench.table.live(), bench.table.find_live("c", "a")) == ([], None)
    assert bench.table.find("c", "a", "b") is not None
    bench.timers.fire_due(10.0 + calls.LINGER_S)
    assert bench.table.find("c", "a", "b") is None
    assert bench.table.by_call_id("c") is None
    assert (len(bench.table), len(bench.timers), len(bench.rows)) == (0, 0, 1)


def test_a_new_call_of_the_same_key_is_not_forgotten_with_the_old() -> None:
    bench = Bench()
    bench.finish(bench.add("c"), 10.0)
    again = bench.add("c", "a", "101", "b")
    bench.timers.fire_due(10.0 + calls.LINGER_S)
    assert bench.table.find_live("c", "a") is again
    assert bench.table.find("c", "a", "b") == (again, calls.CALLER, again.legs["b"])
    assert bench.table.by_call_id("c") is again


def test_a_call_is_finished_once() -> None:
    bench = Bench()
    call = bench.add("c")
    bench.finish(call, 10.0)
    bench.finish(call, 20.0, TerminationReason.ADMIN)
    assert (len(bench.rows), call.ended_at, bench.table.totals().total) == (1, 10.0, 1)


def test_totals_by_reason_and_talk_time() -> None:
    bench = Bench()
    for number, (answered_at, reason) in enumerate(
        [
            (2.0, TerminationReason.NORMAL),
            (4.0, TerminationReason.ADMIN),
            (None, TerminationReason.ADMIN),
            (None, TerminationReason.BUSY),
            (5.0, TerminationReason.MEDIA_TIMEOUT),
        ]
    ):
        call = bench.add(str(number))
        call.answered_at = answered_at
        bench.finish(call, 10.0, reason)
    bench.add("live")
    totals = bench.table.totals()
    assert (totals.total, totals.completed, totals.failed, totals.talk_s) == (6, 2, 3, 14.0)
    assert totals.by_reason == {"normal": 1, "admin": 2, "busy": 1, "media-timeout": 1}


def test_history_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "HISTORY_LENGTH", 3)
    bench = Bench()
    for number in range(5):
        bench.finish(bench.add(str(number)), float(number))
    assert [row.snapshot.call_id for row in bench.rows] == ["2", "3", "4"]
    assert bench.table.totals().total == 5


def test_old_calls_lose_their_record_when_all_together_are_too_big(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "JOURNAL_BUDGET", 250)
    bench = Bench()
    for number in range(4):
        call = bench.add(str(number))
        call.journal.received(0.0, FLOW, bytes(100))
        bench.finish(call, float(number))
    assert [row.journal.size for row in bench.rows] == [0, 0, 100, 100]
    assert len(bench.rows) == 4


def test_two_calls_at_once_between_the_same_phones(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    first, second = establish(alice, bob), establish(alice, bob)
    assert len(office.core.calls()) == 2
    hang_up(first.caller, first.callee)
    (call,) = office.core.calls()
    assert call.call_id == second.invite.call_id
    hang_up(second.callee, second.caller)


@pytest.mark.parametrize(
    ("took_s", "bucket"), [(0.0, 0), (0.1, 0), (0.11, 1), (5.0, 5), (120.0, 11), (121.0, 12), (-3.0, 0)]
)
def test_set_up_times_are_counted_by_their_bounds(took_s: float, bucket: int) -> None:
    bench = Bench()
    call = bench.add("c")
    call.answered_at = call.invited_at + took_s
    bench.table.answered(call)
    counts, sum_s = bench.table.setup_times()
    assert [index for index, count in enumerate(counts) if count] == [bucket]
    assert len(counts) == len(SETUP_BOUNDS_S) + 1
    assert sum_s == max(0.0, took_s)
