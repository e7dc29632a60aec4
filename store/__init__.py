"""State that outlives the process: registrations, the call history, and the statistics that come from it.

`interface` says what the server asks of it, the other modules keep it in one SQLite file.  The thread `store-writer`
alone changes that file; everybody else reads (`store.database`).
"""

from __future__ import annotations

from config import IN_MEMORY, Config
from store.database import FILE_NAME
from store.interface import Store, StoreError, TraceLimits
from store.sqlite_store import SqliteStore

__all__ = ["Store", "StoreError", "open_store"]


def open_store(config: Config) -> Store:
    """The store that the settings ask for, not yet started."""
    path = None if str(config.data_dir) == IN_MEMORY else config.data_dir / FILE_NAME
    limits = TraceLimits(config.trace_days, config.trace_max_mb * 1024 * 1024)
    return SqliteStore(path, config.history_days, limits)
