"""What outlives the process: the program is killed without warning and started again on the same data directory."""

from __future__ import annotations

import http.client
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from sip.snapshots import CallRecord, HistoryPage, HistoryQuery, PeriodFigures
from store import StoreError
from store.database import FILE_NAME
from store.sqlite_store import SqliteStore
from tests.support.api_client import ApiClient
from tests.support.office import Office, eventually, office_config
from tests.support.phone import SoftPhone
from tests.support.phone_call import IncomingCall, OutgoingCall
from tests.support.program import FREE_PORTS, Ended, ForkedProgram, Running
from tests.support.stored import DAY_S, ended_call, rows


class House:
    """One server after the other in one directory, always on the same ports, and the phones that outlive them."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.database = directory / "data" / FILE_NAME
        self.settings: dict[str, str] = {}
        self._stack = stack
        self._ports: dict[str, str] = {}
        self._running: Running | None = None

    def run(self, *arguments: str, **settings: str) -> ForkedProgram:
        """The program with these arguments, not waited for."""
        program = ForkedProgram(self.directory, *arguments, **(FREE_PORTS | self._ports | self.settings | settings))
        self._stack.callback(program.kill)
        return program

    def start(self, **settings: str) -> ApiClient:
        self._running = Running(self.run(**settings))
        self._ports = {"SIP_PORT": str(self._running.sip_port), "API_PORT": str(self._running.api_port)}
        return ApiClient(self._running)

    def kill(self) -> Ended:
        """SIGKILL; on Windows the same by another name."""
        assert self._running is not None
        self._running.program.process.kill()
        return self._running.program.wait()

    def stop(self) -> Ended:
        assert self._running is not None
        self._running.program.process.terminate()
        return self._running.program.wait()

    def restart(self, **settings: str) -> ApiClient:
        self.kill()
        return self.start(**settings)

    def phone(self, number: str, **options: Any) -> SoftPhone:
        """A phone that is not registered yet."""
        assert self._running is not None
        return self._stack.enter_context(SoftPhone(self._running, number, **options))

    def phones(self, *numbers: str) -> list[SoftPhone]:
        """Registered ones."""
        phones = [self.phone(number) for number in numbers]
        for phone in phones:
            phone.register()
        return phones


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def connect(caller: SoftPhone, callee: SoftPhone) -> tuple[OutgoingCall, IncomingCall]:
    call = caller.call(callee.number)
    ring = callee.expect_call()
    ring.ring()
    call.wait_ringing()
    ring.answer()
    call.wait_answered()
    return call, ring


def numbers(api: ApiClient) -> list[str]:
    return sorted(user["number"] for user in api.get("/api/users"))


# ------------------------------------------------------------------------------------------------ registrations


def test_phones_that_never_noticed_can_call_each_other_at_once(house: House) -> None:
    before = house.start().get
    alice, bob = house.phones("100", "101")
    users = before("/api/users")

    api = house.restart()

    assert numbers(api) == ["100", "101"]
    call, ring = connect(alice, bob)
    packets = call.media.make_packets(3)
    call.media.send(*packets)
    assert [ring.media.receive() for _ in packets] == packets
    call.hang_up()
    kept = ("number", "uri", "address", "port", "registeredAt", "firstSeen", "registrationCount", "userAgent")
    again = api.get("/api/users")
    assert [{name: user[name] for name in kept} for user in again] == [
        {name: user[name] for name in kept} for user in users
    ]


def test_the_200_to_a_register_is_a_promise(house: House) -> None:
    house.start()
    phones = [house.phone(str(number)) for number in range(100, 111)]
    for phone in phones:
        phone.register()
    assert numbers(house.restart()) == [phone.number for phone in phones]


def test_who_signed_off_stays_away(house: House) -> None:
    house.start()
    alice, _ = house.phones("100", "101")
    alice.unregister()
    assert numbers(house.restart()) == ["101"]


def test_what_the_administrator_removed_stays_away(house: House) -> None:
    api = house.start()
    house.phones("100", "101")
    assert api.request("DELETE", "/api/users/100").status == 200
    assert numbers(house.restart()) == ["101"]


def test_counts_and_first_times_go_on(house: House) -> None:
    api = house.start()
    (alice,) = house.phones("100")
    (first,) = api.get("/api/users")
    assert first["firstSeen"] == first["registeredAt"]
    alice.unregister()

    api = house.restart()
    assert api.get("/api/users") == []
    alice.register()

    (later,) = api.get("/api/users")
    assert (later["registrationCount"], later["firstSeen"]) == (2, first["firstSeen"])
    assert later["registeredAt"] > first["registeredAt"]


def test_what_ran_out_meanwhile_is_gone(house: House) -> None:
    house.start()
    house.phones("100", "101", "102")
    house.kill()
    with closing(sqlite3.connect(house.database)) as database, database:
        database.execute("UPDATE binding SET expires_at = ? WHERE number = '101'", (time.time() - 1,))

    assert numbers(house.start()) == ["100", "102"]
    assert rows(house.database, "SELECT number FROM binding ORDER BY number") == [("100",), ("102",)]


def test_a_phone_on_tcp_is_called_by_a_new_connection_to_its_contact(house: House) -> None:
    house.start()
    (alice,) = house.phones("100")
    bob = house.phone("101", transport="TCP")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        bob.register(None, ("Contact", f"<sip:101@127.0.0.1:{port};transport=tcp>"))
        house.restart()

        alice.call("101")

        listener.settimeout(5)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(65_536).startswith(f"INVITE sip:101@127.0.0.1:{port};transport=tcp SIP/2.0".encode())


# ------------------------------------------------------------------------------------------------ calls


def test_the_history_is_the_same_after_a_kill(house: House) -> None:
    api = house.start()
    alice, bob = house.phones("100", "101")
    call, ring = connect(alice, bob)
    for sender, receiver in ((call, ring), (ring, call)):
        packets = sender.media.make_packets(20)
        sender.media.send(*packets)
        assert [receiver.media.receive() for _ in packets] == packets
    ring.hang_up()
    refused = alice.call("101")
    bob.expect_call().reject(486)
    refused.wait_rejected()
    alice.call("109").wait_rejected()
    before = eventually(lambda: _complete(api.get("/api/calls/history"), 3), "three calls in the history")

    api = house.restart()

    assert api.get("/api/calls/history") == before
    unreachable, busy, talked = before
    assert (unreachable["terminationReason"], unreachable["statusCode"]) == ("unreachable", 480)
    assert (busy["terminationReason"], busy["statusCode"], busy["answerTime"]) == ("busy", 486, None)
    assert (talked["terminationReason"], talked["statusCode"], talked["endedBy"]) == ("normal", 200, "callee")
    assert talked["inviteTime"] <= talked["ringTime"] <= talked["answerTime"] <= talked["endTime"]
    assert (talked["fromAddress"], talked["toAddress"]) == (alice.address, bob.address)
    assert all(each["reasonText"] for each in before)
    media = [(each["kind"], each["sender"], each["packets"], each["lost"]) for each in talked["media"]]
    assert media == [("audio", "caller", 20, 0), ("audio", "callee", 20, 0)]
    assert [each["codec"] for each in talked["media"]] == ["PCMU", "PCMU"]
    assert all(each["mos"] > 4 for each in talked["media"])


def _complete(history: list[Any], count: int) -> list[Any] | None:
    return history if len(history) == count else None


def test_a_call_that_was_cut_off_is_in_the_history_as_interrupted(house: House) -> None:
    api = house.start()
    alice, bob = house.phones("100", "101")
    connect(alice, bob)
    ringing = alice.call("101")
    bob.expect_call().ring()
    ringing.wait_ringing()
    (live,) = [call for call in api.get("/api/calls") if call["state"] == "ESTABLISHED"]
    stored = "SELECT answered_at FROM live_call WHERE answered_at IS NOT NULL"
    eventually(lambda: rows(house.database, stored), "the answer in the database")
    assert api.get("/api/calls/history") == []

    api = house.restart()

    assert api.get("/api/calls") == []
    ended = {call["callId"]: call for call in api.get("/api/calls/history")}
    assert len(ended) == 2
    talked = ended[live["callId"]]
    assert (talked["terminationReason"], talked["endedBy"], talked["state"]) == ("interrupted", "server", "TERMINATED")
    assert (talked["answerTime"], talked["toAddress"]) == (live["answerTime"], bob.address)
    assert talked["endTime"] >= talked["answerTime"]
    assert "stopped without warning" in talked["reasonText"]
    (rang,) = [call for call in ended.values() if call is not talked]
    assert (rang["terminationReason"], rang["answerTime"], rang["duration"]) == ("interrupted", None, 0)
    # The phones go on without us, and can hang up and call anew.
    connect(bob, alice)


def test_the_figures_of_the_last_days_include_what_was_before_the_start(house: House) -> None:
    api = house.start()
    (alice,) = house.phones("100")
    alice.call("109").wait_rejected()
    eventually(lambda: api.get("/api/calls/history"), "the call in the history")

    statistics = house.restart().get("/api/statistics")

    assert statistics["calls"]["totalCalls"] == 0
    # Around midnight the call was yesterday.
    assert statistics["periods"]["last7Days"]["reasons"] == {"unreachable": 1}
    assert statistics["periods"]["last30Days"]["totalCalls"] == 1


def test_old_calls_are_forgotten(house: House) -> None:
    store = SqliteStore(house.database, 0)
    house.database.parent.mkdir()
    store.start()
    for name, days in (("old", 31), ("young", 29)):
        store.end_call(ended_call(name, time.time() - days * DAY_S), ())
    assert store.flush(5)
    store.stop()

    api = house.start(HISTORY_DAYS="30")

    eventually(lambda: [call["callId"] for call in api.get("/api/calls/history")] == ["young"], "the end of old calls")


# ------------------------------------------------------------------------------------------------ the door


def test_passwords_and_bans_stay_in_force(house: House) -> None:
    api = house.start()
    alice, bob = house.phones("100", "101")
    assert api.request("PUT", "/api/extensions/100/password", {"password": "korrekt-Pferd-7"}).json["removed"] == 1
    for address in ("192.0.2.66", "192.0.2.77"):
        assert api.request("POST", "/api/bans", {"address": address}).status < 300
    assert api.request("DELETE", "/api/bans/192.0.2.77").status == 200

    api = house.restart()

    assert numbers(api) == ["101"]
    assert alice.send_register().wait_final().status == 401
    assert [ban["address"] for ban in api.get("/api/bans")] == ["192.0.2.66"]
    alice.password = "korrekt-Pferd-7"
    alice.register()
    connect(bob, alice)

    assert numbers(house.restart()) == ["100", "101"]


# ------------------------------------------------------------------------------------------------ the file


def test_a_damaged_database_is_set_aside_and_the_server_works(house: House) -> None:
    house.start()
    house.phones("100")
    house.stop()
    data = bytearray(house.database.read_bytes())
    data[:4096] = b"\xa5" * 4096
    house.database.write_bytes(data)

    api = house.start()
    health = api.get("/healthz")
    (alice,) = house.phones("100")
    ended = house.stop()

    (aside,) = house.database.parent.glob("sipserver.damaged-*.db")
    assert aside.read_bytes() == data
    assert health["status"] == "ok"
    assert [problem for problem in health["problems"] if aside.name in problem]
    assert "is damaged" in ended.errors
    assert aside.name in ended.errors
    assert numbers(house.start()) == [alice.number]


def test_one_data_directory_is_for_one_server(house: House) -> None:
    api = house.start()
    (alice,) = house.phones("100")

    second = house.run(SIP_PORT="0", API_PORT="0").wait()

    assert (second.status, second.output) == (2, "")
    lines = [line for line in second.errors.splitlines() if line.startswith("sipserver:")]
    assert len(lines) == 1
    assert "DATA_DIR" in lines[0]
    assert "a server is running on it" in lines[0]
    assert "Traceback" not in second.errors
    assert numbers(api) == [alice.number]


def test_a_backup_made_while_running_is_restored_elsewhere(house: House) -> None:
    api = house.start()
    alice, bob = house.phones("100", "101")
    connect(alice, bob)[0].hang_up()
    history = eventually(lambda: api.get("/api/calls/history"), "the call in the history")
    made = house.run("backup", "copy.db").wait()
    assert (made.status, made.errors) == (0, "")
    assert house.run("restore", "copy.db").wait().status == 2, "not while a server runs there"
    house.stop()

    assert house.run("restore", "copy.db", DATA_DIR="elsewhere").wait().status == 0

    api = house.start(DATA_DIR="elsewhere")
    assert api.get("/api/calls/history") == history
    assert numbers(api) == ["100", "101"]
    connect(bob, alice)


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_without_a_data_directory_nothing_is_kept_on_the_disk(house: House, name: str) -> None:
    house.settings["DATA_DIR"] = name
    api = house.start()
    alice, bob = house.phones("100", "101")
    connect(alice, bob)[0].hang_up()
    assert len(eventually(lambda: api.get("/api/calls/history"), "the call in the history")) == 1

    api = house.restart()

    assert (numbers(api), api.get("/api/calls/history")) == ([], [])
    assert {path.name for path in house.directory.iterdir()} == {"logs"}


def test_an_orderly_stop_keeps_everything_too(house: House) -> None:
    house.start()
    alice, bob = house.phones("100", "101")
    connect(alice, bob)
    house.stop()

    api = house.start()

    assert numbers(api) == ["100", "101"]
    (ended,) = api.get("/api/calls/history")
    assert ended["terminationReason"] == "admin"
    assert "shutting down" in ended["reasonText"]


def test_the_export_of_a_running_server(house: House) -> None:
    """The whole way: from the disk through waitress, piece by piece."""
    store = SqliteStore(house.database, 0)
    house.database.parent.mkdir()
    store.start()
    now_at = time.time()
    for count in range(1500):
        store.end_call(ended_call(f"c{count}", now_at - count), ())
    assert store.flush(10)
    store.stop()
    api = house.start()

    lines = _export(api, "?extension=100").splitlines()

    assert len(lines) == 1501
    assert lines[1].split(",")[13] == "c0"
    assert lines[-1].split(",")[13] == "c1499"


def _export(api: ApiClient, query: str) -> str:
    with closing(http.client.HTTPConnection("127.0.0.1", api._server.api_port, timeout=5)) as connection:
        connection.request("GET", f"/api/calls/history.csv{query}")
        answer = connection.getresponse()
        assert answer.headers["Transfer-Encoding"] == "chunked"
        return answer.read().decode("utf-8-sig")


# ------------------------------------------------------------------------------------------------ faults of the disk


def test_phones_register_and_call_while_the_database_is_locked(tmp_path: Path) -> None:
    office = Office(office_config(tmp_path))
    database = office.config.data_dir / FILE_NAME
    with closing(office), closing(sqlite3.connect(database, isolation_level=None)) as stranger:
        stranger.execute("BEGIN EXCLUSIVE")
        alice, bob = office.phones("100", "101")
        call, _ = office.connect(alice, bob)
        call.hang_up()
        eventually(lambda: office.server.health().problems, "the problem")
        assert "another program has locked the database" in office.api.get("/healthz")["problems"][0]
        assert stranger.execute("SELECT number FROM binding").fetchall() == []
        stranger.execute("ROLLBACK")
        eventually(lambda: not office.server.health().problems, "the end of the problem")
        assert len(office.api.get("/api/calls/history")) == 1

    assert rows(database, "SELECT number FROM binding ORDER BY number") == [("100",), ("101",)]


class Unreadable:
    """A store whose disk gives nothing back."""

    def flush(self, _timeout_s: float) -> bool:
        return False

    def history(self, _query: HistoryQuery) -> HistoryPage:
        raise StoreError("what is stored can't be read now: the disk reports faults")

    def history_rows(self, _query: HistoryQuery) -> Iterator[CallRecord]:
        yield from ()
        raise StoreError("what is stored can't be read now: the disk reports faults")

    def statistics(self, _now_at: float) -> tuple[PeriodFigures, ...]:
        raise StoreError("what is stored can't be read now: the disk reports faults")


def test_what_can_not_be_read_is_said_in_plain_words(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(office.server, "_store", Unreadable())
        for path in ("/api/calls/history", "/api/calls/history.csv", "/api/users/100/calls?history=true"):
            answer = office.api.request("GET", path)
            assert answer.status == 503, path
            assert "the disk reports faults" in answer.json["detail"]
        assert office.api.get("/api/statistics")["periods"] is None
    assert office.api.get("/api/calls/history") == []
