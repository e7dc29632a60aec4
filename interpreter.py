"""Which Python interpreter the program runs in, and how a process that does nothing but serve sets it up.

For the main thread only; an embedded `SipServer` leaves its host's interpreter alone.  The first module to be loaded,
and written so that an interpreter that won't do can load it too: it says so in a sentence, where those that follow
would end in a traceback.  So it does of packages that are not installed.
"""

from __future__ import annotations

import gc
import logging
import sys
from importlib.util import find_spec

_OLDEST = (3, 11)
_MODULES = ("cryptography", "dotenv", "flask", "waitress")


def unfit(implementation: str, version: tuple[int, int]) -> str:
    """Why such an interpreter won't do, "" when it will; `version` is that of the language."""
    if implementation == "cpython" and version >= _OLDEST:
        return ""
    kind = "" if implementation == "cpython" else f", as {implementation} has it"
    return f"sipserver needs Python 3.11 or newer from python.org (CPython); this is {version[0]}.{version[1]}{kind}"


def lacking(modules: tuple[str, ...]) -> str:
    """What to do when one of these is not installed, "" when all are."""
    for name in modules:
        if find_spec(name) is None:
            return (
                f"sipserver needs the packages in requirements.txt, and {name} is not installed here.  In the "
                "directory of sipserver.py:\n\n"
                "  python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python sipserver.py"
            )
    return ""


_why_not = unfit(sys.implementation.name, sys.version_info[:2]) or lacking(_MODULES)
if _why_not:
    sys.exit(_why_not)

_SWITCH_INTERVAL_S = 0.0005

_WORTH_IT = 10_000
"""New objects that a collection is worth while no call is up ..."""

_PASSING_S = 40.0
"""... if there have been so many all this time.  What calls and registrations make lives for about half a minute, in
their transactions, and goes without having been looked at."""

_PRESSING = 100_000
"""New objects that are looked at even during calls; that takes some 50 ms."""

_PATIENCE_S = 120.0
"""How long such a look is put off when the last one found next to nothing."""

_FULL_EVERY_S = 3600.0
"""How often, at most, all objects are looked at, also those that were found alive before."""


def begin() -> None:
    """While the program starts nothing is collected, and the threads that serve phones already wait less for their turn
    beside the one that still loads; the latter stays so."""
    gc.disable()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # What no line shows need not be asked of the system for each, nor sought on the stack.
    logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None


class Collector:
    """Keeps the garbage collector from being heard in calls.

    What calls and registrations leave behind is freed by reference counts, at once (tests see to it that there are no
    cycles).  The collector, which stops every thread while it looks at objects, only finds what libraries and faults
    leave; so it does not run by itself.  What it has found alive is frozen, which spares it from the next look.
    """

    def __init__(self, now: float) -> None:
        """From here on garbage waits for `collect_when_due`; times are monotonic seconds."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._full_at = now + _FULL_EVERY_S
        self._patient_until = now + _PATIENCE_S
        self._worth_it_since: float | None = None

    def collect_when_due(self, now: float, *, busy: bool) -> bool:
        """Collect if it is time to; whether it did.  `busy`: somebody would hear the pause."""
        # While the collector is off, this is how many container objects more there are than after the last collection.
        fresh = gc.get_count()[0]
        if fresh < _WORTH_IT:
            self._worth_it_since = None
            return False
        if self._worth_it_since is None:
            self._worth_it_since = now
        is_pressing = busy and fresh >= _PRESSING and now >= self._patient_until
        is_left_over = not busy and now - self._worth_it_since >= _PASSING_S
        if not (is_pressing or is_left_over):
            return False
        self._worth_it_since = None
        if not busy and now >= self._full_at:
            self._full_at = now + _FULL_EVERY_S
            gc.unfreeze()
        found = gc.collect()
        gc.freeze()
        self._patient_until = now + _PATIENCE_S if found < _WORTH_IT else now
        return True
