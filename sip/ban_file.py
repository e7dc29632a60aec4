"""The bans on disk: `bans.json` in DATA_DIR, so that a restart is no pardon.

A driver: it touches the disk and must not be called under the core lock.  Its owner sees to it that one thread at a
time uses it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Protocol

from config import IN_MEMORY
from private_file import replace_private
from sip.bans import ban_source
from sip.snapshots import BanSnapshot

log = logging.getLogger(__name__)

FILE_NAME = "bans.json"
_FORMAT = 1
_MAX_SIZE = 16 * 1024 * 1024


class BanChanges(NamedTuple):
    """What somebody else has done: bans made or changed, and addresses that are listened to again."""

    made: tuple[BanSnapshot, ...]
    lifted: tuple[str, ...]


class BanKeeper(Protocol):
    """Where bans outlive the process."""

    def load(self) -> tuple[BanSnapshot, ...]:
        """What was saved last; nothing when it can't be read."""

    def save(self, bans: tuple[BanSnapshot, ...]) -> None:
        """All of them, instead of those saved last.  Raises `OSError`; these stay then."""

    def changed(self) -> BanChanges | None:
        """What others have changed since the last call of anything here.  Raises `OSError`."""


class BanFile:
    """Implements `BanKeeper`; `BanList.revision` says when there is something to write.

    Where DATA_DIR keeps nothing it does neither.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = None if str(data_dir) == IN_MEMORY else data_dir / FILE_NAME

    def load(self) -> tuple[BanSnapshot, ...]:
        """What was saved last, nothing when there is no file.

        A file that makes no sense is set aside as `bans.damaged`, with a warning; one that can't be read is left alone.
        """
        path = self._path
        if path is None:
            return ()
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_SIZE + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            log.warning("%s can't be read, so earlier bans are not in force: %s", path, error.strerror)
            return ()
        try:
            return _parse(data)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            _set_aside(path, error)
            return ()

    def save(self, bans: tuple[BanSnapshot, ...]) -> None:
        """Replace the file.  Raises `OSError`; the old file stays then."""
        if self._path is None:
            return
        text = json.dumps({"format": _FORMAT, "bans": [asdict(ban) for ban in bans]}, indent=1)
        replace_private(self._path, text.encode())

    def changed(self) -> None:
        """A file has one server."""


def _set_aside(path: Path, error: Exception) -> None:
    damaged = path.with_suffix(".damaged")
    try:
        path.replace(damaged)
    except OSError:
        damaged = path
    log.warning("the list of bans was damaged (%s); it lies in %s, and no earlier ban is in force", error, damaged)


def _parse(data: bytes) -> tuple[BanSnapshot, ...]:
    if len(data) > _MAX_SIZE:
        raise ValueError(f"larger than {_MAX_SIZE} bytes")
    content = json.loads(data)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError("not a list of bans of this version")
    return tuple(_ban(**row) for row in content["bans"])


def _ban(address: str, since_at: float, until_at: float | None, reason: str, failures: int) -> BanSnapshot:
    # json.loads takes NaN and Infinity for numbers; neither is a time.
    if not isinstance(address, str) or not isinstance(reason, str):
        raise TypeError("a ban with a wrong address or reason")
    if not _is_time(since_at) or not (until_at is None or _is_time(until_at)):
        raise ValueError("a ban with a wrong time")
    if not isinstance(failures, int) or isinstance(failures, bool) or failures < 0:
        raise ValueError("a ban with a wrong number of failures")
    return BanSnapshot(ban_source(address), float(since_at), until_at, reason, failures)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
