"""Explanations to JSON objects, in the language of their reader.  Pure."""

from __future__ import annotations

from api.views import Json, clean, iso_time
from explain.calls.explanation import Explanation
from explain.finding import Evidence, Finding
from explain.words import said, summary
from sip.snapshots import CallSnapshot


def explanation_view(call: CallSnapshot, explanation: Explanation, language: str) -> Json:
    """`findings`: the most certain first."""
    findings = explanation.findings
    words = dict(explanation.words)
    if findings:
        words["cause"] = said(findings[0], language).cause
    return {
        "callId": clean(call.call_id),
        "verdict": explanation.verdict.value,
        "summary": clean(summary(explanation.summary, words, language)),
        "language": language,
        "findings": [finding_view(finding, language) for finding in findings],
    }


def finding_view(finding: Finding, language: str) -> Json:
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
