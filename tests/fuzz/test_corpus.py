"""The seeds of every fuzzing target and what fuzzing has found, once more (tests/fuzz/run.py looks for more)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import CORPUS, TARGETS
from tests.fuzz.tokens import dictionary

FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    seeds = TARGETS[name].seeds()
    assert seeds
    for seed in seeds:
        assert len(seed) <= TARGETS[name].max_length
        TARGETS[name].check(seed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_corpus(path: Path) -> None:
    TARGETS[path.parent.name].check(path.read_bytes())


def test_the_corpus_stays_small() -> None:
    assert 0 < len(FILES) <= 200
    assert sum(path.stat().st_size for path in FILES) <= 200_000


def test_every_word_of_the_dictionary_can_be_read_back() -> None:
    for line in dictionary().splitlines():
        word = line[1:-1].encode("ascii").decode("unicode_escape")
        assert line[0] == line[-1] == '"'
        assert 0 < len(word) <= 64
