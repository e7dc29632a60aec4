"""What a rule has found: a cause, how sure it is, what it rests on, and the words for people.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Confidence(IntEnum):
    """How well the evidence bears a cause; the higher the better, which is also the order in which causes are told."""

    POSSIBLE = 1
    """It fits, and others fit as well."""
    LIKELY = 2
    """It fits, and nothing in the record speaks for another."""
    CERTAIN = 3
    """The record says so."""


class EvidenceKind(StrEnum):
    MESSAGE = "message"
    """A SIP message of the call; `text` is its first line and where it came from or went to."""
    DECISION = "decision"
    """Something the server has decided or noticed; `text` is its sentence in the journal."""
    FIGURE = "figure"
    """A figure: `text` names it as the API does, `value` is its value."""
    DESCRIPTION = "description"
    """What a phone offered or answered: `text` says whose it is, `value` what it said."""
    REGISTRATION = "registration"
    """A registration, or a refused one; `text` names what of it, `value` says it."""
    SETTING = "setting"
    """A setting of the server: `text` is its name, `value` its value."""


Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing a finding rests on.  `entry` is the place of a message or decision in the record of the call, counted
    from 0; `at` is wall clock, seconds since the epoch."""

    kind: EvidenceKind
    text: str
    value: Value = None
    entry: int | None = None
    at: float | None = None


def figure(name: str, value: Value) -> Evidence:
    """A figure as evidence."""
    return Evidence(EvidenceKind.FIGURE, name, value)


class Span(NamedTuple):
    """So many seconds, to be written in the reader's language."""

    seconds: float


Word = str | int | float | Span
"""What may stand in the place of a placeholder."""


class Severity(IntEnum):
    """How much a finding matters to somebody who looks after the server."""

    INFO = 0
    """Good to know; nothing need be done."""
    WARNING = 1
    """It will trouble somebody, or does so now and then."""
    PROBLEM = 2
    """It keeps somebody from calling."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule returns.  `variant` picks among the texts of the rule, "" where it has but one; `words` fill their
    placeholders."""

    confidence: Confidence
    evidence: tuple[Evidence, ...]
    words: Mapping[str, Word] = field(default_factory=dict)
    variant: str = ""
    severity: Severity = Severity.PROBLEM


@dataclass(frozen=True, slots=True)
class Finding:
    """One explanation, in no language yet (`explain.words.said`).  `rule` is its lasting name for programs."""

    rule: str
    variant: str
    confidence: Confidence
    evidence: tuple[Evidence, ...]
    words: Mapping[str, Word] = field(default_factory=dict)
    severity: Severity = Severity.PROBLEM

    @property
    def key(self) -> str:
        """Of its texts in the catalogue."""
        return f"{self.rule}.{self.variant}" if self.variant else self.rule
