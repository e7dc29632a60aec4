"""The diary of failed registrations: who could not register, from where, and why, for the person who sets up phones.

Pure; guarded by the core lock.  All of it comes from the network, so all of it is bounded, texts included.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from sip.facts import Denial
from sip.snapshots import RegistrationFailure
from sip.sources import source_of

MAX_ENTRIES: Final = 2_000
"""Entries in all; one more drops the oldest of the source that failed longest ago."""

MAX_PER_SOURCE: Final = 50
"""Entries of one source: a scan of every number leaves room for the phone whose password is wrong."""

MAX_TEXT: Final = 120
"""Characters kept of what a phone says of itself."""

_Key = tuple[str, str, str, int, str]


class RegistrationDiary:
    """Invariants: `_sources` stands in the order of the last failure, and so do the entries of each source; `_count` is
    their number, at most `max_entries`, and no source is without entries."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_per_source: int = MAX_PER_SOURCE) -> None:
        self._max_entries = max_entries
        self._max_per_source = max_per_source
        self._sources: OrderedDict[str, OrderedDict[_Key, RegistrationFailure]] = OrderedDict()
        self._count = 0
        self.noted = 0
        """Failures since the start, forgotten ones included."""

    def __len__(self) -> int:
        """Entries."""
        return self._count

    def note(
        self,
        number: str,
        address: str,
        transport: str,
        user_agent: str,
        status: int,
        reason: str,
        now_at: float,
        denial: Denial,
    ) -> RegistrationFailure:
        """One refused REGISTER, with those alike before it; `now_at` is wall clock, `reason` our own sentence, the same
        one for alike failures."""
        self.noted += 1
        number = number[:MAX_TEXT]
        source = source_of(address)
        entries = self._sources.setdefault(source, OrderedDict())
        key = (number, address, transport, status, reason)
        before = entries.pop(key, None)
        entries[key] = failure = RegistrationFailure(
            number=number,
            address=address,
            transport=transport,
            user_agent=user_agent[:MAX_TEXT],
            status=status,
            reason=reason,
            first_at=before.first_at if before is not None else now_at,
            last_at=now_at,
            count=before.count + 1 if before is not None else 1,
            denial=denial,
        )
        self._sources.move_to_end(source)
        if before is None:
            self._count += 1
            if len(entries) > self._max_per_source:
                self._drop_oldest(source)
            elif self._count > self._max_entries:
                self._drop_oldest(next(iter(self._sources)))
        return failure

    def snapshots(self) -> tuple[RegistrationFailure, ...]:
        """The latest failure first."""
        found = [entry for entries in self._sources.values() for entry in entries.values()]
        return tuple(sorted(found, key=lambda entry: entry.last_at, reverse=True))

    def _drop_oldest(self, source: str) -> None:
        entries = self._sources[source]
        entries.popitem(last=False)
        self._count -= 1
        if not entries:
            del self._sources[source]
