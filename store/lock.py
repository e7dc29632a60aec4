"""One server per data directory: a lock on a file beside the database, held as long as the server runs and released by
the system when its process ends, however it ends.

The main thread takes and releases it; while the database can't be opened, `store-writer` tries to.
"""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

from config import ConfigError


class DirectoryInUse(ConfigError):
    """Another process holds the lock."""


class DirectoryLock:
    """Held or not; taking it twice is the same as once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self) -> None:
        """Raises `DirectoryInUse`, or `OSError` when the file can't be made."""
        if self._handle is not None:
            return
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(handle)
        except (BlockingIOError, PermissionError) as error:
            os.close(handle)
            raise DirectoryInUse(
                f"DATA_DIR={self._path.parent}: a server is running on it; stop that one first, or set DATA_DIR"
            ) from error
        self._handle = handle

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _lock(handle: int) -> None:
    """Raises `BlockingIOError` (on Windows `PermissionError`) when another handle has it."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
