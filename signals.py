"""What the operator says by signals: a handler only takes note and wakes the main thread, which does it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType


class Signals:
    """SIGINT and SIGTERM: stop; a second one ends the process at once.  SIGUSR1: take no new calls.  SIGHUP: read the
    settings again, unless it says that the terminal is gone in which the server runs: stop.  Windows has but SIGINT.

    For the main thread, which alone runs handlers."""

    def __init__(self) -> None:
        """From here on the signals are heard."""
        self.stop = False
        self._drain = False
        self._reload = False
        self._woken = threading.Event()
        self._has_terminal = _is_terminal()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop)
        if hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, self._on_drain)
            signal.signal(signal.SIGHUP, self._on_hangup)

    def wait(self, timeout_s: float) -> None:
        """Until a signal comes, or the time is over."""
        self._woken.wait(timeout_s)
        self._woken.clear()

    def take_drain(self) -> bool:
        """Whether that was asked for since the last time."""
        asked, self._drain = self._drain, False
        return asked

    def take_reload(self) -> bool:
        """Whether that was asked for since the last time."""
        asked, self._reload = self._reload, False
        return asked

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if self.stop:
            os._exit(128 + number)
        self.stop = True
        self._woken.set()

    def _on_drain(self, _number: int, _frame: FrameType | None) -> None:
        self._drain = True
        self._woken.set()

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        if self._has_terminal and not _is_terminal():
            self._on_stop(number, frame)
            return
        self._reload = True
        self._woken.set()


def _is_terminal() -> bool:
    """Standard input is a terminal that is still there."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
