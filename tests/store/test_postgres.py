"""The PostgreSQL database: what is made, what is refused, and how its connections fare."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from config import ConfigError
from store import postgres, postgres_schema
from store.backlog import apply
from store.bindings import PutBinding, live_bindings
from store.postgres import CHANNEL, PostgresConnection, PostgresDatabase, connect
from store.postgres_trouble import NameTaken, clause, is_passing, needs_reopening
from tests.support.postgres import Cluster
from tests.support.stored import BINDING, NOON_AT, kept, put

LIMIT_S = 20.0


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.url(cluster.new_database())


@pytest.fixture
def opened(url: str) -> Iterator[Callable[..., PostgresDatabase]]:
    """Opens the database of the test under the name of a server."""
    databases: list[PostgresDatabase] = []

    def open_(server: str = "one") -> PostgresDatabase:
        databases.append(PostgresDatabase(url, server))
        databases[-1].open(NOON_AT)
        return databases[-1]

    yield open_
    for database in databases:
        database.close()


class TestOpening:
    def test_what_was_written_is_there_at_the_next_start(self, opened: Callable[..., PostgresDatabase]) -> None:
        database = opened()
        put(database)
        database.close()
        assert not database.is_open
        assert kept(opened()) == 1

    def test_a_url_that_makes_no_sense_is_refused_without_being_shown(self) -> None:
        with pytest.raises(ConfigError) as caught:
            PostgresDatabase("postgresql://sip:s3cr%zzet@db/sip", "one")
        assert "DATABASE_URL=***" in str(caught.value)
        assert "s3cr" not in str(caught.value)

    def test_a_database_of_another_encoding_is_refused(self, cluster: Cluster) -> None:
        name = cluster.new_database("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        with pytest.raises(ConfigError, match="must be made with ENCODING 'UTF8', not LATIN1"):
            PostgresDatabase(cluster.url(name), "one").open(NOON_AT)

    def test_a_user_who_may_not_make_tables_is_told_so(self, cluster: Cluster) -> None:
        name = cluster.new_database()
        cluster.execute("postgres", f"CREATE ROLE guest_{name} LOGIN")
        database = PostgresDatabase(cluster.url(name).replace("postgres@", f"guest_{name}@"), "one")
        with pytest.raises(psycopg.Error) as caught:
            database.open(NOON_AT)
        assert database.clause(caught.value) == "the user of DATABASE_URL may not make or change the tables"
        assert not database.is_open

    def test_tables_made_by_their_owner_may_be_used_by_who_is_allowed_to(self, cluster: Cluster) -> None:
        """The user of the server need own nothing."""
        name = cluster.new_database()
        owner = PostgresDatabase(cluster.url(name), "")
        owner.open(NOON_AT)
        owner.close()
        cluster.execute(name, f"CREATE ROLE user_{name} LOGIN")
        cluster.execute(name, f"GRANT USAGE ON SCHEMA sipserver TO user_{name}")
        cluster.execute(name, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sipserver TO user_{name}")
        database = PostgresDatabase(cluster.url(name).replace("postgres@", f"user_{name}@"), "one")
        database.open(NOON_AT)
        put(database)
        assert kept(database) == 1
        database.close()


class TestTheName:
    def test_two_servers_of_different_names_get_on(self, opened: Callable[..., PostgresDatabase]) -> None:
        put(opened("one"))
        assert kept(opened("two")) == 1

    def test_a_name_that_lives_is_taken(
        self, opened: Callable[..., PostgresDatabase], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres, "_NAME_WAIT_S", 0.0)
        opened("one")
        with pytest.raises(NameTaken, match="SERVER_NAME=one: a server of this name is running"):
            opened("one")

    def test_a_name_is_free_when_its_server_has_gone(self, opened: Callable[..., PostgresDatabase]) -> None:
        opened("one").close()
        opened("one")

    def test_what_is_left_of_a_server_that_gives_no_sign_of_life_is_ended(
        self, opened: Callable[..., PostgresDatabase]
    ) -> None:
        """Its machine has lost its power, which PostgreSQL has not noticed yet."""
        dead = opened("one")
        with dead.writing() as connection:
            connection.execute("INSERT INTO server (name, host, port, beat_at) VALUES ('one', '192.0.2.1', 5060, 1.0)")
        opened("one")
        with pytest.raises(psycopg.OperationalError):
            put(dead)

    def test_what_is_left_of_its_own_last_connection_does_not_hold_it_up(
        self, url: str, opened: Callable[..., PostgresDatabase]
    ) -> None:
        """Its network failed, which PostgreSQL has not noticed yet."""
        left: list[PostgresConnection] = []

        class Kept(PostgresConnection):
            def close(self) -> None:
                left.append(self)

        database = PostgresDatabase(url, "one", lambda *arguments: Kept(connect(*arguments).raw))
        database.open(NOON_AT)
        with database.writing() as connection:
            connection.execute("INSERT INTO server VALUES ('one', '', 0, extract(epoch FROM clock_timestamp()))")
        database.leave()
        database.open(NOON_AT)
        assert kept(database) == 0
        database.close()
        for connection in left:
            connection.raw.close()

    def test_a_command_needs_no_name(self, opened: Callable[..., PostgresDatabase]) -> None:
        opened("")
        opened("")


class TestUsing:
    def test_a_transaction_that_raises_leaves_nothing(self, opened: Callable[..., PostgresDatabase]) -> None:
        database = opened()
        for use in (database.writing, database.changing):
            with pytest.raises(ZeroDivisionError), use() as connection:
                apply(connection, PutBinding(BINDING, 1))
                raise ZeroDivisionError
        assert kept(database) == 0

    def test_a_reader_sees_one_state_to_the_end_and_hinders_nobody(
        self, opened: Callable[..., PostgresDatabase]
    ) -> None:
        database = opened()
        with database.reading() as connection:
            assert live_bindings(connection, NOON_AT) == []
            put(database)
            assert live_bindings(connection, NOON_AT) == []
        assert kept(database) == 1

    def test_a_reader_can_not_write(self, opened: Callable[..., PostgresDatabase]) -> None:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), opened().reading() as connection:
            connection.execute("DELETE FROM binding")

    def test_a_closed_database_says_so(self, url: str) -> None:
        with pytest.raises(psycopg.OperationalError, match="isn't open"), PostgresDatabase(url, "one").writing():
            raise AssertionError("not reached")

    def test_connections_are_lent_again(self, url: str) -> None:
        made = []

        def counted(where: str, application: str) -> PostgresConnection:
            made.append(application)
            return connect(where, application)

        database = PostgresDatabase(url, "one", counted)
        database.open(NOON_AT)
        for _ in range(3):
            kept(database)
        assert made == ["sipserver one"] * 2
        database.close()

    def test_connections_that_were_idle_while_the_database_was_away_are_made_anew(
        self, opened: Callable[..., PostgresDatabase]
    ) -> None:
        database = opened()
        with database.reading(), database.reading():
            pass
        with database.writing() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        assert kept(database) == 0

    def test_another_server_hears_what_has_changed_once_it_is_committed(
        self, url: str, opened: Callable[..., PostgresDatabase]
    ) -> None:
        database = opened()
        listener = connect(url, "tests")
        listener.execute(f"LISTEN {CHANNEL}")
        keys = [("call", "c", 1.0), *(("binding", f"{number:016x}") for number in range(500))]
        with database.writing() as connection:
            database.announce(connection, keys)
        told = [each.payload.split() for each in listener.raw.notifies(timeout=LIMIT_S, stop_after=3)]
        listener.close()
        assert [words[0] for words in told] == ["one"] * 3
        assert [id_ for words in told for id_ in words[1:]] == [f"{number:016x}" for number in range(500)]


class TestTrouble:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (psycopg.OperationalError("connection failed"), "the database can't be reached"),
            (OSError("no route"), "the database can't be reached"),
            (psycopg.errors.DiskFull(), "the disk of the database is full"),
            (psycopg.errors.AdminShutdown(), "the database is starting or stopping"),
            (psycopg.errors.ReadOnlySqlTransaction(), "the database is read-only"),
            (psycopg.errors.QueryCanceled(), "the database takes too long to answer"),
            (psycopg.errors.DeadlockDetected(), "two servers have changed the same at once"),
            (psycopg.errors.InvalidPassword(), "the database refuses the user or the password of DATABASE_URL"),
            (psycopg.errors.DivisionByZero(), "the database refuses to work; the log says more"),
            (NameTaken("x"), "another server of the same SERVER_NAME uses the database"),
            (
                postgres_schema.NewerTables("x"),
                "the database can't be used by this version of the program; the log says why",
            ),
        ],
    )
    def test_words(self, error: Exception, words: str) -> None:
        assert clause(error) == words

    def test_a_value_that_can_not_be_stored_does_not_pass_with_time(self) -> None:
        assert is_passing(psycopg.errors.DiskFull())
        assert is_passing(psycopg.errors.UndefinedTable())
        assert is_passing(psycopg.OperationalError())
        assert not is_passing(psycopg.errors.NumericValueOutOfRange())
        assert not is_passing(psycopg.errors.NotNullViolation())
        assert not is_passing(psycopg.ProgrammingError("can't adapt type"))

    def test_a_deadlock_does_not_spoil_the_connection(self) -> None:
        assert not needs_reopening(psycopg.errors.DeadlockDetected())
        assert needs_reopening(psycopg.OperationalError())


def test_two_servers_that_change_the_same_in_different_order_lose_nothing(
    opened: Callable[..., PostgresDatabase],
) -> None:
    """PostgreSQL ends one of the two transactions, which can be tried again."""
    one, two = opened("one"), opened("two")
    for database in (one, two):
        with database.writing() as connection:
            connection.execute("INSERT INTO secret (name, value) VALUES (?, '')", (database.server,))
    both = threading.Barrier(2)
    outcomes: list[bool] = []

    def change(database: PostgresDatabase, first: str, second: str) -> None:
        try:
            with database.writing() as connection:
                connection.execute("UPDATE secret SET value = 'x' WHERE name = ?", (first,))
                both.wait(LIMIT_S)
                connection.execute("UPDATE secret SET value = 'x' WHERE name = ?", (second,))
        except psycopg.errors.DeadlockDetected as error:
            outcomes.append(is_passing(error))
        else:
            outcomes.append(True)

    threads = [
        threading.Thread(target=change, args=(one, "one", "two")),
        threading.Thread(target=change, args=(two, "two", "one")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert outcomes == [True, True]
    assert one.is_open
    assert two.is_open
