"""The garbage collector runs when nobody is on the phone, or when it must."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

import interpreter


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Whatever a test does to the interpreter is undone."""
    interval = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval)
    gc.unfreeze()
    gc.enable()
    gc.collect()


class Node:
    """Becomes garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def test_the_collector_no_longer_runs_by_itself() -> None:
    interpreter.tune()
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_quiet_server_collects_once_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "_WORTH_IT", 2_000)
    interpreter.tune()
    assert not interpreter.collect_when_due(busy=False)
    for _ in range(3_000):
        Node()
    assert interpreter.collect_when_due(busy=False)
    assert not interpreter.collect_when_due(busy=False), "nothing new since"


def test_during_calls_it_waits_until_memory_presses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "_WORTH_IT", 2_000)
    monkeypatch.setattr(interpreter, "_PRESSING", 10_000)
    interpreter.tune()
    for _ in range(3_000):
        Node()
    assert not interpreter.collect_when_due(busy=True)
    for _ in range(10_000):
        Node()
    assert interpreter.collect_when_due(busy=True)
