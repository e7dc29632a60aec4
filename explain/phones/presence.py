"""Why a number can't be reached now, or may not be.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from explain.finding import Confidence, Evidence, EvidenceKind, Found, Span, Word
from explain.networks import host_of, is_private
from explain.phones.standing import Standing, where
from sip.errors import ParseError
from sip.facts import Departure
from sip.snapshots import DepartureSnapshot
from sip.uri import Uri, unbracket

_DEPARTURES: Final = frozenset(Departure) - {Departure.REPLACED}
"""A registration that was replaced was followed by another, whose end counts."""

_FIGHT_S: Final = 3600.0
"""Phones that take a number from one another do so within this time."""
_BLOWS: Final = 3
"""So often the number must have changed hands between two addresses: once or twice a phone may have moved."""


def phone_not_registered(standing: Standing) -> Iterator[Found]:
    """No phone is registered under the number; when and why its last one left, as far as the server knows."""
    presence = standing.presence
    if presence.contacts:
        return
    words: dict[str, Word] = {"number": standing.number, "address": "?", "by": "?"}
    last = presence.departures[-1] if presence.departures else None
    if last is not None and last.why in _DEPARTURES:
        words |= {"ago": Span(standing.now_at - last.at), "address": last.address or "?", "by": last.by or "?"}
        yield Found(Confidence.CERTAIN, (_left(last),), words, last.why.value)
        return
    variant = "never" if presence.first_seen_at is None else "unknown"
    evidence = Evidence(EvidenceKind.REGISTRATION, "firstSeen", at=presence.first_seen_at)
    yield Found(Confidence.CERTAIN, (evidence,), words, variant)


def phone_banned(standing: Standing) -> Iterator[Found]:
    """A phone of the number is at an address that is banned."""
    for contact in standing.presence.contacts:
        ban = standing.ban_of(contact.address)
        if ban is not None:
            evidence = (
                Evidence(EvidenceKind.SETTING, "ban", ban.reason, at=ban.since_at),
                Evidence(EvidenceKind.REGISTRATION, "address", where(contact), at=contact.last_seen_at),
            )
            words: dict[str, Word] = {"number": standing.number, "banned": ban.address, "reason": ban.reason}
            yield Found(Confidence.CERTAIN, evidence, words)
            return


def phone_connection_lost(standing: Standing) -> Iterator[Found]:
    """A phone of the number is reached by TCP or TLS, and its connection is closed."""
    for contact in standing.presence.contacts:
        if contact.connection_lost_at is not None:
            words: dict[str, Word] = {
                "number": standing.number,
                "address": where(contact),
                "transport": contact.transport,
                "ago": Span(standing.now_at - contact.connection_lost_at),
            }
            evidence = Evidence(EvidenceKind.REGISTRATION, "connectionLostAt", at=contact.connection_lost_at)
            yield Found(Confidence.CERTAIN, (evidence,), words, "behind-nat" if contact.behind_nat else "")
            return


def phone_not_answering(standing: Standing) -> Iterator[Found]:
    """A phone of the number, behind NAT, does not answer the pings that keep the way to it open (NAT_KEEPALIVE)."""
    for contact in standing.presence.contacts:
        if contact.silent_since_at is not None:
            words: dict[str, Word] = {
                "number": standing.number,
                "address": where(contact),
                "ago": Span(standing.now_at - contact.silent_since_at),
            }
            evidence = Evidence(EvidenceKind.REGISTRATION, "silentSince", where(contact), at=contact.silent_since_at)
            yield Found(Confidence.LIKELY, (evidence,), words)
            return


def two_phones_one_number(standing: Standing) -> Iterator[Found]:
    """Within an hour the number went back and forth between two addresses at least three times: each phone removed or
    replaced the registration of the other."""
    since_at = standing.now_at - _FIGHT_S
    blows = [
        each
        for each in standing.presence.departures
        if each.at >= since_at
        and each.why in (Departure.REPLACED, Departure.REMOVED_BY_ANOTHER)
        and host_of(each.by) not in ("", host_of(each.address))
    ]
    pairs = {frozenset((host_of(each.address), host_of(each.by))) for each in blows}
    for pair in pairs:
        fight = [each for each in blows if {host_of(each.address), host_of(each.by)} == pair]
        if len(fight) >= _BLOWS and len({host_of(each.by) for each in fight}) == len(pair):
            one, other = sorted(pair)
            words: dict[str, Word] = {"number": standing.number, "one": one, "other": other, "times": len(fight)}
            yield Found(Confidence.LIKELY, tuple(_left(each) for each in fight[-_BLOWS:]), words)


def phone_behind_sip_alg(standing: Standing) -> Iterator[Found]:
    """A phone of the number has named its public address in Via and a private one in Contact when it registered: as
    messages look that a router with SIP ALG has changed in part."""
    for contact in standing.presence.contacts:
        told = _host_of_uri(contact.uri)
        if contact.via_host == contact.address and not is_private(contact.address) and is_private(told):
            evidence = (
                Evidence(EvidenceKind.REGISTRATION, "via", contact.via_host, at=contact.last_seen_at),
                Evidence(EvidenceKind.REGISTRATION, "contact", contact.uri, at=contact.last_seen_at),
            )
            words: dict[str, Word] = {
                "number": standing.number,
                "address": where(contact),
                "public": contact.address,
                "private": told,
            }
            yield Found(Confidence.POSSIBLE, evidence, words)
            return


RULES: Final = (
    phone_not_registered,
    phone_banned,
    phone_connection_lost,
    two_phones_one_number,
    phone_not_answering,
    phone_behind_sip_alg,
)


def _host_of_uri(text: str) -> str:
    """Of a Contact; "" of one that can't be read."""
    try:
        return unbracket(Uri.parse(text).host)
    except ParseError:
        return ""


def _left(departure: DepartureSnapshot) -> Evidence:
    text = f"departure of {departure.address or 'its phone'}" + (f", by {departure.by}" if departure.by else "")
    return Evidence(EvidenceKind.REGISTRATION, text, departure.why.value, at=departure.at)
