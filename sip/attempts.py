"""How often a phone that wants to register was asked for its password in vain.

Pure; guarded by the core lock.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from sip.facts import Denial

MAX_PHONES: Final = 2_000


class Attempts:
    """Invariant: `_phones` holds at most `MAX_PHONES`, the one that tried last at the end."""

    def __init__(self) -> None:
        self._phones: OrderedDict[tuple[str, str], Counter[Denial]] = OrderedDict()

    def __len__(self) -> int:
        """Phones that have tried in vain lately."""
        return len(self._phones)

    def count(self, host: str, number: str, denial: Denial) -> int:
        """One more; how often it has happened since the phone was last let in, or refused for good."""
        found = self._phones.setdefault((host, number), Counter())
        self._phones.move_to_end((host, number))
        found[denial] += 1
        if len(self._phones) > MAX_PHONES:
            self._phones.popitem(last=False)
        return found[denial]

    def forget(self, host: str, number: str) -> None:
        """It was let in, or refused for good."""
        self._phones.pop((host, number), None)
