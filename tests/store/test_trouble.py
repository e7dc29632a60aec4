"""Faults in plain words, and what follows from them."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from config import ConfigError
from store.lock import DirectoryInUse
from store.trouble import clause, is_damage, is_passing, needs_reopening


def fault(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("words of SQLite")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (fault(sqlite3.SQLITE_FULL), "the disk is full"),
        (fault(sqlite3.SQLITE_BUSY), "another program has locked the database"),
        (fault(sqlite3.SQLITE_BUSY_SNAPSHOT), "another program has locked the database"),
        (fault(sqlite3.SQLITE_READONLY_DBMOVED), "the database or its disk is read-only"),
        (fault(sqlite3.SQLITE_IOERR_FSYNC), "the disk reports faults"),
        (fault(sqlite3.SQLITE_CORRUPT), "the database is damaged"),
        (sqlite3.OperationalError("of Python"), "the database refuses to work; the log says more"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "the database or its disk is read-only"),
        (OSError(errno.ENOTDIR, "Not a directory"), "the database can't be reached (Not a directory)"),
        (DirectoryInUse("x"), "another server uses the same data directory"),
        (ConfigError("x"), "the database was made by a later version of this program"),
    ],
)
def test_words(error: Exception, words: str) -> None:
    assert clause(error) == words


def test_damage_is_what_makes_no_sense_to_sqlite() -> None:
    assert is_damage(fault(sqlite3.SQLITE_CORRUPT))
    assert is_damage(fault(sqlite3.SQLITE_NOTADB))
    assert not is_damage(fault(sqlite3.SQLITE_IOERR))
    assert not is_damage(ValueError())


def test_a_value_that_can_not_be_stored_does_not_pass_with_time() -> None:
    assert is_passing(fault(sqlite3.SQLITE_FULL))
    assert is_passing(OSError())
    assert not is_passing(OverflowError())
    assert not is_passing(sqlite3.IntegrityError())


def test_a_lock_and_a_full_disk_do_not_spoil_the_connection() -> None:
    assert [needs_reopening(fault(code)) for code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL)] == [False, False]
    assert needs_reopening(fault(sqlite3.SQLITE_READONLY))
    assert needs_reopening(OSError())
