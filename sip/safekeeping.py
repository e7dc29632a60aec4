"""What guards the door and must outlast the process: passwords and bans, between where they are kept and the engine.

A driver: it reads and writes, and takes the core lock through the engine, never both at once.  The main thread loads,
HTTP workers change, the thread `housekeeper` calls `tick`; `_saving` is held while bans are written or looked at.
"""

from __future__ import annotations

import logging
import threading

from config import Config
from sip.ban_file import BanKeeper
from sip.engine import SipEngine
from sip.kept_passwords import PasswordKeeper
from sip.password_store import PasswordStore
from sip.snapshots import BanSnapshot

log = logging.getLogger(__name__)


class Safekeeping:
    """Invariant: what the engine goes by is what is kept, but for changes of the last second."""

    def __init__(self, config: Config, engine: SipEngine, passwords: PasswordKeeper, bans: BanKeeper) -> None:
        self._engine = engine
        self._passwords = PasswordStore(config, passwords)
        self._bans = bans
        self._saving = threading.Lock()
        self._saved_revision = 0
        self._save_failed = False

    def load(self) -> None:
        """Before the engine starts.  Raises `ConfigError` when passwords can't be read: the door stays shut then."""
        self._engine.set_credentials(self._passwords.load())
        self._saved_revision = self._engine.restore_bans(self._bans.load())

    def configure(self, config: Config) -> int:
        """Go by the passwords of these settings from now on; how many registrations that ended.  Raises like `load`;
        everything stays as it was then."""
        return self._engine.set_credentials(self._passwords.configure(config))

    def tick(self) -> None:
        """Once a second: follow the passwords and bans that others have changed, save the bans if we have."""
        try:
            credentials = self._passwords.reload_if_changed()
            if credentials is not None:
                ended = self._engine.set_credentials(credentials)
                log.info("passwords have changed; %d registrations made with the old ones ended", ended)
        finally:
            self.save_bans()
            self._follow_bans()

    def _follow_bans(self) -> None:
        with self._saving:
            try:
                changes = self._bans.changed()
            except OSError:
                # Saving fails for the same reason, and says so.
                return
            if changes is not None:
                self._engine.follow_bans(changes.made, changes.lifted)

    def save_bans(self) -> None:
        """A list that can't be written is kept and tried again."""
        with self._saving:
            revision, bans = self._engine.bans_to_save()
            if revision == self._saved_revision:
                return
            try:
                self._bans.save(bans)
            except OSError as error:
                if not self._save_failed:
                    log.error("bans can't be saved and would be gone after a restart: %s", error)  # noqa: TRY400
                self._save_failed = True
                return
            self._saved_revision = revision
            self._save_failed = False

    def problems(self) -> tuple[str, ...]:
        return ("bans can't be saved and would be gone after a restart",) if self._save_failed else ()

    def set_password(self, number: str, password: str) -> int:
        """How many registrations ended by it.  Raises `ConfigError` when it is not ours to change, or not kept."""
        return self._engine.set_credentials(self._passwords.set(number, password))

    def remove_password(self, number: str) -> bool:
        """Whether there was one.  Raises like `set_password`."""
        if number not in self._engine.numbers_with_password():
            return False
        self._engine.set_credentials(self._passwords.remove(number))
        return True

    def add_ban(self, address: str, duration_s: float | None, reason: str) -> BanSnapshot:
        """Raises `ValueError`: no address, or no more room."""
        ban = self._engine.add_ban(address, duration_s, reason)
        self.save_bans()
        return ban

    def lift_ban(self, address: str) -> bool:
        lifted = self._engine.lift_ban(address)
        if lifted:
            self.save_bans()
        return lifted
