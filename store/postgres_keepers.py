"""Passwords and bans in the database, where all servers on it find them (`sip.kept_passwords`, `sip.ban_file`).

Whoever changes one of the two counts the change, and says so; `store-neighbours` notes the count.  While nothing has
changed the database is not asked, so that whoever keeps up never waits for one that does not answer.  Their owners see
to it that one thread at a time uses them.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import astuple, fields

from config import ConfigError, NotYet
from sip.ban_file import BanChanges
from sip.credentials import PasswordDigests
from sip.kept_passwords import Digests
from sip.snapshots import BanSnapshot
from store.postgres import PostgresDatabase, tell_anew
from store.sql import Connection, upsert

log = logging.getLogger(__name__)

SAME_S = 5.0
"""A ban that ends so much earlier or later than before has not been changed: clocks differ, and are set."""

SAVE_AGAIN_S = 5.0
"""What could not be saved is not tried again before."""

_PASSWORD, _BAN = "password", "ban"
_REVISION = "SELECT coalesce(max(number), 0) FROM revision WHERE subject = ?"
_COUNT = """
INSERT INTO revision (subject, number) VALUES (?, 1)
ON CONFLICT (subject) DO UPDATE SET number = revision.number + 1 RETURNING number
"""
_PUT_PASSWORD = upsert("password", ("number", "realm", "sha256", "md5"), frozenset(), ("number",))
_BAN_COLUMNS = tuple(field.name for field in fields(BanSnapshot))
_PUT_BAN = upsert("ban", _BAN_COLUMNS, frozenset(), ("address",))
_BANS = f"SELECT {', '.join(_BAN_COLUMNS)} FROM ban"  # noqa: S608 - names of our own


def _revision(connection: Connection, subject: str) -> int:
    return int(connection.execute(_REVISION, (subject,)).fetchone()[0])


def _count(connection: Connection, subject: str, server: str) -> int:
    """The revision of the change at hand.  Until it is committed, nobody else changes that subject."""
    tell_anew(connection, server)
    return int(connection.execute(_COUNT, (subject,)).fetchall()[0][0])


class PostgresPasswords:
    """Implements `sip.kept_passwords.PasswordKeeper`.  Invariant: what was given last is that of `_seen` or newer."""

    keeps = True

    def __init__(self, database: PostgresDatabase, realm: str) -> None:
        self._database = database
        self._realm = realm
        self._seen = -1

    def stamp(self) -> object:
        if self._seen < 0:
            self._look()
        return max(self._seen, self._database.revision(_PASSWORD))

    def _look(self) -> None:
        with contextlib.suppress(*self._database.faults), self._database.reading() as connection:
            self._seen = _revision(connection, _PASSWORD)

    def read(self) -> Digests:
        try:
            with self._database.reading() as connection:
                self._seen = _revision(connection, _PASSWORD)
                return self._read(connection)
        except self._database.faults as error:
            raise self._unusable("read", error) from error

    def change(self, number: str, digests: PasswordDigests | None) -> Digests:
        try:
            with self._database.changing() as connection:
                revision = _count(connection, _PASSWORD, self._database.server)
                self._read(connection)
                if digests is None:
                    connection.execute("DELETE FROM password WHERE number = ?", (number,))
                else:
                    connection.execute(_PUT_PASSWORD, (number, self._realm, digests.sha256, digests.md5))
                digests_now = self._read(connection)
        except self._database.faults as error:
            raise self._unusable("changed", error) from error
        self._seen = revision
        return digests_now

    def _read(self, connection: Connection) -> Digests:
        found = connection.execute("SELECT number, realm, sha256, md5 FROM password").fetchall()
        if any(realm != self._realm for _, realm, _, _ in found):
            raise ConfigError(
                "the passwords in the database were set for another AUTH_REALM, which must be the same for all "
                "servers: go back to that one, or remove all passwords with it and set them anew"
            )
        return {number: PasswordDigests(sha256, md5) for number, _, sha256, md5 in found}

    def _unusable(self, how: str, error: Exception) -> NotYet:
        return NotYet(f"DATABASE_URL: the passwords can't be {how}: {self._database.clause(error)}")


class PostgresBans:
    """Implements `sip.ban_file.BanKeeper`.

    Invariant: `_known` is what stood in the database at revision `_seen`, or what has been made of it since by `save`.
    """

    def __init__(self, database: PostgresDatabase, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, BanSnapshot] = {}
        self._seen = -1
        self._save_at = -math.inf
        self._why_not = ""

    def load(self) -> tuple[BanSnapshot, ...]:
        try:
            return self._look().made
        except OSError as error:
            log.warning("earlier bans can't be read, and are not in force until they can: %s", error)
            return ()

    def save(self, bans: tuple[BanSnapshot, ...]) -> None:
        wanted = {ban.address: ban for ban in bans}
        made = [ban for ban in bans if not _is_same(ban, self._known.get(ban.address))]
        lifted = [address for address in self._known if address not in wanted]
        if not made and not lifted:
            return
        if self._clock() < self._save_at:
            raise OSError(self._why_not)
        try:
            with self._database.changing() as connection:
                revision = _count(connection, _BAN, self._database.server)
                for ban in made:
                    connection.execute(_PUT_BAN, astuple(ban))
                for address in lifted:
                    connection.execute("DELETE FROM ban WHERE address = ?", (address,))
        except self._database.faults as error:
            self._save_at, self._why_not = self._clock() + SAVE_AGAIN_S, self._database.clause(error)
            raise OSError(self._why_not) from error
        self._known |= {ban.address: ban for ban in made}
        for address in lifted:
            del self._known[address]
        if revision == self._seen + 1:
            # Else somebody else's changes are still to be looked at.
            self._seen = revision

    def changed(self) -> BanChanges | None:
        if self._database.revision(_BAN) <= self._seen:
            return None
        changes = self._look()
        return changes if changes.made or changes.lifted else None

    def _look(self) -> BanChanges:
        """At what stands in the database now."""
        try:
            with self._database.reading() as connection:
                revision = _revision(connection, _BAN)
                present = {row[0]: BanSnapshot(*row) for row in connection.execute(_BANS)}
        except self._database.faults as error:
            raise OSError(self._database.clause(error)) from error
        made = tuple(ban for ban in present.values() if not _is_same(ban, self._known.get(ban.address)))
        lifted = tuple(address for address in self._known if address not in present)
        self._known, self._seen = present, revision
        return BanChanges(made, lifted)


def _is_same(ban: BanSnapshot, known: BanSnapshot | None) -> bool:
    if known is None or (ban.reason, ban.failures) != (known.reason, known.failures):
        return False
    if ban.until_at is None or known.until_at is None:
        return ban.until_at is known.until_at
    return abs(ban.until_at - known.until_at) < SAME_S
