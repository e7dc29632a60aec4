"""What is kept of the passwords that people set: HA1 values (RFC 7616 5.2), in a file in DATA_DIR or in memory.

A driver: it reads and writes files.  Its owner sees to it that one thread at a time uses it; a lock on a file keeps two
processes from undoing each other's change.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

try:
    import fcntl
except ImportError:  # Windows: two changes in the same instant are the administrator's to avoid there
    fcntl = None  # type: ignore[assignment]

from config import IN_MEMORY, Config, ConfigError
from private_file import replace_private
from sip.credentials import PasswordDigests
from sip.digest import Algorithm

log = logging.getLogger(__name__)

PASSWORD_FILE = "passwords.json"  # noqa: S105 - a file name

Digests = dict[str, PasswordDigests]
_HEX = {Algorithm.SHA_256: re.compile(r"[0-9a-f]{64}"), Algorithm.MD5: re.compile(r"[0-9a-f]{32}")}
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class PasswordKeeper(Protocol):
    """Where passwords outlive the process."""

    @property
    def keeps(self) -> bool:
        """What is changed here is there after a restart."""

    def stamp(self) -> object:
        """Differs after each change, whoever has made it; None while there is nothing."""

    def read(self) -> Digests:
        """Raises `ConfigError`: damaged, unreadable, or made for another AUTH_REALM."""

    def change(self, number: str, digests: PasswordDigests | None) -> Digests:
        """Give the number a password or, with None, take it away; all passwords now.  Raises like `read`, and when it
        can't be written; everything is as before then."""


class PasswordsInMemory:
    """Implements `PasswordKeeper` where DATA_DIR keeps nothing."""

    keeps = False

    def __init__(self) -> None:
        self._digests: Digests = {}

    def stamp(self) -> object:
        return None

    def read(self) -> Digests:
        return dict(self._digests)

    def change(self, number: str, digests: PasswordDigests | None) -> Digests:
        self._digests = changed(self._digests, number, digests)
        return dict(self._digests)


class PasswordFile:
    """Implements `PasswordKeeper` in DATA_DIR."""

    keeps = True

    def __init__(self, data_dir: Path, realm: str) -> None:
        self._path = data_dir / PASSWORD_FILE
        self._realm = realm

    def stamp(self) -> object:
        return stamp_of(self._path)

    def read(self) -> Digests:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"{self._path}: can't be read ({error.strerror})") from error
        _make_private(self._path)
        return _parse(self._path, data, self._realm)

    def change(self, number: str, digests: PasswordDigests | None) -> Digests:
        with self._alone():
            kept = changed(self.read(), number, digests)
            try:
                replace_private(self._path, _format(self._realm, kept))
                _give_to_owner_of(self._path.parent, self._path)
            except OSError as error:
                raise ConfigError(f"{self._path}: can't be written ({error.strerror})") from error
            return kept

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process changes the file meanwhile."""
        if fcntl is None:
            yield
            return
        lock_path = self._path.with_name(f".{self._path.name}.lock")
        try:
            lock_path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"{lock_path}: can't be opened ({error.strerror})") from error
        try:
            _give_to_owner_of(lock_path.parent, lock_path)
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def passwords_in(config: Config) -> PasswordKeeper:
    """The file that the settings ask for, or memory."""
    if str(config.data_dir) == IN_MEMORY:
        return PasswordsInMemory()
    return PasswordFile(config.data_dir, config.auth_realm)


def changed(kept: Digests, number: str, digests: PasswordDigests | None) -> Digests:
    """A table with that one change."""
    others = {other: each for other, each in kept.items() if other != number}
    return others if digests is None else others | {number: digests}


def stamp_of(path: Path) -> tuple[int, ...] | None:
    """Differs after each change, also of the owner (ctime): a file that could not be read then is worth another try."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _make_private(path: Path) -> None:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        log.warning("others could read %s; it is now for its owner alone", path)
        path.chmod(0o600)


def _give_to_owner_of(directory: Path, path: Path) -> None:
    """Root sets a password, but the server, which must read it, runs under a user of its own."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = directory.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _format(realm: str, digests: Digests) -> bytes:
    numbers = {
        number: {str(algorithm): digests[number].by(algorithm) for algorithm in Algorithm}
        for number in sorted(digests, key=int)
    }
    return (json.dumps({"realm": realm, "numbers": numbers}, indent=1) + "\n").encode()


def _parse(path: Path, data: bytes, realm: str) -> Digests:
    try:
        content = json.loads(data)
        made_for = content["realm"]
        found = {number: _digests(number, values) for number, values in content["numbers"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ConfigError(
            f"{path}: is damaged; put back a copy, or delete it and set all passwords anew (nobody gets in without one)"
        ) from None
    if made_for != realm:
        raise ConfigError(
            f"{path}: its passwords were set for another AUTH_REALM; go back to that one, or delete the file and set "
            "all passwords anew"
        )
    return found


def _digests(number: str, values: dict[str, str]) -> PasswordDigests:
    if not _NUMBER.fullmatch(number):
        raise ValueError(number)
    texts = [values[algorithm] for algorithm in Algorithm]
    if not all(_HEX[algorithm].fullmatch(text) for algorithm, text in zip(Algorithm, texts, strict=True)):
        raise ValueError(number)
    return PasswordDigests(*texts)
