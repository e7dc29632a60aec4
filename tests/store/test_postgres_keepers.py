"""Passwords and bans that two servers share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from config import ConfigError
from sip.ban_file import BanChanges
from sip.credentials import PasswordDigests
from sip.snapshots import BanSnapshot
from store import servers
from store.postgres import PostgresDatabase
from store.postgres_keepers import SAME_S, SAVE_AGAIN_S, PostgresBans, PostgresPasswords
from tests.support.postgres import Cluster
from tests.support.stored import NOON_AT

LIMIT_S = 20.0
GOOD = PasswordDigests.of("100", "sipserver", "correct horse")
BETTER = PasswordDigests.of("100", "sipserver", "battery staple")
BAN = BanSnapshot("203.0.113.7", NOON_AT, NOON_AT + 3600, "10 wrong passwords within 600 seconds", 10)
FOR_EVER = BanSnapshot("2001:db8::/64", NOON_AT, None, "a scanner \x00\udcff", 0)


class Noting(PostgresDatabase):
    """Knows at once how often what has been changed, without the thread that notes it."""

    def revision(self, subject: str) -> int:
        with self.reading() as connection:
            return servers.revisions(connection).get(subject, 0)


Pair = tuple[PostgresDatabase, PostgresDatabase]


@pytest.fixture(scope="module")
def running(lasting_cluster: Cluster) -> Iterator[Pair]:
    """One database, as two servers see it."""
    url = lasting_cluster.url(lasting_cluster.new_database(kept=True))
    pair = Noting(url, "one"), Noting(url, "two")
    for database in pair:
        database.open(NOON_AT)
    yield pair
    for database in pair:
        database.close()


@pytest.fixture
def databases(running: Pair) -> Iterator[Pair]:
    yield running
    with running[0].writing() as connection:
        connection.execute("TRUNCATE password, ban, revision")


@contextlib.contextmanager
def away(database: PostgresDatabase, *tables: str) -> Iterator[None]:
    """Those tables can't be used within the block."""
    for before, after in (("", "_away"), ("_away", "")):
        with database.writing() as connection:
            for table in tables:
                connection.execute(f"ALTER TABLE {table}{before} RENAME TO {table}{after}")
        if not before:
            yield


