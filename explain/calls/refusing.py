"""Why the server itself did not let a call go on, or has ended it.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from explain.calls.case import Case
from explain.finding import Confidence, Found, Word
from explain.networks import host_of
from sip.facts import Denial, Fact
from sip.snapshots import TerminationReason

_DENIALS: Final = frozenset({Denial.NOT_REGISTERED_THERE, Denial.UNPROTECTED, Denial.OTHER_NUMBER})
"""Those that make a line of the history."""
_LOOP_STATUSES: Final = (482, 483)


def unknown_number(case: Case) -> Iterator[Found]:
    """The dialled number is none of this office."""
    spot = case.first(Fact.UNKNOWN_NUMBER)
    if spot is not None:
        words: dict[str, Word] = {"dialled": case.callee or "?", "numbers": str(spot.entry.details["numbers"])}
        yield Found(Confidence.CERTAIN, (case.cite(spot),), words)


def caller_not_let_in(case: Case) -> Iterator[Found]:
    """The server did not let the caller's phone call: its number is not registered from there, needs a password and has
    none, or the phone showed that of another number."""
    spot = case.first(Fact.CALLER_REFUSED)
    if spot is None:
        return
    denial = str(spot.entry.details.get("denial", ""))
    address = host_of(case.call.from_address) or "?"
    words: dict[str, Word] = {"caller": case.caller or "?", "address": address}
    yield Found(Confidence.CERTAIN, (case.cite(spot),), words, denial if denial in _DENIALS else "other")


def loop(case: Case) -> Iterator[Found]:
    """The call came back to this server, or a phone said that it goes round in circles (482, 483)."""
    spot = case.first(Fact.LOOP)
    if spot is not None:
        yield Found(Confidence.CERTAIN, (case.cite(spot),), {"callee": case.callee}, "here")
        return
    for declined in case.facts(Fact.DECLINED):
        if case.failed and declined.entry.details["status"] in _LOOP_STATUSES:
            yield Found(Confidence.CERTAIN, (case.cite(declined),), {"callee": case.callee}, "phone")
            return


def foreign_contact(case: Case) -> Iterator[Found]:
    """The caller's phone gave an address to be called back at that belongs to somebody else."""
    spot = case.first(Fact.BAD_CONTACT)
    if spot is not None:
        words: dict[str, Word] = {"caller": case.caller, "fault": str(spot.entry.details["fault"])}
        yield Found(Confidence.CERTAIN, (case.cite(spot),), words)


def relaying_refused(case: Case) -> Iterator[Found]:
    """The caller's phone wanted the call passed on to another server (Route)."""
    spot = case.first(Fact.RELAYING)
    if spot is not None:
        yield Found(Confidence.CERTAIN, (case.cite(spot),), {"caller": case.caller})


def sips_without_tls(case: Case) -> Iterator[Found]:
    """A sips address was called by a phone that does not use TLS."""
    spot = case.first(Fact.SIPS_WITHOUT_TLS)
    if spot is not None:
        yield Found(Confidence.CERTAIN, (case.cite(spot),), {"caller": case.caller})


def server_limit(case: Case) -> Iterator[Found]:
    """The server had as many calls as it carries, too many unanswered ones from that address, no media ports left, too
    many phones under one number, or was about to end."""
    spot = case.first(Fact.NO_ROOM, Fact.NO_MEDIA_PORTS, Fact.TOO_MANY_BRANCHES)
    if spot is None:
        return
    details = spot.entry.details
    variant = str(details.get("limit") or {Fact.NO_MEDIA_PORTS.value: "ports"}.get(spot.entry.fact, "phones"))
    most = details.get("most", details.get("phones", "?"))
    address = host_of(case.call.from_address) or "?"
    yield Found(Confidence.CERTAIN, (case.cite(spot),), {"most": most, "address": address}, variant)


def server_fault(case: Case) -> Iterator[Found]:
    """A fault of the server has ended the call."""
    spot = case.first(Fact.SERVER_FAULT)
    if spot is not None:
        yield Found(Confidence.CERTAIN, (case.cite(spot),))


def ended_by_server(case: Case) -> Iterator[Found]:
    """The administrator hung it up, the server was stopped, or it was not there any more to see the end."""
    reason = case.call.termination_reason
    if reason is TerminationReason.ADMIN:
        yield Found(Confidence.CERTAIN, case.last_words(), {"why": case.call.reason_text}, "administrator")
    elif reason is TerminationReason.INTERRUPTED:
        yield Found(Confidence.CERTAIN, case.last_words(), {"why": case.call.reason_text}, "interrupted")


RULES: Final = (
    unknown_number,
    caller_not_let_in,
    loop,
    foreign_contact,
    relaying_refused,
    sips_without_tls,
    server_limit,
    server_fault,
    ended_by_server,
)
