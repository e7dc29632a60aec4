"""Where passwords come from: the settings, and what is kept of those that people set.

A driver: it reads and writes, so it must not be called under the core lock.  The main thread loads, the API sets and
removes, the thread `housekeeper` looks for changes made by others; a leaf lock guards what they share.
"""

from __future__ import annotations

import logging
import threading

from config import Config, ConfigError
from sip.credentials import Credentials, PasswordDigests
from sip.kept_passwords import Digests, PasswordKeeper, stamp_of
from sip.numbering import NumberPlan

log = logging.getLogger(__name__)

_Stamp = tuple[object, ...]


class PasswordStore:
    """The passwords of all numbers.  Those in EXT_PASSWORDS and EXT_PASSWORDS_FILE take precedence over those kept,
    and can't be changed here.

    Invariant: `_stamp` tells which state of them `_current` was made from.  What can't be used leaves `_current` in
    force, so that a damaged file opens nothing.
    """

    def __init__(self, config: Config, keeper: PasswordKeeper) -> None:
        self._config = config
        self._keeper = keeper
        self._lock = threading.Lock()
        self._given: Digests = {}
        self._stamp: _Stamp = ()
        self._current = Credentials(config.auth_realm)

    @property
    def keeps(self) -> bool:
        """What is set here is there after a restart."""
        return self._keeper.keeps

    def load(self) -> Credentials:
        """Raises `ConfigError` when passwords can't be read, are damaged, or were made for another AUTH_REALM."""
        with self._lock:
            stamp = self._read_stamp()
            self._current, self._stamp = self._read(), stamp
            return self._current

    def configure(self, config: Config) -> Credentials:
        """Go by the passwords of these settings from now on.  Raises like `load`; everything stays as it was then."""
        with self._lock:
            before, self._config = self._config, config
            try:
                stamp = self._read_stamp()
                self._current, self._stamp = self._read(), stamp
            except ConfigError:
                self._config = before
                raise
            return self._current

    def reload_if_changed(self) -> Credentials | None:
        """The new passwords when any has changed since they were last read, else None.  A change that can't be used is
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
        with self._lock:
            self._given = _given(self._config)
            if number in self._given:
                raise ConfigError(
                    f"the password of {number} comes from EXT_PASSWORDS or EXT_PASSWORDS_FILE; change it there"
                )
            kept = self._keeper.change(number, digests)
            self._stamp = self._read_stamp()
            self._current = Credentials(self._config.auth_realm, kept | self._given)
            return self._current

    def _read(self) -> Credentials:
        given = _given(self._config)
        credentials = Credentials(self._config.auth_realm, self._keeper.read() | given)
        self._given = given
        return credentials

    def _read_stamp(self) -> _Stamp:
        given = self._config.ext_passwords_file
        return self._keeper.stamp(), *(() if given is None else (stamp_of(given),))


def _given(config: Config) -> Digests:
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
