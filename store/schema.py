"""The tables of the database, as the numbered steps that lead from an empty file, or from an older one, to now.

Text and rules only; `migrate` runs in whichever thread opens the database, before any other knows of it.
"""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x53495053
"""Tells the files of this program from other SQLite databases ("SIPS")."""

# Text is kept as it came, undecodable bytes included (`store.text`).  Times are seconds since the epoch, UTC.
_REGISTRATIONS = """
CREATE TABLE binding (
    binding_id TEXT PRIMARY KEY,
    number TEXT NOT NULL,
    contact TEXT NOT NULL,
    parameters TEXT NOT NULL,
    instance TEXT NOT NULL,
    call_id TEXT NOT NULL,
    cseq INTEGER NOT NULL,
    transport TEXT NOT NULL,
    local_host TEXT NOT NULL,
    local_port INTEGER NOT NULL,
    remote_host TEXT NOT NULL,
    remote_port INTEGER NOT NULL,
    connection INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    q REAL NOT NULL,
    user_agent TEXT NOT NULL,
    behind_nat INTEGER NOT NULL,
    registered_at REAL NOT NULL,
    last_seen_at REAL NOT NULL,
    password_mark TEXT NOT NULL,
    server TEXT NOT NULL
);
CREATE TABLE number (
    number TEXT PRIMARY KEY,
    first_seen_at REAL NOT NULL,
    last_seen_at REAL NOT NULL,
    registrations INTEGER NOT NULL
) WITHOUT ROWID;
"""

# `party` has a row for each number in a call, so that the calls of one number are one stretch of its key, in order.
# `live_call` holds the calls that have not ended; what is left in it at a start was cut off.
_CALL_HISTORY = """
CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    call_id TEXT NOT NULL,
    from_number TEXT NOT NULL,
    to_number TEXT NOT NULL,
    invited_at REAL NOT NULL,
    ringing_at REAL,
    answered_at REAL,
    ended_at REAL NOT NULL,
    from_address TEXT NOT NULL,
    to_address TEXT NOT NULL,
    status INTEGER NOT NULL,
    termination_reason TEXT NOT NULL,
    reason_text TEXT NOT NULL,
    ended_by TEXT NOT NULL,
    mos REAL
);
CREATE INDEX call_ended ON call (ended_at, id);
CREATE TABLE party (
    number TEXT NOT NULL,
    ended_at REAL NOT NULL,
    call INTEGER NOT NULL,
    PRIMARY KEY (number, ended_at, call)
) WITHOUT ROWID;
CREATE TABLE media (
    call INTEGER NOT NULL,
    place INTEGER NOT NULL,
    kind TEXT NOT NULL,
    side INTEGER NOT NULL,
    from_address TEXT,
    from_port INTEGER,
    to_address TEXT,
    to_port INTEGER,
    relay_port INTEGER NOT NULL,
    packets INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    out_of_order INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    jitter_ms REAL NOT NULL,
    codec TEXT,
    mos REAL,
    first_packet_at REAL,
    last_packet_at REAL,
    PRIMARY KEY (call, place)
) WITHOUT ROWID;
CREATE TABLE live_call (
    call_id TEXT NOT NULL,
    invited_at REAL NOT NULL,
    from_number TEXT NOT NULL,
    to_number TEXT NOT NULL,
    ringing_at REAL,
    answered_at REAL,
    from_address TEXT NOT NULL,
    to_address TEXT NOT NULL,
    status INTEGER NOT NULL,
    PRIMARY KEY (call_id, invited_at)
) WITHOUT ROWID;
CREATE TABLE heartbeat (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at REAL NOT NULL
);
"""

# Which server carries a call and was alive when; "" is the only one of a file.
_SERVERS = """
ALTER TABLE live_call ADD COLUMN server TEXT NOT NULL DEFAULT '';
ALTER TABLE heartbeat RENAME TO former_heartbeat;
CREATE TABLE heartbeat (
    server TEXT PRIMARY KEY,
    at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO heartbeat (server, at) SELECT '', at FROM former_heartbeat;
DROP TABLE former_heartbeat;
"""

# A trace that was forgotten keeps its row, without data and of size 0, as long as its call is in the history.
_TRACES = """
CREATE INDEX call_of_id ON call (call_id, invited_at);
CREATE TABLE trace (
    call INTEGER PRIMARY KEY,
    ended_at REAL NOT NULL,
    format INTEGER NOT NULL,
    size INTEGER NOT NULL,
    data BLOB,
    forgotten_at REAL
);
CREATE INDEX trace_kept ON trace (ended_at, size) WHERE size > 0;
"""

STEPS: tuple[str, ...] = (_REGISTRATIONS, _CALL_HISTORY, _SERVERS, _TRACES)
"""Step n leads from version n-1 to n.  A step that has been released never changes; a new one is appended."""

VERSION = len(STEPS)


def version_of(connection: sqlite3.Connection) -> int:
    """0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def application_of(connection: sqlite3.Connection) -> int:
    """`APPLICATION_ID` in a file of this program, 0 in an empty one."""
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def migrate(connection: sqlite3.Connection, version: int = VERSION) -> None:
    """Run the steps that the database lacks, each in a transaction together with its number."""
    for number in range(version_of(connection) + 1, version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in STEPS[number - 1].split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
