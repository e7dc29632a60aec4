"""Registrations in the database: bindings, and what is remembered of each number (RFC 3261 10).

The changes are made by any thread and applied by `store-writer`; the functions run in whichever thread reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sip.snapshots import NumberRecord, StoredBinding
from store.sql import TEXT, Connection, ForRows, upsert, values_of

_COLUMNS = tuple(field.name for field in fields(StoredBinding))
_TEXTS = frozenset(field.name for field in fields(StoredBinding) if field.type == "str")
_SWITCHES = ("behind_nat",)

# One that has moved to another server since is no longer this one's to change: the later word counts.
_PUT = ForRows(
    lambda rows: (
        f"""{upsert("binding", _COLUMNS, _TEXTS, ("binding_id",), rows)}
WHERE binding.server = excluded.server OR binding.last_seen_at <= excluded.last_seen_at
"""
    )
)
_REMOVE = f"DELETE FROM binding WHERE binding_id = {TEXT} AND server = {TEXT}"  # noqa: S608
_COUNT = f"""
INSERT INTO number (number, first_seen_at, last_seen_at, registrations) VALUES ({TEXT}, ?, ?, ?)
ON CONFLICT (number) DO UPDATE SET
    last_seen_at = CASE WHEN excluded.last_seen_at > number.last_seen_at
        THEN excluded.last_seen_at ELSE number.last_seen_at END,
    registrations = CASE WHEN excluded.registrations > number.registrations
        THEN excluded.registrations ELSE number.registrations END
"""  # noqa: S608
_ALL_LIVE = f"SELECT {', '.join(_COLUMNS)} FROM binding WHERE expires_at > ? ORDER BY registered_at, binding_id"  # noqa: S608
_FIND = f"SELECT {', '.join(_COLUMNS)} FROM binding WHERE binding_id IN"  # noqa: S608
_LIVE = f"""
SELECT {", ".join(_COLUMNS)} FROM binding WHERE server = {TEXT} AND expires_at > ? ORDER BY registered_at, binding_id
"""  # noqa: S608


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

    @property
    def weight(self) -> int:
        return 0

    @staticmethod
    def apply_all(connection: Connection, works: Sequence[PutBinding]) -> None:
        _PUT.run(connection, [values_of(work.binding, _COLUMNS) for work in works])
        for work in works:
            binding = work.binding
            seen_at = (binding.registered_at, binding.last_seen_at)
            connection.execute(_COUNT, (binding.number, *seen_at, work.registrations))


@dataclass(frozen=True, slots=True)
class RemoveBinding:
    """Expired or removed; nothing is when it has moved from that server to another meanwhile."""

    binding_id: str
    server: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        return "binding", self.binding_id

    @property
    def renewed(self) -> bool:
        return False

    @property
    def weight(self) -> int:
        return 0

    @staticmethod
    def apply_all(connection: Connection, works: Sequence[RemoveBinding]) -> None:
        for work in works:
            connection.execute(_REMOVE, (work.binding_id, work.server))


def live_bindings(connection: Connection, now_at: float, server: str = "") -> list[StoredBinding]:
    """Those held by that server whose time has not run out, the one registered first first."""
    return [_binding(row) for row in connection.execute(_LIVE, (server, now_at))]


def all_live_bindings(connection: Connection, now_at: float) -> list[StoredBinding]:
    """Those of all servers."""
    return [_binding(row) for row in connection.execute(_ALL_LIVE, (now_at,))]


def find_bindings(connection: Connection, binding_ids: Sequence[str]) -> list[StoredBinding]:
    """Those that there are."""
    return [_binding(row) for row in connection.execute(f"{_FIND} ({_marks(binding_ids)})", binding_ids)]


def _binding(row: Sequence[Any]) -> StoredBinding:
    values = dict(zip(_COLUMNS, row, strict=True))
    return StoredBinding(**(values | {name: bool(values[name]) for name in _SWITCHES}))


def _marks(values: Sequence[str]) -> str:
    return ", ".join(TEXT for _ in values)


def drop_expired(connection: Connection, now_at: float) -> int:
    """Bindings that ran out while no server was there to notice; how many."""
    return connection.execute("DELETE FROM binding WHERE expires_at <= ?", (now_at,)).rowcount


def number_records(connection: Connection, numbers: Sequence[str] | None = None) -> dict[str, NumberRecord]:
    """Of all numbers, or of these."""
    sql = "SELECT number, first_seen_at, last_seen_at, registrations FROM number"
    if numbers is not None:
        sql += f" WHERE number IN ({_marks(numbers)})"
    return {row[0]: NumberRecord(*row) for row in connection.execute(sql, numbers or ())}
