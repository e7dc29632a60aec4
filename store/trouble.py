"""What a fault of the database means: for people in plain words, for the writer as what to do about it.  Pure but for
the error types of `sqlite3`."""

from __future__ import annotations

import errno
import sqlite3

from config import ConfigError
from store.lock import DirectoryInUse

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY = 0xFF
"""The low byte of an extended result code is the code that it refines."""

_BY_CODE = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another program has locked the database",
    sqlite3.SQLITE_LOCKED: "another program has locked the database",
    sqlite3.SQLITE_READONLY: "the database or its disk is read-only",
    sqlite3.SQLITE_CANTOPEN: "the database can't be opened; see the rights of the data directory",
    sqlite3.SQLITE_PERM: "the database can't be opened; see the rights of the data directory",
    sqlite3.SQLITE_IOERR: "the disk reports faults",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
    sqlite3.SQLITE_NOTADB: "the database is damaged",
}
_BY_ERRNO = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full",
    errno.EROFS: "the database or its disk is read-only",
    errno.EACCES: "the database can't be opened; see the rights of the data directory",
    errno.EPERM: "the database can't be opened; see the rights of the data directory",
}


def code_of(error: BaseException) -> int:
    """SQLite's primary result code; 0 when the fault is not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY


def clause(error: BaseException) -> str:
    """What is wrong, as a clause without capital and full stop that names no phone and no file."""
    if isinstance(error, DirectoryInUse):
        return "another server uses the same data directory"
    if isinstance(error, ConfigError):
        return "the database was made by a later version of this program"
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0, f"the database can't be reached ({error.strerror or error})")
    return _BY_CODE.get(code_of(error), "the database refuses to work; the log says more")


def is_damage(error: BaseException) -> bool:
    """The file makes no sense: trying again is of no use."""
    return code_of(error) in _DAMAGE


def is_passing(error: BaseException) -> bool:
    """The fault of the machine, not of what was to be written: the same work may succeed later."""
    return isinstance(error, sqlite3.OperationalError | OSError | MemoryError) or is_damage(error)


def needs_reopening(error: BaseException) -> bool:
    """SQLite keeps a connection read-only once it was, and one to a file that was moved away goes on with that file."""
    return code_of(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
