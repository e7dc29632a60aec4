"""A thread that the server can't do without: when a fault ends its loop, the loop begins anew.

The loops catch what messages, peers and disks bring about, one by one.  This is for what gets through: a fault of the
loop itself, or a library that ends the thread it is called in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from faults import FaultLog

log = logging.getLogger(__name__)

TOLD_FOR_S = 3600.0
"""How long a new beginning counts as a problem; then it is history, which the log and the count of faults keep."""

_PAUSE_S = 0.1
"""Before the loop begins anew, so that a fault that stays does not take the interpreter from the calls."""


class LastingThread(threading.Thread):
    """Invariant: it ends when its loop returns, and not otherwise, unless nobody wants it to go on."""

    def __init__(self, name: str, loop: Callable[[], None], is_stopping: Callable[[], bool]) -> None:
        super().__init__(name=name, daemon=True)
        self.restarts = 0
        """How often the loop has begun anew."""
        self._restarted_at = 0.0
        self._loop = loop
        self._is_stopping = is_stopping
        self._faults = FaultLog(log, name)

    def run(self) -> None:
        while True:
            try:
                self._loop()
            except BaseException as error:  # noqa: BLE001 - also SystemExit, which ends a thread without a word
                self._faults.note(error, time.monotonic(), "the thread %s met a fault and begins anew", self.name)
            else:
                return
            if self._is_stopping():
                return
            self._restarted_at = time.monotonic()
            self.restarts += 1
            time.sleep(_PAUSE_S)

    def problems(self) -> tuple[str, ...]:
        """As clauses without capital and full stop."""
        if not self.restarts or time.monotonic() - self._restarted_at > TOLD_FOR_S:
            return ()
        return (f"the thread {self.name} met a fault and was restarted, {self.restarts} times by now; see the log",)
