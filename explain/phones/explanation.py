"""All rules about phones, and what they say together of a refused registration and of a number.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from explain.finding import Finding, Word
from explain.phones import presence, refusals
from explain.phones.standing import Refusal, Standing
from explain.rule import Rule, ranked
from sip.snapshots import RegistrationFailure

REFUSAL_RULES: Final[tuple[Rule[Refusal], ...]] = refusals.RULES
PRESENCE_RULES: Final[tuple[Rule[Standing], ...]] = presence.RULES

_RECENT_S: Final = 3600.0
"""Refused registrations that are older explain no absence of now."""


class Reach(StrEnum):
    """Whether a number can be reached, in one word."""

    REACHABLE = "reachable"
    DOUBTFUL = "doubtful"
    """Registered, and something speaks against it."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class NumberExplanation:
    """`summary` is the key of the sentence on top, filled in with `words`."""

    reach: Reach
    summary: str
    words: Mapping[str, Word]
    findings: tuple[Finding, ...]


def explain_failure(failure: RegistrationFailure, standing: Standing) -> tuple[Finding, ...]:
    """Why one registration was refused, and what has become of it; `standing` is that of its number."""
    found = ranked(REFUSAL_RULES, Refusal(failure, standing)) + _fights(standing)
    return tuple(sorted(found, key=lambda finding: -finding.confidence))


def explain_number(standing: Standing) -> NumberExplanation:
    """Why a number can't be reached, or that it can."""
    found = list(ranked(PRESENCE_RULES, standing))
    addresses = {contact.address for contact in standing.presence.contacts}
    for failure in standing.failures:
        # A phone that is registered is none the worse for somebody elsewhere who tries its number in vain.
        concerns = not addresses or failure.address in addresses
        if concerns and standing.now_at - failure.last_at <= _RECENT_S:
            told = {(finding.rule, finding.variant) for finding in found}
            refused = ranked(REFUSAL_RULES, Refusal(failure, standing))
            if not any(finding.rule == refusals.SETTLED for finding in refused):
                found += [finding for finding in refused if (finding.rule, finding.variant) not in told]
    findings = tuple(sorted(found, key=lambda finding: -finding.confidence))
    contacts = standing.presence.contacts
    words: dict[str, Word] = {"number": standing.number, "count": len(contacts)}
    if not contacts:
        return NumberExplanation(Reach.UNREACHABLE, "number-unreachable", words, findings)
    words["address"] = contacts[0].address
    words["phone"] = contacts[0].user_agent or contacts[0].address
    if findings:
        return NumberExplanation(Reach.DOUBTFUL, "number-doubtful", words, findings)
    return NumberExplanation(Reach.REACHABLE, "number-reachable", words, findings)


def _fights(standing: Standing) -> tuple[Finding, ...]:
    return ranked((presence.two_phones_one_number,), standing)
