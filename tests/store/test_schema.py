"""The steps from one version of the tables to the next."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from store import calls, schema
from store.backlog import apply
from store.bindings import PutBinding, live_bindings
from store.database import connect
from tests.support.stored import BINDING, NOON_AT


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = connect(":memory:")
    yield connection
    connection.close()


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def test_an_empty_file_gets_all_tables_and_says_whose_it_is(connection: sqlite3.Connection) -> None:
    schema.migrate(connection)
    assert tables(connection) == {"binding", "number", "call", "party", "media", "live_call", "heartbeat", "trace"}
    assert schema.version_of(connection) == schema.VERSION == 4
    assert connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID


def test_a_database_of_version_1_is_migrated_and_keeps_what_it_holds(connection: sqlite3.Connection) -> None:
    schema.migrate(connection, 1)
    assert (schema.version_of(connection), tables(connection)) == (1, {"binding", "number"})
    apply(connection, PutBinding(BINDING, 3))
    schema.migrate(connection)
    assert schema.version_of(connection) == schema.VERSION
    assert {"call", "trace"} <= tables(connection)
    assert live_bindings(connection, NOON_AT) == [BINDING]


def test_the_live_calls_and_the_last_sign_of_life_of_version_2_are_those_of_the_only_server(
    connection: sqlite3.Connection,
) -> None:
    schema.migrate(connection, 2)
    connection.execute("INSERT INTO heartbeat (id, at) VALUES (1, ?)", (NOON_AT,))
    connection.execute("INSERT INTO live_call VALUES ('call-1', 1.0, '100', '101', NULL, NULL, 'a', 'b', 0)")
    schema.migrate(connection)
    assert calls.has_live(connection)
    assert calls.close_interrupted(connection) == 1
    assert connection.execute("SELECT ended_at FROM call").fetchone() == (NOON_AT,)


def test_a_database_of_this_version_is_left_alone(connection: sqlite3.Connection) -> None:
    schema.migrate(connection)
    before = connection.total_changes
    schema.migrate(connection)
    assert connection.total_changes == before


def test_a_step_that_fails_halfway_leaves_the_version_before_it(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "STEPS", (schema.STEPS[0], "CREATE TABLE one (a);\nCREATE TABLE binding (b);\n"))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.migrate(connection, 2)
    assert schema.version_of(connection) == 1
    assert tables(connection) == {"binding", "number"}
    assert not connection.in_transaction
