"""Why a phone could not register.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from explain.finding import Confidence, Evidence, EvidenceKind, Found, Span, Word
from explain.phones.standing import Refusal
from sip.facts import Denial

_LIMIT_MEMORY_S: Final = 600.0
"""So long after the last message was dropped a rate limit is still news."""


SETTLED: Final = "registered-since"
"""The rule that says that a refusal is of the past."""


def registered_since(refusal: Refusal) -> Iterator[Found]:
    """A phone of the number has registered from the same address after the last refusal: it was settled."""
    failure = refusal.failure
    for contact in refusal.standing.presence.contacts:
        if contact.address == failure.address and contact.last_seen_at > failure.last_at:
            seen = Evidence(EvidenceKind.REGISTRATION, "lastSeen", contact.user_agent or None, at=contact.last_seen_at)
            words = _words(refusal) | {"ago": Span(refusal.standing.now_at - failure.last_at)}
            yield Found(Confidence.CERTAIN, (refusal.evidence(), seen), words)
            return


def source_banned(refusal: Refusal) -> Iterator[Found]:
    """The address it came from is banned now: for its wrong passwords, or by a person."""
    ban = refusal.standing.ban_of(refusal.failure.address)
    if ban is None:
        return
    words = _words(refusal) | {"banned": ban.address, "reason": ban.reason, "failures": ban.failures}
    evidence = (Evidence(EvidenceKind.SETTING, "ban", ban.reason, at=ban.since_at), refusal.evidence())
    yield Found(Confidence.CERTAIN, evidence, words, "guessing" if ban.failures else "by-hand")


def source_rate_limited(refusal: Refusal) -> Iterator[Found]:
    """Messages from its address were dropped in the last ten minutes, because there were more than SIP_RATE_LIMIT."""
    at = refusal.standing.limited_at(refusal.failure.address)
    if at is None or refusal.standing.now_at - at > _LIMIT_MEMORY_S:
        return
    evidence = (Evidence(EvidenceKind.SETTING, "SIP_RATE_LIMIT", at=at), refusal.evidence())
    words = _words(refusal) | {"ago": Span(refusal.standing.now_at - at)}
    yield Found(Confidence.LIKELY, evidence, words)


def wrong_password(refusal: Refusal) -> Iterator[Found]:
    """It has shown another password than that of its number."""
    yield from _when(refusal, Denial.WRONG)


def no_password_shown(refusal: Refusal) -> Iterator[Found]:
    """It was asked for its password at least four times on end, and has shown none."""
    yield from _when(refusal, Denial.NOT_SHOWN)


def number_without_password(refusal: Refusal) -> Iterator[Found]:
    """Its number needs a password where the phone is, and has none."""
    yield from _when(refusal, Denial.UNPROTECTED)


def foreign_network(refusal: Refusal) -> Iterator[Found]:
    """It came from outside TRUSTED_NETWORKS, while no number has a password."""
    yield from _when(refusal, Denial.FOREIGN_NETWORK)


def unknown_user(refusal: Refusal) -> Iterator[Found]:
    """The number that it wants to register, or the user name beside its password, is none of this office."""
    for denial, variant in ((Denial.NOT_A_NUMBER, "number"), (Denial.UNKNOWN_USER, "user")):
        yield from _when(refusal, denial, variant)


def password_of_another_number(refusal: Refusal) -> Iterator[Found]:
    """It has shown the right password of another number than the one that it wants to register."""
    yield from _when(refusal, Denial.OTHER_NUMBER)


def unusable_credentials(refusal: Refusal) -> Iterator[Found]:
    """Its answer to the question for its password could not be read, or did not use what was offered."""
    yield from _when(refusal, Denial.UNREADABLE)


def nonce_too_late(refusal: Refusal) -> Iterator[Found]:
    """It has answered questions for its password, three times on end, that were too old, of another address, or already
    used."""
    yield from _when(refusal, Denial.TOO_LATE)


def contact_refused(refusal: Refusal) -> Iterator[Found]:
    """The address that it gave to be called at (Contact) can't be its own, or can't be used."""
    yield from _when(refusal, Denial.CONTACT)


def malformed_registration(refusal: Refusal) -> Iterator[Found]:
    """Its registration breaks a rule of SIP, or asks for something that this server doesn't have."""
    yield from _when(refusal, Denial.MALFORMED)


RULES: Final = (
    registered_since,
    source_banned,
    wrong_password,
    no_password_shown,
    number_without_password,
    foreign_network,
    unknown_user,
    password_of_another_number,
    unusable_credentials,
    nonce_too_late,
    contact_refused,
    malformed_registration,
    source_rate_limited,
)


def _when(refusal: Refusal, denial: Denial, variant: str = "") -> Iterator[Found]:
    """The server has refused it for that reason, which it knows for certain."""
    if refusal.failure.denial is denial:
        yield Found(Confidence.CERTAIN, (refusal.evidence(),), _words(refusal), variant)


def _words(refusal: Refusal) -> dict[str, Word]:
    failure = refusal.failure
    return {
        "number": refusal.number,
        "address": failure.address,
        "phone": failure.user_agent or failure.address,
        "count": failure.count,
        "why": failure.reason,
        "numbers": refusal.standing.numbers,
    }
