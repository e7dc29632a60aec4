"""The location service: which devices can be reached under which number (RFC 3261 10, 16.5).

Pure; guarded by the core lock.  An expired binding goes without anybody looking for it.
"""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

from sip.events import Bound
from sip.facts import Departure
from sip.flow import Flow, address_text
from sip.journal import Details
from sip.snapshots import ContactSnapshot, DepartureSnapshot, NumberRecord, PresenceSnapshot, RegistrationSnapshot
from sip.timers import Timer, TimerQueue
from sip.uri import Uri

log = logging.getLogger(__name__)

MAX_BINDINGS_PER_NUMBER = 10
"""Devices under one number; one more drops the one heard of longest ago."""

MAX_DEPARTURES_PER_NUMBER = 8
MAX_DEPARTED_NUMBERS = 10_000
"""Numbers whose last departures are remembered; one more forgets those of the number that was left longest ago."""

_COMPACTION_FLOOR: Final = 64
"""So many bindings that are gone may lie among those that wait for their expiry before it is worth looking."""


@dataclass(slots=True, eq=False)
class Binding:
    """One device: the Contact it gave, and the flow its REGISTER came by, which is how requests reach it.

    `contact` and `parameters` (the rest of the Contact, without expires) are kept to the letter.  `instance` names the
    device for as long as it exists, whatever its contact: `+sip.instance` with `reg-id`, "" when it gave none.
    `given` is the Contact as its last REGISTER had it, "" for the URI in angle brackets alone, and `asked_s` what it
    asked for by its own `expires`.
    `connection_lost_at` is when the connection it was reached by was lost, None while it has one or needs none;
    `silent_since_at`, since when it does not answer pings.  `via_host` is where its last REGISTER said to come from.
    `password_mark` (`Credentials.mark`) tells which password its last REGISTER has shown, "" none.  `server` names the
    other server that holds the flow, "" is this one.  `kept_*`: what it was like when it was last given to the
    recorder; `counted_*`: to the guards.
    Deadlines are monotonic seconds, `*_at` are wall clock.
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
    server: str = ""
    connection_lost_at: float | None = None
    silent_since_at: float | None = None
    via_host: str = ""
    binding_id: str = field(default_factory=lambda: secrets.token_hex(7))
    given: str = ""
    asked_s: int | None = None
    kept_expires: float = 0.0
    kept_flow: Flow | None = field(default=None, repr=False)
    kept_contact: Uri | None = field(default=None, repr=False)
    kept_instance: str = ""
    kept_behind_nat: bool = False
    kept_password_mark: str = ""
    counted_host: str = ""
    counted_proven: bool = False
    looked_at: float = 0.0
    """When `LocationService` looks whether it has expired, no later than `expires`; a key of its heap."""

    def __lt__(self, other: Binding) -> bool:
        """In the order in which they are looked at."""
        return self.looked_at < other.looked_at

    def is_given_as(self, value: str) -> bool:
        """That Contact value is what its last REGISTER had."""
        return value == (self.given or f"<{self.contact.text}>")

    @property
    def authenticated(self) -> bool:
        """Its last REGISTER has shown the password of the number."""
        return self.password_mark != ""

    @property
    def address(self) -> str:
        """host:port that its requests came from."""
        return address_text(self.flow)

    def details(self) -> Details:
        """Its part in a call, for the journal (`Fact.CALLED`)."""
        found: dict[str, str | int | float] = {
            "number": self.number,
            "address": self.address,
            "transport": self.flow.transport,
            "userAgent": self.user_agent,
            "behindNat": int(self.behind_nat),
            "registeredAt": self.registered_at,
            "lastSeenAt": self.last_seen_at,
        }
        if self.connection_lost_at is not None:
            found["connectionLostAt"] = self.connection_lost_at
        if self.server:
            found["server"] = self.server
        return found

    def content(self, now: float) -> Bound:
        """For an event."""
        return Bound(
            self.number,
            self.contact,
            self.flow,
            self.expires - now,
            self.user_agent,
            self.registered_at,
            self.behind_nat,
        )

    def departure(self, why: Departure, at: float, by: str = "") -> DepartureSnapshot:
        """Its end; `by` is the address of the phone that has asked for it, if one has."""
        return DepartureSnapshot(self.number, at, why, self.address, self.flow.transport, self.user_agent, by)

    def snapshot(self, now: float, now_at: float) -> ContactSnapshot:
        remaining = max(0.0, self.expires - now)
        return ContactSnapshot(
            uri=self.contact.shown,
            address=self.flow.remote_host,
            port=self.flow.remote_port,
            transport=self.flow.transport,
            expires_s=int(remaining + 0.5),
            expires_at=now_at + remaining,
            registered_at=self.registered_at,
            last_seen_at=self.last_seen_at,
            user_agent=self.user_agent,
            behind_nat=self.behind_nat,
            connection_lost_at=self.connection_lost_at,
            silent_since_at=self.silent_since_at,
            via_host=self.via_host,
            server=self.server,
        )


class LocationObserver(Protocol):
    """Who wants to know what becomes of bindings."""

    def bound(self, binding: Binding, now: float, *, is_new: bool) -> None:
        """Made or refreshed."""

    def unbound(self, binding: Binding, departure: DepartureSnapshot) -> None:
        """Expired or removed."""


class _Number:
    """What is known of a number: live bindings, how many REGISTER requests made or refreshed one, and when the first
    did (wall clock)."""

    __slots__ = ("bindings", "count", "first_seen_at")

    def __init__(self) -> None:
        self.bindings: tuple[Binding, ...] = ()
        self.count = 0
        self.first_seen_at: float | None = None


_UNKNOWN: Final = _Number()


class LocationService:
    """Bindings by number, and how the last ones of a number ended.

    Invariants: `_departures` holds the numbers in the order in which they were left last, each with at least one
    departure, the newest last.  `_waiting` is a heap of all bindings and of `_gone` that were removed since; while it
    is not empty, one timer runs, which fires when the first of it is to be looked at or before."""

    def __init__(self, timers: TimerQueue, observer: LocationObserver, wall: Callable[[float], float]) -> None:
        """`wall` turns monotonic seconds into wall clock."""
        self._timers = timers
        self._observer = observer
        self._wall = wall
        self._departures: OrderedDict[str, deque[DepartureSnapshot]] = OrderedDict()
        self._numbers: dict[str, _Number] = {}
        self._waiting: list[Binding] = []
        self._gone = 0
        self._timer: Timer | None = None
        self._timer_at = 0.0

    # -------------------------------------------------------------------------------------------- reading

    def _of(self, number: str) -> _Number:
        """To be read; nothing is stored for a number that is not known."""
        return self._numbers.get(number, _UNKNOWN)

    def bindings(self, number: str) -> list[Binding]:
        """Live bindings of a number, most preferred first (16.6: by q), then the most recently registered."""
        found = self._of(number).bindings
        if len(found) < 2:
            return list(found)
        # Sorting keeps the order of equals, so the last one registered comes first.
        return sorted(found, key=lambda binding: binding.q)[::-1]

    def local(self, number: str) -> list[Binding]:
        """Those of `bindings` whose phone is reached from here."""
        return [binding for binding in self.bindings(number) if not binding.server]

    def by_id(self, binding_id: str) -> Binding | None:
        """Looks at all of them."""
        return next((binding for binding in self.all() if binding.binding_id == binding_id), None)

    def numbers(self) -> list[str]:
        return [number for number, known in self._numbers.items() if known.bindings]

    def known(self) -> list[str]:
        """Numbers that are registered, or of whose departure is known."""
        return list(dict.fromkeys((*self.numbers(), *self._departures)))

    def all(self) -> Iterator[Binding]:
        for known in self._numbers.values():
            yield from known.bindings

    def count(self, number: str) -> int:
        """REGISTER requests that made or refreshed a binding of this number."""
        return self._of(number).count

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
        return any(binding.flow.remote_host == flow.remote_host for binding in self._of(number).bindings)

    def departures(self, number: str) -> tuple[DepartureSnapshot, ...]:
        """How the last registrations of that number ended, oldest first."""
        return tuple(self._departures.get(number, ()))

    def presence(self, number: str, now: float, now_at: float) -> PresenceSnapshot:
        """Where a number can be reached, and how its last registrations ended."""
        known = self._of(number)
        return PresenceSnapshot(
            number=number,
            contacts=tuple(binding.snapshot(now, now_at) for binding in known.bindings),
            first_seen_at=known.first_seen_at,
            departures=self.departures(number),
        )

    def absence(self, number: str) -> Details:
        """Since when a number without a binding has none, and why, for the journal (`Fact.NOT_REGISTERED`)."""
        found: dict[str, str | int | float] = {"number": number}
        first_seen_at = self._of(number).first_seen_at
        if first_seen_at is not None:
            found["firstSeenAt"] = first_seen_at
        departures = self._departures.get(number)
        if departures:
            last = departures[-1]
            found |= {"departedAt": last.at, "departure": last.why.value}
            found |= {"address": last.address, "userAgent": last.user_agent, "by": last.by}
        return found

    def first_seen_at(self, number: str) -> float | None:
        """When that number registered for the first time, in earlier runs too; None: never."""
        return self._of(number).first_seen_at

    def on_connection(self, connection: int) -> list[Binding]:
        """Bindings whose phone is reached over that TCP connection."""
        return [binding for binding in self.all() if binding.flow.connection == connection]

    # -------------------------------------------------------------------------------------------- changing

    def restore(self, binding: Binding) -> None:
        """A binding of an earlier run, or of another server; nobody is told."""
        self._insert(binding)

    def forget(self, binding: Binding) -> None:
        """It is another server's, or has become so; nobody is told."""
        self._take_out(binding)

    def _known(self, number: str) -> _Number:
        """To be changed."""
        known = self._numbers.get(number)
        if known is None:
            known = self._numbers[number] = _Number()
        return known

    def _insert(self, binding: Binding) -> None:
        known = self._known(binding.number)
        known.bindings = (*known.bindings, binding)
        self._await_expiry(binding)
        self._set_timer()

    def _take_out(self, binding: Binding) -> None:
        known = self._numbers[binding.number]
        known.bindings = tuple(other for other in known.bindings if other is not binding)
        # It stays in the heap until its time comes: what lies there must not change its place.
        self._gone += 1
        self._compact()

    def restore_record(self, record: NumberRecord) -> None:
        """Go on counting the REGISTER requests of earlier runs."""
        known = self._known(record.number)
        known.count, known.first_seen_at = record.registrations, record.first_seen_at
        # Unless its binding comes back: what is known of its end is when it was last heard.
        self.note_departure(DepartureSnapshot(record.number, record.last_seen_at, Departure.RESTART))

    def raise_record(self, record: NumberRecord) -> None:
        """Count the REGISTER requests that other servers have had, too."""
        known = self._known(record.number)
        known.count = max(known.count, record.registrations)
        first = record.first_seen_at
        known.first_seen_at = first if known.first_seen_at is None else min(known.first_seen_at, first)

    def add(self, binding: Binding, now: float) -> None:
        known = self._known(binding.number)
        known.count += 1
        if known.first_seen_at is None:
            known.first_seen_at = binding.registered_at
        self._insert(binding)
        self._observer.bound(binding, now, is_new=True)

    def refreshed(self, binding: Binding, now: float) -> None:
        """The caller changed fields of a binding held here, its expiry among them; the contact URI stays equivalent."""
        self._numbers[binding.number].count += 1
        # A longer time, the usual case, costs nothing here: it's seen when the shorter one is over.
        if binding.looked_at > binding.expires:
            binding.looked_at = binding.expires
            heapify(self._waiting)
            self._set_timer()
        self._observer.bound(binding, now, is_new=False)

    def remove(self, binding: Binding, why: Departure, now: float, by: str = "") -> None:
        """`by` is the address of the phone that has asked for it, if one has."""
        if self._is_gone(binding):
            return
        departure = binding.departure(why, self._wall(now), by)
        self.note_departure(departure)
        self._take_out(binding)
        self._observer.unbound(binding, departure)

    def note_departure(self, departure: DepartureSnapshot) -> None:
        """Remember how a registration ended."""
        number = departure.number
        known = self._departures.setdefault(number, deque(maxlen=MAX_DEPARTURES_PER_NUMBER))
        known.append(departure)
        self._departures.move_to_end(number)
        if len(self._departures) > MAX_DEPARTED_NUMBERS:
            self._departures.popitem(last=False)

    # -------------------------------------------------------------------------------------------- expiry

    def _await_expiry(self, binding: Binding) -> None:
        binding.looked_at = binding.expires
        heappush(self._waiting, binding)

    def _set_timer(self) -> None:
        """For the first that waits."""
        if not self._waiting:
            return
        first = self._waiting[0].looked_at
        if self._timer is None or first < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = first
            self._timer = self._timers.start(first, self._look)

    def _look(self, now: float) -> None:
        waiting, self._timer = self._waiting, None
        try:
            while waiting and waiting[0].looked_at <= now:
                binding = heappop(waiting)
                if self._is_gone(binding):
                    self._gone -= 1
                elif binding.expires > now:
                    self._await_expiry(binding)
                else:
                    # Out of the heap already; `_take_out` counts it as still there.
                    self._gone -= 1
                    self._expire(binding, now)
        finally:
            self._set_timer()

    def _is_gone(self, binding: Binding) -> bool:
        return binding not in self._of(binding.number).bindings

    def _compact(self) -> None:
        """Let go of bindings that are gone, if it is half of all that wait."""
        if self._gone == len(self._waiting):
            self._waiting.clear()
            self._gone = 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._gone > _COMPACTION_FLOOR and 2 * self._gone > len(self._waiting):
            # In place: `_look` may be at work on this very list.
            self._waiting[:] = [binding for binding in self._waiting if not self._is_gone(binding)]
            heapify(self._waiting)
            self._gone = 0

    def _expire(self, binding: Binding, now: float) -> None:
        if binding.server:
            # Its own server sees to the rest, if there is any.
            self._take_out(binding)
            return
        log.info("%s expired: %s did not register again in time", binding.number, binding.flow)
        self.remove(binding, Departure.EXPIRED, now)

    # -------------------------------------------------------------------------------------------- views

    def snapshot(self, now: float, now_at: float) -> tuple[RegistrationSnapshot, ...]:
        return tuple(
            RegistrationSnapshot(
                number=number,
                contacts=tuple(
                    binding.snapshot(now, now_at)
                    for binding in sorted(known.bindings, key=lambda item: item.last_seen_at, reverse=True)
                ),
                count=known.count,
                first_seen_at=known.first_seen_at,
            )
            for number, known in self._numbers.items()
            if known.bindings
        )


def _is_same_place(contact: Uri, uri: Uri) -> bool:
    """A Request-URI need not repeat the parameters of the contact it leads to."""
    return (contact.unescaped_user, contact.host.lower(), contact.effective_port) == (
        uri.unescaped_user,
        uri.host.lower(),
        uri.effective_port,
    )
