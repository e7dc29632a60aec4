"""Deadlines, and the durations of RFC 3261 table 4."""

from __future__ import annotations

import logging
import random
import weakref

import pytest

from sip.timers import Timer, TimerLane, TimerQueue, TimerSettings


class Log:
    """A callback that notes its label and the time."""

    def __init__(self) -> None:
        self.fired: list[tuple[str, float]] = []

    def labelled(self, label: str):
        return lambda now: self.fired.append((label, now))

    @property
    def labels(self) -> str:
        return "".join(label for label, _ in self.fired)


# ------------------------------------------------------------------------------------------------ the queue


def test_fires_in_the_order_of_deadlines_not_of_starting() -> None:
    queue, log = TimerQueue(), Log()
    for label, deadline in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        queue.start(deadline, log.labelled(label))
    assert queue.fire_due(3.0) == 3
    assert log.fired == [("a", 3.0), ("b", 3.0), ("c", 3.0)]


def test_equal_deadlines_fire_in_the_order_they_were_started() -> None:
    queue, log = TimerQueue(), Log()
    for label in "abcdefgh":
        queue.start(1.0, log.labelled(label))
    queue.fire_due(1.0)
    assert log.labels == "abcdefgh"


def test_fires_at_the_deadline_and_not_before() -> None:
    queue, log = TimerQueue(), Log()
    queue.start(10.0, log.labelled("a"))
    assert queue.fire_due(9.999) == 0
    assert len(queue) == 1
    assert queue.fire_due(10.0) == 1
    assert len(queue) == 0
    assert queue.fire_due(1e9) == 0


def test_next_deadline_is_that_of_the_earliest_live_timer() -> None:
    queue, log = TimerQueue(), Log()
    assert queue.next_deadline() is None
    first = queue.start(1.0, log.labelled("a"))
    queue.start(2.0, log.labelled("b"))
    assert queue.next_deadline() == 1.0
    first.cancel()
    assert queue.next_deadline() == 2.0
    queue.fire_due(2.0)
    assert queue.next_deadline() is None
    assert log.labels == "b"


def test_cancelled_timer_does_not_fire_and_is_not_counted() -> None:
    queue, log = TimerQueue(), Log()
    timer = queue.start(1.0, log.labelled("a"))
    queue.start(1.0, log.labelled("b"))
    assert timer.active
    timer.cancel()
    assert not timer.active
    assert len(queue) == 1
    assert queue.fire_due(5.0) == 1
    assert log.labels == "b"


def test_cancelling_twice_or_after_firing_changes_nothing() -> None:
    queue, log = TimerQueue(), Log()
    fired = queue.start(1.0, log.labelled("a"))
    cancelled = queue.start(2.0, log.labelled("b"))
    kept = queue.start(3.0, log.labelled("c"))
    queue.fire_due(1.0)
    fired.cancel()
    cancelled.cancel()
    cancelled.cancel()
    assert len(queue) == 1
    assert kept.active


@pytest.mark.parametrize("end", ["cancel", "fire"])
def test_a_finished_timer_holds_nothing(end: str) -> None:
    class Target:
        def hit(self, now: float) -> None: ...

    queue, target = TimerQueue(), Target()
    seen = weakref.ref(target)
    timer = queue.start(1.0, target.hit)
    del target
    assert seen() is not None
    if end == "cancel":
        timer.cancel()
    else:
        queue.fire_due(1.0)
    assert seen() is None


def test_a_callback_may_cancel_a_timer_due_in_the_same_call() -> None:
    queue, log = TimerQueue(), Log()
    timers: list[Timer] = []
    queue.start(1.0, lambda now: timers[0].cancel())
    timers.append(queue.start(1.0, log.labelled("a")))
    queue.start(1.0, log.labelled("b"))
    assert queue.fire_due(1.0) == 2
    assert log.labels == "b"
    assert len(queue) == 0


def test_a_callback_that_raises_is_logged_once_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    queue, log = TimerQueue(), Log()

    def fail(now: float) -> None:
        raise ZeroDivisionError

    queue.start(1.0, log.labelled("a"))
    queue.start(2.0, fail)
    queue.start(3.0, log.labelled("b"))
    with caplog.at_level(logging.ERROR, logger="sip.timers"):
        assert queue.fire_due(5.0) == 3
    assert log.labels == "ab"
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_timers_started_by_callbacks_fire_in_the_same_call_when_due() -> None:
    queue, log = TimerQueue(), Log()

    def chain(now: float) -> None:
        queue.start(now, log.labelled("b"))
        queue.start(now + 1, log.labelled("late"))

    queue.start(1.0, log.labelled("a"))
    queue.start(1.0, chain)
    assert queue.fire_due(1.0) == 3
    assert log.labels == "ab"
    assert queue.next_deadline() == 2.0


