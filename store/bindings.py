"""Registrations in the database: bindings, and what is remembered of each number (RFC 3261 10).

The changes are made by any thread and applied by `store-writer`; the functions run in whichever thread reads.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, fields

from sip.snapshots import NumberRecord, StoredBinding
from store.text import TEXT, placeholders, storable, values_of

_COLUMNS = tuple(field.name for field in fields(StoredBinding))
_TEXTS = frozenset(field.name for field in fields(StoredBinding) if field.type == "str")
_SWITCHES = ("behind_nat",)

_PUT = f"INSERT OR REPLACE INTO binding ({', '.join(_COLUMNS)}) VALUES ({placeholders(_COLUMNS, _TEXTS)})"  # noqa: S608 - names of our own
_REMOVE = f"DELETE FROM binding WHERE binding_id = {TEXT}"  # noqa: S608
_COUNT = f"""
INSERT INTO number (number, first_seen_at, last_seen_at, registrations) VALUES ({TEXT}, ?, ?, ?)
ON CONFLICT (number) DO UPDATE SET
    last_seen_at = max(last_seen_at, excluded.last_seen_at),
    registrations = max(registrations, excluded.registrations)
"""  # noqa: S608
_LIVE = f"SELECT {', '.join(_COLUMNS)} FROM binding WHERE expires_at > ? ORDER BY registered_at, binding_id"  # noqa: S608


@dataclass(frozen=True, slots=True)
class PutBinding:
    """Made or refreshed; `registrations` of its number so far, so that writing twice counts once."""

    binding: StoredBinding
    registrations: int

    @property
    def key(self) -> tuple[object, ...]:
        return "binding", self.binding.binding_id

    @property
    def renewed(self) -> bool:
        return True

    def apply(self, connection: sqlite3.Connection) -> None:
        binding = self.binding
        connection.execute(_PUT, values_of(binding, _COLUMNS))
        seen_at = (binding.registered_at, binding.last_seen_at)
        connection.execute(_COUNT, (storable(binding.number), *seen_at, self.registrations))


@dataclass(frozen=True, slots=True)
class RemoveBinding:
    """Expired or removed."""

    binding_id: str

    @property
    def key(self) -> tuple[object, ...]:
        return "binding", self.binding_id

    @property
    def renewed(self) -> bool:
        return False

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(_REMOVE, (storable(self.binding_id),))


def live_bindings(connection: sqlite3.Connection, now_at: float) -> list[StoredBinding]:
    """Those whose time has not run out, the one registered first first."""
    found = []
    for row in connection.execute(_LIVE, (now_at,)):
        values = dict(zip(_COLUMNS, row, strict=True))
        found.append(StoredBinding(**(values | {name: bool(values[name]) for name in _SWITCHES})))
    return found


def drop_expired(connection: sqlite3.Connection, now_at: float) -> int:
    """Bindings that ran out while no server was there to notice; how many."""
    return connection.execute("DELETE FROM binding WHERE expires_at <= ?", (now_at,)).rowcount


def number_records(connection: sqlite3.Connection) -> dict[str, NumberRecord]:
    rows = connection.execute("SELECT number, first_seen_at, last_seen_at, registrations FROM number")
    return {row[0]: NumberRecord(*row) for row in rows}
