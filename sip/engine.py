"""What the rest of the program asks of signalling: commands and snapshots, each a moment under the core lock.

JSON, and all else that takes a while, is made of what comes back when the lock is free again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from config import Config
from sip.addresses import address_towards, is_wildcard
from sip.credentials import Credentials
from sip.driver import Driver
from sip.errors import ParseError
from sip.flood import REGISTERED_FACTOR, SourceGuard
from sip.flow import Flow
from sip.snapshots import (
    BanSnapshot,
    CallSnapshot,
    CallTotals,
    NumberRecord,
    PresenceSnapshot,
    QualityResult,
    RegistrationFailure,
    RegistrationSnapshot,
    SignallingFigures,
    StoredBinding,
    TerminationReason,
)
from sip.trace import CallTrace, record_of, trace_of

log = logging.getLogger(__name__)

_BY_ADMINISTRATOR = "ended by the administrator"


class SipEngine(Driver):
    """The driver with what it can be asked for.  Every method may be called from any thread."""

    def restore(self, bindings: Iterable[StoredBinding], records: Iterable[NumberRecord]) -> int:
        """Take over the registrations of an earlier run, before `start`; how many can be called now.

        Connections are gone: phones on TCP are connected to anew, those on TLS have to come back themselves.
        """
        now, count = time.monotonic(), 0
        with self._lock:
            for record in records:
                self._core.restore_record(record)
            for stored in bindings:
                port = self.tls_port if stored.transport == "TLS" else self.port
                local_host = self._addresses.local_host(stored.remote_host)
                flow = Flow(stored.transport, local_host, port, stored.remote_host, stored.remote_port)
                try:
                    count += self._core.restore_binding(stored, flow, now)
                except ParseError as error:
                    log.warning("a kept registration of %s can't be read: %s", stored.number, error)
        return count

    def peer_address(self, database_host: str) -> str:
        """Where other servers on the database at that address ("": on this machine) reach this one."""
        config = self._config
        host = config.peer_address or ("" if is_wildcard(config.sip_host) else config.sip_host)
        if not host:
            host = address_towards(database_host)
        self._addresses.add_own(host)
        return host

    def set_neighbours(
        self, me: str, key: bytes, clock_offset: float, addresses: Mapping[str, tuple[str, int]]
    ) -> None:
        """These other servers on the database are alive, and reached there (`Neighbours.update`)."""
        flows = {
            name: Flow("UDP", self._addresses.local_host(host), self.port, host, port)
            for name, (host, port) in addresses.items()
        }
        with self._lock:
            self._core.set_neighbours(me, key, clock_offset, flows)

    def follow_bindings(
        self, changed: Sequence[StoredBinding], gone: Sequence[str], records: Sequence[NumberRecord]
    ) -> None:
        """Other servers have done that with registrations (`Sharing.follow`)."""
        with self._lock:
            self._core.sharing.follow(changed, gone, records, time.monotonic())
            self._carry_out()

    def reconcile_bindings(self, present: Sequence[StoredBinding], records: Sequence[NumberRecord]) -> None:
        """That is what stands in the database (`Sharing.reconcile`)."""
        with self._lock:
            self._core.sharing.reconcile(present, records, time.monotonic())
            self._carry_out()

    def remove_registrations(self, number: str) -> int:
        with self._lock:
            removed = self._core.remove_registrations(number, time.monotonic())
            self._carry_out()
            return removed

    def clear_registrations(self) -> int:
        with self._lock:
            removed = self._core.clear_registrations(time.monotonic())
            self._carry_out()
            return removed

    def clear_calls(self) -> int:
        """Hang up every call on both phones; how many there were."""
        with self._lock:
            ended = self._core.end_calls(TerminationReason.ADMIN, _BY_ADMINISTRATOR, time.monotonic())
            self._carry_out()
            return ended

    def end_call(self, call_id: str) -> bool:
        """Hang up the call with that Call-ID on both phones; whether it was in progress."""
        with self._lock:
            ended = self._core.end_call(call_id, TerminationReason.ADMIN, _BY_ADMINISTRATOR, time.monotonic())
            self._carry_out()
            return ended > 0

    def dial(self, from_number: str, to_number: str, *, auto_answer: bool) -> CallSnapshot:
        """Connect two numbers; the call that begins.  Raises `DialRefused`."""
        with self._lock:
            call = self._core.dial(from_number, to_number, time.monotonic(), auto_answer=auto_answer)
            self._carry_out()
            return call

    def drain(self) -> int:
        """Take no new calls from now on; how many there still are."""
        with self._lock:
            return self._core.drain()

    def registrations(self) -> tuple[RegistrationSnapshot, ...]:
        with self._lock:
            return self._core.registrations(time.monotonic())

    def presence(self, number: str) -> PresenceSnapshot:
        with self._lock:
            return self._core.presence(number, time.monotonic())

    def presences(self) -> list[PresenceSnapshot]:
        """Of every number that is registered, or has been since the start."""
        with self._lock:
            return self._core.presences(time.monotonic())

    def clock_set(self) -> tuple[float, float] | None:
        """When the clock of this machine was last set (wall clock), and by how many seconds."""
        with self._lock:
            return self._core.clock_set

    def credentials(self) -> Credentials:
        """The passwords in force; they never change."""
        with self._lock:
            return self._core.admission.credentials

    def local_host(self, peer: str) -> str:
        """The address of this server that a phone there is told."""
        return self._addresses.local_host(peer)

    def rate_limited(self) -> dict[str, float]:
        """Sources whose messages were dropped for SIP_RATE_LIMIT, and when the last was, wall clock."""
        offset = time.time() - time.monotonic()
        return {source: at + offset for source, at in self._guard.recently_dropped()}

    def set_credentials(self, credentials: Credentials) -> int:
        """Have these passwords in force; how many registrations that ended."""
        with self._lock:
            return self._core.set_credentials(credentials, time.monotonic())

    def configure(self, config: Config) -> int:
        """Go by these settings from now on, as far as they can change while the server runs; how many registrations
        that ended.  A connection keeps the limit that it began with."""
        rate, before, self._config = config.sip_rate_limit, self._config.sip_rate_limit, config
        if rate != before:
            self._guard = SourceGuard(rate, self._core.admission.live.__contains__, dropped=self._guard.dropped)
            for each in self._streams:
                each.limits = replace(each.limits, messages_per_s=rate * REGISTERED_FACTOR)
        with self._lock:
            ended = self._core.configure(config, time.monotonic())
            self._carry_out()
            return ended

    def numbers_with_password(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._core.admission.credentials.numbers())

    def bans(self) -> tuple[BanSnapshot, ...]:
        """Those in force, newest first."""
        with self._lock:
            return self._core.admission.bans.snapshots(time.monotonic(), time.time())

    def add_ban(self, address: str, duration_s: float | None, reason: str) -> BanSnapshot:
        """Raises `ValueError`: no address, or no more room."""
        with self._lock:
            return self._core.admission.add_ban(address, duration_s, reason, time.monotonic())

    def lift_ban(self, address: str) -> bool:
        with self._lock:
            return self._core.admission.lift_ban(address, time.monotonic())

    def restore_bans(self, bans: tuple[BanSnapshot, ...]) -> int:
        """Put those of an earlier run in force; the revision of the list."""
        with self._lock:
            self._core.admission.bans.restore(bans, time.monotonic(), time.time())
            return self._core.admission.bans.revision

    def follow_bans(self, made: Iterable[BanSnapshot], lifted: Iterable[str]) -> None:
        """Do as another server has done."""
        with self._lock:
            self._core.admission.bans.follow(made, lifted, time.monotonic(), time.time())

    def bans_to_save(self) -> tuple[int, tuple[BanSnapshot, ...]]:
        """The revision of the list, and the list without what is over."""
        with self._lock:
            bans, now = self._core.admission.bans, time.monotonic()
            self._core.admission.expire_bans(now)
            return bans.revision, bans.snapshots(now, time.time())

    def registration_failures(self) -> tuple[RegistrationFailure, ...]:
        """Newest first."""
        with self._lock:
            return self._core.admission.diary.snapshots()

    def has_calls(self) -> bool:
        with self._lock:
            return self._core.has_calls()

    def calls(self) -> tuple[CallSnapshot, ...]:
        with self._lock:
            return self._core.calls()

    def quality_results(self) -> tuple[QualityResult, ...]:
        """Newest first."""
        with self._lock:
            return self._core.quality_results()

    def call_trace(self, call_id: str, invited_at: float | None) -> CallTrace | None:
        """All about a call that is live or ended less than a minute ago; None: it may be in the store."""
        with self._lock:
            found = self._core.call_trace(call_id, invited_at, time.monotonic())
        return None if found is None else trace_of(found.call, found.media, record_of(found.source))

    def call_totals(self) -> CallTotals:
        with self._lock:
            return self._core.call_totals()

    def figures(self) -> SignallingFigures:
        streams = {each.name.lower(): each.figures() for each in self._streams}
        connections = {name: count for name, (count, _) in streams.items()}
        queued = sum(waiting for _, waiting in streams.values())
        with self._lock:
            return self._core.figures(self._guard.dropped, connections, queued)
