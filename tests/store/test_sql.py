"""Statements that every database understands."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import pytest

from sip.snapshots import TerminationReason
from store.sql import TEXT, ForRows, insert, placeholders, upsert, values_of


def test_placeholders_follow_the_columns() -> None:
    assert placeholders(("a", "b", "c"), frozenset({"b"})) == f"?, {TEXT}, ?"


def test_a_row_more() -> None:
    assert insert("t", ("a", "b"), frozenset({"a"})) == f"INSERT INTO t (a, b) VALUES ({TEXT}, ?)"
    assert insert("t", ("a", "b"), frozenset(), 2) == "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)"


@pytest.mark.parametrize(("rows", "statements"), [(0, 0), (1, 1), (2, 1), (11, 3), (16, 1), (40, 3)])
def test_any_number_of_rows_takes_few_statements(sqlite: sqlite3.Connection, rows: int, statements: int) -> None:
    seen: list[str] = []
    given = [(number, number + 1) for number in range(rows)]
    sqlite.execute("CREATE TABLE pair (a, b)")
    sqlite.set_trace_callback(seen.append)
    adding = ForRows(lambda count: f"{insert('pair', ('a', 'b'), frozenset(), count)} RETURNING a, b")
    assert adding.fetch(sqlite, given) == given
    assert len(seen) == statements
    assert sqlite.execute("SELECT a, b FROM pair ORDER BY rowid").fetchall() == given


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
    assert tuple(values_of(Row("busy", 1, 3.5), ("reason", "mos", "behind_nat"))) == ("busy", 3.5, 1)
