"""SQL that every database here understands, and what such a database offers to it.  Pure.

Statements are written once: `?` stands for a value, `TEXT` for a value that may hold any bytes that came from the
network, and both SQLite and PostgreSQL take what is left.  A connection sees to it that text comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

TEXT = "CAST(? AS TEXT)"
"""The placeholder of text: a database may have to be handed bytes for it."""


_PLAIN = frozenset((str, int, float, bytes, type(None)))


class Cursor(Protocol):
    """What a statement has found or done."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Lent to one thread at a time, in the midst of a transaction."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Cursor: ...


def values_of(source: object, columns: tuple[str, ...]) -> Sequence[object]:
    """The attributes of those names, two at least, as they are bound for `placeholders`."""
    found = _getter(columns)(source)
    if _PLAIN.issuperset(map(type, found)):
        return found
    return [value if value.__class__ in _PLAIN else plain(value) for value in found]


@cache
def _getter(columns: tuple[str, ...]) -> attrgetter[tuple[object, ...]]:
    return attrgetter(*columns)


def plain(value: object) -> object:
    """A value as databases know it: no truth values (they are kept as 0 and 1), no members of enumerations."""
    if isinstance(value, bool):
        return int(value)
    return value.value if isinstance(value, Enum) else value


def placeholders(columns: Iterable[str], texts: frozenset[str]) -> str:
    """The VALUES of an INSERT, in the order of its columns."""
    return ", ".join(TEXT if column in texts else "?" for column in columns)


def values(columns: Sequence[str], texts: frozenset[str], rows: int = 1) -> str:
    """So many rows of them."""
    return "VALUES " + ", ".join([f"({placeholders(columns, texts)})"] * rows)


def insert(table: str, columns: Sequence[str], texts: frozenset[str], rows: int = 1) -> str:
    """So many rows more.  The names are our own, so nothing foreign gets into the text; here and below."""
    return f"INSERT INTO {table} ({', '.join(columns)}) {values(columns, texts, rows)}"


def upsert(table: str, columns: Sequence[str], texts: frozenset[str], key: Sequence[str], rows: int = 1) -> str:
    """Rows more, or instead of those that have the same `key`."""
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return f"{insert(table, columns, texts, rows)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"


class ForRows:
    """A statement for any number of rows.  It is executed as seldom as possible, since it gives the interpreter to
    another thread each time and has to get it back, and in few lengths, which the database remembers."""

    _PORTIONS = (16, 8, 4, 2, 1)

    def __init__(self, write: Callable[[int], str]) -> None:
        """`write` gives the statement for so many rows."""
        self.statements = {count: write(count) for count in self._PORTIONS}

    def run(self, connection: Connection, rows: Sequence[Sequence[object]]) -> int:
        """How many rows were changed."""
        changed = 0
        for statement, bound in self._bound(rows):
            changed += connection.execute(statement, bound).rowcount
        return changed

    def fetch(self, connection: Connection, rows: Sequence[Sequence[object]]) -> list[Any]:
        """What the statements return."""
        found: list[Any] = []
        for statement, bound in self._bound(rows):
            found += connection.execute(statement, bound).fetchall()
        return found

    def _bound(self, rows: Sequence[Sequence[object]]) -> list[tuple[str, list[object]]]:
        """Statements, each with its values."""
        if statement := self.statements.get(len(rows)):
            return [(statement, [*chain.from_iterable(rows)])]
        found, start = [], 0
        for count, statement in self.statements.items():
            while len(rows) - start >= count:
                found.append((statement, [*chain.from_iterable(rows[start : start + count])]))
                start += count
        return found
