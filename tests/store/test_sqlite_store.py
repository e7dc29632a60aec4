"""The store as the rest of the program meets it, with its thread and, where it matters, in a process that is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config import IN_MEMORY, Config, ConfigError
from sip.snapshots import CallRecord, HistoryQuery, NumberRecord, TerminationReason
from sip.trace import record_of
from store import StoreError, open_storage
from store.database import FILE_NAME, Database, connect
from store.database_store import ROWS_AT_ONCE, DatabaseStore
from store.interface import Store, TraceLimits
from store.medium import Medium
from store.postgres import PostgresDatabase
from store.sqlite_store import SqliteStore
from tests.support.postgres import Cluster
from tests.support.stored import BINDING, LIVE_CALL, MEDIA, NOON_AT, Clock, ended_call
from tests.support.traces import SOURCE

LIMIT_S = 20.0
ROOT = Path(__file__).parent.parent.parent
ALL = HistoryQuery(None, None, None, 50, 0)


class Starter:
    """Starts stores in one place; each is stopped before the next begins."""

    def __init__(self, database: Callable[[], Medium], path: Path | None = None) -> None:
        self.path = path
        self.clock = Clock()
        self.store: DatabaseStore | None = None
        self._database = database

    def make(self) -> DatabaseStore:
        self.stop()
        clocks = {"clock": self.clock.monotonic, "wall_clock": self.clock.wall}
        self.store = DatabaseStore(self._database(), 365, server="", **clocks)
        return self.store

    def start(self) -> Store:
        store = self.make()
        store.start()
        return store

    def stop(self) -> None:
        if self.store is not None:
            self.store.stop()


def on_file(path: Path) -> Starter:
    return Starter(lambda: Database(path), path)


@pytest.fixture(params=["file", "memory", "postgres"])
def starter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Starter]:
    if request.param == "postgres":
        cluster: Cluster = request.getfixturevalue("cluster")
        url = cluster.url(cluster.new_database())
        starter = Starter(lambda: PostgresDatabase(url, ""))
    else:
        starter = on_file(tmp_path / "data" / FILE_NAME) if request.param == "file" else Starter(lambda: Database(None))
    yield starter
    starter.stop()


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Starter]:
    starter = on_file(tmp_path / "data" / FILE_NAME)
    yield starter
    starter.stop()


class TestInEachPlace:
    def test_bindings_and_numbers(self, starter: Starter) -> None:
        store = starter.start()
        assert store.put_binding(BINDING, 4) > 0
        store.put_binding(replace(BINDING, binding_id="b-2", number="101"), 1)
        store.remove_binding("b-2")
        assert store.flush(LIMIT_S)
        assert store.bindings(NOON_AT) == [BINDING]
        assert store.bindings(BINDING.expires_at) == []
        assert store.number_records()["100"] == NumberRecord("100", NOON_AT - 60.0, NOON_AT, 4)

    def test_a_call_from_its_beginning_to_its_end(self, starter: Starter) -> None:
        store, call = starter.start(), ended_call("call-1", NOON_AT + 70)
        store.put_call(LIVE_CALL)
        assert store.flush(LIMIT_S)
        assert store.history(ALL).total == 0
        store.end_call(call, (MEDIA,))
        assert store.flush(LIMIT_S)
        page = store.history(ALL)
        assert (page.calls, page.total, page.media) == ((call,), 1, ((MEDIA,),))

    def test_what_a_call_has_left_beside_its_line_in_the_history(self, starter: Starter) -> None:
        store, call = starter.start(), ended_call("a/b \udcff", NOON_AT)
        store.end_call(call, (replace(MEDIA, call_id=call.call_id),))
        assert store.put_trace(call, SOURCE) > 0
        assert store.flush(LIMIT_S)
        trace = store.call_trace(call.call_id, None)
        record = record_of(SOURCE)
        assert trace is not None and trace.is_kept
        assert (trace.call, trace.entries, trace.quality) == (call, record.entries, record.quality)
        assert (trace.streams, trace.headers) == (record.streams, record.headers)
        assert store.call_trace(call.call_id, call.invited_at) == trace
        assert store.call_trace(call.call_id, call.invited_at + 1) is None
        assert store.call_trace("another", None) is None

    def test_all_rows_come_in_order_over_many_pieces(self, starter: Starter) -> None:
        store = starter.start()
        made = [ended_call(f"call-{number}", NOON_AT + number) for number in range(2 * ROWS_AT_ONCE + 1)]
        for call in made:
            store.end_call(call, ())
        assert store.flush(LIMIT_S)
        assert list(store.history_rows(ALL)) == [CallRecord(call, ()) for call in reversed(made)]
        some = HistoryQuery(NOON_AT + 3, NOON_AT + 5, "100", 1, 1)
        assert [row.call for row in store.history_rows(some)] == [made[4], made[3]]

    def test_statistics_of_today_a_week_and_a_month(self, starter: Starter) -> None:
        store = starter.start()
        for days in (0, 3, 20, 40):
            store.end_call(ended_call(f"call-{days}", NOON_AT - days * 86_400), (MEDIA,))
        assert store.flush(LIMIT_S)
        figures = store.statistics(NOON_AT + 60)
        assert [(each.days, each.calls, each.talk_s) for each in figures] == [(1, 1, 60), (7, 2, 120), (30, 3, 180)]

    def test_those_who_wait_are_told(self, starter: Starter) -> None:
        store = starter.make()
        told: list[tuple[int, bool]] = []
        store.on_settled(lambda ticket, stored: told.append((ticket, stored)))
        store.start()
        ticket = store.put_call(LIVE_CALL)
        starter.stop()
        assert told == [(ticket, True)]

    def test_starting_closing_twice_and_no_problems(self, starter: Starter) -> None:
        assert starter.start().problems() == ()
        starter.stop()
        starter.stop()


class TestOnDisk:
    def test_traces_are_kept_only_where_they_are_wanted(self, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "sipserver.db", 365, TraceLimits(0, 1_000_000), wall_clock=lambda: NOON_AT)
        store.start()
        try:
            call = ended_call("call-1", NOON_AT)
            store.end_call(call, ())
            assert store.put_trace(call, SOURCE) == 0
            assert store.flush(LIMIT_S)
            trace = store.call_trace("call-1", None)
            assert trace is not None
            assert (trace.is_kept, trace.entries, trace.forgotten_at) == (False, (), None)
        finally:
            store.stop()

    def test_a_trace_that_makes_no_sense_is_said_in_plain_words(self, on_disk: Starter) -> None:
        store, call = on_disk.start(), ended_call("call-1", NOON_AT)
        store.end_call(call, ())
        store.put_trace(call, SOURCE)
        assert store.flush(LIMIT_S)
        assert on_disk.path is not None
        other = connect(str(on_disk.path))
        other.execute("UPDATE trace SET data = ?", (b"rubbish",))
        other.close()
        with pytest.raises(StoreError, match="the record of a call can't be read"):
            store.call_trace("call-1", None)

    def test_everything_is_there_at_the_next_start(self, on_disk: Starter) -> None:
        store = on_disk.start()
        store.put_binding(BINDING, 4)
        store.put_binding(replace(BINDING, binding_id="b-2", expires_at=NOON_AT + 10), 5)
        store.end_call(ended_call("call-1", NOON_AT), (MEDIA,))
        on_disk.clock.advance(10)
        store = on_disk.start()
        assert store.bindings(on_disk.clock.now_at) == [BINDING]
        assert store.number_records()["100"].registrations == 5
        assert store.history(ALL).total == 1

    def test_nothing_that_was_stored_is_lost_when_the_process_is_killed(self, on_disk: Starter) -> None:
        """SIGKILL right after the last ticket was settled, with a call live."""
        code = (
            "import sys, pathlib; from dataclasses import replace\n"
            "from store.sqlite_store import SqliteStore; from tests.support.stored import *\n"
            "store = SqliteStore(pathlib.Path(sys.argv[1]), 365, wall_clock=lambda: NOON_AT + 30); store.start()\n"
            "for number in range(100):\n"
            "    store.put_binding(replace(BINDING, binding_id=f'b-{number}', number=str(number)), 1)\n"
            "    store.end_call(ended_call(f'call {number}', NOON_AT), (MEDIA,))\n"
            "store.put_call(LIVE_CALL); assert store.flush(20); print('stored', flush=True); sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(on_disk.path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "stored\n"
            process.kill()
            process.wait(LIMIT_S)
        store = on_disk.start()
        assert {binding.number for binding in store.bindings(NOON_AT)} == {str(number) for number in range(100)}
        page = store.history(ALL)
        assert page.total == 101
        assert page.calls[0].call_id == LIVE_CALL.call_id
        assert page.calls[0].termination_reason is TerminationReason.INTERRUPTED
        assert NOON_AT <= (page.calls[0].ended_at or 0) <= NOON_AT + 30
        assert store.problems() == ()

    def test_a_damaged_file_is_told_and_the_server_begins_anew(self, on_disk: Starter) -> None:
        assert on_disk.path is not None
        on_disk.path.parent.mkdir()
        on_disk.path.write_bytes(b"rubbish" * 1000)
        store = on_disk.start()
        assert store.bindings(NOON_AT) == []
        (problem,) = store.problems()
        assert problem.startswith("the database was damaged; it lies in sipserver.damaged-")

    def test_a_second_server_on_the_same_directory_is_refused(self, on_disk: Starter) -> None:
        on_disk.start()
        with pytest.raises(ConfigError, match="a server is running on it"):
            assert on_disk.path is not None
            on_file(on_disk.path).start()

    def test_what_can_not_be_read_is_said_in_plain_words(
        self, on_disk: Starter, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = on_disk.start()
        on_disk.stop()
        assert on_disk.path is not None
        on_disk.path.unlink()
        with pytest.raises(StoreError, match="what is stored can't be read now: the database can't be opened"):
            store.history(ALL)
        assert (store.bindings(NOON_AT), store.number_records()) == ([], {})
        assert "phones have to register again before they can be called" in caplog.text


class TestSettings:
    def test_the_file_is_in_the_data_directory(self, tmp_path: Path) -> None:
        store = open_storage(replace(Config(), data_dir=tmp_path)).store
        store.start()
        store.stop()
        assert (tmp_path / FILE_NAME).exists()

    def test_in_memory_nothing_is_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        store = open_storage(replace(Config(), data_dir=Path(IN_MEMORY))).store
        store.start()
        store.put_binding(BINDING, 1)
        assert store.flush(LIMIT_S)
        store.stop()
        assert list(tmp_path.iterdir()) == []
