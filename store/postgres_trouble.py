"""What a fault of PostgreSQL means: for people in plain words, for the writer as what to do about it.  Pure but for the
error types of `psycopg`."""

from __future__ import annotations

import psycopg

from config import ConfigError

# By SQLSTATE, the longest beginning that fits (PostgreSQL documentation, appendix A).
_BY_STATE = {
    "25006": "the database is read-only",
    "28": "the database refuses the user or the password of DATABASE_URL",
    "3D": "the database of DATABASE_URL does not exist",
    "40": "two servers have changed the same at once",
    "42501": "the user of DATABASE_URL may not make or change the tables",
    "42P01": "the tables are missing",
    "53100": "the disk of the database is full",
    "53200": "the database is short of memory",
    "53300": "the database has too many connections",
    "55P03": "another program has locked the database",
    "57014": "the database takes too long to answer",
    "57": "the database is starting or stopping",
    "58": "the disk of the database reports faults",
    "XX": "the database is damaged",
}
_LONGEST_STATE = 5
_SPARED = ("40", "55P03", "57014")
"""After these the connection is as good as before."""


class NameTaken(ConfigError):
    """Another server of this name works on the database."""


def clause(error: BaseException) -> str:
    """What is wrong, as a clause without capital and full stop that names no phone and no host."""
    if isinstance(error, NameTaken):
        return "another server of the same SERVER_NAME uses the database"
    if isinstance(error, ConfigError):
        return "the database can't be used by this version of the program; the log says why"
    state = _state(error)
    for length in range(_LONGEST_STATE, 1, -1):
        if words := _BY_STATE.get(state[:length]):
            return words
    if isinstance(error, psycopg.OperationalError | OSError):
        return "the database can't be reached"
    return "the database refuses to work; the log says more"


def is_passing(error: BaseException) -> bool:
    """The fault of the machines, not of what was to be written: the same work may succeed later."""
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError | psycopg.NotSupportedError):
        return False
    if isinstance(error, psycopg.ProgrammingError):
        # Without a state it is the client that does not know how to send a value.
        return bool(_state(error))
    return isinstance(error, psycopg.Error | OSError | MemoryError)


def needs_reopening(error: BaseException) -> bool:
    return not _state(error).startswith(_SPARED)


def _state(error: BaseException) -> str:
    return (error.sqlstate or "") if isinstance(error, psycopg.Error) else ""
