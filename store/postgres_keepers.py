"""Passwords and bans in the database, where all servers on it find them (`sip.kept_passwords`, `sip.ban_file`).

Whoever changes one of the two counts the change; whoever keeps up looks at the count once a second.  Their owners see
to it that one thread at a time uses them.
"""

from __future__ import annotations

import logging
from dataclasses import astuple, fields

from config import ConfigError, NotYet
from sip.ban_file import BanChanges
from sip.credentials import PasswordDigests
from sip.kept_passwords import Digests
from sip.snapshots import BanSnapshot
from store.postgres import PostgresDatabase
from store.sql import Connection, upsert

log = logging.getLogger(__name__)

SAME_S = 5.0
"""A ban that ends so much earlier or later than before has not been changed: clocks differ, and are set."""

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


def _count(connection: Connection, subject: str) -> int:
    """The revision of the change at hand.  Until it is committed, nobody else changes that subject."""
    return int(connection.execute(_COUNT, (subject,)).fetchall()[0][0])


class PostgresPasswords:
    """Implements `sip.kept_passwords.PasswordKeeper`.  While the database is away, what was read last stays true."""

    keeps = True

    def __init__(self, database: PostgresDatabase, realm: str) -> None:
        self._database = database
        self._realm = realm
        self._last_stamp: int | None = None

    def stamp(self) -> object:
        try:
            with self._database.reading() as connection:
                self._last_stamp = _revision(connection, "password")
        except self._database.faults:
            log.debug("passwords can't be looked at now", exc_info=True)
        return self._last_stamp

    def read(self) -> Digests:
        try:
            with self._database.reading() as connection:
                return self._read(connection)
        except self._database.faults as error:
            raise self._unusable("read", error) from error

    def change(self, number: str, digests: PasswordDigests | None) -> Digests:
        try:
            with self._database.changing() as connection:
                _count(connection, "password")
                self._read(connection)
                if digests is None:
                    connection.execute("DELETE FROM password WHERE number = ?", (number,))
                else:
                    connection.execute(_PUT_PASSWORD, (number, self._realm, digests.sha256, digests.md5))
                return self._read(connection)
        except self._database.faults as error:
            raise self._unusable("changed", error) from error

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

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._known: dict[str, BanSnapshot] = {}
        self._seen = -1

    def load(self) -> tuple[BanSnapshot, ...]:
        try:
            changes = self.changed()
        except OSError as error:
            log.warning("earlier bans can't be read, and are not in force until they can: %s", error)
            return ()
        return changes.made if changes is not None else ()

    def save(self, bans: tuple[BanSnapshot, ...]) -> None:
        wanted = {ban.address: ban for ban in bans}
        made = [ban for ban in bans if not _is_same(ban, self._known.get(ban.address))]
        lifted = [address for address in self._known if address not in wanted]
        if not made and not lifted:
            return
        try:
            with self._database.changing() as connection:
                revision = _count(connection, "ban")
                for ban in made:
                    connection.execute(_PUT_BAN, astuple(ban))
                for address in lifted:
                    connection.execute("DELETE FROM ban WHERE address = ?", (address,))
        except self._database.faults as error:
            raise OSError(self._database.clause(error)) from error
        self._known |= {ban.address: ban for ban in made}
        for address in lifted:
            del self._known[address]
        if revision == self._seen + 1:
            # Else somebody else's changes are still to be looked at.
            self._seen = revision

    def changed(self) -> BanChanges | None:
        try:
            with self._database.reading() as connection:
                revision = _revision(connection, "ban")
                if revision == self._seen:
                    return None
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
