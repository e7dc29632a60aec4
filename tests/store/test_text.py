"""Text with bytes that are no text."""

from __future__ import annotations

import pytest

from store.database import connect
from store.postgres import PostgresConnection
from store.sql import TEXT
from store.text import escaped, from_stored, storable, unescaped


@pytest.mark.parametrize("text", ["", "plain", "Müller ☎", "bad \udcff\udc80 bytes", "a\x00b"])
def test_what_goes_in_comes_out_as_text(text: str) -> None:
    connection = connect(":memory:")
    row = connection.execute(f"SELECT {TEXT} AS value, typeof({TEXT})", (storable(text), storable(text))).fetchone()
    connection.close()
    assert row == (text, "text")


def test_text_with_bad_bytes_is_found_again() -> None:
    connection = connect(":memory:")
    connection.execute("CREATE TABLE t (name TEXT PRIMARY KEY)")
    connection.execute(f"INSERT INTO t VALUES ({TEXT})", (storable("x\udcff"),))
    found = connection.execute(f"SELECT count(*) FROM t WHERE name = {TEXT}", (storable("x\udcff"),)).fetchone()
    connection.close()
    assert found == (1,)


def test_the_bytes_are_those_that_came() -> None:
    assert storable("\udcff") == b"\xff"
    assert from_stored(b"\xff") == "\udcff"


HOSTILE = [
    "",
    "plain",
    "Müller ☎ 𝄞",
    "a\x00b",
    "bad \udcff\udc80 bytes",
    "\ud800 \udfff",
    "C:\\x00",
    "\\",
    "\\u0041",
    "\udc0a",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_escaping_loses_nothing_and_leaves_what_every_database_takes(text: str) -> None:
    written = escaped(text)
    assert unescaped(written) == text
    assert "\x00" not in written
    written.encode()


def test_escaped_texts_differ_as_the_texts_do() -> None:
    assert len({escaped(text) for text in [*HOSTILE, "\\x00", "\x00", "\\udcff"]}) == len(HOSTILE) + 3


def test_what_is_no_riddle_stays_readable() -> None:
    assert escaped("Phone 1.0 (Büro)") == "Phone 1.0 (Büro)"
    assert escaped("a\x00\udcff\\") == "a\\x00\\xff\\\\"


@pytest.mark.parametrize("text", HOSTILE)
def test_what_goes_into_postgresql_comes_out(postgres: PostgresConnection, text: str) -> None:
    postgres.execute("CREATE TEMPORARY TABLE t (name TEXT PRIMARY KEY)")
    postgres.execute(f"INSERT INTO t VALUES ({TEXT})", (text,))
    assert postgres.execute(f"SELECT name FROM t WHERE name = {TEXT}", (text,)).fetchall() == [(text,)]
    postgres.execute("DROP TABLE t")
