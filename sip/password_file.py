"""Where passwords come from and are kept: the settings, and a file of HA1 values in DATA_DIR (RFC 7616 5.2).

A driver: it reads and writes files, so it must not be called under the core lock.  The main thread loads, the API sets
and removes, the timer thread looks for changes made by the command line; a leaf lock guards what they share, and a lock
on a file keeps two processes from undoing each other's change.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two changes in the same instant are the administrator's to avoid there
    fcntl = None  # type: ignore[assignment]

from config import IN_MEMORY, Config, ConfigError
from sip.credentials import Credentials, PasswordDigests
from sip.digest import Algorithm
from sip.numbering import NumberPlan
from sip.private_file import replace_private

log = logging.getLogger(__name__)

PASSWORD_FILE = "passwords.json"  # noqa: S105 - a file name

_Digests = dict[str, PasswordDigests]
_Stamp = tuple[tuple[int, ...] | None, ...]
_HEX = {Algorithm.SHA_256: re.compile(r"[0-9a-f]{64}"), Algorithm.MD5: re.compile(r"[0-9a-f]{32}")}
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class PasswordStore:
    """The passwords of all numbers.  Those in EXT_PASSWORDS and EXT_PASSWORDS_FILE take precedence over those kept in
    DATA_DIR, and can't be changed here.

    Invariant: `_stamp` tells which state of the files `_current` was made from.  Files that can't be used leave
    `_current` in force, so that a damaged file opens nothing.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._path = None if str(config.data_dir) == IN_MEMORY else config.data_dir / PASSWORD_FILE
        self._lock = threading.Lock()
        self._in_memory: _Digests = {}
        self._given: _Digests = {}
        self._stamp: _Stamp = ()
        self._current = Credentials(config.auth_realm)

    @property
    def path(self) -> Path | None:
        """None when DATA_DIR keeps nothing."""
        return self._path

    def load(self) -> Credentials:
        """Raises `ConfigError` when a file is damaged, unreadable, or made for another AUTH_REALM."""
        with self._lock:
            stamp = self._read_stamp()
            self._current, self._stamp = self._read(), stamp
            return self._current

    def reload_if_changed(self) -> Credentials | None:
        """The new passwords when a file has changed since it was last read, else None.  A change that can't be used is
        logged, once, and the passwords stay as they are."""
        with self._lock:
            stamp = self._read_stamp()
            if stamp == self._stamp:
                return None
            vanished = any(old is not None and new is None for old, new in zip(self._stamp, stamp, strict=True))
            self._stamp = stamp
            if vanished:
                log.error("a file with passwords is gone; the passwords stay in force until the next start")
                return None
            try:
                self._current = self._read()
            except ConfigError as error:
                log.error("%s; the passwords stay as they were", error)  # noqa: TRY400 - one line says it all
                return None
            return self._current

    def is_given(self, number: str) -> bool:
        """Set by EXT_PASSWORDS or EXT_PASSWORDS_FILE."""
        with self._lock:
            return number in self._given

    def set(self, number: str, password: str) -> Credentials:
        """Give the number a password; the new table.  Raises `ConfigError` when it is given by the settings or can't
        be written."""
        digests = PasswordDigests.of(number, self._config.auth_realm, password)
        return self._change(number, digests)

    def remove(self, number: str) -> Credentials:
        """Take the password of the number away, if it has one; the new table.  Raises like `set`."""
        return self._change(number, None)

    # -------------------------------------------------------------------------------------------- under the lock

    def _change(self, number: str, digests: PasswordDigests | None) -> Credentials:
        with self._lock, self._alone():
            self._given = _given(self._config)
            if number in self._given:
                raise ConfigError(
                    f"the password of {number} comes from EXT_PASSWORDS or EXT_PASSWORDS_FILE; change it there"
                )
            kept = self._read_kept()
            if digests is not None:
                kept[number] = digests
            else:
                kept.pop(number, None)
            self._write_kept(kept)
            self._stamp = self._read_stamp()
            self._current = Credentials(self._config.auth_realm, kept | self._given)
            return self._current

    def _read(self) -> Credentials:
        self._given = _given(self._config)
        return Credentials(self._config.auth_realm, self._read_kept() | self._given)

    def _read_kept(self) -> _Digests:
        if self._path is None:
            return dict(self._in_memory)
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"{self._path}: can't be read ({error.strerror})") from error
        _make_private(self._path)
        return _parse(self._path, data, self._config.auth_realm)

    def _write_kept(self, kept: _Digests) -> None:
        if self._path is None:
            self._in_memory = kept
            return
        try:
            replace_private(self._path, _format(self._config.auth_realm, kept))
            _give_to_owner_of(self._path.parent, self._path)
        except OSError as error:
            raise ConfigError(f"{self._path}: can't be written ({error.strerror})") from error

    def _read_stamp(self) -> _Stamp:
        return tuple(_stamp(path) for path in (self._path, self._config.ext_passwords_file) if path is not None)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process changes the file meanwhile."""
        if self._path is None or fcntl is None:
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


# ------------------------------------------------------------------------------------------------ files


def _stamp(path: Path) -> tuple[int, ...] | None:
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


def _format(realm: str, digests: _Digests) -> bytes:
    numbers = {
        number: {str(algorithm): digests[number].by(algorithm) for algorithm in Algorithm}
        for number in sorted(digests, key=int)
    }
    return (json.dumps({"realm": realm, "numbers": numbers}, indent=1) + "\n").encode()


def _parse(path: Path, data: bytes, realm: str) -> _Digests:
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


def _given(config: Config) -> _Digests:
    """Passwords from the settings; EXT_PASSWORDS wins over the file."""
    passwords = _read_given_file(config) | dict(config.ext_passwords)
    return {number: PasswordDigests.of(number, config.auth_realm, password) for number, password in passwords.items()}


def _read_given_file(config: Config) -> dict[str, str]:
    """Lines of number:password; empty ones and those that begin with # don't count."""
    path = config.ext_passwords_file
    if path is None:
        return {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"EXT_PASSWORDS_FILE={path}: can't be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ConfigError(f"EXT_PASSWORDS_FILE={path}: is no UTF-8 text") from None
    plan = NumberPlan(config.ext_min, config.ext_max)
    found: dict[str, str] = {}
    for place, line in enumerate((line.strip() for line in lines), start=1):
        if not line or line.startswith("#"):
            continue
        number, _, password = line.partition(":")
        if number not in plan or not password or number in found:
            # The line itself isn't shown: it may hold a secret.
            raise ConfigError(
                f"EXT_PASSWORDS_FILE={path}: line {place} must be number:password, each number of {plan} once"
            )
        found[number] = password
    return found