def test_a_timer_that_rearms_itself_at_once_neither_hangs_nor_starves_the_others() -> None:
    queue, log = TimerQueue(), Log()

    def again(now: float) -> None:
        log.fired.append(("x", now))
        queue.start(now, again)

    queue.start(1.0, again)
    for label in "abc":
        queue.start(4.0, log.labelled(label))
    fired = queue.fire_due(4.0)
    assert fired == len(log.fired)
    assert fired < 1000
    assert {"a", "b", "c"} <= set(log.labels)
    assert len(queue) == 1
    assert queue.next_deadline() == 4.0


def test_memory_follows_the_live_timers() -> None:
    queue, log = TimerQueue(), Log()
    kept = [queue.start(1e9 + n, log.labelled("k")) for n in range(100)]
    for n in range(20_000):
        queue.start(float(n), log.labelled("c")).cancel()
    assert len(queue) == 100
    assert len(queue._heap) <= 300
    assert all(timer.active for timer in kept)
    assert queue.fire_due(2e9) == 100
    assert log.labels == "k" * 100


def test_compaction_while_firing_loses_nothing() -> None:
    queue, log = TimerQueue(), Log()
    doomed = [queue.start(2.0, log.labelled("d")) for _ in range(500)]
    queue.start(1.0, lambda now: [timer.cancel() for timer in doomed])
    queue.start(3.0, log.labelled("k"))
    assert queue.fire_due(3.0) == 2
    assert log.labels == "k"
    assert len(queue) == 0
    assert queue.next_deadline() is None


def test_any_mixture_of_start_cancel_and_fire_agrees_with_a_plain_list() -> None:
    rng = random.Random(3261)
    queue = TimerQueue()
    fired: list[int] = []
    waiting: dict[int, tuple[float, Timer]] = {}
    now = 0.0
    for number in range(5000):
        choice = rng.random()
        if choice < 0.55:
            deadline = now + rng.randrange(40)
            timer = queue.start(deadline, lambda at, number=number: fired.append(number))
            waiting[number] = (deadline, timer)
        elif choice < 0.85 and waiting:
            waiting.pop(rng.choice(list(waiting)))[1].cancel()
        else:
            now += rng.randrange(3)
            due = sorted((entry[0], key) for key, entry in waiting.items() if entry[0] <= now)
            fired.clear()
            assert queue.fire_due(now) == len(due)
            assert fired == [key for _, key in due]
            for _, key in due:
                del waiting[key]
        assert len(queue) == len(waiting)
        assert queue.next_deadline() == min((entry[0] for entry in waiting.values()), default=None)


# ------------------------------------------------------------------------------------------------ gathered


def test_what_nobody_waits_for_fires_together_at_most_so_much_later() -> None:
    queue, log = TimerQueue(gather_s=0.25), Log()
    for deadline in (5.01, 5.1, 5.25, 5.26):
        queue.start_gathered(deadline, log.labelled(str(deadline)))
    queue.start(5.2, log.labelled("exact"))
    assert queue.next_deadline() == 5.2
    queue.fire_due(5.2)
    assert log.fired == [("exact", 5.2)]
    assert queue.next_deadline() == 5.25
    queue.fire_due(5.25)
    assert log.fired[1:] == [("5.01", 5.25), ("5.1", 5.25), ("5.25", 5.25)]
    assert queue.next_deadline() == 5.5


def test_unless_gathering_is_wanted_it_fires_at_its_time() -> None:
    queue, log = TimerQueue(), Log()
    queue.start_gathered(5.01, log.labelled("a"))
    assert queue.next_deadline() == 5.01


def test_a_lane_is_gathered_with_the_others_and_never_early() -> None:
    queue = TimerQueue(gather_s=0.25)
    lane, ended = lane_of(queue, wait_s=2.0)
    for at, item in ((10.1, "a"), (10.2, "b"), (10.3, "c")):
        lane.append(item, at)
    assert queue.next_deadline() == 12.25
    queue.fire_due(12.25)
    assert ended == [("a", 12.25), ("b", 12.25)]
    assert queue.next_deadline() == 12.5


# ------------------------------------------------------------------------------------------------ the lane


def lane_of(queue: TimerQueue, wait_s: float = 32.0) -> tuple[TimerLane[str], list[tuple[str, float]]]:
    ended: list[tuple[str, float]] = []
    return TimerLane(queue, wait_s, lambda item, now: ended.append((item, now))), ended


def test_lane_ends_each_wait_at_its_time_with_one_timer_for_all() -> None:
    queue = TimerQueue()
    lane, ended = lane_of(queue)
    for at, item in ((0.0, "a"), (1.0, "b"), (5.0, "c")):
        lane.append(item, at)
    assert (len(lane), len(queue)) == (3, 1)
    queue.fire_due(31.9)
    assert ended == []
    queue.fire_due(32.0)
    assert ended == [("a", 32.0)]
    assert queue.next_deadline() == 33.0
    queue.fire_due(40.0)
    assert ended == [("a", 32.0), ("b", 40.0), ("c", 40.0)]
    assert (len(lane), len(queue)) == (0, 0)


