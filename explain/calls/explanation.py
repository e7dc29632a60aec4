"""All rules about calls, in the order in which they are told when they are equally sure; and the sentence on top.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from explain.calls import declining, holding, negotiating, reaching, refusing, sounding, tampering
from explain.calls.case import Case
from explain.finding import Confidence, Finding, Found, Span, Word
from explain.rule import Rule, ranked
from sip.media_watch import POOR_MOS
from sip.snapshots import BanSnapshot, MediaFigures, TerminationReason
from sip.trace import CallTrace


class Verdict(StrEnum):
    """What became of a call, in one word."""

    GOOD = "good"
    TROUBLED = "troubled"
    """Answered, and something was wrong with it."""
    FAILED = "failed"
    """Never answered, for a reason that is known or not."""
    RINGING = "ringing"
    """Not answered yet."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one call.  `summary` is the key of the sentence on top, filled in with `words`, in no language yet."""

    verdict: Verdict
    summary: str
    words: Mapping[str, Word]
    findings: tuple[Finding, ...]


def history_says(case: Case) -> Iterator[Found]:
    """The record of the call is not kept any more; what the history says of its end."""
    reason = case.call.termination_reason
    if not case.is_over or case.trace.entries or reason is None or reason is TerminationReason.NORMAL:
        return
    if reason in (TerminationReason.ADMIN, TerminationReason.INTERRUPTED):
        return
    words: dict[str, Word] = {"callee": case.callee, "status": case.call.status, "why": case.call.reason_text}
    yield Found(Confidence.CERTAIN, case.last_words(), words, reason.value)


RULES: Final[tuple[Rule[Case], ...]] = (
    *refusing.RULES,
    *reaching.RULES,
    *negotiating.RULES,
    *declining.RULES,
    *holding.RULES,
    *sounding.RULES,
    *tampering.RULES,
    history_says,
)

_NOTES: Final = frozenset({"sip-alg", "caller-vanished", "ended-by-server"})
"""Findings that do not spoil a call that was answered."""


def explain_call(trace: CallTrace, bans: Sequence[BanSnapshot], now_at: float) -> Explanation:
    """Why a call went as it did.  `bans` are those in force, `now_at` is wall clock."""
    case = Case(trace, bans, now_at)
    findings = ranked(RULES, case)
    words: dict[str, Word] = {"caller": case.caller or "?", "callee": case.callee or "?", "talk": Span(case.talk_s)}
    if not case.answered:
        if not case.is_over:
            return Explanation(Verdict.RINGING, "ringing" if case.rang else "trying", words, findings)
        words["status"] = case.call.status
        return Explanation(Verdict.FAILED, "failed" if findings else "failed-unexplained", words, findings)
    if any(finding.rule not in _NOTES for finding in findings):
        return Explanation(Verdict.TROUBLED, "troubled" if case.is_over else "troubled-now", words, findings)
    sound = [each for each in case.sound if each is not None and each.packets]
    if not sound:
        return Explanation(Verdict.GOOD, "good" if case.is_over else "talking", words, findings)
    # Poor figures that no rule speaks of come from a few packets.
    rated = [each.mos for each in sound if each.mos is not None]
    kind = "good" if not rated or min(rated) >= POOR_MOS else "short"
    key = f"{kind}-sound" if case.is_over else f"{kind}-sound-now"
    return Explanation(Verdict.GOOD, key, words | _quality(sound), findings)


def _quality(sound: Sequence[MediaFigures]) -> dict[str, Word]:
    """Of the worse direction."""
    lost = max(100.0 * each.lost / max(1, each.packets + each.lost) for each in sound)
    rated = [each.mos for each in sound if each.mos is not None]
    return {
        "lost": round(lost, 1),
        "jitter": round(max(each.jitter_ms for each in sound)),
        "mos": f"{min(rated):.1f}" if rated else "-",
    }
