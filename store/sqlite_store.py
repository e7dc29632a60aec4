"""The store in one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from store.backlog import LIMIT
from store.database import Connect, Database, connect
from store.database_store import DEFAULT_TRACE_LIMITS, DatabaseStore
from store.interface import TraceLimits

MAX_TRACE_BYTES_IN_MEMORY = 32 * 1024 * 1024


class SqliteStore(DatabaseStore):
    """What a server of its own keeps its state in."""

    def __init__(
        self,
        path: Path | None,
        history_days: int,
        trace_limits: TraceLimits = DEFAULT_TRACE_LIMITS,
        *,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        connect: Connect = connect,
    ) -> None:
        """`path` None keeps everything in memory."""
        if path is None:
            trace_limits = TraceLimits(trace_limits.days, min(trace_limits.max_bytes, MAX_TRACE_BYTES_IN_MEMORY))
        database = Database(path, connect)
        super().__init__(database, history_days, trace_limits, limit=limit, clock=clock, wall_clock=wall_clock)
