"""Findings in the language of their reader: one catalogue of texts for each language, all with the same keys.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from explain.finding import Finding, Span, Word
from explain.texts import en, ru
from explain.texts.form import Text

LANGUAGES: Final = ("en", "ru")
"""The first is spoken where the reader's is not among them."""


class Said(NamedTuple):
    """`cause` is a clause without capital and full stop, `sentence` says what happened, `remedy` what to do."""

    cause: str
    sentence: str
    remedy: str


class _Catalogue(NamedTuple):
    texts: Mapping[str, Text]
    summaries: Mapping[str, str]
    units: tuple[str, str, str, str]
    """Seconds, minutes, hours, days."""


_CATALOGUES: Final = {
    "en": _Catalogue(en.TEXTS, en.SUMMARIES, en.UNITS),
    "ru": _Catalogue(ru.TEXTS, ru.SUMMARIES, ru.UNITS),
}


def said(finding: Finding, language: str) -> Said:
    """A finding in one of `LANGUAGES`."""
    catalogue = _CATALOGUES[language]
    words = {name: _shown(word, catalogue) for name, word in finding.words.items()}
    return Said(*(template.format_map(words) for template in catalogue.texts[finding.key]))


def summary(key: str, words: Mapping[str, Word], language: str) -> str:
    """The sentence that stands above all findings."""
    catalogue = _CATALOGUES[language]
    return catalogue.summaries[key].format_map({name: _shown(word, catalogue) for name, word in words.items()})


def chosen_language(wanted: str) -> str:
    """The best of `LANGUAGES` for an Accept-Language header (RFC 9110 12.5.4), or for a language tag alone."""
    best, best_weight = LANGUAGES[0], 0.0
    for item in wanted.split(",")[:_MAX_WANTED]:
        tag, *parameters = (part.strip().lower() for part in item.split(";"))
        language, weight = tag.partition("-")[0], _weight(parameters)
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


_MAX_WANTED = 20


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _shown(word: Word, catalogue: _Catalogue) -> str:
    if isinstance(word, Span):
        return _duration(word.seconds, catalogue.units)
    return f"{word:g}" if isinstance(word, float) else str(word)


def _duration(seconds: float, units: tuple[str, str, str, str]) -> str:
    """The two largest units that matter: 3 h 5 min."""
    whole = round(max(0.0, seconds))
    minutes, rest_s = divmod(whole, 60)
    hours, rest_min = divmod(minutes, 60)
    days, rest_h = divmod(hours, 24)
    parts = [(days, units[3]), (rest_h, units[2]), (rest_min, units[1]), (rest_s, units[0])]
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = [f"{count} {unit}" for count, unit in parts[first : first + 2] if count]
    return " ".join(shown) or f"0 {units[0]}"
