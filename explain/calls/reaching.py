"""Why a call got to no phone of the callee.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from explain.calls.case import Case, Spot, is_at
from explain.finding import Confidence, Evidence, EvidenceKind, Found, Span, Word, figure
from sip.facts import Departure, Fact

_DEPARTURES: Final = frozenset(each.value for each in Departure) - {Departure.REPLACED.value}
"""A registration that was replaced was followed by another, whose end counts."""

_SAFE_DATAGRAM: Final = 1_300
"""Bytes that a UDP message may have where nothing is known of the way (RFC 3261 18.1.1) ..."""
_LARGEST_UNBROKEN: Final = 1_472
"""... and those that fit one Ethernet packet: beyond it the message travels in pieces, which many routers drop."""


def callee_not_registered(case: Case) -> Iterator[Found]:
    """No phone was registered under the dialled number; when and why its last one left, as far as the server knows."""
    spot = case.first(Fact.NOT_REGISTERED)
    if spot is None:
        return
    details = spot.entry.details
    words: dict[str, Word] = {"callee": case.callee, "address": str(details.get("address") or "?")}
    departure, departed_at = str(details.get("departure", "")), details.get("departedAt")
    evidence = [case.cite(spot)]
    if departure in _DEPARTURES and departed_at is not None:
        variant = departure
        words["ago"] = Span(case.call.invited_at - float(departed_at))
        words["by"] = str(details.get("by") or "?")
        evidence.append(Evidence(EvidenceKind.REGISTRATION, "departure", departure, at=float(departed_at)))
    else:
        variant = "never" if "firstSeenAt" not in details else "unknown"
    yield Found(Confidence.CERTAIN, tuple(evidence), words, variant)


def callee_server_away(case: Case) -> Iterator[Found]:
    """The callee's phones are registered at another server on the same database, which gives no sign of life."""
    spot = case.first(Fact.SERVER_AWAY)
    if spot is not None:
        words: dict[str, Word] = {"callee": case.callee, "server": str(spot.entry.details["server"])}
        yield Found(Confidence.CERTAIN, (case.cite(spot),), words)


def callee_without_sips(case: Case) -> Iterator[Found]:
    """A sips address was called, and the number has no phone that is registered by TLS with such an address."""
    spot = case.first(Fact.SIPS_ONLY)
    if spot is not None:
        yield Found(Confidence.CERTAIN, (case.cite(spot),), {"callee": case.callee})


def callee_address_unreachable(case: Case) -> Iterator[Found]:
    """The network gave the INVITE back: ICMP port, host or network unreachable, or no route to the phone."""
    for spot in _unreached(case):
        details = spot.entry.details
        why = str(details.get("why", ""))
        if not why or details["transport"] != "UDP" or "too long" in why.lower():
            continue
        confidence = Confidence.CERTAIN if spot.entry.fact == Fact.UNREACHABLE else Confidence.LIKELY
        variant = "port" if "port" in why else "host"
        evidence = (case.cite(spot), *_called(case, spot))
        yield Found(confidence, evidence, _phone(case, spot) | {"why": why}, variant)
        return


def callee_connection_lost(case: Case) -> Iterator[Found]:
    """The phone is reached by TCP or TLS, its connection is closed, and no new one could be opened to it."""
    for spot in case.facts(Fact.UNREACHABLE) if not case.answered else ():
        details = spot.entry.details
        if details["transport"] == "UDP":
            continue
        called = case.called(str(details["address"]))
        lost_at = called.entry.details.get("connectionLostAt") if called is not None else None
        words = _phone(case, spot) | {"transport": str(details["transport"])}
        evidence = [case.cite(spot), *_called(case, spot)]
        if lost_at is None:
            yield Found(Confidence.CERTAIN, tuple(evidence), words, "meanwhile")
        else:
            evidence.append(Evidence(EvidenceKind.REGISTRATION, "connectionLostAt", at=float(lost_at)))
            words["ago"] = Span(case.call.invited_at - float(lost_at))
            yield Found(Confidence.CERTAIN, tuple(evidence), words, "before")
        return


