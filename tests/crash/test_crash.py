"""The short form of `python -m tests.crash.run`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import run as crash


@pytest.fixture(autouse=True)
def short_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "LIVES_S", (0.3, 1.5))


def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    report = crash.Report()

    crash.run(3, 5, tmp_path, report)

    assert report.lost == []
    assert report.figures["kills"] == 3
    assert report.figures["REGISTER requests acknowledged"] > 20
    assert report.figures["calls ended"] > 3


def test_a_server_that_keeps_nothing_is_found_out(tmp_path: Path) -> None:
    report = crash.Report()

    crash.run(3, 5, tmp_path, report, DATA_DIR="")

    lost = "\n".join(report.lost)
    assert "100 is not registered any more" in lost
    assert ", and is not registered" in lost
    assert "is missing" in lost
