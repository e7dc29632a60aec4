"""The servers on one PostgreSQL database: who is alive, where each is reached, and what they prove themselves by.

All times are by the clock of the database, the only one that all of them see.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import NamedTuple

from store.sql import Connection

_NOW = "extract(epoch FROM clock_timestamp())::double precision"
_BEAT = f"""
INSERT INTO server (name, host, port, beat_at) VALUES (?, ?, ?, {_NOW})
ON CONFLICT (name) DO UPDATE SET host = excluded.host, port = excluded.port, beat_at = excluded.beat_at
"""  # noqa: S608
_OTHERS = f"SELECT name, host, port, {_NOW} - beat_at FROM server WHERE name <> ? ORDER BY name"  # noqa: S608
_KEY = "neighbours"
_KEY_BYTES = 32


class Standing(NamedTuple):
    """The other servers as they are now: those that are alive, by their address, and those that are not, by how many
    seconds ago they gave their last sign of life; `now_at` is the time."""

    alive: Mapping[str, tuple[str, int]]
    dead: Mapping[str, float]
    now_at: float


def beat(connection: Connection, name: str, host: str, port: int) -> None:
    """That server is alive, and reached there."""
    connection.execute(_BEAT, (name, host, port))


def leave(connection: Connection, name: str) -> None:
    """That server goes out of service."""
    connection.execute("DELETE FROM server WHERE name = ?", (name,))


def standing(connection: Connection, name: str, dead_after_s: float) -> Standing:
    """All but the server of that name."""
    rows = connection.execute(_OTHERS, (name,)).fetchall()
    alive = {other: (host, port) for other, host, port, age in rows if age < dead_after_s}
    dead = {other: age for other, _, _, age in rows if age >= dead_after_s}
    now_at = connection.execute(f"SELECT {_NOW}").fetchone()[0]
    return Standing(alive, dead, now_at)


def revisions(connection: Connection) -> Mapping[str, int]:
    """How often each subject has been changed."""
    return dict(connection.execute("SELECT subject, number FROM revision").fetchall())


def shared_key(connection: Connection) -> bytes:
    """The same for all servers; made by the first one that asks."""
    drawn = secrets.token_hex(_KEY_BYTES)
    connection.execute("INSERT INTO secret (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (_KEY, drawn))
    return bytes.fromhex(connection.execute("SELECT value FROM secret WHERE name = ?", (_KEY,)).fetchone()[0])
