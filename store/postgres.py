"""The PostgreSQL database (`store.medium.Medium`): connecting, checking, and the connections to it.

A connection for writing, used by one thread at a time (the one that opens, afterwards `store-writer`), and a pool for
reading and for the short changes of passwords and bans.  The writing connection also holds the name of this server: an
advisory lock, which PostgreSQL lets go when the connection ends, however it ends.

What is committed is on the disk of the database (`synchronous_commit` of PostgreSQL, on unless somebody turns it off).
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import conninfo
from psycopg.adapt import Buffer
from psycopg.types.string import StrDumper, TextLoader

from config import ConfigError, wrong_value
from store import postgres_schema, postgres_trouble
from store.pool import Pool
from store.postgres_trouble import NameTaken
from store.sql import Connection, Cursor
from store.text import escaped, unescaped

log = logging.getLogger(__name__)

CHANNEL = "sipserver_binding"
"""Where servers tell one another which bindings have changed: the name of the one that tells, and binding ids."""
DEAD_AFTER_S = 5.0
"""A server that has given no sign of life for so long is out of service."""

_CONNECT_S = 3
_SILENCE_MS = 5_000
"""After so long without an answer of its machine a connection counts as broken, on both sides."""
_STATEMENT_MS = 10_000
_NAME_WAIT_S = DEAD_AFTER_S + 2.0
_NAME_POLL_S = 0.1
_NAME_LOCK = 0x53495054
_NOBODY = "*"
"""No server has this name."""
_MOST_TOLD = 200
"""Ids in one notification, which may have 8000 bytes."""

_SESSION = f"""
SELECT set_config('search_path', '{postgres_schema.SCHEMA}', false),
    set_config('statement_timeout', '{_STATEMENT_MS}', false),
    set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '5', false),
    set_config('tcp_keepalives_count', '3', false)
"""


_NAME_HOLDER = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = ? AND objid = (hashtext(?)::bigint & 4294967295)::oid
"""


class _TextDumper(StrDumper):
    """Binds text with any bytes in it."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(escaped(obj))


class _TextLoader(TextLoader):
    def load(self, data: Buffer) -> bytes | str:
        return unescaped(str(super().load(data)))


@lru_cache(maxsize=512)
def _translated(sql: str) -> str:
    return sql.replace("?", "%s")


class PostgresConnection:
    """`store.sql.Connection`, with transactions begun by hand."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Cursor:
        return self.raw.execute(_translated(sql), values)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """The statement with each of these values."""
        with self.raw.cursor() as cursor:
            cursor.executemany(_translated(sql), rows)

    def close(self) -> None:
        self.raw.close()


Connect = Callable[[str, str], PostgresConnection]


def connect(url: str, application: str) -> PostgresConnection:
    """A connection that `application` is known by.  Raises `psycopg.Error`."""
    raw = psycopg.connect(
        url,
        autocommit=True,
        client_encoding="utf8",
        application_name=application,
        connect_timeout=_CONNECT_S,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=_SILENCE_MS,
    )
    raw.adapters.register_dumper(str, _TextDumper)
    raw.adapters.register_loader("text", _TextLoader)
    connection = PostgresConnection(raw)
    try:
        connection.execute(_SESSION)
    except BaseException:
        connection.close()
        raise
    return connection


