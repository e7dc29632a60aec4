"""All rules of the doctor, and the verdict that they make together.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from explain.doctor import house_rules, network_rules
from explain.doctor.facts import DoctorFacts
from explain.finding import Finding, Severity
from explain.rule import Rule, ranked

RULES: Final[tuple[Rule[DoctorFacts], ...]] = (*network_rules.RULES, *house_rules.RULES)

VERDICTS: Final = {Severity.INFO: "ok", Severity.WARNING: "warning", Severity.PROBLEM: "problem"}


def diagnose(facts: DoctorFacts) -> tuple[Finding, ...]:
    """What is found, the gravest first."""
    return tuple(sorted(ranked(RULES, facts), key=lambda finding: -finding.severity))


def gravest(findings: Sequence[Finding]) -> Severity:
    """The severity of the worst finding; INFO when nothing is wrong."""
    return max((finding.severity for finding in findings), default=Severity.INFO)
