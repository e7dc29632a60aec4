"""Text with bytes that are no text."""

from __future__ import annotations

import pytest

from store.database import connect
from store.sql import TEXT
from store.text import from_stored, storable


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
