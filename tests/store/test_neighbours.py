"""store/neighbours.py and servers.py: who is there, what the others do, and whose calls were cut off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from sip.credentials import PasswordDigests
from sip.snapshots import HistoryQuery, NumberRecord, StoredBinding, TerminationReason
from store import history, neighbours, servers
from store.backlog import apply
from store.bindings import PutBinding, RemoveBinding
from store.calls import EndCall, PutCall, beat, close_interrupted
from store.neighbours import Neighbours
from store.postgres import PostgresConnection, PostgresDatabase
from store.postgres_keepers import PostgresPasswords
from tests.support.postgres import Cluster
from tests.support.stored import BINDING, LIVE_CALL, NOON_AT, ended_call

LIMIT_S = 20.0
ALL = HistoryQuery(None, None, None, 50, 0)


@dataclass
class Told:
    """Implements `Neighbourhood`; `changed` guards it."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    keys: set[bytes] = field(default_factory=set)
    alive: dict[str, tuple[str, int]] = field(default_factory=dict)
    bindings: dict[str, StoredBinding] = field(default_factory=dict)
    records: dict[str, NumberRecord] = field(default_factory=dict)
    reconciled: int = 0
    host: str = "192.0.2.1"

    def peer_address(self, database_host: str) -> str:
        return self.host

    def set_neighbours(
        self, me: str, key: bytes, clock_offset: float, addresses: Mapping[str, tuple[str, int]]
    ) -> None:
        with self.changed:
            self.keys.add(key)
            self.alive = dict(addresses)
            assert abs(clock_offset) < 1e10
            self.changed.notify_all()

    def follow_bindings(
        self, changed: Sequence[StoredBinding], gone: Sequence[str], records: Sequence[NumberRecord]
    ) -> None:
        with self.changed:
            self.bindings |= {each.binding_id: each for each in changed}
            for binding_id in gone:
                self.bindings.pop(binding_id, None)
            self.records |= {each.number: each for each in records}
            self.changed.notify_all()

    def reconcile_bindings(self, present: Sequence[StoredBinding], records: Sequence[NumberRecord]) -> None:
        with self.changed:
            self.bindings = {each.binding_id: each for each in present}
            self.records = {each.number: each for each in records}
            self.reconciled += 1
            self.changed.notify_all()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, LIMIT_S), f"waited in vain for {what}"


