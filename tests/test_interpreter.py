"""Which interpreters will do; and the garbage collector, which runs when nobody is on the phone, or when it must."""

from __future__ import annotations

import gc
import logging
import sys
import weakref
from collections.abc import Iterator

import pytest

import interpreter
from interpreter import Collector

HOUR_S = 3600.0


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 15), (4, 0)])
def test_pythons_that_will_do(version: tuple[int, int]) -> None:
    assert interpreter.unfit("cpython", version) == ""


@pytest.mark.parametrize(
    ("implementation", "version", "given"),
    [
        ("cpython", (3, 10), "this is 3.10"),
        ("cpython", (2, 7), "this is 2.7"),
        ("pypy", (3, 11), "this is 3.11, as pypy has it"),
    ],
)
def test_others_are_told_so_in_a_sentence(implementation: str, version: tuple[int, int], given: str) -> None:
    needed = "sipserver needs Python 3.11 or newer from python.org (CPython)"
    assert interpreter.unfit(implementation, version) == f"{needed}; {given}"


def test_a_package_that_is_not_installed_is_named_with_what_to_do() -> None:
    assert interpreter.lacking(("flask", "waitress")) == ""
    why_not = interpreter.lacking(("flask", "no_such_package_at_all"))
    assert "no_such_package_at_all is not installed" in why_not
    assert "pip install -r requirements.txt" in why_not


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Made at second 0, with small limits; whatever it does to the interpreter is undone."""
    monkeypatch.setattr(interpreter, "_WORTH_IT", 2_000)
    monkeypatch.setattr(interpreter, "_PRESSING", 10_000)
    was_frozen = gc.get_freeze_count()
    yield Collector(0.0)
    gc.unfreeze()
    gc.enable()
    gc.collect()
    if was_frozen:
        gc.freeze()


class Cycle:
    """Once dropped, garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def drop(cycles: int) -> None:
    for _ in range(cycles):
        Cycle()


def test_while_the_program_starts_nothing_is_collected_and_threads_take_turns_quickly() -> None:
    interval_s, source_file = sys.getswitchinterval(), logging._srcfile
    sys.setswitchinterval(0.005)
    try:
        interpreter.begin()
        assert not gc.isenabled()
        assert sys.getswitchinterval() < 0.005
    finally:
        gc.enable()
        sys.setswitchinterval(interval_s)
        logging.logProcesses = logging.logMultiprocessing = True
        logging._srcfile = source_file


def test_garbage_is_no_longer_collected_unasked(collector: Collector) -> None:
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_quiet_server_collects_what_does_not_go_by_itself(collector: Collector) -> None:
    passing_s = interpreter._PASSING_S
    assert not collector.collect_when_due(1.0, busy=False)
    drop(3_000)
    assert not collector.collect_when_due(2.0, busy=False), "it may be gone in a moment"
    assert not collector.collect_when_due(1.0 + passing_s, busy=False)
    assert collector.collect_when_due(2.0 + passing_s, busy=False)
    assert not collector.collect_when_due(3.0 + 2 * passing_s, busy=False), "nothing new since"


def test_what_has_gone_by_itself_is_not_waited_for_by_what_comes_next(collector: Collector) -> None:
    passing_s = interpreter._PASSING_S
    passing = [[] for _ in range(3_000)]
    assert not collector.collect_when_due(1.0, busy=False)
    passing.clear()
    assert not collector.collect_when_due(passing_s, busy=False)
    passing.extend([] for _ in range(3_000))
    assert not collector.collect_when_due(1.0 + passing_s, busy=False), "these are new"
    assert collector.collect_when_due(1.0 + 2 * passing_s, busy=False)


def test_during_calls_it_waits_until_memory_presses(collector: Collector) -> None:
    late_s = interpreter._PATIENCE_S + 1.0
    drop(3_000)
    assert not collector.collect_when_due(late_s, busy=True)
    drop(10_000)
    assert collector.collect_when_due(late_s, busy=True)


def test_during_calls_it_is_patient_as_long_as_it_finds_nothing(collector: Collector) -> None:
    patience_s = interpreter._PATIENCE_S
    alive = [Cycle() for _ in range(12_000)]
    assert not collector.collect_when_due(patience_s - 1.0, busy=True), "what is new now may go by itself"
    assert collector.collect_when_due(patience_s, busy=True)
    drop(12_000)
    assert not collector.collect_when_due(patience_s + 1.0, busy=True)
    assert collector.collect_when_due(2 * patience_s, busy=True)
    drop(12_000)
    assert collector.collect_when_due(2 * patience_s + 1.0, busy=True), "it found garbage, so it stays on the alert"
    assert len(alive) == 12_000


def test_what_was_alive_once_is_looked_at_again_after_an_hour(collector: Collector) -> None:
    late = Cycle()
    gone = weakref.ref(late)
    drop(3_000)
    assert collected_in_time(collector, 1.0)
    del late
    drop(3_000)
    assert collected_in_time(collector, 60.0)
    assert gone() is not None, "frozen"
    drop(11_000)
    assert collector.collect_when_due(HOUR_S, busy=True)
    assert gone() is not None, "not while somebody would hear it"
    drop(3_000)
    assert collected_in_time(collector, HOUR_S)
    assert gone() is None


def collected_in_time(collector: Collector, now: float) -> bool:
    """Whether a server that is quiet from then on collects."""
    return not collector.collect_when_due(now, busy=False) and collector.collect_when_due(
        now + interpreter._PASSING_S, busy=False
    )
