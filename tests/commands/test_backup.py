"""The commands `backup` and `restore` as their user meets them."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from commands import backup, restore
from commands.refusal import EXIT_REFUSED
from config import IN_MEMORY, Config, ConfigError
from sip.ban_file import BanFile
from sip.credentials import PasswordDigests
from sip.kept_passwords import passwords_in
from sip.snapshots import BanSnapshot, HistoryQuery, TerminationReason
from sip.trace import TraceSource
from store import open_storage
from store.backlog import apply
from store.bindings import PutBinding, live_bindings
from store.database import FILE_NAME
from store.postgres import PostgresDatabase, connect
from tests.support.postgres import Cluster, require
from tests.support.stored import BINDING, LIVE_CALL, MEDIA, NOON_AT, ended_call
from tests.support.traces import decided

LIMIT_S = 20.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """That of an office with one registered phone."""
    config = replace(Config(), data_dir=tmp_path / "data")
    put_phone(config, "b-1")
    return config


def put_phone(config: Config, binding_id: str) -> None:
    store = open_storage(config).store
    store.start()
    store.put_binding(replace(BINDING, binding_id=binding_id, expires_at=4e9), 1)
    assert store.flush(LIMIT_S)
    store.stop()


def phones(config: Config) -> list[str]:
    store = open_storage(config).store
    store.start()
    found = [binding.binding_id for binding in store.bindings(NOON_AT)]
    store.stop()
    return found


def run_backup(config: Config, *line: str) -> int:
    parser = argparse.ArgumentParser()
    backup.add_arguments(parser)
    return backup.run(parser.parse_args(line), config)


def run_restore(config: Config, *line: str) -> int:
    parser = argparse.ArgumentParser()
    restore.add_arguments(parser)
    return restore.run(parser.parse_args(line), config)


def test_there_and_back(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = str(tmp_path / "copy.db")
    assert run_backup(config, copy) == 0
    assert f"saved in {copy}" in capsys.readouterr().out
    put_phone(config, "b-2")
    assert run_restore(config, copy) == 0
    said = capsys.readouterr().out
    assert f"are those of {copy} now" in said
    assert "What was there before is kept in " in said
    assert phones(config) == ["b-1"]


def test_a_running_server_is_saved_but_not_restored(config: Config, tmp_path: Path) -> None:
    store = open_storage(config).store
    store.start()
    assert run_backup(config, str(tmp_path / "copy.db")) == 0
    with pytest.raises(ConfigError, match="a server is running on it"):
        run_restore(config, str(tmp_path / "copy.db"))
    store.stop()


def test_an_existing_file_is_replaced_only_by_force(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    assert run_backup(config, str(copy)) == EXIT_REFUSED
    assert "copy.db exists; name another file, or replace it with --force" in capsys.readouterr().err
    assert copy.read_text() == "precious"
    assert run_backup(config, "--force", str(copy)) == 0
    assert copy.read_bytes().startswith(b"SQLite format 3")


def test_the_database_is_no_place_for_its_own_backup(config: Config) -> None:
    assert run_backup(config, "--force", str(config.data_dir / FILE_NAME)) == EXIT_REFUSED
    assert phones(config) == ["b-1"]


def test_without_a_database_there_is_nothing_to_save(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(Config(), data_dir=tmp_path / "none")
    assert run_backup(config, str(tmp_path / "copy.db")) == EXIT_REFUSED
    assert "the server makes it at its first start" in capsys.readouterr().err


@pytest.mark.parametrize("run", [run_backup, run_restore])
def test_a_server_that_keeps_nothing_has_neither(run: object, tmp_path: Path) -> None:
    assert callable(run)
    with pytest.raises(ConfigError, match="DATA_DIR keeps nothing"):
        run(replace(Config(), data_dir=Path(IN_MEMORY)), str(tmp_path / "copy.db"))


def test_a_place_that_can_not_be_written_is_said_in_one_line(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"copy\.db: can't be written \(No such file or directory\)"):
        run_backup(config, str(tmp_path / "none" / "copy.db"))


def test_a_damaged_database_is_said_in_one_line(config: Config, tmp_path: Path) -> None:
    (config.data_dir / FILE_NAME).write_bytes(b"rubbish" * 1000)
    with pytest.raises(ConfigError, match="the backup failed: the database is damaged"):
        run_backup(config, str(tmp_path / "copy.db"))


def test_a_data_directory_that_is_a_file_is_said_in_one_line(config: Config, tmp_path: Path) -> None:
    assert run_backup(config, str(tmp_path / "copy.db")) == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: File exists"):
        run_restore(replace(config, data_dir=tmp_path / "file"), str(tmp_path / "copy.db"))


class TestOnPostgres:
    """PostgreSQL has tools of its own, and the commands say which."""

    @pytest.fixture
    def database(self, cluster: Cluster) -> str:
        return cluster.new_database()

    def advice(self, command: Callable[..., int], url: str, file: Path) -> list[str]:
        """The command line that it tells."""
        with pytest.raises(ConfigError) as caught:
            command(replace(Config(), database_url=url), str(file))
        told = str(caught.value)
        assert "\n" not in told
        return shlex.split(told[told.index(": pg_") + 2 :].replace("$DATABASE_URL", url))

    def test_what_they_say_works(self, cluster: Cluster, database: str, tmp_path: Path) -> None:
        url, other = cluster.url(database), cluster.url(cluster.new_database())
        self.put_phone(url)
        for command, place in ((run_backup, url), (run_restore, other)):
            program, *arguments = self.advice(command, place, tmp_path / "copy")
            subprocess.run([require() / program, *arguments], check=True, capture_output=True)
        connection = connect(other, "tests")
        assert live_bindings(connection, NOON_AT) == [BINDING]
        connection.close()

    def test_the_file_of_before_is_taken_over_into_an_empty_database(
        self, cluster: Cluster, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = replace(Config(), data_dir=tmp_path / "data", server_name="two")
        # Not so long ago that its trace is forgotten meanwhile.
        call, masked = ended_call("call-1\x00\udcff", time.time() - 60), TraceSource((decided(0.0, "it rang"),))
        store = open_storage(config).store
        store.start()
        store.put_binding(replace(BINDING, expires_at=4e9), 5)
        store.end_call(call, (MEDIA,))
        store.put_trace(call, masked)
        store.put_call(LIVE_CALL._replace(call_id="call-2"))
        assert store.flush(LIMIT_S)
        assert run_backup(config, str(tmp_path / "copy.db")) == 0
        store.stop()
        passwords_in(config).change("100", PasswordDigests.of("100", "sipserver", "correct horse"))
        BanFile(config.data_dir).save((BanSnapshot("203.0.113.7", NOON_AT, None, "a scanner", 0),))

        there = replace(config, database_url=cluster.url(database))
        assert run_restore(there, str(tmp_path / "copy.db")) == 0
        assert "2 calls and 1 registrations of " in capsys.readouterr().out
        storage = open_storage(there)
        storage.store.start()
        assert storage.store.bindings(NOON_AT) == [replace(BINDING, expires_at=4e9)]
        assert storage.store.number_records()["100"].registrations == 5
        page = storage.store.history(HistoryQuery(None, None, None, 10, 0))
        assert {each.call_id: each.termination_reason for each in page.calls} == {
            call.call_id: TerminationReason.NORMAL,
            "call-2": TerminationReason.INTERRUPTED,
        }
        trace = storage.store.call_trace(call.call_id, None)
        assert trace is not None
        assert trace.is_kept
        # The next call gets a number of its own.
        storage.store.end_call(ended_call("call-3", NOON_AT), ())
        assert storage.store.flush(LIMIT_S)
        assert storage.passwords.read().keys() == {"100"}
        assert [ban.address for ban in storage.bans.load()] == ["203.0.113.7"]
        storage.store.stop()
        with pytest.raises(ConfigError, match="holds calls or registrations already"):
            run_restore(there, str(tmp_path / "copy.db"))

    def test_what_is_no_backup_is_not_taken_over(self, cluster: Cluster, database: str, tmp_path: Path) -> None:
        (tmp_path / "copy").write_text("rubbish")
        config = replace(Config(), database_url=cluster.url(database))
        with pytest.raises(ConfigError, match=r"copy: can't be taken over: .* put back by: pg_restore"):
            run_restore(config, str(tmp_path / "copy"))

    def put_phone(self, url: str) -> None:
        database = PostgresDatabase(url, "")
        database.open(NOON_AT)
        with database.writing() as connection:
            apply(connection, PutBinding(BINDING, 1))
        database.close()
