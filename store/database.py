"""The SQLite file (`store.medium.Medium`): opening, checking, setting aside, and the connections to it.

A connection for writing, used by one thread at a time (the one that opens, afterwards `store-writer`), and a pool of
connections for reading; in WAL mode a reader sees the state of the moment in which it began and never waits for the
writer.  In memory there is one connection for all, and `_alone` sees to it that they take turns.

Invariant: a file that is open has passed the check and has the tables of this version.

synchronous=NORMAL: what is committed survives the death of the process, since it is with the operating system by then;
a power cut may take the commits since the last `sync`, never more, and never leaves a damaged file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config import ConfigError
from store import schema, trouble
from store.lock import DirectoryLock
from store.pool import Pool
from store.sql import Connection
from store.text import from_stored, storable

log = logging.getLogger(__name__)

FILE_NAME = "sipserver.db"
LOCK_NAME = ".sipserver.db.lock"
SIDE_FILES = ("", "-wal", "-shm")
"""A database and what SQLite keeps beside it."""

CHECK_LIMIT_S = 1.0
"""How long a start waits for the check of a large file; half a second is enough for a million calls."""

_WRITE_WAIT_MS = 50
"""How long the writer waits for somebody else's lock at a time."""
_READ_WAIT_MS = 1_000
_MAX_WAL_BYTES = 16 * 1024 * 1024
_CACHE_KIB = 250
"""Of pages, for each connection: an eighth of what SQLite would take, and hardly slower: the system has them too."""

Connect = Callable[[str], sqlite3.Connection]


class NewerDatabase(ConfigError):
    """Made by a later version of this program."""


