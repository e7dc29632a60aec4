"""What `/healthz` reports as a problem, told as an event when it appears and when it is gone. Thread `housekeeper`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sip.events import EventSink, EventType

_COUNT = re.compile(r"\d+")


class ProblemWatch:
    """Problems that differ by a count alone are one, or each line that is lost would be news."""

    def __init__(self, events: EventSink) -> None:
        self._events = events
        self._known: dict[str, str] = {}

    def look(self, problems: Iterable[str], now_at: float) -> None:
        """Tell what is new and what is over; `now_at` is wall clock."""
        found = {_COUNT.sub("#", problem): problem for problem in problems}
        for key in found.keys() - self._known.keys():
            self._tell(found[key], now_at, resolved=False)
        for key in self._known.keys() - found.keys():
            self._tell(self._known[key], now_at, resolved=True)
        self._known = found

    def _tell(self, problem: str, now_at: float, *, resolved: bool) -> None:
        self._events.emit(EventType.SERVER_WARNING, now_at, {"problem": problem, "resolved": resolved})
