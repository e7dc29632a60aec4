"""Explanations to JSON objects, in the language of their reader.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from api.views import Json, clean, contact_view, iso_time
from explain.calls.explanation import Explanation
from explain.doctor.diagnosis import VERDICTS, gravest
from explain.finding import Evidence, Finding
from explain.phones.explanation import NumberExplanation
from explain.phones.standing import Standing
from explain.words import said, summary
from sip.snapshots import CallSnapshot


def diagnosis_view(findings: Sequence[Finding], checked_at: float, language: str) -> Json:
    """What the doctor says, the gravest first; `verdict` is that of the gravest."""
    return {
        "verdict": VERDICTS[gravest(findings)],
        "checkedAt": iso_time(checked_at),
        "language": language,
        "findings": [
            {**view, "severity": finding.severity.name.lower()}
            for view, finding in zip(findings_view(findings, language), findings, strict=True)
        ],
    }


def number_view(standing: Standing, explanation: NumberExplanation, language: str) -> Json:
    """`contacts` are the devices that the number is registered with."""
    return {
        "number": standing.number,
        "verdict": explanation.reach.value,
        "summary": _summary(explanation, language),
        "language": language,
        "findings": findings_view(explanation.findings, language),
        "firstSeen": iso_time(standing.presence.first_seen_at),
        "contacts": [contact_view(contact) for contact in standing.presence.contacts],
    }


def explanation_view(call: CallSnapshot, explanation: Explanation, language: str) -> Json:
    """`findings`: the most certain first."""
    return {
        "callId": clean(call.call_id),
        "verdict": explanation.verdict.value,
        "summary": _summary(explanation, language),
        "language": language,
        "findings": findings_view(explanation.findings, language),
    }


def _summary(explanation: Explanation | NumberExplanation, language: str) -> str:
    """The sentence on top; where it tells the cause, that of the first finding."""
    words = dict(explanation.words)
    if explanation.findings:
        words["cause"] = said(explanation.findings[0], language).cause
    return clean(summary(explanation.summary, words, language))


def findings_view(findings: Sequence[Finding], language: str) -> list[Json]:
    return [_finding_view(finding, language) for finding in findings]


def _finding_view(finding: Finding, language: str) -> Json:
    """`cause` is a clause, `sentence` and `remedy` are sentences for people."""
    words = said(finding, language)
    return {
        "rule": finding.rule,
        "variant": finding.variant or None,
        "confidence": finding.confidence.name.lower(),
        "cause": clean(words.cause),
        "sentence": clean(words.sentence),
        "remedy": clean(words.remedy),
        "evidence": [_evidence_view(evidence) for evidence in finding.evidence],
    }


def _evidence_view(evidence: Evidence) -> Json:
    value = evidence.value
    return {
        "kind": evidence.kind.value,
        "text": clean(evidence.text),
        "value": clean(value) if isinstance(value, str) else value,
        "index": evidence.entry,
        "at": iso_time(evidence.at),
    }
