"""docs/explain.md tells of every rule what it speaks on, in the words of the rule itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from explain.calls import declining, holding, negotiating, reaching, refusing, sounding, tampering
from explain.calls.explanation import RULES as CALL_RULES
from explain.calls.explanation import history_says
from explain.doctor import house_rules, network_rules
from explain.phones import presence, refusals
from explain.rule import rule_name

DOCUMENT = Path(__file__).parents[2] / "docs" / "explain.md"

Rules = Sequence[Callable[..., object]]

SECTIONS: dict[str, Rules] = {
    "Refused or ended by the server": refusing.RULES,
    "The callee was not reached": reaching.RULES,
    "The phones did not agree": negotiating.RULES,
    "Declined": declining.RULES,
    "Cut off": holding.RULES,
    "Sound": sounding.RULES,
    "Rewritten on the way": tampering.RULES,
    "From the history alone": (history_says,),
    "Refused registrations": refusals.RULES,
    "Numbers": presence.RULES,
    "Doctor: addresses, ports, NAT": network_rules.RULES,
    "Doctor: machine, passwords, API, numbers": house_rules.RULES,
}


def table(rules: Rules) -> str:
    """As it has to stand in the document."""
    rows = [f"| `{rule_name(rule)}` | {' '.join((rule.__doc__ or '').split())} |" for rule in rules]
    return "\n".join(["| rule | speaks when |", "|---|---|", *rows])


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Title and table of every section that has one."""
    for title, body in re.findall(r"^#{2,3} (.+?)\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE):
        if (found := re.search(r"^\| rule \|.*?(?=\n\n|\Z)", body, re.DOTALL | re.MULTILINE)) is not None:
            yield title, found[0].rstrip()


@pytest.mark.parametrize("title", SECTIONS)
def test_every_rule_stands_in_the_document_with_what_it_speaks_on(title: str) -> None:
    assert dict(sections(DOCUMENT.read_text("utf-8"))).get(title) == table(SECTIONS[title])


def test_the_document_tells_of_no_other_rules_and_of_all() -> None:
    assert [title for title, _ in sections(DOCUMENT.read_text("utf-8"))] == list(SECTIONS)
    told = {rule for rules in SECTIONS.values() for rule in rules}
    assert set(CALL_RULES) <= told


def test_every_rule_says_what_it_speaks_on() -> None:
    for rules in SECTIONS.values():
        for rule in rules:
            assert (rule.__doc__ or "").strip().endswith((".", ").")), rule_name(rule)
