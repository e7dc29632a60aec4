"""What waits to be written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

import store.backlog
from store.backlog import ENOUGH, REST_S, Backlog
from store.sql import Connection
from tests.support.stored import Clock

LIMIT_S = 20.0


@dataclass(frozen=True)
class Note:
    """Work that does nothing."""

    name: str
    text: str = ""
    renewed: bool = False
    weight: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        return (self.name,)

    @staticmethod
    def apply_all(connection: Connection, works: Sequence[Note]) -> None:
        raise AssertionError("nobody writes here")


def names(backlog: Backlog) -> list[str]:
    return [work.name for work in backlog.take() if isinstance(work, Note)]


def test_tickets_grow_and_are_settled_together() -> None:
    backlog = Backlog()
    assert [backlog.put(Note("a")), backlog.put(Note("b"))] == [1, 2]
    backlog.take()
    assert backlog.put(Note("c")) == 3
    assert backlog.stored() == 2
    assert not backlog.wait_stored(0)
    backlog.take()
    assert backlog.stored() == 3
    assert backlog.wait_stored(0)


def test_the_last_word_on_a_subject_counts_and_keeps_its_place() -> None:
    backlog = Backlog()
    for note in (Note("a", "old"), Note("b"), Note("a", "new")):
        backlog.put(note)
    assert backlog.take() == [Note("a", "new"), Note("b")]


def test_what_failed_comes_again_unless_something_newer_has_replaced_it() -> None:
    backlog = Backlog()
    backlog.put(Note("a", "old"))
    backlog.put(Note("b"))
    backlog.take()
    backlog.put(Note("a", "new"))
    backlog.put(Note("c"))
    assert backlog.failed() == 4
    assert backlog.take() == [Note("a", "new"), Note("b"), Note("c")]


def test_nobody_waits_for_what_can_not_be_written() -> None:
    backlog = Backlog()
    backlog.put(Note("a"))
    backlog.take()
    backlog.failed()
    assert backlog.put(Note("b")) == 0
    backlog.take()
    assert backlog.stored() == 2
    assert backlog.put(Note("c")) == 3


def test_when_it_is_full_the_oldest_refresh_goes_first_and_is_counted() -> None:
    backlog = Backlog(limit=3)
    for note in (Note("call 1"), Note("phone 1", renewed=True), Note("phone 2", renewed=True), Note("call 2")):
        backlog.put(note)
    assert backlog.lost == 1
    assert len(backlog) == 3
    assert names(backlog) == ["call 1", "phone 2", "call 2"]


def test_without_refreshes_the_oldest_goes() -> None:
    backlog = Backlog(limit=2)
    for name in ("a", "b", "c"):
        backlog.put(Note(name))
    assert (names(backlog), backlog.lost) == (["b", "c"], 1)


def test_a_refresh_that_became_a_removal_is_none_any_more() -> None:
    backlog = Backlog(limit=2)
    for note in (Note("phone 1", renewed=True), Note("phone 1"), Note("phone 2", renewed=True), Note("call")):
        backlog.put(note)
    assert names(backlog) == ["phone 1", "call"]


def test_a_full_backlog_takes_news_of_what_it_holds() -> None:
    backlog = Backlog(limit=1)
    backlog.put(Note("a", "old"))
    backlog.put(Note("a", "new"))
    assert (backlog.take(), backlog.lost) == ([Note("a", "new")], 0)


def test_there_is_room_while_a_full_load_is_being_written() -> None:
    backlog = Backlog(limit=2)
    for name in ("a", "b"):
        backlog.put(Note(name))
    backlog.take()
    for name in ("c", "d"):
        backlog.put(Note(name))
    assert (len(backlog), backlog.lost) == (4, 0)
    backlog.stored()
    assert (names(backlog), backlog.lost) == (["c", "d"], 0)


def test_a_full_load_that_comes_back_makes_room() -> None:
    backlog = Backlog(limit=2)
    backlog.put(Note("a", renewed=True))
    backlog.put(Note("b"))
    backlog.take()
    backlog.put(Note("c"))
    backlog.put(Note("d", renewed=True))
    backlog.failed()
    assert (names(backlog), backlog.lost) == (["b", "c"], 2)


def test_waiting_ends_with_work_with_a_wake_or_with_the_time() -> None:
    backlog = Backlog()
    assert not backlog.wait(0)
    backlog.wake()
    assert not backlog.wait(60)
    backlog.put(Note("a"))
    assert backlog.wait(60)


def written_after(backlog: Backlog, change: Callable[[], object]) -> list[str]:
    """What a writer takes that begins to wait and then sees that change."""
    waits = threading.Event()
    found: list[str] = []

    def write() -> None:
        waits.set()
        backlog.wait(10 * LIMIT_S)
        found.extend(names(backlog))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    assert waits.wait(LIMIT_S)
    change()
    writer.join(LIMIT_S)
    return found


@pytest.fixture
def endless_leisure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.backlog, "LEISURE_S", 10 * LIMIT_S)


@pytest.mark.usefixtures("endless_leisure")
def test_what_nobody_waits_for_has_time_until_somebody_waits_for_something() -> None:
    backlog = Backlog()

    def change() -> None:
        backlog.put(Note("answered"))
        backlog.put(Note("ended"))
        backlog.hurry()

    assert written_after(backlog, change) == ["answered", "ended"]


@pytest.mark.usefixtures("endless_leisure")
def test_who_waits_for_all_that_was_put_makes_it_urgent() -> None:
    backlog = Backlog()
    backlog.put(Note("begun"))
    assert written_after(backlog, lambda: backlog.wait_stored(0)) == ["begun"]


def write(backlog: Backlog, waiting: int) -> None:
    """A transaction that so many wait for."""
    for number in range(waiting):
        backlog.put(Note(f"before {number}"))
        backlog.hurry()
    backlog.take()
    backlog.stored()


def hurried(backlog: Backlog, count: int) -> Callable[[], None]:
    def change() -> None:
        for number in range(count):
            backlog.put(Note(str(number)))
            backlog.hurry()

    return change


@pytest.fixture
def endless_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.backlog, "REST_S", 100 * LIMIT_S)


@pytest.mark.usefixtures("endless_rest")
def test_after_a_transaction_for_several_only_many_that_wait_are_heard() -> None:
    backlog = Backlog()
    write(backlog, waiting=2)
    assert written_after(backlog, hurried(backlog, ENOUGH)) == [str(number) for number in range(ENOUGH)]


@pytest.mark.usefixtures("endless_rest")
@pytest.mark.parametrize("waited", [0, 1])
def test_after_a_transaction_that_hardly_anybody_waited_for_the_next_one_begins_at_once(waited: int) -> None:
    backlog = Backlog()
    write(backlog, waiting=waited)
    assert written_after(backlog, hurried(backlog, 1)) == ["0"]


@pytest.mark.parametrize(("waited", "rest_s"), [(2, REST_S / 7), (5, REST_S * 4 / 7), (8, REST_S), (80, REST_S)])
def test_the_more_have_waited_the_longer_is_the_rest(waited: int, rest_s: float) -> None:
    clock = Clock()
    backlog = Backlog(clock=clock.monotonic)
    write(backlog, waiting=waited)
    assert backlog.rest_s() == pytest.approx(rest_s)
    clock.advance(rest_s / 2)
    assert backlog.rest_s() == pytest.approx(rest_s / 2)


def test_what_nobody_waits_for_is_written_in_the_end() -> None:
    backlog = Backlog()
    assert written_after(backlog, lambda: backlog.put(Note("begun"))) == ["begun"]


def test_giving_up_counts_what_is_lost() -> None:
    backlog = Backlog()
    backlog.put(Note("a"))
    backlog.put(Note("b"))
    assert (backlog.give_up(), backlog.lost, len(backlog)) == (2, 2, 0)


def test_changes_that_can_never_be_written_are_counted() -> None:
    backlog = Backlog()
    backlog.put(Note("a"))
    backlog.take()
    backlog.stored(lost=1)
    assert backlog.lost == 1


def test_heavy_changes_go_first_and_together_have_a_limit() -> None:
    backlog = Backlog(limit=3, max_weight=100)
    for note in (Note("light"), Note("heavy", weight=60), Note("refresh", renewed=True), Note("more")):
        backlog.put(note)
    assert (names(backlog), backlog.lost) == (["light", "refresh", "more"], 1)
    backlog.stored()
    for note in (Note("a", weight=60), Note("b", weight=40), Note("a", "lighter", weight=50), Note("c", weight=20)):
        backlog.put(note)
    assert (names(backlog), backlog.lost) == (["b", "c"], 2)


def test_heavy_changes_that_come_back_make_room() -> None:
    backlog = Backlog(max_weight=100)
    backlog.put(Note("old", weight=80))
    backlog.take()
    backlog.put(Note("new", weight=80))
    backlog.failed()
    assert (names(backlog), backlog.lost) == (["new"], 1)


def test_what_weighs_much_is_taken_in_pieces_behind_what_others_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.backlog, "MOST_HEAVY", 2)
    backlog = Backlog()
    for number in range(3):
        backlog.put(Note(f"trace {number}", weight=10))
    backlog.put(Note("end"))
    assert names(backlog) == ["end", "trace 0", "trace 1"]
    assert backlog.stored() == 4
    assert not backlog.wait_stored(0), "one is left"
    assert backlog.wait(LIMIT_S)
    assert names(backlog) == ["trace 2"]
    backlog.stored()
    assert backlog.wait_stored(0)


@pytest.mark.parametrize("hurries", [False, True])
def test_of_many_that_weigh_much_a_part_is_taken_so_that_they_do_not_pile_up(hurries: bool) -> None:
    backlog = Backlog()
    for number in range(320):
        backlog.put(Note(f"trace {number}", weight=1))
    assert taken(backlog, hurries=hurries) == [20, 19, 18]


def test_who_waits_waits_for_hardly_anything_that_weighs_much() -> None:
    backlog = Backlog()
    for number in range(20):
        backlog.put(Note(f"trace {number}", weight=1))
    assert taken(backlog, hurries=True) == [2, 2, 1]
    assert taken(backlog, hurries=False) == [8, 7, 0]


def taken(backlog: Backlog, *, hurries: bool) -> list[int]:
    """How many are taken in three transactions, each of which somebody may wait for."""
    counts = []
    for _ in range(3):
        if hurries:
            backlog.hurry()
        counts.append(len(backlog.take()))
        backlog.stored()
    return counts


def test_the_whole_is_taken_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.backlog, "MOST_HEAVY", 2)
    backlog = Backlog()
    for number in range(3):
        backlog.put(Note(f"trace {number}", weight=10))
    assert len(backlog.take(whole=True)) == 3
