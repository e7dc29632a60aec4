"""From the file to PostgreSQL: what a backup holds, and the passwords and bans beside it, into an empty database.

The main thread of a command.  All of it, or after a fault nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path

from config import Config, ConfigError
from sip.ban_file import BanFile
from sip.kept_passwords import passwords_in
from store import calls, schema
from store.archive import open_backup
from store.database import connect
from store.postgres import PostgresConnection, PostgresDatabase
from store.postgres_keepers import PostgresBans, PostgresPasswords
from store.sql import insert

TABLES = ("number", "binding", "call", "party", "media", "trace")
_ROWS_AT_ONCE = 1_000


def take_over(backup: Path, database: PostgresDatabase, config: Config, server: str) -> dict[str, int]:
    """What `backup`, made by this version or an earlier one, holds: rows by table.  Its phones are those of `server`,
    so that they can be called when that starts; calls that were in progress are interrupted ones.

    Raises `ConfigError`: no backup, or the database has calls or registrations already."""
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            contextlib.closing(connect(str(Path(directory) / "copy.db"))) as copy,
        ):
            with open_backup(backup) as source:
                source.backup(copy)
            schema.migrate(copy)
            calls.close_interrupted(copy)
            with database.changing() as target:
                _check_empty(target)
                counts = {table: _copy_table(copy, target, table, server) for table in TABLES}
                target.execute("SELECT setval(pg_get_serial_sequence('call', 'id'), (SELECT max(id) FROM call))")
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{backup}: can't be taken over: {error}") from error
    _take_over_guards(database, config)
    return counts


def _check_empty(target: PostgresConnection) -> None:
    for table in ("call", "binding"):
        if target.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None:  # noqa: S608 - names of our own
            raise ConfigError(
                "DATABASE_URL: the database holds calls or registrations already; a backup is taken over into an empty "
                "one only"
            )


def _copy_table(source: sqlite3.Connection, target: PostgresConnection, table: str, server: str) -> int:
    columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
    rows = source.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608
    sql = insert(table, columns, frozenset())
    of_server = columns.index("server") if table == "binding" else None
    count = 0
    while some := rows.fetchmany(_ROWS_AT_ONCE):
        target.execute_many(sql, [_with_server(row, of_server, server) for row in some])
        count += len(some)
    return count


def _with_server(row: Sequence[object], place: int | None, server: str) -> Sequence[object]:
    return row if place is None else (*row[:place], server, *row[place + 1 :])


def _take_over_guards(database: PostgresDatabase, config: Config) -> None:
    """What is set there already stays."""
    passwords = PostgresPasswords(database, config.auth_realm)
    present = passwords.read()
    for number, digests in passwords_in(config).read().items():
        if number not in present:
            passwords.change(number, digests)
    bans = PostgresBans(database)
    known = {ban.address: ban for ban in BanFile(config.data_dir).load()} | {ban.address: ban for ban in bans.load()}
    bans.save(tuple(known.values()))
