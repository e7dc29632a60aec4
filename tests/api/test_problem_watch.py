from __future__ import annotations

from api.problem_watch import ProblemWatch
from tests.support.events import FakeEvents


def test_a_problem_is_told_when_it_appears_and_when_it_is_gone() -> None:
    events = FakeEvents()
    watch = ProblemWatch(events)
    for problems in ((), ("the disk is full",), ("the disk is full",), (), ()):
        watch.look(problems, 1_000.0)
    assert [told.content for told in events.of("server.warning")] == [
        {"problem": "the disk is full", "resolved": False},
        {"problem": "the disk is full", "resolved": True},
    ]


def test_a_count_that_grows_is_no_news() -> None:
    events = FakeEvents()
    watch = ProblemWatch(events)
    for count in range(1, 50):
        watch.look([f"{count} log lines were never written"], 1_000.0)
    assert len(events.told) == 1
