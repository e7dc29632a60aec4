"""explain/words.py and the catalogues: the same in every language, filled in, and in the reader's own."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

import pytest

from explain.finding import Confidence, Evidence, EvidenceKind, Finding, Span
from explain.texts import en, ru
from explain.words import LANGUAGES, chosen_language, said

CATALOGUES = {"en": en, "ru": ru}


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def test_every_language_has_a_catalogue() -> None:
    assert tuple(CATALOGUES) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogues_have_the_same_keys_and_placeholders(language: str) -> None:
    texts = CATALOGUES[language].TEXTS
    assert texts.keys() == en.TEXTS.keys()
    for key, text in texts.items():
        assert [placeholders(template) for template in text] == [placeholders(each) for each in en.TEXTS[key]], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_summaries_have_the_same_keys_and_placeholders(language: str) -> None:
    summaries: Mapping[str, str] = CATALOGUES[language].SUMMARIES
    assert {key: placeholders(text) for key, text in summaries.items()} == {
        key: placeholders(text) for key, text in en.SUMMARIES.items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_cause_ends_a_sentence_and_the_others_are_sentences(language: str) -> None:
    for key, (cause, sentence, remedy) in CATALOGUES[language].TEXTS.items():
        assert not cause.endswith("."), key
        assert sentence.endswith(".") and remedy.endswith("."), key
        assert not any("  " in text for text in (cause, sentence, remedy)), key


def test_russian_is_russian() -> None:
    for key, text in ru.TEXTS.items():
        assert all(any("а" <= letter <= "я" for letter in part.lower()) for part in text), key


def finding(**words: str | int | float | Span) -> Finding:
    evidence = (Evidence(EvidenceKind.DECISION, "because"),)
    return Finding("callee-silent", "", Confidence.LIKELY, evidence, {"callee": "101", "address": "a", **words})


@pytest.mark.parametrize(
    ("seconds", "english", "russian"),
    [
        (0, "0 s", "0 с"),
        (0.4, "0 s", "0 с"),
        (-3, "0 s", "0 с"),
        (59.6, "1 min", "1 мин"),
        (65, "1 min 5 s", "1 мин 5 с"),
        (3600, "1 h", "1 ч"),
        (7325, "2 h 2 min", "2 ч 2 мин"),
        (90_000, "1 d 1 h", "1 дн. 1 ч"),
    ],
)
def test_a_span_of_time_is_written_by_its_two_largest_units(seconds: float, english: str, russian: str) -> None:
    assert f"last heard {english} before" in said(finding(ago=Span(seconds)), "en").sentence
    assert f"за {russian} до" in said(finding(ago=Span(seconds)), "ru").sentence


def test_what_phones_have_sent_is_never_a_placeholder() -> None:
    assert "{ago} {0} {" in said(finding(callee="{ago} {0} {", ago="?"), "en").sentence


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en-GB, ru;q=0.5", "en"),
        ("de, ru;q=0.7, en;q=0.3", "ru"),
        ("de", "en"),
        ("en;q=0, ru", "ru"),
        ("RU", "ru"),
        ("ru;q=nonsense", "en"),
        (",;,q=1;;", "en"),
        ("ru," * 10_000, "ru"),
    ],
)
def test_the_language_that_a_browser_reads_best(wanted: str, language: str) -> None:
    assert chosen_language(wanted) == language