def test_lane_may_end_waits_earlier_so_that_they_end_together() -> None:
    queue = TimerQueue()
    ended: list[tuple[str, float]] = []
    lane: TimerLane[str] = TimerLane(queue, 2.0, lambda item, now: ended.append((item, now)), gather_s=0.5)
    for at, item in ((10.0, "a"), (10.25, "b"), (10.5, "c"), (10.75, "d")):
        lane.append(item, at)
    queue.fire_due(11.75)
    assert ended == []
    queue.fire_due(12.0)
    assert ended == [("a", 12.0), ("b", 12.0), ("c", 12.0)]
    assert queue.next_deadline() == 12.75
    queue.fire_due(12.75)
    assert ended[3:] == [("d", 12.75)]
    assert (len(lane), len(queue)) == (0, 0)


def test_lane_gives_up_its_oldest_early_and_leaves_no_timer_when_empty() -> None:
    queue = TimerQueue()
    lane, ended = lane_of(queue)
    lane.append("a", 0.0)
    lane.append("b", 1.0)
    lane.expire_oldest(2.0)
    assert ended == [("a", 2.0)]
    assert len(queue) == 1
    # The timer is still that of "a": it finds nobody due and moves on to "b".
    queue.fire_due(32.0)
    assert ended == [("a", 2.0)]
    assert queue.next_deadline() == 33.0
    lane.expire_oldest(32.5)
    assert ended == [("a", 2.0), ("b", 32.5)]
    assert (len(lane), len(queue)) == (0, 0)


def test_lane_takes_items_while_it_ends_others() -> None:
    queue = TimerQueue()
    ended: list[tuple[str, float]] = []

    def expire(item: str, now: float) -> None:
        ended.append((item, now))
        if item == "a":
            lane.append("again", now)

    lane: TimerLane[str] = TimerLane(queue, 10.0, expire)
    lane.append("a", 0.0)
    lane.append("b", 0.0)
    queue.fire_due(10.0)
    assert [item for item, _ in ended] == ["a", "b"]
    assert (len(lane), len(queue), queue.next_deadline()) == (1, 1, 20.0)
    queue.fire_due(20.0)
    assert ended[-1] == ("again", 20.0)


def test_lane_goes_on_after_an_expiry_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    queue = TimerQueue()
    ended: list[str] = []

    def expire(item: str, now: float) -> None:
        ended.append(item)
        if item == "b":
            raise ZeroDivisionError

    lane: TimerLane[str] = TimerLane(queue, 10.0, expire)
    for item in "abc":
        lane.append(item, 0.0)
    with caplog.at_level(logging.ERROR, logger="sip.timers"):
        queue.fire_due(10.0)
    assert ended == ["a", "b", "c"]
    assert len(caplog.records) == 1
    assert (len(lane), len(queue)) == (0, 0)


def test_lane_emptied_and_filled_while_it_ends_items_keeps_one_timer() -> None:
    queue = TimerQueue()
    ended: list[str] = []

    def expire(item: str, now: float) -> None:
        ended.append(item)
        if item == "a":
            lane.expire_oldest(now)
            lane.append("c", now)

    lane: TimerLane[str] = TimerLane(queue, 10.0, expire)
    lane.append("a", 0.0)
    lane.append("b", 5.0)
    queue.fire_due(10.0)
    assert ended == ["a", "b"]
    assert (len(lane), len(queue), queue.next_deadline()) == (1, 1, 20.0)


# ------------------------------------------------------------------------------------------------ the settings


def test_table_4_default_durations() -> None:
    settings = TimerSettings()
    assert (settings.t1_s, settings.t2_s, settings.t4_s) == (0.5, 4.0, 5.0)
    assert {letter: getattr(settings, f"timer_{letter}_s") for letter in "abdefghijklm"} == {
        "a": 0.5,
        "b": 32.0,
        "d": 32.0,
        "e": 0.5,
        "f": 32.0,
        "g": 0.5,
        "h": 32.0,
        "i": 5.0,
        "j": 32.0,
        "k": 5.0,
        "l": 32.0,
        "m": 32.0,
    }
    assert settings.cancel_s == settings.expiry_s == 32.0


def test_16_6_timer_c_is_longer_than_three_minutes() -> None:
    assert TimerSettings().timer_c_s > 180


def test_17_1_1_2_timer_d_stays_32_s_when_t1_is_small() -> None:
    settings = TimerSettings(t1_s=0.01)
    assert settings.timer_b_s == pytest.approx(0.64)
    assert settings.timer_d_s == 32.0


@pytest.mark.parametrize(
    ("t1_s", "t2_s", "expected_s"),
    [(0.5, 4.0, 3.5), (1.0, 4.0, 3.0), (0.5, 3.0, 3.5), (4.0, 4.0, 0.0), (8.0, 4.0, 0.0)],
)
def test_rfc_4320_4_1_trying_is_due_when_timer_e_reaches_t2(t1_s: float, t2_s: float, expected_s: float) -> None:
    assert TimerSettings(t1_s=t1_s, t2_s=t2_s).trying_s == expected_s
