"""sip/calls.py: the table of calls, the history and its totals."""

from __future__ import annotations

import pytest

from rtp.header_log import LoggedHeaders
from sip import calls, trace_keeper
from sip.call import Call, Leg, Party
from sip.calls import CallTable
from sip.flow import Flow
from sip.snapshots import SETUP_BOUNDS_S, TerminationReason
from sip.timers import TimerQueue
from sip.trace import NO_MEDIA, MediaRecord
from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.events import FakeEvents
from tests.support.harness import CoreHarness
from tests.support.recorder import EndedCall, FakeRecorder

FLOW = Flow("UDP", "192.0.2.1", 5060, "192.0.2.10", 5060)


class Bench:
    def __init__(self) -> None:
        self.timers = TimerQueue()
        self.recorder = FakeRecorder()
        self.table = CallTable(self.timers, self.recorder, FakeEvents())

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
        return self.recorder.rows()


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


def test_the_trace_is_put_soon_after_the_end_and_once_more_only_if_more_has_come() -> None:
    bench = Bench()
    first, second = bench.add("1"), bench.add("2")
    for call in (first, second):
        call.journal.received(0.0, FLOW, b"BYE")
        bench.finish(call, 10.0)
    assert bench.recorder.puts == 0
    bench.timers.fire_due(10.0 + trace_keeper.TRACE_AFTER_S)
    assert bench.recorder.puts == 2
    first.journal.sent(15.0, FLOW, b"200")
    bench.timers.fire_due(10.0 + calls.LINGER_S)
    assert bench.recorder.puts == 3
    assert [entry.data or entry.text for entry in bench.rows[0].entries] == [b"BYE", "call ended: normal: text", b"200"]
    assert [entry.data or entry.text for entry in bench.rows[1].entries] == [b"BYE", "call ended: normal: text"]


def test_old_calls_are_written_early_when_all_together_are_too_big(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_keeper, "JOURNAL_BUDGET", 250)
    bench = Bench()
    made = []
    for number in range(4):
        call = bench.add(str(number))
        made.append(call)
        call.journal.received(0.0, FLOW, bytes(100))
        bench.finish(call, float(number))
    assert [call.journal.size for call in made] == [0, 0, 100, 100]
    assert [call_id for call_id, _ in bench.recorder.traces] == ["0", "1"]
    assert [len(row.entries) for row in bench.rows] == [2, 2, 0, 0]
    # A message that comes still later is lost; what is written stays.
    made[0].journal.received(5.0, FLOW, b"late")
    bench.timers.fire_due(10.0 + calls.LINGER_S)
    assert [len(row.entries) for row in bench.rows] == [2, 2, 2, 2]
    assert [call.journal.size for call in made[1:]] == [0, 0, 0]


def test_what_their_media_have_left_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_keeper, "JOURNAL_BUDGET", 250)
    bench = Bench()
    log = LoggedHeaders(0, 10_000, (), bytes(200), 0, 0.0)
    record = MediaRecord(headers=(log,))
    monkeypatch.setattr(Call, "_media_record", lambda _call, _described, _anchors: record)
    first, second = bench.add("1"), bench.add("2")
    bench.finish(first, 10.0)
    assert (list(bench.recorder.traces), first.media_record) == ([], record)
    bench.finish(second, 11.0)
    assert [source.headers for source in bench.recorder.traces.values()] == [(log,)]
    assert first.media_record == NO_MEDIA
    bench.timers.fire_due(11.0 + calls.LINGER_S)
    assert bench.table._traces.budget.used == 0


def test_what_has_not_been_put_is_put_at_the_end_of_the_server() -> None:
    bench = Bench()
    bench.finish(bench.add("1"), 10.0)
    bench.add("live")
    bench.table.put_traces()
    bench.table.put_traces()
    assert (list(bench.recorder.traces), bench.recorder.puts) == ([("1", 0.0)], 1)


def test_the_record_of_a_call_is_found_by_call_id_and_of_several_by_the_time_of_the_invite() -> None:
    bench = Bench()
    first, second = bench.add("c", "a"), bench.add("c", "b")
    first.invited_at, second.invited_at = 100.0124, 100.0136
    find = bench.table.with_record
    assert [find("c", at) for at in (None, 100.012, 100.013, 100.014)] == [second, first, second, None]
    assert find("d", None) is None
    bench.finish(second, 110.0)
    assert find("c", None) is second
    bench.timers.fire_due(110.0 + calls.LINGER_S)
    assert [find("c", at) for at in (None, 100.012)] == [None, None]


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
