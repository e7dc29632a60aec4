"""What ended calls leave, until it is written: once soon after the end, and again if more has come by the time the call
is forgotten.  Pure; guarded by the core lock.

Invariant: a call that is `in` has its journal and the record of its media, which are counted against one budget for all
of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sip.journal import Budget
from sip.timers import TimerLane, TimerQueue
from sip.trace import NO_MEDIA

if TYPE_CHECKING:
    from sip.call import Call

JOURNAL_BUDGET = 8 * 1024 * 1024
"""Bytes kept for ended calls; beyond it the oldest are written early and lose theirs."""

TRACE_AFTER_S = 2.0
"""Seconds from the end of a call to the writing of its trace: most of its last messages are there by then."""
_GATHER_S = 0.5
"""It may be written so much earlier: traces that are packed together cost half."""


class TraceKeeper:
    """Ended calls that still have their journal, in the order in which they ended."""

    def __init__(self, timers: TimerQueue, write: Callable[[Call], object]) -> None:
        """`write(call)` hands over what a call has left by now."""
        self._write = write
        self._calls: dict[Call, int] = {}
        """With the size of their media records."""
        self._settling: TimerLane[Call] = TimerLane(timers, TRACE_AFTER_S, self._settled_down, _GATHER_S)
        self.budget = Budget(JOURNAL_BUDGET)

    def __contains__(self, call: Call) -> bool:
        return call in self._calls

    def take(self, call: Call, now: float) -> None:
        """It has ended.  Late messages are still noted, as long as there is room for what ended calls have left."""
        call.journal.move_to(self.budget)
        self._calls[call] = size = call.media_record.size
        self.budget.used += size
        self._settling.append(call, now)
        while self.budget.used > self.budget.limit:
            self.let_go(next(iter(self._calls)))

    def let_go(self, call: Call) -> None:
        """From here on its record is elsewhere."""
        if call in self._calls:
            self.write(call)
            self.budget.used -= self._calls.pop(call)
            call.journal.clear()
            call.media_record = NO_MEDIA

    def write_all(self) -> None:
        """Nothing more will come."""
        for call in self._calls:
            self.write(call)

    def write(self, call: Call) -> None:
        """What the call has left until now, unless that was written before."""
        if call.journal.noted > call.traced:
            call.traced = call.journal.noted
            self._write(call)

    def _settled_down(self, call: Call, _now: float) -> None:
        if call in self._calls:
            self.write(call)
