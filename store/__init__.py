"""State that outlives the process: registrations, the call history, and the statistics that come from it.

`interface` says what the server asks of it, the other modules keep it in one SQLite file or in a PostgreSQL database.
The thread `store-writer` alone changes it; everybody else reads.  In PostgreSQL also passwords and bans are kept, which
are files otherwise.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config import IN_MEMORY, Config, ConfigError, NotYet
from sip.ban_file import BanFile, BanKeeper
from sip.kept_passwords import PasswordKeeper, passwords_in
from store.database import FILE_NAME
from store.interface import Store, StoreError, TraceLimits
from store.sqlite_store import SqliteStore

if TYPE_CHECKING:
    from store.neighbours import Neighbours
    from store.postgres import PostgresDatabase

__all__ = ["Storage", "Store", "StoreError", "open_passwords", "open_storage", "trace_limits"]

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")
_MAX_NAME = 63


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a server keeps what is to outlive it."""

    store: Store
    passwords: PasswordKeeper
    bans: BanKeeper
    neighbours: Neighbours | None = None
    """Where several servers may share it."""


def open_storage(config: Config) -> Storage:
    """What the settings ask for; its store is not yet started.  Raises `ConfigError`."""
    limits = trace_limits(config)
    if not config.database_url:
        path = None if str(config.data_dir) == IN_MEMORY else config.data_dir / FILE_NAME
        return Storage(SqliteStore(path, config.history_days, limits), passwords_in(config), BanFile(config.data_dir))
    database = _postgres(config, server_name(config))
    from store.neighbours import Neighbours
    from store.postgres_keepers import PostgresBans, PostgresPasswords
    from store.postgres_store import PostgresStore

    store = PostgresStore(database, config.history_days, limits)
    passwords = PostgresPasswords(database, config.auth_realm)
    return Storage(store, passwords, PostgresBans(database), Neighbours(database))


def trace_limits(config: Config) -> TraceLimits:
    """What the settings say of traces."""
    return TraceLimits(config.trace_days, config.trace_max_mb * 1024 * 1024)


@contextlib.contextmanager
def open_passwords(config: Config) -> Iterator[PasswordKeeper]:
    """The passwords that a server with these settings would go by.  Raises `ConfigError`."""
    if not config.database_url:
        yield passwords_in(config)
        return
    with open_postgres(config) as database:
        from store.postgres_keepers import PostgresPasswords

        yield PostgresPasswords(database, config.auth_realm)


@contextlib.contextmanager
def open_postgres(config: Config) -> Iterator[PostgresDatabase]:
    """The database of DATABASE_URL, for a command.  Raises `ConfigError`."""
    database = _postgres(config, "")
    try:
        database.open(0.0)
        yield database
    except database.faults as error:
        raise NotYet(database.explained(error)) from error
    finally:
        database.close()


def server_name(config: Config) -> str:
    """What this server is called in a database that several share."""
    name = config.server_name or _NOT_IN_A_NAME.sub("-", socket.gethostname())[:_MAX_NAME].strip(".-")
    return name or "sipserver"


def _postgres(config: Config, server: str) -> PostgresDatabase:
    try:
        from store.postgres import PostgresDatabase
    except ImportError as error:
        raise ConfigError(
            "DATABASE_URL needs psycopg, which is not installed: python -m pip install -r requirements-postgres.txt"
        ) from error
    return PostgresDatabase(config.database_url, server)
