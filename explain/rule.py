"""Rules: small named functions that look for one cause, and their order.  Pure.

The name of a rule is that of its function, with dashes; its docstring says which evidence it speaks on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from explain.finding import Finding, Found

S = TypeVar("S")

Rule = Callable[[S], Iterator[Found]]
"""Looks at a subject and says what it finds, most often nothing."""


def rule_name(rule: Rule[S]) -> str:
    return rule.__name__.replace("_", "-")


def ranked(rules: Iterable[Rule[S]], subject: S) -> tuple[Finding, ...]:
    """What the rules find, the most certain first; of equals, the one whose rule stands first."""
    return tuple(sorted(_findings(rules, subject), key=lambda finding: -finding.confidence))


def _findings(rules: Iterable[Rule[S]], subject: S) -> Iterator[Finding]:
    for rule in rules:
        for found in rule(subject):
            yield Finding(rule_name(rule), found.variant, found.confidence, found.evidence, found.words, found.severity)
