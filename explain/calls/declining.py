"""How a person, or the phone in their name, has declined a call; and callers who gave up.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from explain.calls.case import Case, Spot
from explain.finding import Confidence, Found, Span, Word
from sip.facts import Fact

_DO_NOT_DISTURB: Final = re.compile(r"\bdnd\b|disturb", re.IGNORECASE)
_BUSY: Final = frozenset({486, 600})
_MEDIA: Final = frozenset({415, 488, 606})
_LOOPS: Final = frozenset({482, 483})
_OF_OTHER_RULES: Final = _BUSY | _MEDIA | _LOOPS | {408, 480, 487, 603}
_REFUSALS: Final = {401: "password", 407: "password", 404: "unknown", 410: "unknown", 604: "unknown"}
_NO_ANSWER_S: Final = 15.0
"""A phone that gives up after so long has a timer for it; people who press a key are quicker."""


def do_not_disturb(case: Case) -> Iterator[Found]:
    """A phone said so in the words of its answer ("Do Not Disturb"), or answered 480 without having rung."""
    for spot in _declined(case):
        details = spot.entry.details
        if _DO_NOT_DISTURB.search(f"{details.get('phrase', '')} {details.get('reason', '')}"):
            yield Found(Confidence.CERTAIN, (case.cite(spot),), _words(case, spot), "said")
            return
    for spot in _declined(case, 480):
        if not case.rang:
            yield Found(Confidence.LIKELY, (case.cite(spot),), _words(case, spot), "silent")
            return


def rejected_by_person(case: Case) -> Iterator[Found]:
    """A phone answered 603 Decline, or it rang and then answered 403 or 486, as many do when the red key is pressed."""
    for spot in _declined(case, 603):
        yield Found(Confidence.CERTAIN, (case.cite(spot),), _words(case, spot), "said")
        return
    for spot in _declined(case, 403, *_BUSY):
        if case.rang and not _is_do_not_disturb(spot):
            yield Found(Confidence.LIKELY, (case.cite(spot),), _words(case, spot), "rang")
            return


def callee_busy(case: Case) -> Iterator[Found]:
    """A phone answered 486 Busy Here or 600 Busy Everywhere."""
    for spot in _declined(case, *_BUSY):
        if not _is_do_not_disturb(spot):
            # One that has rung was not busy then; see `rejected_by_person`.
            confidence = Confidence.POSSIBLE if case.rang else Confidence.CERTAIN
            yield Found(confidence, (case.cite(spot),), _words(case, spot))
            return


def no_answer(case: Case) -> Iterator[Found]:
    """A phone rang, and nobody answered until the server (CALL_SETUP_TIMEOUT, Timer C) or the phone (408, 480 after 15
    seconds) gave up."""
    if not (case.failed and case.rang):
        return
    rang_s = case.until_at - (case.call.ringing_at or 0.0)
    words: dict[str, Word] = {"callee": case.callee, "rang": Span(rang_s)}
    given_up = case.first(Fact.SETUP_EXPIRED, Fact.RINGING_EXPIRED)
    if given_up is not None:
        yield Found(Confidence.CERTAIN, (case.cite(given_up),), words, "server")
        return
    for spot in _declined(case, 408, 480):
        is_long = rang_s >= _NO_ANSWER_S
        if not _is_do_not_disturb(spot):
            confidence = Confidence.CERTAIN if is_long else Confidence.LIKELY
            yield Found(confidence, (case.cite(spot),), words, "phone")
            return


def neither_rang_nor_answered(case: Case) -> Iterator[Found]:
    """The phone has shown that it got the call (100 Trying), but had neither rung nor answered when the server gave
    up (CALL_SETUP_TIMEOUT, Timer C)."""
    spot = case.first(Fact.SETUP_EXPIRED, Fact.RINGING_EXPIRED)
    if not case.failed or case.rang or spot is None:
        return
    trying = case.responses("INVITE", 100, 200, received=True)
    if trying:
        waited_s = case.until_at - case.call.invited_at
        evidence = (case.cite(spot), case.cite(trying[0].spot))
        yield Found(Confidence.CERTAIN, evidence, {"callee": case.callee, "waited": Span(waited_s)})


def caller_gave_up(case: Case) -> Iterator[Found]:
    """The caller cancelled before anybody answered."""
    spot = case.first(Fact.CANCELLED)
    if not case.failed or spot is None:
        return
    after_s = spot.entry.at - case.call.invited_at
    words: dict[str, Word] = {"caller": case.caller, "callee": case.callee, "after": Span(after_s)}
    yield Found(Confidence.CERTAIN, (case.cite(spot),), words, "rang" if case.rang else "before-ringing")


def call_forwarded(case: Case) -> Iterator[Found]:
    """A phone answered 3xx: it wants the call sent elsewhere, which this server does not do."""
    for spot in _declined(case, *range(300, 400)):
        yield Found(Confidence.CERTAIN, (case.cite(spot),), _words(case, spot))
        return


def phone_fault(case: Case) -> Iterator[Found]:
    """A phone answered 5xx: it could not handle the call."""
    for spot in _declined(case, *range(500, 600)):
        yield Found(Confidence.CERTAIN, (case.cite(spot),), _words(case, spot))
        return


def phone_refused(case: Case) -> Iterator[Found]:
    """A phone answered with another refusal: 401 or 407 (it wants a password of its own), 404 (it does not know its
    number), or a 4xx or 6xx that no other rule is about."""
    for spot in _declined(case):
        status = int(spot.entry.details["status"])
        if status in _OF_OTHER_RULES or status < 400 or 500 <= status < 600 or _is_do_not_disturb(spot):
            continue
        if status == 403 and case.rang:
            continue
        yield Found(Confidence.CERTAIN, (case.cite(spot),), _words(case, spot), _REFUSALS.get(status, "other"))
        return


RULES: Final = (
    do_not_disturb,
    rejected_by_person,
    callee_busy,
    no_answer,
    neither_rang_nor_answered,
    caller_gave_up,
    call_forwarded,
    phone_fault,
    phone_refused,
)


def _declined(case: Case, *statuses: int) -> list[Spot]:
    """What phones have answered to a call that failed, with one of these statuses unless none is given; those that the
    server had cancelled itself have declined nothing."""
    if not case.failed:
        return []
    found = case.facts(Fact.DECLINED)
    return [spot for spot in found if spot.entry.details["status"] != 487 and _has(spot, statuses)]


def _has(spot: Spot, statuses: tuple[int, ...]) -> bool:
    return not statuses or spot.entry.details["status"] in statuses


def _is_do_not_disturb(spot: Spot) -> bool:
    details = spot.entry.details
    return bool(_DO_NOT_DISTURB.search(f"{details.get('phrase', '')} {details.get('reason', '')}"))


def _words(case: Case, spot: Spot) -> dict[str, Word]:
    details = spot.entry.details
    return {
        "callee": case.callee,
        "address": str(details["address"]),
        "answer": f"{details['status']} {details['phrase']}".strip(),
    }
