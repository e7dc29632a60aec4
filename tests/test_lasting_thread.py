"""A loop that begins anew after a fault, and says so for a while."""

from __future__ import annotations

import threading

import pytest

import lasting_thread
from faults import fault_counts
from lasting_thread import TOLD_FOR_S, LastingThread

LIMIT_S = 20.0


class Loop:
    """Meets the faults it is given, one in each run, then ends in order."""

    def __init__(self, *faults: BaseException) -> None:
        self.faults = list(faults)
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.faults:
            raise self.faults.pop(0)


@pytest.fixture(autouse=True)
def without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting_thread, "_PAUSE_S", 0.0)


def test_whatever_ends_it_it_begins_anew() -> None:
    before = fault_counts().get("loop-of-a-test", 0)
    loop = Loop(ValueError("a value"), SystemExit(), KeyboardInterrupt())
    thread = LastingThread("loop-of-a-test", loop, lambda: False)
    thread.start()
    thread.join(LIMIT_S)

    assert (loop.runs, thread.restarts) == (4, 3)
    assert fault_counts()["loop-of-a-test"] == before + 3
    assert thread.problems() == (
        "the thread loop-of-a-test met a fault and was restarted, 3 times by now; see the log",
    )


def test_not_when_the_program_ends() -> None:
    stopping = threading.Event()
    stopping.set()
    loop = Loop(ValueError("a value"))
    thread = LastingThread("loop-of-a-test", loop, stopping.is_set)
    thread.start()
    thread.join(LIMIT_S)

    assert (loop.runs, thread.restarts, thread.problems()) == (1, 0, ())


def test_after_an_hour_it_is_history(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = LastingThread("loop-of-a-test", Loop(ValueError("a value")), lambda: False)
    thread.start()
    thread.join(LIMIT_S)
    assert thread.problems()

    later = thread._restarted_at + TOLD_FOR_S + 1
    monkeypatch.setattr(lasting_thread.time, "monotonic", lambda: later)
    assert thread.problems() == ()