class PostgresDatabase:
    """One database that several servers may share; `server` is the name of this one, "" for a command that only looks
    in."""

    def __init__(
        self, url: str, server: str, connect: Connect = connect, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises `ConfigError` when the URL makes no sense."""
        try:
            conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            # What it says may hold a part of the password.
            raise wrong_value("DATABASE_URL", "***", "postgresql://user:password@host:port/database") from None
        self._url = url
        self._server = server
        self._connect = connect
        self._clock = clock
        self._writer: PostgresConnection | None = None
        self._session = 0
        """The process of PostgreSQL that served the last writing connection."""
        self._revisions: Mapping[str, int] = {}
        self._pool = Pool(self.new_connection)

    @property
    def server(self) -> str:
        return self._server

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        return psycopg.Error, OSError

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    def note_revisions(self, revisions: Mapping[str, int]) -> None:
        """How often each subject has been changed (`store.postgres_keepers`).  Thread `store-neighbours`."""
        self._revisions = revisions

    def revision(self, subject: str) -> int:
        """As far as it was noted; any thread, without asking the database."""
        return self._revisions.get(subject, 0)

    def new_connection(self) -> PostgresConnection:
        """One of the caller's own."""
        return self._connect(self._url, f"sipserver {self._server}".strip())

    # -------------------------------------------------------------------------------------------- opening and closing

    def open(self, now_at: float) -> None:
        """Raises `ConfigError`: made by a later version, no UTF-8, or another server has the same name."""
        connection = self.new_connection()
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._writer = connection
        self._pool.keep()

    def _prepare(self, connection: PostgresConnection) -> None:
        encoding = connection.execute("SHOW server_encoding").fetchone()[0]
        if encoding != "UTF8":
            raise ConfigError(f"DATABASE_URL: the database must be made with ENCODING 'UTF8', not {encoding}")
        with _transaction(connection):
            # A new index of a large table takes its time.
            connection.execute("SET LOCAL statement_timeout = 0")
            postgres_schema.migrate(connection)
        if self._server:
            self._take_name(connection)

    def _take_name(self, connection: PostgresConnection) -> None:
        """What is left of a connection of ours, or of a server that has died without a word, is ended; a server that
        lives keeps its name."""
        deadline = self._clock() + _NAME_WAIT_S
        lock = (_NAME_LOCK, self._server)
        while not connection.execute("SELECT pg_try_advisory_lock(?, hashtext(?))", lock).fetchone()[0]:
            if self._clock() >= deadline:
                raise NameTaken(
                    f"SERVER_NAME={self._server}: a server of this name is running on the database; stop that one "
                    "first, or set SERVER_NAME"
                )
            holder = connection.execute(_NAME_HOLDER, lock).fetchone()
            if holder is not None and (holder[0] == self._session or not self._is_alive(connection)):
                connection.execute("SELECT pg_terminate_backend(?)", holder)
            time.sleep(_NAME_POLL_S)
        self._session = connection.raw.info.backend_pid

    def _is_alive(self, connection: PostgresConnection) -> bool:
        found = connection.execute(
            "SELECT extract(epoch FROM clock_timestamp()) - beat_at < ? FROM server WHERE name = ?",
            (DEAD_AFTER_S, self._server),
        ).fetchone()
        return found is None or found[0]

    def leave(self) -> None:
        self._pool.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    close = leave

    # -------------------------------------------------------------------------------------------- faults

    def keep_watch(self) -> None:
        """There is but one database behind an address."""

    def examine(self) -> None:
        """PostgreSQL looks after its files itself."""

    def after_fault(self, error: BaseException, now_at: float) -> None:
        if postgres_trouble.needs_reopening(error):
            self.leave()

    def problems(self) -> tuple[str, ...]:
        return ()

    def explained(self, error: Exception) -> str:
        """What is wrong with DATABASE_URL, on one line, for whoever has set it."""
        words = " ".join(str(error).split()) or type(error).__name__
        return f"DATABASE_URL: {self.clause(error)} ({words})"

    clause = staticmethod(postgres_trouble.clause)
    is_passing = staticmethod(postgres_trouble.is_passing)

    @staticmethod
    def is_damage(error: BaseException) -> bool:
        """Never for us to do away with."""
        return False

    # -------------------------------------------------------------------------------------------- using

    @contextlib.contextmanager
    def writing(self) -> Iterator[PostgresConnection]:
        writer = self._writer
        if writer is None:
            raise psycopg.OperationalError("the database isn't open")
        with _transaction(writer):
            yield writer

    syncing = writing

    @contextlib.contextmanager
    def reading(self) -> Iterator[PostgresConnection]:
        with self._lent("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
            yield connection

    @contextlib.contextmanager
    def changing(self) -> Iterator[PostgresConnection]:
        """One transaction of any thread, for a change that must be made at once."""
        with self._lent("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def _lent(self, begin: str) -> Iterator[PostgresConnection]:
        with contextlib.ExitStack() as held:
            connection = held.enter_context(self._pool.lend())
            try:
                connection.execute(begin)
            except psycopg.OperationalError:
                # It was idle while the database went away and came back: those beside it are no better.
                connection.close()
                self._pool.clear()
                self._pool.keep()
                connection = held.enter_context(self._pool.lend())
                connection.execute(begin)
            yield connection
            connection.execute("COMMIT")

    def announce(self, connection: Connection, keys: Sequence[tuple[object, ...]]) -> None:
        """Heard by the others when the transaction is committed."""
        ids = [str(key[1]) for key in keys if key[0] == "binding"]
        tell_changed(connection, self._server, ids)


def tell_changed(connection: Connection, server: str, binding_ids: Sequence[str]) -> None:
    """To be read by `store.neighbours`."""
    for start in range(0, len(binding_ids), _MOST_TOLD):
        payload = " ".join((server, *binding_ids[start : start + _MOST_TOLD]))
        connection.execute("SELECT pg_notify(?, ?)", (CHANNEL, payload))


def tell_anew(connection: Connection, server: str) -> None:
    """Have the other servers look at what is not about bindings; `server` is who says so, "" a command."""
    connection.execute("SELECT pg_notify(?, ?)", (CHANNEL, server or _NOBODY))


@contextlib.contextmanager
def _transaction(connection: PostgresConnection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(psycopg.Error):
            connection.raw.rollback()
        raise
