"""The writing thread and the faults it has to outlive.  Most tests make its attempts themselves."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from config import ConfigError
from sip.trace import TraceSource
from store.backlog import Backlog, Work
from store.bindings import PutBinding
from store.calls import EndCall, PutCall
from store.database import FILE_NAME, SIDE_FILES, Database, connect
from store.interface import TraceLimits
from store.medium import Medium
from store.postgres import PostgresDatabase
from store.traces import PutTrace
from store.writer import HEARTBEAT_S, PRUNE_BATCH, PRUNE_S, Writer
from tests.support.postgres import Cluster
from tests.support.stored import BINDING, DAY_S, LIVE_CALL, NOON_AT, Clock, Disk, ended_call, rows
from tests.support.traces import decided

LIMIT_S = 20.0


class Bench:
    """A writer without its thread, on a disk that fails when told to."""

    def __init__(
        self, path: Path, limit: int = 100, history_days: int = 365, trace_days: int = 7, trace_bytes: int = 100_000
    ) -> None:
        self.path = path
        self.disk = Disk()
        self.database = Database(path, self.disk.connect)
        self._begin(self.database, limit, history_days, TraceLimits(trace_days, trace_bytes))

    def _begin(self, database: Medium, limit: int, history_days: int, limits: TraceLimits) -> None:
        self.clock = Clock()
        self.backlog = Backlog(limit)
        self.writer = Writer(database, self.backlog, history_days, limits, self.clock.monotonic, self.clock.wall)
        self.settled: list[tuple[int, bool]] = []
        self.writer.on_settled(lambda ticket, stored: self.settled.append((ticket, stored)))

    def on_writer(self, statement: str) -> None:
        """Run on the connection that writes."""
        with self.database.writing():
            pass
        connection = self.database._writer
        assert connection is not None
        connection.execute(statement)

    def put_phone(self, number: int) -> int:
        return self.backlog.put(PutBinding(replace(BINDING, binding_id=f"b-{number}"), number))

    def rows(self, sql: str) -> list[Any]:
        """What a stranger reads."""
        return rows(self.path, sql)

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])


class PostgresBench(Bench):
    """The same on PostgreSQL, whose faults are the tests' own."""

    def __init__(
        self,
        cluster: Cluster,
        limit: int = 100,
        history_days: int = 365,
        trace_days: int = 7,
        trace_bytes: int = 100_000,
    ) -> None:
        self._cluster = cluster
        self.name = cluster.new_database()
        limits = TraceLimits(trace_days, trace_bytes)
        self._begin(PostgresDatabase(cluster.url(self.name), ""), limit, history_days, limits)

    def rows(self, sql: str) -> list[Any]:
        return self._cluster.execute(self.name, sql)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    yield from making(lambda **settings: Bench(tmp_path / "data" / FILE_NAME, **settings))


