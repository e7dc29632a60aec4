"""What is known of one number at this moment, as rules look at it.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from explain.finding import Evidence, EvidenceKind
from sip.snapshots import BanSnapshot, ContactSnapshot, PresenceSnapshot, RegistrationFailure
from sip.sources import source_of
from sip.uri import bracket


@dataclass(frozen=True, slots=True)
class Standing:
    """`failures` are the refused registrations of the number, newest first; `numbers` says which numbers there are.

    `bans` are those in force, `rate_limited` are sources whose messages were dropped for SIP_RATE_LIMIT, and when the
    last was. `now_at` is wall clock."""

    presence: PresenceSnapshot
    now_at: float
    numbers: str
    failures: Sequence[RegistrationFailure] = ()
    bans: Sequence[BanSnapshot] = ()
    rate_limited: Mapping[str, float] = field(default_factory=dict)

    @property
    def number(self) -> str:
        return self.presence.number

    def ban_of(self, host: str) -> BanSnapshot | None:
        """The ban in force for that address."""
        source = source_of(host) if host else ""
        return next((ban for ban in self.bans if ban.address == source), None)

    def limited_at(self, host: str) -> float | None:
        """When something from that address was dropped last because it sent too much."""
        return self.rate_limited.get(source_of(host)) if host else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refused registration, and what else is known of its number."""

    failure: RegistrationFailure
    standing: Standing

    @property
    def number(self) -> str:
        return self.failure.number or "?"

    def evidence(self) -> Evidence:
        """That it was refused: when last, and how often."""
        failure = self.failure
        text = f"{failure.status} to {failure.address} ({failure.transport}), {failure.count} times"
        return Evidence(EvidenceKind.REGISTRATION, text, failure.user_agent or None, at=failure.last_at)


def where(contact: ContactSnapshot) -> str:
    """host:port of a phone."""
    return f"{bracket(contact.address)}:{contact.port}"
