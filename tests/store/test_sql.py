"""Statements that every database understands."""

from __future__ import annotations

from dataclasses import dataclass

from sip.snapshots import TerminationReason
from store.sql import TEXT, insert, placeholders, upsert, values_of


def test_placeholders_follow_the_columns() -> None:
    assert placeholders(("a", "b", "c"), frozenset({"b"})) == f"?, {TEXT}, ?"


def test_a_row_more() -> None:
    assert insert("t", ("a", "b"), frozenset({"a"})) == f"INSERT INTO t (a, b) VALUES ({TEXT}, ?)"


def test_a_row_instead_of_the_one_with_the_same_key() -> None:
    assert upsert("t", ("a", "b", "c"), frozenset(), ("a", "b")) == (
        "INSERT INTO t (a, b, c) VALUES (?, ?, ?) ON CONFLICT (a, b) DO UPDATE SET c = excluded.c"
    )


def test_values_are_plain() -> None:
    @dataclass
    class Row:
        reason: TerminationReason = TerminationReason.BUSY
        behind_nat: bool = True
        mos: float | None = None

    values = values_of(Row(), ("reason", "mos", "behind_nat"))
    assert values == ["busy", None, 1]
    assert [type(value) for value in values] == [str, type(None), int]