@pytest.fixture(params=["sqlite", "postgres"])
def make_any(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """What is tested with it works in every database."""
    if request.param == "sqlite":
        yield from making(lambda **settings: Bench(tmp_path / "data" / FILE_NAME, **settings))
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    yield from making(lambda **settings: PostgresBench(cluster, **settings))


def making(kind: Callable[..., Bench]) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make_bench(**settings: int) -> Bench:
        for bench in made:
            bench.writer.stop()
        made.append(kind(**settings))
        made[-1].writer.open()
        return made[-1]

    yield make_bench
    for bench in made:
        bench.writer.stop()


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()


@pytest.fixture
def any_bench(make_any: Callable[..., Bench]) -> Bench:
    return make_any()


class TestWriting:
    def test_all_that_waits_goes_into_one_transaction(self, bench: Bench) -> None:
        seen: list[str] = []
        assert bench.database._writer is not None
        bench.database._writer.set_trace_callback(seen.append)
        tickets = [bench.put_phone(number) for number in range(5)]
        assert bench.writer.attempt()
        assert bench.count("binding") == 5
        assert bench.settled == [(tickets[-1], True)]
        before_beat = seen[: seen.index("PRAGMA synchronous = FULL")]
        assert [statement for statement in before_beat if statement.startswith(("BEGIN", "COMMIT"))] == [
            "BEGIN IMMEDIATE",
            "COMMIT",
        ]

    def test_one_change_that_can_never_be_stored_does_not_keep_back_the_others(
        self, any_bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        any_bench.put_phone(1)
        any_bench.backlog.put(PutBinding(replace(BINDING, binding_id="bad", cseq=2**70), 2))
        last = any_bench.put_phone(3)
        assert any_bench.writer.attempt()
        assert any_bench.count("binding") == 2
        assert any_bench.backlog.lost == 1
        assert any_bench.settled == [(last, True)]
        assert "('binding', 'bad')" in caplog.text
        assert any_bench.writer.problems() == ("1 changes of registrations and calls were never stored",)

    def test_a_listener_that_raises_hinders_nobody(self, any_bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        def broken(_ticket: int, _stored: bool) -> None:
            raise ZeroDivisionError

        others: list[int] = []
        any_bench.writer.on_settled(broken)
        any_bench.writer.on_settled(lambda ticket, _stored: others.append(ticket))
        any_bench.put_phone(1)
        assert any_bench.writer.attempt()
        assert others == [1]
        assert "who waited for a write could not be told" in caplog.text


@dataclass(frozen=True)
class Fault:
    """How a fault is brought about on the connections of the writer and how it passes."""

    begin: str
    end: str
    words: str


FAULTS = {
    "full": Fault("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 4294967294", "the disk is full"),
    "read-only": Fault("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "the database or its disk is read-only"),
}


class TestFaults:
    @pytest.mark.parametrize("name", FAULTS)
    def test_work_is_kept_while_the_fault_lasts_and_stored_afterwards(
        self, bench: Bench, caplog: pytest.LogCaptureFixture, name: str
    ) -> None:
        fault = FAULTS[name]
        bench.on_writer(fault.begin)
        # A connection that was made anew meets the same disk.
        bench.disk.statements = [fault.begin]
        tickets = [self.put_much(bench, number) for number in range(20)]
        for _ in range(3):
            assert not bench.writer.attempt()
        assert bench.writer.problems() == (
            f"registrations and calls can't be stored, and are kept in memory for now: {fault.words}",
        )
        assert bench.settled == [(tickets[-1], False)] * 3
        assert self.put_much(bench, 20) == 0
        assert bench.count("binding") == 0
        bench.disk.statements = []
        if bench.database.is_open:
            bench.on_writer(fault.end)
        assert bench.writer.attempt()
        assert bench.writer.problems() == ()
        assert bench.count("binding") == 21
        assert bench.settled[-1] == (21, True)
        assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 1

    def put_much(self, bench: Bench, number: int) -> int:
        """Enough that the file has to grow."""
        big = replace(BINDING, binding_id=f"b-{number}", user_agent="x" * 10_000)
        return bench.backlog.put(PutBinding(big, number))

    def test_a_lock_of_another_program_delays_and_loses_nothing(self, bench: Bench) -> None:
        other = connect(str(bench.path))
        other.execute("BEGIN EXCLUSIVE")
        bench.put_phone(1)
        assert not bench.writer.attempt()
        assert bench.writer.problems()[0].endswith("another program has locked the database")
        other.execute("ROLLBACK")
        other.close()
        assert bench.writer.attempt()
        assert (bench.count("binding"), bench.writer.problems()) == (1, ())

    def test_readers_read_on_while_nothing_can_be_written(self, bench: Bench) -> None:
        bench.put_phone(1)
        bench.writer.attempt()
        other = connect(str(bench.path))
        other.execute("BEGIN EXCLUSIVE")
        bench.put_phone(2)
        assert not bench.writer.attempt()
        with bench.database.reading() as connection:
            assert connection.execute("SELECT count(*) FROM binding").fetchone() == (1,)
        other.close()

    def test_a_lock_at_the_start_delays_it_and_the_calls_cut_off_are_closed_later(
        self, make: Callable[..., Bench]
    ) -> None:
        bench = make()
        bench.backlog.put(PutCall(LIVE_CALL))
        bench.writer.attempt()
        bench.writer.stop()
        other = connect(str(bench.path))
        other.execute("BEGIN EXCLUSIVE")
        late = Bench(bench.path)
        late.writer.open()
        assert late.writer.problems()[0].endswith("another program has locked the database")
        late.backlog.put(PutCall(LIVE_CALL._replace(call_id="call-2")))
        assert not late.writer.attempt()
        other.close()
        assert late.writer.attempt()
        assert rows(late.path, "SELECT call_id, termination_reason FROM call") == [("call-1", "interrupted")]
        assert rows(late.path, "SELECT call_id FROM live_call") == [("call-2",)]
        late.writer.stop()

    def test_a_data_directory_that_can_not_be_made_yet(self, tmp_path: Path) -> None:
        (tmp_path / "disk").write_text("not mounted")
        bench = Bench(tmp_path / "disk" / FILE_NAME)
        bench.writer.open()
        bench.put_phone(1)
        assert not bench.writer.attempt()
        assert "the database can't be reached (" in bench.writer.problems()[0]
        (tmp_path / "disk").unlink()
        assert bench.writer.attempt()
        assert bench.count("binding") == 1
        bench.writer.stop()

    def test_a_file_that_was_removed_is_made_anew(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        bench.put_phone(1)
        bench.writer.attempt()
        for side in SIDE_FILES:
            Path(f"{bench.path}{side}").unlink()
        bench.clock.advance(HEARTBEAT_S)
        bench.put_phone(2)
        assert bench.writer.attempt()
        assert rows(bench.path, "SELECT binding_id FROM binding") == [("b-2",)]
        assert "removed or replaced while the server ran" in caplog.text

    def test_a_later_version_stops_the_start(self, bench: Bench) -> None:
        bench.on_writer("PRAGMA user_version = 99")
        bench.writer.stop()
        for _ in range(2):
            # The second time as well: a server that did not start holds no lock.
            with pytest.raises(ConfigError, match="later version"):
                Bench(bench.path).writer.open()

    def test_what_does_not_fit_the_backlog_is_counted_and_said(self, make: Callable[..., Bench]) -> None:
        bench = make(limit=3)
        other = connect(str(bench.path))
        other.execute("BEGIN EXCLUSIVE")
        bench.writer.attempt()
        bench.backlog.put(EndCall(ended_call("call-1", NOON_AT), ()))
        for number in range(5):
            bench.put_phone(number)
        other.close()
        assert bench.writer.attempt()
        assert (bench.count("call"), bench.count("binding")) == (1, 2)
        assert bench.writer.problems() == ("3 changes of registrations and calls were never stored",)

    def test_the_pauses_grow_up_to_a_limit_and_end_with_success(self, bench: Bench) -> None:
        other = connect(str(bench.path))
        other.execute("BEGIN EXCLUSIVE")
        bench.put_phone(1)
        pauses = []
        for _ in range(8):
            bench.writer.attempt()
            pauses.append(bench.writer.pause_s)
        other.close()
        bench.writer.attempt()
        assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        assert bench.writer.pause_s == 0.0

    def test_a_fault_of_our_own_is_outlived_too(
        self, any_bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: object) -> int:
            raise ZeroDivisionError

        any_bench.put_phone(1)
        with monkeypatch.context() as patch:
            patch.setattr("store.calls.prune", broken)
            assert not any_bench.writer.attempt()
        assert "ZeroDivisionError" in caplog.text
        assert any_bench.count("binding") == 1
        assert any_bench.writer.attempt()
        assert any_bench.writer.problems() == ()


class TestPostgresAway:
    """The database goes away while the server works, and comes back."""

    def test_work_is_kept_meanwhile_and_stored_afterwards(
        self, cluster: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench = PostgresBench(cluster)
        bench.writer.open()
        bench.put_phone(1)
        assert bench.writer.attempt()
        cluster.refuse(bench.name)
        tickets = [bench.put_phone(number) for number in (2, 3)]
        for _ in range(3):
            assert not bench.writer.attempt()
        (problem,) = bench.writer.problems()
        assert problem.startswith(
            "registrations and calls can't be stored, and are kept in memory for now: the database"
        )
        assert bench.settled[1:] == [(tickets[-1], False)] * 3
        assert bench.put_phone(4) == 0
        cluster.admit(bench.name)
        assert bench.writer.attempt()
        assert bench.writer.problems() == ()
        assert bench.count("binding") == 4
        assert bench.settled[-1] == (4, True)
        bench.writer.stop()
        assert "registrations and calls are stored again" in caplog.text


class TestDamage:
    def test_a_file_that_becomes_damaged_is_set_aside_and_a_new_one_takes_what_waits(self, bench: Bench) -> None:
        bench.put_phone(1)
        bench.writer.attempt()
        bench.database.leave()
        bench.path.write_bytes(b"rubbish" * 1000)
        bench.put_phone(2)
        assert bench.writer.attempt()
        assert rows(bench.path, "SELECT binding_id FROM binding") == [("b-2",)]
        (problem,) = bench.writer.problems()
        assert "the database was damaged; it lies in sipserver.damaged-20260729T120000Z.db now" in problem

    def test_damage_found_while_writing(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """The table is gone to pieces under an open connection."""
        broken = sqlite3.DatabaseError("database disk image is malformed")
        broken.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        bench.put_phone(1)

        def apply_all(*_: object) -> None:
            raise broken

        with monkeypatch.context() as patch:
            patch.setattr(PutBinding, "apply_all", apply_all)
            assert not bench.writer.attempt()
        assert bench.database.set_aside_as
        assert bench.writer.attempt()
        assert bench.count("binding") == 1

    def test_a_reader_that_met_damage_has_the_file_looked_at(self, bench: Bench) -> None:
        bench.put_phone(1)
        bench.writer.attempt()
        bench.writer.check_soon()
        assert bench.writer.attempt()
        assert bench.writer.problems() == ()
        page = rows(bench.path, "SELECT rootpage FROM sqlite_schema WHERE name = 'binding'")[0][0]
        bench.on_writer("PRAGMA wal_checkpoint(TRUNCATE)")
        with bench.path.open("r+b") as file:
            file.seek(4096 * (page - 1))
            file.write(b"\xff" * 100)
        bench.on_writer("PRAGMA shrink_memory")
        bench.writer.check_soon()
        assert not bench.writer.attempt()
        assert bench.database.set_aside_as
        assert bench.writer.attempt()


class TestSignsOfLife:
    def beats(self, bench: Bench) -> list[float]:
        return [at for (at,) in bench.rows("SELECT at FROM heartbeat")]

    def test_they_come_while_a_call_is_live(self, any_bench: Bench) -> None:
        any_bench.backlog.put(PutCall(LIVE_CALL))
        any_bench.writer.attempt()
        assert self.beats(any_bench) == [NOON_AT]
        any_bench.clock.advance(HEARTBEAT_S - 1)
        any_bench.writer.attempt()
        assert self.beats(any_bench) == [NOON_AT]
        any_bench.clock.advance(1)
        any_bench.writer.attempt()
        assert self.beats(any_bench) == [NOON_AT + HEARTBEAT_S]

    def test_an_idle_server_writes_nothing(self, any_bench: Bench) -> None:
        for _ in range(3):
            any_bench.clock.advance(HEARTBEAT_S)
            any_bench.writer.attempt()
        assert self.beats(any_bench) == []

    def test_what_was_written_is_brought_to_the_disk_with_the_next_one(self, any_bench: Bench) -> None:
        any_bench.writer.attempt()
        any_bench.clock.advance(1)
        any_bench.put_phone(1)
        any_bench.writer.attempt()
        assert self.beats(any_bench) == []
        any_bench.clock.advance(HEARTBEAT_S)
        any_bench.writer.attempt()
        assert self.beats(any_bench) == [NOON_AT + 1 + HEARTBEAT_S]


class TestPruning:
    def put_calls(self, bench: Bench, count: int, ended_at: float) -> None:
        for number in range(count):
            bench.backlog.put(EndCall(ended_call(f"call-{number}", ended_at), ()))

    def test_old_calls_go_batch_by_batch(self, make_any: Callable[..., Bench]) -> None:
        bench = make_any(limit=10_000, history_days=30)
        self.put_calls(bench, PRUNE_BATCH + 10, NOON_AT - 30 * DAY_S - 1)
        bench.backlog.put(EndCall(ended_call("young", NOON_AT - 30 * DAY_S + 60), ()))
        bench.writer.attempt()
        assert bench.count("call") == 11
        bench.clock.advance(0.05)
        bench.writer.attempt()
        assert bench.rows("SELECT call_id FROM call") == [("young",)]
        bench.clock.advance(PRUNE_S - 1)
        bench.writer.attempt()
        assert bench.count("call") == 1
        bench.clock.advance(1)
        bench.writer.attempt()
        assert bench.count("call") == 0

    def test_for_ever_is_for_ever(self, make_any: Callable[..., Bench]) -> None:
        bench = make_any(history_days=0)
        self.put_calls(bench, 1, 1.0)
        bench.writer.attempt()
        bench.clock.advance(PRUNE_S)
        bench.writer.attempt()
        assert bench.count("call") == 1

    def put_trace(self, bench: Bench, number: int, ended_at: float) -> None:
        call = ended_call(f"call-{number}", ended_at)
        bench.backlog.put(EndCall(call, ()))
        bench.backlog.put(PutTrace(call, TraceSource((decided(0.0, "x" * 300),))))

    def traces(self, bench: Bench) -> int:
        return int(bench.rows("SELECT count(*) FROM trace WHERE forgotten_at IS NULL")[0][0])

    def test_old_traces_go_before_their_calls(self, make_any: Callable[..., Bench]) -> None:
        bench = make_any(trace_days=7)
        self.put_trace(bench, 0, NOON_AT - 7 * DAY_S - 1)
        self.put_trace(bench, 1, NOON_AT - 7 * DAY_S + 1)
        bench.writer.attempt()
        assert (bench.count("call"), self.traces(bench)) == (2, 1)

    def test_traces_keep_to_their_size_without_waiting_for_the_hour(self, make_any: Callable[..., Bench]) -> None:
        bench = make_any(trace_bytes=1_000)
        for number in range(20):
            self.put_trace(bench, number, NOON_AT + number)
            bench.writer.attempt()
        size = int(bench.rows("SELECT sum(size) FROM trace")[0][0])
        assert 0 < size <= 1_000
        assert self.traces(bench) < 20 == bench.count("trace")


class TestThread:
    def test_it_writes_what_is_put_and_ends_with_nothing_left(self, any_bench: Bench) -> None:
        any_bench.writer.start()
        for number in range(10):
            any_bench.put_phone(number)
        assert any_bench.backlog.wait_stored(LIMIT_S)
        any_bench.put_phone(10)
        any_bench.writer.stop()
        assert any_bench.count("binding") == 11
        assert "store-writer" not in {thread.name for thread in threading.enumerate()}
        any_bench.writer.stop()

    def test_it_goes_on_after_a_fault(self, bench: Bench) -> None:
        other = connect(str(bench.path))
        other.execute("BEGIN EXCLUSIVE")
        failed = threading.Event()
        bench.writer.on_settled(lambda _ticket, stored: None if stored else failed.set())
        bench.writer.start()
        bench.put_phone(1)
        assert failed.wait(LIMIT_S)
        other.close()
        assert bench.backlog.wait_stored(LIMIT_S)
        assert bench.count("binding") == 1

    def test_at_the_end_what_can_not_be_written_is_said(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        other = connect(str(bench.path))
        other.execute("BEGIN EXCLUSIVE")
        bench.writer.start()
        bench.put_phone(1)
        bench.writer.stop()
        other.close()
        assert "1 changes of registrations and calls could not be stored" in caplog.text

    def test_what_ends_the_thread_costs_no_change(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """It had been taken from the backlog already."""
        write, left = bench.writer._write, iter([SystemExit(), None])

        def leave_once(works: list[Work]) -> None:
            if error := next(left, None):
                raise error
            write(works)

        monkeypatch.setattr(bench.writer, "_write", leave_once)
        bench.writer.start()
        bench.put_phone(1)
        assert bench.backlog.wait_stored(LIMIT_S)
        assert bench.count("binding") == 1

    def test_new_limits_count_from_now_on(self, bench: Bench) -> None:
        assert bench.writer.attempt()
        bench.backlog.put(EndCall(ended_call("old", NOON_AT - 40 * DAY_S), ()))
        assert bench.writer.attempt()
        assert bench.count("call") == 1
        bench.writer.retain(30, TraceLimits(7, 100_000))
        assert bench.writer.attempt()
        assert bench.count("call") == 0

    def test_the_thread_begins_anew(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        attempt, left = bench.writer.attempt, iter([SystemExit()])

        def leave_once() -> bool:
            if error := next(left, None):
                raise error
            return attempt()

        monkeypatch.setattr(bench.writer, "attempt", leave_once)
        bench.writer.start()
        bench.put_phone(1)
        assert bench.backlog.wait_stored(LIMIT_S)
        (problem,) = bench.writer.problems()
        assert problem.startswith("the thread store-writer met a fault and was restarted, 1 times")