class TestPasswords:
    @pytest.fixture
    def pair(self, databases: Pair) -> list[PostgresPasswords]:
        return [PostgresPasswords(database, "sipserver") for database in databases]

    def test_what_one_server_sets_the_other_finds(self, pair: list[PostgresPasswords]) -> None:
        one, two = pair
        before = two.stamp()
        assert two.read() == {}
        assert one.change("100", GOOD) == {"100": GOOD}
        assert two.stamp() != before
        assert two.read() == {"100": GOOD}
        assert two.change("101", BETTER) == {"100": GOOD, "101": BETTER}
        assert one.change("100", None) == {"101": BETTER}
        assert two.read() == {"101": BETTER}

    def test_the_stamp_stays_while_nothing_changes(self, pair: list[PostgresPasswords]) -> None:
        one, two = pair
        one.change("100", GOOD)
        assert one.stamp() == one.stamp() == two.stamp()

    def test_passwords_of_another_realm_are_refused_and_stay(
        self, databases: Pair, pair: list[PostgresPasswords]
    ) -> None:
        pair[0].change("100", GOOD)
        other = PostgresPasswords(databases[1], "elsewhere")
        with pytest.raises(ConfigError, match="set for another AUTH_REALM"):
            other.read()
        with pytest.raises(ConfigError, match="set for another AUTH_REALM"):
            other.change("101", BETTER)
        assert pair[0].read() == {"100": GOOD}

    def test_many_at_once_lose_nothing(self, pair: list[PostgresPasswords]) -> None:
        def change(passwords: PostgresPasswords, first: int) -> None:
            for number in range(first, first + 10):
                passwords.change(str(number), GOOD)

        threads = [threading.Thread(target=change, args=(pair[index], 100 + 50 * index)) for index in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        assert len(pair[0].read()) == 20

    def test_while_the_database_is_away_nothing_is_changed_and_what_was_read_stays_true(
        self, databases: Pair, pair: list[PostgresPasswords]
    ) -> None:
        one = pair[0]
        one.change("100", GOOD)
        stamp = one.stamp()
        with away(databases[1], "password"):
            assert one.stamp() == stamp
            with pytest.raises(ConfigError, match="the passwords can't be changed: the tables are missing"):
                one.change("100", BETTER)
            with pytest.raises(ConfigError, match="the passwords can't be read: the tables are missing"):
                one.read()
        assert one.read() == {"100": GOOD}


class TestBans:
    @pytest.fixture
    def pair(self, databases: Pair) -> list[PostgresBans]:
        pair = [PostgresBans(database) for database in databases]
        assert [bans.load() for bans in pair] == [(), ()]
        return pair

    def test_what_one_server_bans_the_other_follows(self, pair: list[PostgresBans]) -> None:
        one, two = pair
        assert two.changed() is None
        one.save((BAN, FOR_EVER))
        assert one.changed() is None
        assert two.changed() == BanChanges((BAN, FOR_EVER), ())
        assert two.changed() is None
        two.save((FOR_EVER,))
        assert one.changed() == BanChanges((), (BAN.address,))

    def test_a_start_finds_them(self, databases: Pair, pair: list[PostgresBans]) -> None:
        pair[0].save((BAN, FOR_EVER))
        assert PostgresBans(databases[1]).load() == (BAN, FOR_EVER)

    def test_bans_made_at_once_on_both_are_both_kept(self, pair: list[PostgresBans]) -> None:
        one, two = pair
        one.save((BAN,))
        two.save((FOR_EVER,))
        assert two.changed() == BanChanges((BAN,), ())
        assert one.changed() == BanChanges((FOR_EVER,), ())
        assert (one.changed(), two.changed()) == (None, None)

    def test_what_is_followed_is_not_written_back(self, pair: list[PostgresBans]) -> None:
        """Times come back from monotonic clocks a little different."""
        one, two = pair
        one.save((BAN,))
        two.changed()
        assert BAN.until_at is not None
        two.save((replace(BAN, until_at=BAN.until_at + SAME_S - 0.1, since_at=BAN.since_at + 1),))
        assert one.changed() is None

    def test_a_ban_that_has_been_changed_is_followed(self, pair: list[PostgresBans]) -> None:
        one, two = pair
        one.save((BAN,))
        two.changed()
        for changed in (replace(BAN, until_at=NOON_AT + 7200), replace(BAN, until_at=None), replace(BAN, reason="x")):
            one.save((changed,))
            assert two.changed() == BanChanges((changed,), ())

    def test_what_can_not_be_saved_is_saved_later(self, databases: Pair, pair: list[PostgresBans]) -> None:
        _, two = pair
        now = [0.0]
        one = PostgresBans(databases[0], lambda: now[0])
        with away(databases[1], "ban"):
            with pytest.raises(OSError, match="the tables are missing"):
                one.save((BAN,))
            now[0] += SAVE_AGAIN_S
            with pytest.raises(OSError, match="the tables are missing"):
                one.save((BAN,))
        # Nobody waits for a database that does not answer each second.
        with pytest.raises(OSError, match="the tables are missing"):
            one.save((BAN,))
        now[0] += SAVE_AGAIN_S
        one.save((BAN,))
        assert two.changed() == BanChanges((BAN,), ())

    def test_bans_that_can_not_be_read_at_the_start_come_into_force_when_they_can(
        self, databases: Pair, pair: list[PostgresBans]
    ) -> None:
        pair[0].save((BAN,))
        late = PostgresBans(databases[1])
        with away(databases[0], "ban"):
            assert late.load() == ()
        assert late.changed() == BanChanges((BAN,), ())


def test_while_nothing_is_noted_the_database_is_not_asked(cluster: Cluster) -> None:
    name = cluster.new_database()
    database = PostgresDatabase(cluster.url(name), "one")
    database.open(NOON_AT)
    passwords, bans = PostgresPasswords(database, "sipserver"), PostgresBans(database)
    assert (passwords.read(), bans.load()) == ({}, ())
    stamp = passwords.stamp()
    database.close()
    cluster.refuse(name)
    assert passwords.stamp() == stamp
    assert bans.changed() is None
    database.note_revisions({"password": 1, "ban": 1})
    assert passwords.stamp() != stamp
    with pytest.raises(OSError, match="the database"):
        bans.changed()
