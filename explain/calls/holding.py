"""What ends an answered call early: acknowledgements that get lost, sessions that nobody refreshes; and callers that
are gone before they hear of the end (RFC 3261 13.2.2.4, RFC 4028).  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from explain.calls.case import Case, Heard
from explain.finding import Confidence, Evidence, EvidenceKind, Found, Span, Word, figure
from explain.networks import host_of, is_private
from sip.errors import ParseError
from sip.facts import Fact

_REPEATED: Final = 3
"""An answer that came so often was not acknowledged; once more may be a packet that got lost."""


def ack_missing(case: Case) -> Iterator[Found]:
    """The callee's phone sent its answer (200) at least three times, and no acknowledgement (ACK) of it has come from
    the caller's phone; every message of the call is in the record."""
    answers = _answers(case)
    if not (case.answered and case.is_complete and len(answers) >= _REPEATED) or _acks(case, received=True):
        return
    told = [heard for heard in case.responses("INVITE", 200, 300, received=False) if heard.entry.local is not None]
    evidence = [case.cite(answers[0].spot), case.cite(answers[-1].spot), figure("answersRepeated", len(answers) - 1)]
    words: dict[str, Word] = {"caller": case.caller, "callee": case.callee, "talk": Span(case.talk_s)}
    elsewhere = case.first(Fact.ACK_FROM_ELSEWHERE)
    if elsewhere is not None:
        words["elsewhere"] = str(elsewhere.entry.details["address"])
        yield Found(Confidence.CERTAIN, (*evidence, case.cite(elsewhere)), words, "elsewhere")
        return
    advertised = told[0].entry.local[0] if told and told[0].entry.local is not None else ""
    if advertised and is_private(advertised) and not is_private(host_of(case.call.from_address)):
        words["advertised"] = advertised
        evidence.append(Evidence(EvidenceKind.SETTING, "SERVER_ADDRESS", advertised))
        yield Found(Confidence.CERTAIN, tuple(evidence), words, "address")
        return
    yield Found(Confidence.CERTAIN, tuple(evidence), words, "lost")


def ack_not_heard(case: Case) -> Iterator[Found]:
    """The acknowledgement (ACK) was passed on to the callee's phone, which repeated its answer at least twice more."""
    passed_on = _acks(case, received=False)
    if not (case.answered and passed_on):
        return
    later = [heard for heard in _answers(case) if heard.place > passed_on[0].place]
    if len(later) >= _REPEATED - 1:
        evidence = (
            case.cite(passed_on[0].spot),
            case.cite(later[-1].spot),
            figure("answersRepeated", len(later)),
        )
        yield Found(Confidence.LIKELY, evidence, {"callee": case.callee, "talk": Span(case.talk_s)})


def session_expired(case: Case) -> Iterator[Found]:
    """The phones had agreed to refresh the call from time to time (Session-Expires), and neither did."""
    spot = case.first(Fact.SESSION_EXPIRED)
    if spot is not None:
        yield Found(Confidence.CERTAIN, (case.cite(spot),), {"talk": Span(case.talk_s)})


def caller_vanished(case: Case) -> Iterator[Found]:
    """A response could not be delivered to the caller's phone, or it never acknowledged the end of its call attempt."""
    undelivered = case.first(Fact.RESPONSE_UNDELIVERED)
    words: dict[str, Word] = {"caller": case.caller}
    if undelivered is not None:
        yield Found(Confidence.CERTAIN, (case.cite(undelivered),), words, "gone")
        return
    spot = case.first(Fact.RESPONSE_NOT_ACKNOWLEDGED)
    if spot is not None:
        yield Found(Confidence.LIKELY, (case.cite(spot),), words, "silent")


RULES: Final = (ack_missing, ack_not_heard, session_expired, caller_vanished)


def _answers(case: Case) -> list[Heard]:
    """The 2xx of the phone that answered, copies included, to the INVITE that began the call."""
    found = case.responses("INVITE", 200, 300, received=True)
    return [heard for heard in found if _cseq(heard) == _cseq(found[0]) and heard.entry.remote == found[0].entry.remote]


def _acks(case: Case, *, received: bool) -> list[Heard]:
    """Acknowledgements of that answer: those of a refused challenge have another number."""
    answers = _answers(case)
    return [heard for heard in case.requests("ACK", received=received) if answers and _cseq(heard) == _cseq(answers[0])]


def _cseq(heard: Heard) -> int:
    try:
        return heard.message.cseq.number if heard.message is not None else 0
    except ParseError:
        return 0
