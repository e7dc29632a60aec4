"""The file: what is made, what is refused, what is set aside."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store import schema
from store.backlog import apply
from store.bindings import PutBinding, live_bindings
from store.database import CHECK_LIMIT_S, FILE_NAME, Database, NewerDatabase, check, connect, move_away
from store.lock import DirectoryInUse
from tests.support.stored import BINDING, NOON_AT, kept, put, rows

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / FILE_NAME


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], Database]]:
    """Opens the database of the test; the one opened before is closed."""
    databases: list[Database] = []

    def open_() -> Database:
        for database in databases:
            database.close()
        databases.append(Database(path))
        databases[-1].open(NOON_AT)
        return databases[-1]

    yield open_
    for database in databases:
        database.close()


def spoil(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


class TestOpening:
    def test_the_directory_and_a_private_file_are_made(self, path: Path, opened: Callable[[], Database]) -> None:
        database = opened()
        put(database)
        assert database.is_open
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
        names = (".sipserver.db.lock", "sipserver.db", "sipserver.db-shm", "sipserver.db-wal")
        assert modes == dict.fromkeys(names, 0o600)
        with database.reading() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_what_was_written_is_there_at_the_next_start(self, opened: Callable[[], Database]) -> None:
        put(opened())
        assert kept(opened()) == 1

    def test_a_file_that_others_could_read_is_closed_to_them(
        self, path: Path, opened: Callable[[], Database], caplog: pytest.LogCaptureFixture
    ) -> None:
        opened().close()
        path.chmod(0o644)
        opened()
        assert path.stat().st_mode & 0o777 == 0o600
        assert "it is now for its owner alone" in caplog.text

    def test_a_second_server_is_refused(self, path: Path, opened: Callable[[], Database]) -> None:
        opened()
        with pytest.raises(DirectoryInUse):
            Database(path).open(NOON_AT)

    def test_a_later_version_is_refused_in_plain_words_and_left_alone(
        self, path: Path, opened: Callable[[], Database]
    ) -> None:
        put(opened())
        with pytest.raises(NewerDatabase, match=r"made by a later version of this program .* restore a backup"):
            database = opened()
            with database.writing() as connection:
                connection.execute("PRAGMA user_version = 99")
            opened()
        assert rows(path, "SELECT count(*) FROM binding") == [(1,)]

    def test_in_memory_there_is_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        database = Database(None)
        database.open(NOON_AT)
        put(database)
        assert kept(database) == 1
        database.leave()
        assert kept(database) == 1
        database.close()
        assert list(tmp_path.iterdir()) == []


class TestDamage:
    """Each kind is found at the start; the file gets another name, and an empty one takes its place."""

    def assert_set_aside(self, path: Path, database: Database, log: str) -> None:
        assert kept(database) == 0
        assert database.set_aside_as == "sipserver.damaged-20260729T120000Z.db"
        assert path.with_name(database.set_aside_as).exists()
        assert f"{path} is damaged" in log
        assert database.set_aside_as in log

    def test_a_file_that_is_no_database(
        self, path: Path, opened: Callable[[], Database], caplog: pytest.LogCaptureFixture
    ) -> None:
        path.parent.mkdir()
        path.write_bytes(b"not a database at all" * 100)
        self.assert_set_aside(path, opened(), caplog.text)
        assert path.with_name("sipserver.damaged-20260729T120000Z.db").read_bytes().startswith(b"not a database")

    def test_a_page_of_rubbish(
        self, path: Path, opened: Callable[[], Database], caplog: pytest.LogCaptureFixture
    ) -> None:
        database = opened()
        put(database)
        database.close()
        spoil(path, PAGE * root_page(path, "binding"), b"\xff" * 100)
        self.assert_set_aside(path, opened(), caplog.text)

    def test_a_file_cut_short(
        self, path: Path, opened: Callable[[], Database], caplog: pytest.LogCaptureFixture
    ) -> None:
        database = opened()
        put(database)
        database.close()
        with path.open("r+b") as file:
            file.truncate(2 * PAGE)
        self.assert_set_aside(path, opened(), caplog.text)

    def test_a_database_of_another_program(
        self, path: Path, opened: Callable[[], Database], caplog: pytest.LogCaptureFixture
    ) -> None:
        path.parent.mkdir()
        rows(path, "CREATE TABLE theirs (a)")
        self.assert_set_aside(path, opened(), caplog.text)
        assert "it belongs to another program" in caplog.text

    def test_what_belongs_to_the_file_goes_with_it(self, path: Path) -> None:
        path.parent.mkdir()
        for side in ("", "-wal", "-shm"):
            Path(f"{path}{side}").write_text(side)
        aside = move_away(path, "damaged", NOON_AT)
        assert {each.name for each in path.parent.iterdir()} == {aside.name, f"{aside.name}-wal", f"{aside.name}-shm"}

    def test_a_second_one_in_the_same_second_gets_a_name_of_its_own(self, tmp_path: Path) -> None:
        path = tmp_path / FILE_NAME
        aside = []
        for _ in range(3):
            path.touch()
            aside.append(move_away(path, "damaged", NOON_AT).name)
        stem = "sipserver.damaged-20260729T120000Z"
        assert aside == [f"{stem}.db", f"{stem}-2.db", f"{stem}-3.db"]


def root_page(path: Path, table: str) -> int:
    """Index of the table's first page in the file."""
    return int(rows(path, "SELECT rootpage FROM sqlite_schema WHERE name = ?", table)[0][0]) - 1


