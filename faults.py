"""Faults of the program: counted by the place that they ended in, and each kind logged when it first appears, then at
most once a minute.

Whoever can send packets can repeat a fault, and must not be able to fill the disk with its traceback.  `now` is
monotonic seconds.  Any thread may note a fault, under whatever lock it holds: the leaf `_lock` guards all that is
remembered here, and is let go before anything is logged.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

INTERVAL_S: Final = 60.0
"""Between two lines about the same kind of fault."""

MAX_KINDS: Final = 64
"""Kinds remembered in one place; beyond them all are forgotten, and told anew."""

_Kind = tuple[str, str, int]

_lock = threading.Lock()
_counts: dict[str, int] = {}


def fault_counts() -> dict[str, int]:
    """Faults since the process began, logged or not, by place; a place that has met none is there with 0."""
    with _lock:
        return dict(_counts)


class FaultLog:
    """Faults of the same type from the same line of the program are of one kind.

    Invariant: a kind is in `_silent_until` since it was last logged, with how often it came from then on in `_unsaid`.
    """

    __slots__ = ("_log", "_place", "_silent_until", "_unsaid", "met")

    def __init__(self, log: logging.Logger, place: str) -> None:
        """`place` is the thread or part of the program that goes on after the fault; several may share one."""
        self._log = log
        self._place = place
        self.met = 0
        """Those noted here, logged or not."""
        self._silent_until: dict[_Kind, float] = {}
        self._unsaid: dict[_Kind, int] = {}
        with _lock:
            _counts.setdefault(place, 0)

    def note(self, error: BaseException, now: float, text: str, *arguments: object) -> None:
        """A fault of the program: an error with its traceback."""
        kind = _kind_of(error)
        if (unsaid := self._take(kind, now)) is not None:
            self._say(logging.ERROR, unsaid, text, arguments, error)

    def warn(self, error: OSError, now: float, text: str, *arguments: object) -> None:
        """A fault of the system, such as a full buffer: a warning in one line, one kind for each errno."""
        kind = (type(error).__name__, text, error.errno or 0)
        if (unsaid := self._take(kind, now)) is not None:
            self._say(logging.WARNING, unsaid, f"{text}: %s", (*arguments, error.strerror or error), None)

    def count(self) -> None:
        """One more, which whoever met it has logged."""
        with _lock:
            self._add()

    def _add(self) -> None:
        self.met += 1
        _counts[self._place] += 1

    def _take(self, kind: _Kind, now: float) -> int | None:
        """Count it; None when nothing is to be said of it now, else how often it came since something was."""
        with _lock:
            self._add()
            if now < self._silent_until.get(kind, now):
                self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
                return None
            if len(self._silent_until) >= MAX_KINDS:
                self._silent_until.clear()
                self._unsaid.clear()
            self._silent_until[kind] = now + INTERVAL_S
            return self._unsaid.pop(kind, 0)

    def _say(
        self, level: int, unsaid: int, text: str, arguments: tuple[object, ...], error: BaseException | None
    ) -> None:
        if unsaid:
            text, arguments = f"{text} (and %d times more since this was last said)", (*arguments, unsaid)
        self._log.log(level, text, *arguments, exc_info=error)


def _kind_of(error: BaseException) -> _Kind:
    """Type and place: the line that raised it."""
    trace = error.__traceback__
    if trace is None:
        return type(error).__name__, "", 0
    while trace.tb_next is not None:
        trace = trace.tb_next
    return type(error).__name__, trace.tb_frame.f_code.co_filename, trace.tb_lineno
