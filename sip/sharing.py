"""What other servers on the same database have done with registrations, done here too.

Pure; guarded by the core lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from sip.admission import Admission
from sip.errors import ParseError
from sip.exchange import Exchange
from sip.facts import Departure
from sip.flow import Flow
from sip.keepalive import NatKeepAlive
from sip.location import Binding
from sip.recorder import restored
from sip.snapshots import NumberRecord, StoredBinding

log = logging.getLogger(__name__)

YOUNG_S: Final = 10.0
"""Longer than it takes to read the database, and to write what has changed."""


class Sharing:
    """Invariant: a binding that another server holds is here under its name, and tells nobody of its end."""

    def __init__(
        self, exchange: Exchange, admission: Admission, keepalive: NatKeepAlive, keep: Callable[[Binding], int]
    ) -> None:
        """`keep(binding)` has a binding of ours written again."""
        self._x = exchange
        self._admission = admission
        self._keepalive = keepalive
        self._keep = keep

    def follow(
        self, changed: Iterable[StoredBinding], gone: Iterable[str], records: Iterable[NumberRecord], now: float
    ) -> None:
        """`changed` bindings stand in the database as they are now, those with these ids do not any more."""
        location = self._x.location
        for stored in changed:
            self._put(stored, now)
        for binding_id in gone:
            binding = location.by_id(binding_id)
            if binding is not None:
                self._drop(binding, Departure.ADMINISTRATOR, now)
        for record in records:
            location.raise_record(record)

    def reconcile(self, present: Iterable[StoredBinding], records: Iterable[NumberRecord], now: float) -> None:
        """`present` and `records` are all that stands in the database.  What is ours and missing there is written
        again, unless it is so young that it may be about to be; what was another's and is missing is gone."""
        present = list(present)
        self.follow(present, (), records, now)
        ids = {stored.binding_id for stored in present}
        for binding in [each for each in self._x.location.all() if each.binding_id not in ids]:
            if binding.server:
                self._x.location.forget(binding)
            elif binding.last_seen_at < self._x.wall(now) - YOUNG_S:
                self._keep(binding)

    def _put(self, stored: StoredBinding, now: float) -> None:
        """`server` is "" for a binding of ours, which needs no telling."""
        location = self._x.location
        known = location.by_id(stored.binding_id)
        if not stored.server or (known is not None and not known.server and known.last_seen_at > stored.last_seen_at):
            # What we know is newer, and about to be written.
            return
        try:
            binding = restored(stored, _flow(stored), self._x.wall(now) - now)
        except ParseError as error:
            log.warning("a registration of %s at %s can't be read: %s", stored.number, stored.server, error)
            return
        if known is not None:
            if known.server:
                location.forget(known)
            else:
                log.info("%s has moved to the server %s", known.number, stored.server)
                self._drop(known, Departure.MOVED, now)
        if binding.expires > now:
            location.restore(binding)

    def _drop(self, binding: Binding, why: Departure, now: float) -> None:
        if not binding.server:
            self._x.location.note_departure(binding.departure(why, self._x.wall(now)))
            self._admission.unbound(binding)
            self._keepalive.unbound(binding)
        self._x.location.forget(binding)


def _flow(stored: StoredBinding) -> Flow:
    """As its server sees the phone; nothing is sent that way from here."""
    return Flow(stored.transport, stored.local_host, stored.local_port, stored.remote_host, stored.remote_port)
