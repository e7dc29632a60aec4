"""Backups made and put back."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from config import ConfigError
from store.archive import backup_file, restore_file
from store.backlog import apply
from store.bindings import PutBinding, live_bindings
from store.database import FILE_NAME, Database, connect
from tests.support.stored import BINDING, NOON_AT, rows


def make(path: Path, count: int) -> Database:
    """An open database with `count` bindings."""
    database = Database(path)
    database.open(NOON_AT)
    put(database, count)
    return database


def put(database: Database, count: int) -> None:
    with database.writing() as connection:
        for number in range(count):
            apply(connection, PutBinding(replace(BINDING, binding_id=f"b-{number}"), 1))


def bindings(path: Path) -> int:
    return int(rows(path, "SELECT count(*) FROM binding")[0][0])


class TestBackup:
    def test_of_a_database_in_use_is_one_private_file(self, tmp_path: Path) -> None:
        database = make(tmp_path / "data" / FILE_NAME, 3)
        target = tmp_path / "out" / "copy.db"
        target.parent.mkdir()
        backup_file(tmp_path / "data" / FILE_NAME, target)
        put(database, 5)
        database.close()
        assert [each.name for each in target.parent.iterdir()] == ["copy.db"]
        assert target.stat().st_mode & 0o777 == 0o600
        assert bindings(target) == 3
        assert rows(target, "PRAGMA journal_mode") == [("delete",)]

    def test_is_of_one_moment_even_if_somebody_writes(self, tmp_path: Path) -> None:
        """A reader that began before a change copies the state from before it."""
        database = make(tmp_path / "data" / FILE_NAME, 1)
        with database.reading() as connection:
            assert len(live_bindings(connection, NOON_AT)) == 1
            put(database, 5)
            copy = connect(":memory:")
            connection.backup(copy)
        assert copy.execute("SELECT count(*) FROM binding").fetchone() == (1,)
        copy.close()
        database.close()

    def test_that_fails_leaves_nothing_behind(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        with pytest.raises(sqlite3.OperationalError):
            backup_file(tmp_path / "none.db", tmp_path / "out" / "copy.db")
        damaged = tmp_path / "damaged.db"
        make(damaged, 3).close()
        page = rows(damaged, "SELECT rootpage FROM sqlite_schema WHERE name = 'binding'")[0][0]
        with damaged.open("r+b") as file:
            file.seek(4096 * (page - 1))
            file.write(b"\xff" * 100)
        with pytest.raises(sqlite3.DatabaseError):
            backup_file(damaged, tmp_path / "out" / "copy.db")
        assert list((tmp_path / "out").iterdir()) == []

    def test_replaces_the_one_before_only_when_it_is_whole(self, tmp_path: Path) -> None:
        (tmp_path / "copy.db").write_text("the one before")
        with pytest.raises(sqlite3.OperationalError):
            backup_file(tmp_path / "none.db", tmp_path / "copy.db")
        assert (tmp_path / "copy.db").read_text() == "the one before"


class TestRestore:
    def test_puts_the_copy_in_place_and_keeps_what_was_there(self, tmp_path: Path) -> None:
        make(tmp_path / "data" / FILE_NAME, 3).close()
        backup_file(tmp_path / "data" / FILE_NAME, tmp_path / "copy.db")
        make(tmp_path / "data" / FILE_NAME, 7).close()
        former = restore_file(tmp_path / "data", tmp_path / "copy.db", NOON_AT)
        assert former == tmp_path / "data" / "sipserver.before-restore-20260729T120000Z.db"
        assert (bindings(tmp_path / "data" / FILE_NAME), bindings(former)) == (3, 7)
        assert (tmp_path / "data" / FILE_NAME).stat().st_mode & 0o777 == 0o600
        assert bindings(tmp_path / "copy.db") == 3

    def test_into_an_empty_place(self, tmp_path: Path) -> None:
        make(tmp_path / "one" / FILE_NAME, 2).close()
        backup_file(tmp_path / "one" / FILE_NAME, tmp_path / "copy.db")
        assert restore_file(tmp_path / "two", tmp_path / "copy.db", NOON_AT) is None
        database = Database(tmp_path / "two" / FILE_NAME)
        database.open(NOON_AT)
        with database.reading() as connection:
            assert len(live_bindings(connection, NOON_AT)) == 2
        database.close()

    def test_is_refused_while_a_server_runs(self, tmp_path: Path) -> None:
        database = make(tmp_path / "data" / FILE_NAME, 1)
        backup_file(tmp_path / "data" / FILE_NAME, tmp_path / "copy.db")
        with pytest.raises(ConfigError, match="a server is running on it; stop that one first"):
            restore_file(tmp_path / "data", tmp_path / "copy.db", NOON_AT)
        database.close()
        restore_file(tmp_path / "data", tmp_path / "copy.db", NOON_AT)

    @pytest.mark.parametrize(
        ("statement", "reason"),
        [
            ("PRAGMA user_version = 99", "it was made by a later version of this program"),
            ("PRAGMA application_id = 7", "it is no backup of this server"),
        ],
    )
    def test_refuses_what_is_not_ours_and_changes_nothing(self, tmp_path: Path, statement: str, reason: str) -> None:
        make(tmp_path / "data" / FILE_NAME, 3).close()
        make(tmp_path / "copy.db", 1).close()
        rows(tmp_path / "copy.db", statement)
        with pytest.raises(ConfigError, match=f"copy.db: can't be restored: {reason}"):
            restore_file(tmp_path / "data", tmp_path / "copy.db", NOON_AT)
        self.assert_untouched(tmp_path / "data")

    @pytest.mark.parametrize("content", [b"", b"rubbish" * 1000, None])
    def test_refuses_what_is_no_database(self, tmp_path: Path, content: bytes | None) -> None:
        make(tmp_path / "data" / FILE_NAME, 3).close()
        if content is not None:
            (tmp_path / "copy.db").write_bytes(content)
        with pytest.raises(ConfigError, match=r"copy\.db: can't be restored"):
            restore_file(tmp_path / "data", tmp_path / "copy.db", NOON_AT)
        self.assert_untouched(tmp_path / "data")

    def assert_untouched(self, directory: Path) -> None:
        assert bindings(directory / FILE_NAME) == 3
        assert {each.name for each in directory.iterdir()} == {FILE_NAME, ".sipserver.db.lock"}