def callee_banned(case: Case) -> Iterator[Found]:
    """The phone did not answer, and its address is banned, so that the server listens to nothing that it says."""
    for spot in _silent(case):
        ban = case.ban_of(str(spot.entry.details["address"]), spot.entry.at)
        if ban is not None:
            evidence = (case.cite(spot), Evidence(EvidenceKind.SETTING, "ban", ban.reason, at=ban.since_at))
            words = _phone(case, spot) | {"banned": ban.address, "reason": ban.reason}
            yield Found(Confidence.CERTAIN, evidence, words)
            return


def message_too_large(case: Case) -> Iterator[Found]:
    """The INVITE was too large for one UDP packet (over 1472 bytes), and the phone did not answer it; or the system
    refused to send it for its size."""
    for spot in _unreached(case):
        details = spot.entry.details
        if details["transport"] != "UDP" or details.get("rang"):
            continue
        refused = "too long" in str(details.get("why", "")).lower()
        address = str(details["address"])
        sent = [heard for heard in case.requests("INVITE", received=False) if is_at(heard.entry, address)]
        size = max((heard.entry.size for heard in sent), default=0)
        if not refused and (details.get("why") or size <= _LARGEST_UNBROKEN):
            continue
        confidence = Confidence.CERTAIN if refused else Confidence.LIKELY
        evidence = (case.cite(spot), *(case.cite(heard.spot) for heard in sent[:1]), figure("size", size))
        yield Found(confidence, evidence, _phone(case, spot) | {"size": size, "safe": _SAFE_DATAGRAM})
        return


def callee_nat_mapping_gone(case: Case) -> Iterator[Found]:
    """The phone is behind NAT, was sent the INVITE by UDP, and nothing at all came back from it."""
    for spot in _silent(case):
        called = case.called(str(spot.entry.details["address"]))
        if called is None or spot.entry.details.get("why") or spot.entry.details["transport"] != "UDP":
            continue
        seen_at = called.entry.details.get("lastSeenAt")
        if called.entry.details.get("behindNat") and seen_at is not None:
            words = _phone(case, spot) | {"ago": Span(case.call.invited_at - float(seen_at))}
            evidence = (case.cite(spot), case.cite(called), figure("behindNat", 1))
            yield Found(Confidence.LIKELY, evidence, words)
            return


def callee_silent(case: Case) -> Iterator[Found]:
    """The phone is registered, and nothing at all came back to the INVITE."""
    for spot in _silent(case):
        called = case.called(str(spot.entry.details["address"]))
        seen_at = called.entry.details.get("lastSeenAt") if called is not None else None
        ago = Span(case.call.invited_at - float(seen_at)) if seen_at is not None else "?"
        evidence = (case.cite(spot), *_called(case, spot))
        yield Found(Confidence.LIKELY, evidence, _phone(case, spot) | {"ago": ago})
        return


RULES: Final = (
    callee_not_registered,
    callee_server_away,
    callee_without_sips,
    callee_banned,
    callee_address_unreachable,
    callee_connection_lost,
    message_too_large,
    callee_nat_mapping_gone,
    callee_silent,
)


def _unreached(case: Case) -> list[Spot]:
    """Phones of a call that nobody answered to which it could not be brought."""
    return [] if case.answered else case.facts(Fact.UNREACHABLE, Fact.UNANSWERED)


def _silent(case: Case) -> list[Spot]:
    """Phones of a call that nobody answered from which nothing came back."""
    return [] if case.answered else [spot for spot in case.facts(Fact.UNANSWERED) if not spot.entry.details["rang"]]


def _phone(case: Case, spot: Spot) -> dict[str, Word]:
    return {"callee": case.callee, "address": str(spot.entry.details["address"])}


def _called(case: Case, spot: Spot) -> tuple[Evidence, ...]:
    called = case.called(str(spot.entry.details["address"]))
    return () if called is None else (case.cite(called),)
