"""Faults that come again and again: each kind is logged when it first appears, then at most once a minute.

Whoever can send packets can repeat a fault, and must not be able to fill the disk with its traceback.  Pure: `now` is
monotonic seconds.  No lock: a lost count between two threads only makes a number in the log too small.
"""

from __future__ import annotations

import logging
from typing import Final

INTERVAL_S: Final = 60.0
"""Between two lines about the same kind of fault."""

MAX_KINDS: Final = 64
"""Kinds remembered; beyond them all are forgotten, and told anew."""

_Kind = tuple[str, str, int]


class FaultLog:
    """Faults of the same type from the same line of the program are of one kind.

    Invariant: a kind is in `_silent_until` since it was last logged, with how often it came from then on in `_unsaid`.
    """

    __slots__ = ("_log", "_silent_until", "_unsaid", "count")

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self.count = 0
        """Faults since the start, logged or not."""
        self._silent_until: dict[_Kind, float] = {}
        self._unsaid: dict[_Kind, int] = {}

    def note(self, error: BaseException, now: float, text: str, *arguments: object) -> None:
        """A fault of the program: an error with its traceback."""
        kind = _kind_of(error)
        if self._is_due(kind, now):
            self._say(logging.ERROR, kind, text, arguments, error)

    def warn(self, error: OSError, now: float, text: str, *arguments: object) -> None:
        """A fault of the system, such as a full buffer: a warning in one line, one kind for each errno."""
        kind = (type(error).__name__, text, error.errno or 0)
        if self._is_due(kind, now):
            self._say(logging.WARNING, kind, f"{text}: %s", (*arguments, error.strerror or error), None)

    def _is_due(self, kind: _Kind, now: float) -> bool:
        self.count += 1
        if now < self._silent_until.get(kind, now):
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return False
        if len(self._silent_until) >= MAX_KINDS:
            self._silent_until.clear()
            self._unsaid.clear()
        self._silent_until[kind] = now + INTERVAL_S
        return True

    def _say(
        self, level: int, kind: _Kind, text: str, arguments: tuple[object, ...], error: BaseException | None
    ) -> None:
        unsaid = self._unsaid.pop(kind, 0)
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
