"""Copies of a database: made while a server writes to it, and put back while none does.

Any thread, mostly the main thread of a command.  A copy is one file with everything in it, checked before it gets its
name, readable by its owner only.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from config import ConfigError
from store import schema
from store.database import FILE_NAME, LOCK_NAME, SIDE_FILES, check, connect, damage, move_away
from store.lock import DirectoryLock

_NO_LIMIT_S = 24 * 3600.0


def backup_file(database: Path, target: Path) -> None:
    """Copy the database, as it is at one moment, to `target`, which is replaced in one step.

    Raises `sqlite3.Error` when the database can't be read, and `OSError` for the sake of the target."""
    with contextlib.closing(connect(f"{database.absolute().as_uri()}?mode=rw")) as source:
        copy_to(source, target)


def copy_to(source: sqlite3.Connection, target: Path) -> None:
    """The same from a connection."""
    with _in_one_step(target) as new, contextlib.closing(connect(str(new))) as copy:
        # All pages in one step are one read transaction; in several it would begin anew after each change.
        source.backup(copy)
        # The copy came with the mode of the original, which would need two more files beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
        check(copy, "integrity_check", _NO_LIMIT_S)


def restore_file(data_dir: Path, backup: Path, now_at: float) -> Path | None:
    """Make `backup` the database in `data_dir`; the path under which the one before is kept, None if there was none.

    Raises `ConfigError` while a server runs there and for a file that is no backup or one of a later version, and
    `OSError`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    target, former = data_dir / FILE_NAME, None
    lock = DirectoryLock(data_dir / LOCK_NAME)
    lock.acquire()
    try:
        with open_backup(backup) as source, _in_one_step(target) as new:
            with contextlib.closing(connect(str(new))) as copy:
                source.backup(copy)
            _give_to_owner_of(data_dir, new)
            if target.exists():
                former = move_away(target, "before-restore", now_at)
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{backup}: can't be restored: {error}") from error
    finally:
        lock.release()
    return former


@contextlib.contextmanager
def open_backup(path: Path) -> Iterator[sqlite3.Connection]:
    """A backup, checked.  Raises `sqlite3.DatabaseError` for anything else, and for one of a later version."""
    with contextlib.closing(connect(f"{path.absolute().as_uri()}?mode=ro")) as source:
        version = schema.version_of(source)
        if schema.application_of(source) != schema.APPLICATION_ID:
            raise damage("it is no backup of this server")
        if version > schema.VERSION:
            raise damage("it was made by a later version of this program")
        check(source, "integrity_check", _NO_LIMIT_S)
        yield source


@contextlib.contextmanager
def _in_one_step(target: Path) -> Iterator[Path]:
    """An empty file of mode 0600 that takes the name of `target` at the end, or vanishes after an exception."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        yield temporary
        os.fsync(handle)
        temporary.replace(target)
    finally:
        os.close(handle)
        for side in ("-journal", *SIDE_FILES):
            Path(f"{name}{side}").unlink(missing_ok=True)


def _give_to_owner_of(directory: Path, path: Path) -> None:
    """Root restores, but the server, which must write the file, runs under a user of its own."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = directory.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
