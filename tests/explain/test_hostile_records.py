"""Whatever phones have sent, and however much of a record is lost, it is explained without a fault."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from explain.calls.explanation import explain_call
from explain.words import LANGUAGES, said
from sip.trace import CallTrace
from tests.explain.test_call_rules import SCENES
from tests.support.harness import STARTED_AT

ROUNDS = 40
RICH = (
    "no_ack",
    "record_route_changed",
    "codecs_side_by_side",
    "private_address",
    "target_changed",
    "one_side_stopped",
)
"""Scenes with much to read."""


def explained(trace: CallTrace) -> None:
    for finding in explain_call(trace, (), STARTED_AT + 100.0).findings:
        for language in LANGUAGES:
            said(finding, language)


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Bytes changed, dropped or repeated here and there."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        if changed:
            at = dice.randrange(len(changed))
            what = dice.choice((b"", b"\r\n", b'"', b"<", b":", b"\xff", bytes(changed[at : at + 20]) * 2))
            changed[at : at + dice.randint(0, 12)] = what
    return bytes(changed)


@pytest.mark.parametrize("name", RICH)
def test_messages_that_are_no_sip(name: str) -> None:
    trace = SCENES[name][0]().trace
    dice = random.Random(name)
    for _ in range(ROUNDS):
        entries = tuple(replace(each, data=mutated(each.data, dice)) if each.data else each for each in trace.entries)
        explained(replace(trace, entries=entries))


@pytest.mark.parametrize("name", RICH)
def test_records_with_gaps(name: str) -> None:
    trace = SCENES[name][0]().trace
    dice = random.Random(name)
    for _ in range(ROUNDS):
        kept = [each for each in trace.entries if dice.random() < 0.7]
        entries = tuple(replace(each, data=b"") if dice.random() < 0.3 else each for each in kept)
        media = tuple(each for each in trace.media if dice.random() < 0.7)
        explained(replace(trace, entries=entries, media=media, streams=(), dropped=3))
