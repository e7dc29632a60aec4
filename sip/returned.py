"""Datagrams that came back without saying which: ICMP of many routers quotes no more than the ports (RFC 792).

Such a word may be forged by anybody who can guess two ports, so it ends no transaction; it explains why one has ended.
Pure; guarded by the core lock.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_PLACES: Final = 1_000


class ReturnedMail:
    """Invariant: `_places` holds at most `MAX_PLACES` addresses, the one heard of last at the end."""

    def __init__(self) -> None:
        self._places: OrderedDict[tuple[str, int], tuple[float, str]] = OrderedDict()

    def note(self, host: str, port: int, why: str, now: float) -> None:
        """Something that was sent there has come back."""
        self._places[host, port] = (now, why)
        self._places.move_to_end((host, port))
        if len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)

    def why(self, remote: tuple[str, int], since: float) -> str:
        """What has been said of that address since then, "" nothing."""
        at, why = self._places.get(remote, (0.0, ""))
        return why if at >= since else ""
