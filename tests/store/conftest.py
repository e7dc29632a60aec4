"""Empty databases of both kinds, with the tables of now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from store import postgres_schema, schema
from store.database import connect
from store.postgres import PostgresConnection
from store.postgres import connect as connect_to_postgres
from store.sql import Connection
from tests.support.postgres import Cluster


@pytest.fixture
def sqlite() -> Iterator[sqlite3.Connection]:
    connection = connect(":memory:")
    schema.migrate(connection)
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def tables(lasting_cluster: Cluster) -> Iterator[PostgresConnection]:
    """A PostgreSQL database that stays empty."""
    connection = connect_to_postgres(lasting_cluster.url(lasting_cluster.new_database(kept=True)), "tests")
    connection.execute("BEGIN")
    postgres_schema.migrate(connection)
    connection.execute("COMMIT")
    yield connection
    connection.close()


@pytest.fixture
def postgres(tables: PostgresConnection) -> Iterator[PostgresConnection]:
    """In a transaction that is undone."""
    tables.execute("BEGIN")
    yield tables
    tables.execute("ROLLBACK")


@pytest.fixture(params=["sqlite", "postgres"])
def connection(request: pytest.FixtureRequest) -> Connection:
    """What is tested with it works in every database."""
    found: Connection = request.getfixturevalue(request.param)
    return found