class TestCheck:
    def test_a_sound_database_passes(self, opened: Callable[[], Database]) -> None:
        with opened().writing() as connection:
            check(connection, "integrity_check", CHECK_LIMIT_S)

    def test_a_large_one_counts_as_sound_when_the_time_is_over(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)

        class Interrupted(sqlite3.Connection):
            """Takes until somebody loses patience."""

            def execute(self, *_: object) -> sqlite3.Cursor:  # type: ignore[override]
                assert asked.wait(60)
                error = sqlite3.OperationalError("interrupted")
                error.sqlite_errorcode = sqlite3.SQLITE_INTERRUPT
                raise error

            def interrupt(self) -> None:
                asked.set()

        asked = threading.Event()
        connection = sqlite3.connect(":memory:", factory=Interrupted)
        check(connection, "quick_check", 0.001)
        connection.close()
        assert "the database is large" in caplog.text
        assert "store-check" not in {thread.name for thread in threading.enumerate()}


class TestUsing:
    def test_a_transaction_that_raises_leaves_nothing(self, opened: Callable[[], Database]) -> None:
        database = opened()
        with pytest.raises(ZeroDivisionError), database.writing() as connection:
            apply(connection, PutBinding(BINDING, 1))
            raise ZeroDivisionError
        assert kept(database) == 0

    def test_a_reader_sees_one_state_to_the_end_and_hinders_nobody(self, opened: Callable[[], Database]) -> None:
        database = opened()
        with database.reading() as connection:
            assert live_bindings(connection, NOON_AT) == []
            put(database)
            assert live_bindings(connection, NOON_AT) == []
        assert kept(database) == 1

    def test_a_reader_can_not_write(self, opened: Callable[[], Database]) -> None:
        with pytest.raises(sqlite3.OperationalError, match="readonly"), opened().reading() as connection:
            connection.execute("DELETE FROM binding")

    def test_connections_are_lent_again(self, path: Path) -> None:
        made = []

        def counted(where: str) -> sqlite3.Connection:
            made.append(where)
            return connect(where)

        database = Database(path, counted)
        database.open(NOON_AT)
        for _ in range(3):
            kept(database)
        assert len(made) == 2
        with database.reading(), database.reading():
            assert len(made) == 3
        database.close()

    def test_what_a_reader_holds_at_the_close_is_closed_when_it_is_through(
        self, opened: Callable[[], Database]
    ) -> None:
        database = opened()
        with database.reading() as connection:
            database.close()
            assert live_bindings(connection, NOON_AT) == []
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")

    def test_a_closed_database_says_so(self, path: Path) -> None:
        database = Database(path)
        for use in (database.writing, database.syncing):
            with pytest.raises(sqlite3.OperationalError, match="isn't open"), use():
                raise AssertionError("not reached")
        with pytest.raises(sqlite3.OperationalError, match="isn't open"), Database(None).reading():
            raise AssertionError("not reached")

    def test_in_memory_every_statement_has_its_turn(self) -> None:
        """Two at once on one connection fail, one of them with what the other has met."""
        database = Database(None)
        database.open(NOON_AT)
        in_turn: list[bool] = []
        with database.reading() as connection:
            connection.set_trace_callback(lambda _sql: in_turn.append(database._alone.locked()))
        for use in (database.reading, database.writing, database.syncing):
            with use() as same:
                assert same.execute("SELECT 1").fetchone() == (1,)
        database.examine()
        assert len(in_turn) > 10
        assert all(in_turn)
        connection.set_trace_callback(None)
        database.close()

    def test_syncing_is_for_one_transaction_alone(self, opened: Callable[[], Database]) -> None:
        database = opened()
        with database.syncing() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            apply(connection, PutBinding(BINDING, 1))
        with database.writing() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
        assert kept(database) == 1

    def test_the_tables_are_of_this_version(self, opened: Callable[[], Database]) -> None:
        with opened().reading() as connection:
            assert schema.version_of(connection) == schema.VERSION
