"""A database as an office leaves it that has made so many calls, for a server that is about to be started.

The server's own code makes the tables; the rows are made by SQLite itself, a million in a quarter of a minute.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from pathlib import Path

from servers import FIRST_NUMBER, ROOT

sys.path.insert(0, str(ROOT))

from store.database import FILE_NAME, Database

_NUMBERS = 500
_SPAN_S = 300 * 86_400
"""Over how long the calls are spread; the default HISTORY_DAYS keeps all of them."""

_CALLS = f"""
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :calls)
INSERT INTO call (
    call_id, from_number, to_number, invited_at, ringing_at, answered_at, ended_at,
    from_address, to_address, status, termination_reason, reason_text, ended_by, mos)
SELECT
    printf('%08x@history', i * 2654435761 % 4294967296), CAST({FIRST_NUMBER} + i % {_NUMBERS} AS TEXT),
    CAST({FIRST_NUMBER + _NUMBERS} + i * 7 % {_NUMBERS} AS TEXT), :since + i * :step, :since + i * :step + 1,
    :since + i * :step + 5, :since + i * :step + 65, '192.0.2.1:5060', '192.0.2.2:5060', 200, 'normal',
    'the caller hung up', 'caller', 4.3
FROM n
"""
_PARTIES = """
INSERT INTO party (number, ended_at, call)
SELECT number, ended_at, id FROM (
    SELECT from_number AS number, ended_at, id FROM call UNION ALL SELECT to_number, ended_at, id FROM call)
ORDER BY number, ended_at, id
"""
_MEDIA = """
INSERT INTO media (
    call, place, kind, side, from_address, from_port, to_address, to_port, relay_port, packets, bytes, lost,
    out_of_order, duplicates, rejected, dropped, jitter_ms, codec, mos, first_packet_at, last_packet_at)
SELECT
    id, side, 'audio', side, '192.0.2.1', 4000, '192.0.2.2', 4000, 20000, 3000, 516000, 3, 0, 0, 0, 0, 1.5, 'PCMU', 4.3,
    answered_at, ended_at
FROM call, (SELECT 0 AS side UNION ALL SELECT 1)
"""


def make(directory: Path, calls: int) -> None:
    """In the data directory of a server that is started in `directory`."""
    path, now_at = directory / "data" / FILE_NAME, time.time()
    database = Database(path)
    database.open(now_at)
    database.close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        # Nobody would miss this file, so nothing need be written twice or waited for.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(_CALLS, {"calls": calls, "since": now_at - _SPAN_S, "step": _SPAN_S / calls})
        connection.execute(_PARTIES)
        connection.execute(_MEDIA)
