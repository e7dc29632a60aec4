"""How a process that does nothing but serve sets up its Python interpreter.

For the main thread only; an embedded `SipServer` leaves its host's interpreter alone.
"""

from __future__ import annotations

import gc
import sys

_SWITCH_INTERVAL_S = 0.0005

_WORTH_IT = 10_000
"""New objects that a collection is worth while no call is up."""

_PRESSING = 500_000
"""New objects that must be looked at even during calls: some 100 MB."""


def tune() -> None:
    """Keep the interpreter from holding up media and signalling.

    What calls and registrations leave behind is freed by reference counts, at once (tests see to it that there are no
    cycles); the garbage collector, which stops every thread while it looks at every object, only finds what libraries
    and faults leave.  So it does not run by itself any more, and `collect_when_due` runs it.  A thread waits less for
    its turn beside a busy one.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def collect_when_due(*, busy: bool) -> bool:
    """Collect garbage if it is time to; whether it did.  `busy`: somebody would hear the pause."""
    # While the collector is off, this is how many container objects more there are than after the last collection.
    fresh = gc.get_count()[0]
    if fresh < (_PRESSING if busy else _WORTH_IT):
        return False
    gc.collect()
    return True
