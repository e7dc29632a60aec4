"""The short form of `python -m tests.soak.run`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sip.timers import TimerSettings
from tests.soak import level, run
from tests.soak.core import Bench
from tests.soak.level import Level
from tests.soak.run import Report, soak_core, soak_server
from tests.support.harness import CoreHarness


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WARM_UP_ROUNDS", 1)
    monkeypatch.setattr(run, "TIMERS", TimerSettings(t1_s=0.01, t2_s=0.05, t4_s=0.05, timer_d_s=0.7))


def test_nothing_stays_behind_in_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few calls would not show a leak of one object each beside the margin of the long run."""
    monkeypatch.setattr(level, "MARGIN_BLOCKS", 2_000)
    report = Report()

    soak_core(3_000, 300, 1, report)

    assert report.leaks == []
    figures = report.figures
    assert figures["REGISTER"] > 3_000
    assert figures["calls aborted"] > 50
    assert figures["phones that died in the call"] > 5


def test_nothing_stays_behind_in_the_server(tmp_path: Path) -> None:
    report = Report()

    soak_server(1, 1, tmp_path, report)

    assert report.leaks == []
    assert report.figures["both die in the call"] == 2


def test_a_core_that_forgets_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(random.Random(1))
    bench.call()
    monkeypatch.setattr(CoreHarness, "advance", lambda _office, _seconds: None)

    with pytest.raises(AssertionError):
        bench.end()


def test_what_grew_is_named() -> None:
    before = Level(100_000, 50_000, ("MainThread",), 10)
    after = Level(200_000, 90_000, ("MainThread", "sip-udp"), 12)

    assert list(before.leaks_since(before)) == []
    assert list(after.leaks_since(before)) == [
        "100000 blocks of memory more than before",
        "40000 KiB more than before",
        "threads were ('MainThread',) and are ('MainThread', 'sip-udp')",
        "10 descriptors were open, 12 are",
    ]
