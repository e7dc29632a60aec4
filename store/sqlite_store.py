"""The store in one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from store.backlog import LIMIT
from store.database import Connect, Database, connect
from store.database_store import DatabaseStore


class SqliteStore(DatabaseStore):
    """What a server of its own keeps its state in."""

    def __init__(
        self,
        path: Path | None,
        history_days: int,
        *,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        connect: Connect = connect,
    ) -> None:
        """`path` None keeps everything in memory."""
        super().__init__(Database(path, connect), history_days, limit=limit, clock=clock, wall_clock=wall_clock)
