"""How many TCP and TLS connections there may be, in all and from one source.

One quota serves both transports; a leaf lock guards it.
"""

from __future__ import annotations

import threading

from sip.sources import source_of


class ConnectionQuota:
    """Invariant: `_by_source` counts the connections that were let in and have not left, and holds no zeros."""

    def __init__(self, total: int, per_source: int) -> None:
        self._total = total
        self._per_source = per_source
        self._by_source: dict[str, int] = {}
        self._count = 0
        self._lock = threading.Lock()

    def enter(self, host: str) -> bool:
        """Whether one more from that address is let in; whoever is let in calls `leave` once."""
        source = source_of(host)
        with self._lock:
            from_source = self._by_source.get(source, 0)
            if self._count >= self._total or from_source >= self._per_source:
                return False
            self._by_source[source] = from_source + 1
            self._count += 1
            return True

    def leave(self, host: str) -> None:
        source = source_of(host)
        with self._lock:
            self._count -= 1
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]
