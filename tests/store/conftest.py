"""An empty database with the tables of now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from store import schema
from store.database import connect


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = connect(":memory:")
    schema.migrate(connection)
    yield connection
    connection.close()