class SqliteConnection(sqlite3.Connection):
    """Takes text with any bytes in it."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> sqlite3.Cursor:  # type: ignore[override]
        try:
            return super().execute(sql, values)
        except UnicodeEncodeError:
            return super().execute(sql, [storable(each) if isinstance(each, str) else each for each in values])


def connect(path: str) -> sqlite3.Connection:
    """With transactions begun by hand, and usable by any one thread at a time.  `path` may be a `file:` URI."""
    connection = sqlite3.connect(
        path,
        timeout=_WRITE_WAIT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteConnection,
        uri=path.startswith("file:"),
    )
    connection.text_factory = from_stored
    return connection


class Database:
    """One database of one server.  `path` None keeps it in memory."""

    def __init__(self, path: Path | None, connect: Connect = connect) -> None:
        self._path = path
        self._connect = connect
        self._directory_lock = DirectoryLock(path.with_name(LOCK_NAME)) if path is not None else None
        self._writer: sqlite3.Connection | None = None
        self._alone = threading.Lock()
        self._readers = Pool(self._new_reader)
        self._set_aside_as = ""
        self._opened: tuple[int, int] | None = None

    @property
    def path(self) -> Path | None:
        return self._path

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        return sqlite3.Error, OSError

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    @property
    def set_aside_as(self) -> str:
        """The name that a damaged file was given since this object was made, "" if none was."""
        return self._set_aside_as

    # -------------------------------------------------------------------------------------------- opening and closing

    def open(self, now_at: float) -> None:
        """Make what is missing, set aside what is damaged.

        Raises `ConfigError` for a database of a later version or in use by another server, `sqlite3.Error` and
        `OSError` when it can't be opened now; trying again later may succeed then.
        """
        if self._path is None:
            self._writer = self._prepare(self._connect(":memory:"))
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        assert self._directory_lock is not None
        self._directory_lock.acquire()
        try:
            self._writer = self._open_file(self._path)
        except sqlite3.DatabaseError as error:
            if not trouble.is_damage(error):
                raise
            self.set_aside(now_at, str(error))
            self._writer = self._open_file(self._path)
        self._readers.keep()

    def _open_file(self, path: Path) -> sqlite3.Connection:
        """Raises `sqlite3.DatabaseError` with the code of a damage when the file makes no sense."""
        _make_private(path)
        connection = self._connect(str(path))
        try:
            self._opened = _identity(path)
            return self._prepare(connection)
        except BaseException:
            connection.close()
            raise

    @staticmethod
    def _prepare(connection: sqlite3.Connection) -> sqlite3.Connection:
        version = schema.version_of(connection)
        if version > schema.VERSION:
            raise NewerDatabase(
                f"the database was made by a later version of this program (its tables have version {version}, this "
                f"program knows {schema.VERSION}): install that version again, or restore a backup"
            )
        _check_owner(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {_MAX_WAL_BYTES}")
        check(connection, "quick_check", CHECK_LIMIT_S)
        schema.migrate(connection)
        return connection

    def leave(self) -> None:
        """Close the connections there are, so that `open` begins anew with whatever file is there; memory stays."""
        if self._path is not None:
            self._close_connections()

    def close(self) -> None:
        """Idempotent.  What readers hold is closed when they are through."""
        self._close_connections()
        if self._directory_lock is not None:
            self._directory_lock.release()

    def _close_connections(self) -> None:
        self._readers.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(sqlite3.Error):
                writer.close()

    def set_aside(self, now_at: float, why: str) -> None:
        """Give the file, and what belongs to it, a name that says that it is damaged.  Raises `OSError`."""
        assert self._path is not None
        self._close_connections()
        self._set_aside_as = move_away(self._path, "damaged", now_at).name
        log.error("%s is damaged (%s); it lies in %s now, and a new one is begun", self._path, why, self._set_aside_as)

    # -------------------------------------------------------------------------------------------- faults

    def keep_watch(self) -> None:
        """What is written to a file that somebody has removed or replaced goes to nowhere."""
        if self._path is not None and self.is_open and _identity(self._path) != self._opened:
            log.error("the database was removed or replaced while the server ran; it goes on with what is there now")
            self.leave()

    def examine(self) -> None:
        with self.writing() as connection:
            check(connection, "quick_check", CHECK_LIMIT_S)

    def after_fault(self, error: BaseException, now_at: float) -> None:
        if trouble.is_damage(error) and self._path is not None:
            self.set_aside(now_at, str(error))
        elif trouble.needs_reopening(error):
            self.leave()

    def problems(self) -> tuple[str, ...]:
        if aside := self._set_aside_as:
            return (f"the database was damaged; it lies in {aside} now, and the history begins anew",)
        return ()

    clause = staticmethod(trouble.clause)
    is_damage = staticmethod(trouble.is_damage)
    is_passing = staticmethod(trouble.is_passing)

    # -------------------------------------------------------------------------------------------- using

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        with self._alone, _transaction(self._open_writer()) as connection:
            yield connection

    @contextlib.contextmanager
    def syncing(self) -> Iterator[sqlite3.Connection]:
        with self._alone:
            connection = self._open_writer()
            connection.execute("PRAGMA synchronous = FULL")
            try:
                with _transaction(connection):
                    yield connection
            finally:
                connection.execute("PRAGMA synchronous = NORMAL")

    def announce(self, connection: Connection, keys: Sequence[tuple[object, ...]]) -> None:
        """There is no other server on a file."""

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        if self._path is None:
            with self._alone:
                yield self._open_writer()
            return
        with self._readers.lend() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("ROLLBACK")

    def _open_writer(self) -> sqlite3.Connection:
        writer = self._writer
        if writer is None:
            raise sqlite3.OperationalError("the database isn't open")
        return writer

    def _new_reader(self) -> sqlite3.Connection:
        assert self._path is not None
        connection = self._connect(f"{self._path.absolute().as_uri()}?mode=rw")
        connection.execute(f"PRAGMA busy_timeout = {_READ_WAIT_MS}")
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Committed at the end; with an exception nothing of it has happened."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        raise


def check(connection: sqlite3.Connection, pragma: str, limit_s: float) -> None:
    """Raise `sqlite3.DatabaseError` with SQLITE_CORRUPT where the file makes no sense; what can't be looked at within
    `limit_s` counts as sound."""
    timer = threading.Timer(limit_s, connection.interrupt)
    timer.name = "store-check"
    timer.start()
    try:
        found = connection.execute(f"PRAGMA {pragma}(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        log.info("the database is large; it was checked for %.1f s, which is not all of it", limit_s)
        return
    finally:
        timer.cancel()
        timer.join()
    if found != "ok":
        raise damage(str(found).replace("\n", " "))


def damage(why: str) -> sqlite3.DatabaseError:
    """The error that SQLite would raise."""
    error = sqlite3.DatabaseError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def move_away(path: Path, why: str, now_at: float) -> Path:
    """Rename a database to `name.why-date.db`, with what belongs to it; its new path.  Raises `OSError`."""
    stem = f"{path.stem}.{why}-{datetime.fromtimestamp(now_at, UTC):%Y%m%dT%H%M%SZ}"
    target, attempt = path.with_name(f"{stem}{path.suffix}"), 1
    while target.exists():
        attempt += 1
        target = path.with_name(f"{stem}-{attempt}{path.suffix}")
    for side in SIDE_FILES:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{side}").replace(f"{target}{side}")
    return target


def _check_owner(connection: sqlite3.Connection) -> None:
    """A file with tables that no version of this program has made is as good as a damaged one."""
    is_ours = schema.application_of(connection) == schema.APPLICATION_ID
    if not is_ours and connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        raise damage("it belongs to another program")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _make_private(path: Path) -> None:
    """For its owner alone, from the moment it exists; SQLite gives its other files the same mode."""
    # An existing file is not opened: closing it would take away the locks that SQLite has on it in this process.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    if os.name == "posix" and path.stat().st_mode & 0o077:
        log.warning("others could read %s; it is now for its owner alone", path)
        path.chmod(0o600)