class Bench:
    """Servers on one database."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.name = cluster.new_database()
        self.url = cluster.url(self.name)
        self.databases: dict[str, PostgresDatabase] = {}
        self.threads: list[Neighbours] = []

    def database(self, server: str) -> PostgresDatabase:
        """An open one, as the writer of that server has it."""
        if server not in self.databases:
            self.databases[server] = PostgresDatabase(self.url, server)
            self.databases[server].open(NOON_AT)
        return self.databases[server]

    def start(self, server: str, host: str = "192.0.2.1") -> Told:
        told = Told(host=host)
        self.threads.append(Neighbours(self.database(server), wall_clock=lambda: NOON_AT))
        self.threads[-1].start(told, 5060)
        told.wait(lambda: told.reconciled, "the first look")
        return told

    def write(self, server: str, *works: PutBinding | RemoveBinding) -> None:
        """As the writer of that server does."""
        database = self.database(server)
        with database.writing() as connection:
            for work in works:
                apply(connection, work)
            database.announce(connection, [work.key for work in works])

    def close(self) -> None:
        for thread in self.threads:
            thread.stop()
        for database in self.databases.values():
            database.close()


@pytest.fixture
def bench(cluster: Cluster) -> Iterator[Bench]:
    bench = Bench(cluster)
    yield bench
    bench.close()


class TestWhoIsThere:
    def test_servers_find_one_another_and_share_a_key(self, bench: Bench) -> None:
        one, two = bench.start("one"), bench.start("two", "192.0.2.2")
        one.wait(lambda: one.alive == {"two": ("192.0.2.2", 5060)}, "the second server")
        two.wait(lambda: two.alive == {"one": ("192.0.2.1", 5060)}, "the first server")
        assert one.keys == two.keys
        (key,) = one.keys
        assert len(key) == 32

    def test_a_server_that_goes_is_missed_at_once(self, bench: Bench) -> None:
        one, two = bench.start("one"), bench.start("two", "192.0.2.2")
        one.wait(lambda: one.alive, "the second server")
        two.wait(lambda: two.alive, "the first server")
        bench.threads[1].stop()
        one.wait(lambda: not one.alive, "its leave")

    def test_a_server_without_a_sign_of_life_is_out_of_service(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neighbours, "BEAT_S", 0.05)
        with bench.database("two").writing() as connection:
            servers.beat(connection, "two", "192.0.2.2", 5060)
        one = bench.start("one")
        one.wait(lambda: one.alive, "the second server")
        with bench.database("two").writing() as connection:
            connection.execute("UPDATE server SET beat_at = beat_at - 60 WHERE name = 'two'")
        one.wait(lambda: not one.alive, "its end")
        _until(bench.threads[0].problems)
        assert bench.threads[0].problems() == ("the server two gives no sign of life: its phones can't be called",)
        with bench.database("two").writing() as connection:
            connection.execute("UPDATE server SET beat_at = beat_at - 90000 WHERE name = 'two'")
        _until(lambda: not bench.threads[0].problems())

    def test_two_that_start_together_have_one_key(self, tables: PostgresConnection) -> None:
        tables.execute("BEGIN")
        assert servers.shared_key(tables) == servers.shared_key(tables)
        tables.execute("ROLLBACK")


class TestWhatTheyDo:
    def test_what_stands_there_is_known_from_the_start(self, bench: Bench) -> None:
        bench.write("two", PutBinding(replace(BINDING, server="two"), 3))
        bench.write("one", PutBinding(replace(BINDING, binding_id="b-2", server="one"), 4))
        one = bench.start("one")
        assert {each.binding_id: each.server for each in one.bindings.values()} == {"b-1": "two", "b-2": ""}
        assert one.records["100"].registrations == 4

    def test_what_another_server_writes_is_heard(self, bench: Bench) -> None:
        one = bench.start("one")
        bench.write("two", PutBinding(replace(BINDING, server="two"), 3))
        one.wait(lambda: one.bindings.keys() == {"b-1"}, "the new binding")
        assert one.bindings["b-1"] == replace(BINDING, server="two")
        assert one.records["100"].registrations == 3
        bench.write("two", RemoveBinding("b-1", "two"))
        one.wait(lambda: not one.bindings, "its end")

    def test_a_binding_that_has_moved_here_is_ours(self, bench: Bench) -> None:
        bench.write("two", PutBinding(replace(BINDING, server="two"), 1))
        one, two = bench.start("one"), bench.start("two")
        bench.write("one", PutBinding(replace(BINDING, server="one", last_seen_at=NOON_AT + 1), 2))
        two.wait(lambda: two.bindings["b-1"].server == "one", "the move")
        # What it writes itself it need not hear.
        assert one.bindings["b-1"].server == "two"

    def test_more_than_one_notification_holds(self, bench: Bench) -> None:
        one = bench.start("one")
        bench.write("two", *(PutBinding(replace(BINDING, binding_id=f"{n:016x}", server="two"), 1) for n in range(450)))
        one.wait(lambda: len(one.bindings) == 450, "all of them")

    def test_passwords_and_bans_that_others_have_changed_are_noted_at_once(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neighbours, "BEAT_S", 3600.0)
        bench.start("one")
        digests = PasswordDigests.of("100", "sipserver", "correct horse")
        for server in ("two", ""):
            before = bench.database("one").revision("password")
            PostgresPasswords(bench.database(server), "sipserver").change("100", digests)
            _until(lambda before=before: bench.database("one").revision("password") == before + 1)


class TestFaults:
    def test_what_happens_while_the_database_is_away_is_known_when_it_is_back(
        self, bench: Bench, cluster: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = bench.start("one")
        thread = bench.threads[0]
        cluster.refuse(bench.name)
        _until(thread.problems)
        (problem,) = thread.problems()
        assert problem.startswith("phones of other servers may be unknown here: the database")
        cluster.admit(bench.name)
        bench.databases.clear()
        bench.write("two", PutBinding(replace(BINDING, server="two"), 3))
        one.wait(lambda: one.bindings.keys() == {"b-1"}, "what was missed")
        _until(lambda: not thread.problems())
        assert "what other servers do is known again" in caplog.text

    def test_nobody_is_taken_for_dead_because_the_database_was_away(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The signs of life of all are as old then as the time without it was long."""
        monkeypatch.setattr(neighbours, "BEAT_S", 0.05)
        with bench.database("two").writing() as connection:
            servers.beat(connection, "two", "192.0.2.2", 5060)
        one = bench.start("one")
        one.wait(lambda: one.alive, "the second server")
        with bench.database("two").writing() as connection:
            connection.execute("UPDATE server SET beat_at = beat_at - 60 WHERE name = 'two'")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sipserver one'"
            )
        one.wait(lambda: one.reconciled == 2, "the way back")
        assert one.alive == {"two": ("192.0.2.2", 5060)}


def _until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(int(LIMIT_S / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("waited in vain")


class TestCallsCutOff:
    def test_those_of_a_server_that_died_are_closed_by_one_that_lives(self, bench: Bench) -> None:
        with bench.database("two").writing() as connection:
            servers.beat(connection, "two", "192.0.2.2", 5060)
            connection.execute("UPDATE server SET beat_at = beat_at - 60")
            apply(connection, PutCall(LIVE_CALL, "two"))
            beat(connection, NOON_AT + 30, "two")
            apply(connection, PutCall(LIVE_CALL._replace(call_id="call-2"), "one"))
        bench.start("one")
        database = bench.database("one")

        def ended() -> list[tuple[str, float | None, TerminationReason | None]]:
            with database.reading() as connection:
                calls = history.page(connection, ALL).calls
            return [(call.call_id, call.ended_at, call.termination_reason) for call in calls]

        _until(ended)
        assert ended() == [("call-1", NOON_AT + 30, TerminationReason.INTERRUPTED)]
        # Its server was only silent, and knows better.
        with database.writing() as connection:
            apply(connection, EndCall(ended_call("call-1", NOON_AT + 70, invited_at=NOON_AT), (), "two"))
        assert ended() == [("call-1", NOON_AT + 70, TerminationReason.NORMAL)]

    def test_two_servers_that_close_them_at_once_write_each_once(self, bench: Bench) -> None:
        one, two = bench.database("one"), bench.database("two")
        with one.writing() as connection:
            apply(connection, PutCall(LIVE_CALL, "three"))
            apply(connection, PutCall(LIVE_CALL._replace(call_id="call-2"), "three"))
        closed: list[int] = []

        def close() -> None:
            with two.writing() as connection:
                closed.append(close_interrupted(connection, "three"))

        other = threading.Thread(target=close)
        with one.writing() as connection:
            closed.append(close_interrupted(connection, "three"))
            other.start()
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
            _until(lambda: bench.cluster.execute(bench.name, waits))
        other.join(LIMIT_S)
        assert sorted(closed) == [0, 2]
        assert bench.cluster.execute(bench.name, "SELECT count(*) FROM call") == [(2,)]
