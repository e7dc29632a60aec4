"""Bans: sources that guess passwords are not listened to for a while.

A failure is a request whose credentials are wrong; the first one without any, which is answered with a challenge, is
none.  How much a failure weighs depends on whether its sender's address is proven: by the handshake of a TCP
connection, or over UDP by credentials made with a nonce that was given to that very address.  Anybody can put another
address on a UDP packet and could have that one banned, so:

- a source with a live authenticated registration, and a trusted network, is banned by proven failures only, and by
  `PROTECTED_FACTOR` times as many as a stranger: a phone with a wrong password behind the same NAT does not silence its
  office, a program that tries passwords does come to its end;
- this machine itself is never banned that way, since everything on it has one address;
- what a person bans is banned, and stays banned until its time is over or a person lifts it.

Pure; changed under the core lock only.  `is_banned` may be called by any thread without it: two look-ups in dicts.
`now` is monotonic seconds, `now_at` the wall clock of the same moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from math import inf
from typing import Final

from sip.snapshots import BanSnapshot
from sip.sources import is_loopback_source, source_of

log = logging.getLogger(__name__)

PROTECTED_FACTOR: Final = 10

MAX_SUSPECTS: Final = 10_000
"""Sources whose failures are counted; one more makes the one that began first forgotten."""

MAX_BANS: Final = 10_000
"""Bans by failures kept, and as many again by people; beyond it the oldest ban by failures is lifted."""


class BanTableFull(ValueError):
    """People have banned MAX_BANS sources already."""


@dataclass(frozen=True, slots=True)
class BanPolicy:
    """`after` failures (0: never) within `window_s` of the first one ban a source for `time_s` seconds."""

    after: int
    window_s: float
    time_s: float


@dataclass(frozen=True, slots=True)
class _Ban:
    """Monotonic seconds; `until` is infinite for a ban without an end."""

    since: float
    until: float
    reason: str
    failures: int

    def snapshot(self, source: str, wall_offset: float) -> BanSnapshot:
        until_at = None if self.until == inf else self.until + wall_offset
        return BanSnapshot(source, self.since + wall_offset, until_at, self.reason, self.failures)


@dataclass(slots=True)
class _Suspect:
    first: float
    failures: int


def ban_source(text: str) -> str:
    """The source that a person means: an IP address, or the /64 as bans show it.  Raises `ValueError`."""
    address, slash, length = text.strip().partition("/")
    if not slash:
        return source_of(str(ip_address(address)))
    network = ip_network((address, int(length)), strict=False)
    if source_of(str(network.network_address)) != str(network):
        raise ValueError(f"{text!r} is neither an IP address nor an IPv6 /64")
    return str(network)


class BanList:
    """Who is banned, and who is about to be.

    Invariants: the tables hold at most `max_suspects` and twice `max_bans` sources; `_suspects` stands in the order of
    the first failures and `_by_failures` in the order of the ends, so that what is over stands in front; `_next_end` is
    no later than the end of any ban by people.  `revision` grows with every change that must survive a restart.
    """

    def __init__(
        self,
        policy: BanPolicy,
        is_trusted: Callable[[str], bool],
        is_registered: Callable[[str], bool],
        max_suspects: int = MAX_SUSPECTS,
        max_bans: int = MAX_BANS,
    ) -> None:
        """`is_trusted(host)`: in TRUSTED_NETWORKS; `is_registered(source)`: has a live authenticated registration."""
        self.revision = 0
        self.policy = policy
        self._is_trusted = is_trusted
        self._is_registered = is_registered
        self._max_suspects = max_suspects
        self._max_bans = max_bans
        self._suspects: dict[str, _Suspect] = {}
        self._by_failures: dict[str, _Ban] = {}
        self._by_people: dict[str, _Ban] = {}
        self._next_end = inf

    def __len__(self) -> int:
        """Bans held, those over but not yet dropped among them."""
        return len(self._by_failures) + len(self._by_people)

    @property
    def suspect_count(self) -> int:
        """Sources whose failures are being counted."""
        return len(self._suspects)

    # -------------------------------------------------------------------------------------------- asking

    def is_banned(self, host: str, now: float) -> bool:
        if not (self._by_failures or self._by_people):
            return False
        source = source_of(host)
        ban = self._by_people.get(source)
        if ban is not None and now < ban.until:
            return True
        ban = self._by_failures.get(source)
        return ban is not None and now < ban.until

    def snapshots(self, now: float, now_at: float) -> tuple[BanSnapshot, ...]:
        """Bans in force, the newest first."""
        offset = now_at - now
        # What a person says about a source is shown, not what its failures would have led to.
        held = {**self._by_failures, **self._by_people}
        bans = [ban.snapshot(source, offset) for source, ban in held.items() if now < ban.until]
        return tuple(sorted(bans, key=lambda ban: ban.since_at, reverse=True))

    def find(self, host: str, now: float, now_at: float) -> BanSnapshot | None:
        """What that host is banned by."""
        source = source_of(host)
        ban = self._by_people.get(source) or self._by_failures.get(source)
        return None if ban is None or ban.until <= now else ban.snapshot(source, now_at - now)

    # -------------------------------------------------------------------------------------------- failures

    def record_failure(self, host: str, now: float, *, proven: bool) -> bool:
        """Count a request with wrong credentials; True when it leads to a ban.  `proven`: see the module."""
        source = source_of(host)
        if self.policy.after == 0 or is_loopback_source(source):
            return False
        protected = self._is_trusted(host) or self._is_registered(source)
        if protected and not proven:
            return False
        suspect = self._suspect(source, now)
        suspect.failures += 1
        if suspect.failures < self.policy.after * (PROTECTED_FACTOR if protected else 1):
            return False
        del self._suspects[source]
        self._ban_by_failures(source, suspect.failures, now)
        return True

    def _suspect(self, source: str, now: float) -> _Suspect:
        suspects = self._suspects
        known = suspects.get(source)
        if known is not None and now - known.first < self.policy.window_s:
            return known
        suspects.pop(source, None)
        while suspects:
            oldest = next(iter(suspects))
            if len(suspects) < self._max_suspects and now - suspects[oldest].first < self.policy.window_s:
                break
            del suspects[oldest]
        new = suspects[source] = _Suspect(now, 0)
        return new

    def _ban_by_failures(self, source: str, failures: int, now: float) -> None:
        bans = self._by_failures
        bans.pop(source, None)
        while len(bans) >= self._max_bans:
            del bans[next(iter(bans))]
        reason = f"{failures} wrong passwords within {self.policy.window_s:g} seconds"
        bans[source] = _Ban(now, now + self.policy.time_s, reason, failures)
        self.revision += 1
        log.warning("%s is banned for %g s: %s", source, self.policy.time_s, reason)

    # -------------------------------------------------------------------------------------------- people

    def add(self, address: str, duration_s: float | None, reason: str, now: float, now_at: float) -> BanSnapshot:
        """Ban a source for so many seconds (None: until it is lifted), instead of what a person has said before.

        Raises `ValueError` for what is no address, `BanTableFull`.
        """
        source = ban_source(address)
        if source not in self._by_people and len(self._by_people) >= self._max_bans:
            raise BanTableFull(f"{self._max_bans} addresses are banned already")
        until = inf if duration_s is None else now + duration_s
        ban = self._by_people[source] = _Ban(now, until, reason, 0)
        self._next_end = min(self._next_end, until)
        self.revision += 1
        log.warning("%s was banned by the administrator: %s", source, reason)
        return ban.snapshot(source, now_at - now)

    def lift(self, address: str) -> bool:
        """Listen to that source again, and forget its failures; False when it was not banned.  Raises `ValueError`."""
        source = ban_source(address)
        self._suspects.pop(source, None)
        found = [bans.pop(source, None) for bans in (self._by_people, self._by_failures)]
        if not any(found):
            return False
        self.revision += 1
        log.warning("the ban of %s was lifted by the administrator", source)
        return True

    # -------------------------------------------------------------------------------------------- time

    def expire(self, now: float) -> list[str]:
        """Drop the bans that are over; the driver calls it now and then.  The sources that are listened to again."""
        ended: list[str] = []
        bans = self._by_failures
        while bans and bans[source := next(iter(bans))].until <= now:
            self._end(bans, source)
            ended.append(source)
        if now >= self._next_end:
            over = [source for source, ban in self._by_people.items() if ban.until <= now]
            for source in over:
                self._end(self._by_people, source)
            ended += over
            self._next_end = min((ban.until for ban in self._by_people.values()), default=inf)
        return [source for source in ended if source not in self._by_people and source not in self._by_failures]

    def _end(self, bans: dict[str, _Ban], source: str) -> None:
        del bans[source]
        self.revision += 1
        log.info("the ban of %s is over", source)

    def restore(self, snapshots: Iterable[BanSnapshot], now: float, now_at: float) -> None:
        """Take over what `snapshots` gave before a restart, or in another server.

        A ban by failures ends no later than if it began now, so that a wall clock that was set back in between bans
        nobody for years.
        """
        offset = now_at - now
        for each in sorted(snapshots, key=lambda ban: inf if ban.until_at is None else ban.until_at):
            until = inf if each.until_at is None else each.until_at - offset
            if until <= now:
                continue
            if each.failures:
                bans, until = self._by_failures, min(until, now + self.policy.time_s)
            else:
                bans, self._next_end = self._by_people, min(self._next_end, until)
            if len(bans) < self._max_bans:
                bans[ban_source(each.address)] = _Ban(each.since_at - offset, until, each.reason, each.failures)
        # What comes from other servers is not in order with what there is.
        self._by_failures = dict(sorted(self._by_failures.items(), key=lambda item: item[1].until))

    def follow(self, made: Iterable[BanSnapshot], lifted: Iterable[str], now: float, now_at: float) -> None:
        """Do as another server has done, which has it written down already."""
        for address in lifted:
            source = ban_source(address)
            for table in (self._suspects, self._by_people, self._by_failures):
                table.pop(source, None)
            log.info("the ban of %s is over on all servers", source)
        made = tuple(made)
        self.restore(made, now, now_at)
        for ban in made:
            log.warning("%s is banned by another server: %s", ban.address, ban.reason)
