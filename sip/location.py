"""The location service: which devices can be reached under which number (RFC 3261 10, 16.5).

Pure; guarded by the core lock.  Invariant: every binding held has one running timer that fires at or before its
expiry, so an expired binding goes without anybody looking for it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from sip.flow import Flow
from sip.snapshots import ContactSnapshot, NumberRecord, RegistrationSnapshot
from sip.timers import Timer, TimerQueue
from sip.uri import Uri

log = logging.getLogger(__name__)

MAX_BINDINGS_PER_NUMBER = 10
"""Devices under one number; one more drops the one heard of longest ago."""


@dataclass(slots=True, eq=False)
class Binding:
    """One device: the Contact it gave, and the flow its REGISTER came by, which is how requests reach it.

    `contact` and `parameters` (the rest of the Contact, without expires) are kept to the letter.  `instance` names the
    device for as long as it exists, whatever its contact: `+sip.instance` with `reg-id`, "" when it gave none.
    `password_mark` (`Credentials.mark`) tells which password its last REGISTER has shown, "" none.  `kept_*`: in which
    form it was last given to the recorder.  Deadlines are monotonic seconds, `*_at` are wall clock.
    """

    number: str
    contact: Uri
    flow: Flow
    registered_at: float
    parameters: str = ""
    instance: str = ""
    call_id: str = ""
    cseq: int = 0
    expires: float = 0.0
    q: float = 1.0
    user_agent: str = ""
    behind_nat: bool = False
    last_seen_at: float = 0.0
    password_mark: str = ""
    binding_id: str = field(default_factory=lambda: secrets.token_hex(8))
    kept_as: tuple[object, ...] | None = field(default=None, repr=False)
    kept_expires: float = 0.0
    timer: Timer | None = field(default=None, repr=False)
    timer_deadline: float = 0.0

    @property
    def authenticated(self) -> bool:
        """Its last REGISTER has shown the password of the number."""
        return self.password_mark != ""

    def snapshot(self, now: float, now_at: float) -> ContactSnapshot:
        remaining = max(0.0, self.expires - now)
        return ContactSnapshot(
            uri=self.contact.text,
            address=self.flow.remote_host,
            port=self.flow.remote_port,
            transport=self.flow.transport,
            expires_s=int(remaining + 0.5),
            expires_at=now_at + remaining,
            registered_at=self.registered_at,
            last_seen_at=self.last_seen_at,
            user_agent=self.user_agent,
            behind_nat=self.behind_nat,
        )


class LocationObserver(Protocol):
    """Who wants to know what becomes of bindings."""

    def bound(self, binding: Binding, now: float) -> None:
        """Made or refreshed."""

    def unbound(self, binding: Binding) -> None:
        """Expired or removed."""


class LocationService:
    """Bindings by number."""

    def __init__(self, timers: TimerQueue, observer: LocationObserver) -> None:
        self._timers = timers
        self._observer = observer
        self._bindings: dict[str, list[Binding]] = {}
        self._counts: dict[str, int] = {}
        self._first_seen: dict[str, float] = {}

    # -------------------------------------------------------------------------------------------- reading

    def bindings(self, number: str) -> list[Binding]:
        """Live bindings of a number, most preferred first (16.6: by q), then the most recently registered."""
        found = self._bindings.get(number)
        if not found:
            return []
        if len(found) == 1:
            return [found[0]]
        # Sorting keeps the order of equals, so the last one registered comes first.
        return sorted(found, key=lambda binding: binding.q)[::-1]

    def numbers(self) -> list[str]:
        return list(self._bindings)

    def all(self) -> Iterator[Binding]:
        for bindings in self._bindings.values():
            yield from bindings

    def count(self, number: str) -> int:
        """REGISTER requests that made or refreshed a binding of this number."""
        return self._counts.get(number, 0)

    def find_device(self, number: str, contact: Uri | None) -> Binding | None:
        """The device of that number which has given this contact: requests inside dialogs carry it as Request-URI.
        An only device is meant also by a contact that it has changed since."""
        bindings = self.bindings(number)
        if contact is not None:
            for binding in bindings:
                if _is_same_place(binding.contact, contact):
                    return binding
        return bindings[0] if len(bindings) == 1 else None

    def has_binding_from(self, number: str, flow: Flow) -> bool:
        """That number is registered from the host this came from."""
        return any(binding.flow.remote_host == flow.remote_host for binding in self._bindings.get(number, ()))

    def on_connection(self, connection: int) -> list[Binding]:
        """Bindings whose phone is reached over that TCP connection."""
        return [binding for binding in self.all() if binding.flow.connection == connection]

    # -------------------------------------------------------------------------------------------- changing

    def restore(self, binding: Binding) -> None:
        """A binding of an earlier run; nobody is told."""
        self._bindings.setdefault(binding.number, []).append(binding)
        self._arm(binding)

    def restore_record(self, record: NumberRecord) -> None:
        """Go on counting the REGISTER requests of earlier runs."""
        self._counts[record.number] = record.registrations
        self._first_seen[record.number] = record.first_seen_at

    def add(self, binding: Binding, now: float) -> None:
        self._bindings.setdefault(binding.number, []).append(binding)
        self._counts[binding.number] = self._counts.get(binding.number, 0) + 1
        self._first_seen.setdefault(binding.number, binding.registered_at)
        self._arm(binding)
        self._observer.bound(binding, now)

    def refreshed(self, binding: Binding, now: float) -> None:
        """The caller changed fields of a binding held here, its expiry among them; the contact URI stays equivalent."""
        self._counts[binding.number] = self._counts.get(binding.number, 0) + 1
        # A timer that fires early re-arms itself, so a longer expiry, the usual case, costs nothing here.
        if binding.timer is None or binding.timer_deadline > binding.expires:
            self._arm(binding)
        self._observer.bound(binding, now)

    def remove(self, binding: Binding) -> None:
        bindings = self._bindings.get(binding.number, [])
        if binding not in bindings:
            return
        bindings.remove(binding)
        if not bindings:
            del self._bindings[binding.number]
        if binding.timer is not None:
            binding.timer.cancel()
            binding.timer = None
        self._observer.unbound(binding)

    def _arm(self, binding: Binding) -> None:
        if binding.timer is not None:
            binding.timer.cancel()
        binding.timer_deadline = binding.expires
        binding.timer = self._timers.start(binding.expires, partial(self._expire, binding))

    def _expire(self, binding: Binding, now: float) -> None:
        binding.timer = None
        if binding.expires > now:
            self._arm(binding)
            return
        log.info("%s expired: %s did not register again in time", binding.number, binding.flow)
        self.remove(binding)

    # -------------------------------------------------------------------------------------------- views

    def snapshot(self, now: float, now_at: float) -> tuple[RegistrationSnapshot, ...]:
        return tuple(
            RegistrationSnapshot(
                number=number,
                contacts=tuple(
                    binding.snapshot(now, now_at)
                    for binding in sorted(bindings, key=lambda item: item.last_seen_at, reverse=True)
                ),
                count=self.count(number),
                first_seen_at=self._first_seen.get(number),
            )
            for number, bindings in self._bindings.items()
        )


def _is_same_place(contact: Uri, uri: Uri) -> bool:
    """A Request-URI need not repeat the parameters of the contact it leads to."""
    return (contact.unescaped_user, contact.host.lower(), contact.effective_port) == (
        uri.unescaped_user,
        uri.host.lower(),
        uri.effective_port,
    )
