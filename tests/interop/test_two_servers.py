"""Two servers on one database, real phones, each on a host of its own; one server is killed in the middle of calls."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from config import SETTINGS
from tests.interop.baresip import Baresip
from tests.interop.programs import Program as Started
from tests.interop.programs import eventually
from tests.interop.tone import seconds_of_tone
from tests.support.namespaces import Host, missing
from tests.support.phone import SoftPhone
from tests.support.postgres import Cluster
from tests.support.program import Program
from tests.support.tls import TlsFiles

_MISSING = missing()

pytestmark = [pytest.mark.interop, pytest.mark.skipif(bool(_MISSING), reason=_MISSING)]

NETWORK = "10.78.1"
LOW_HZ, HIGH_HZ = 440, 1000
TALK_PACKETS = 60
"""More than a second each way: baresip names its recordings by the second in which they begin."""

WAIT_S = 30.0


class Server:
    """`sipserver.py` as a process on a host of its own, as tests and phones see it."""

    sip_port = 5060

    def __init__(self, host: Host, address: str, name: str, url: str, directory: Path, ca_file: Path) -> None:
        self.ca_file = ca_file
        self.name = name
        self.host_address = address
        self.address = self.tls_address = f"{address}:{self.sip_port}"
        self._host = host
        self._directory = directory
        self._settings = dict.fromkeys((setting.name for setting in SETTINGS), "") | {
            "DATABASE_URL": url,
            "SERVER_NAME": name,
            "API_RATE_LIMIT": "0",
            "DATA_DIR": str(directory / "data"),
            "LOG_FILE": str(directory / "sip-server.log"),
        }
        self.program = self._start()

    def _start(self) -> Program:
        self._directory.mkdir(exist_ok=True)
        return self._host.run(lambda: Program(self._directory, **self._settings))

    def start_again(self) -> None:
        self.program = self._start()
        self.program.wait_ready()

    def get(self, path: str) -> Any:
        """The JSON answer of the API."""

        def ask() -> Any:
            with urllib.request.urlopen(f"http://127.0.0.1:3000{path}", timeout=10) as response:
                return json.load(response)

        return self._host.run(ask)

    def uri(self, number: str) -> str:
        return f"sip:{number}@{self.address}"

    def user(self, number: str) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [user for user in self.get("/api/users") if user["number"] == number]

        return eventually(found, f"{number} is registered at {self.name}", WAIT_S)[0]

    def contacts(self, number: str) -> list[tuple[str, int]]:
        users = [user for user in self.get("/api/users") if user["number"] == number]
        return [(each["address"], each["port"]) for user in users for each in user["contacts"]]


class Office:
    """Hosts on one switch: the database, two servers, and phones as they are made."""

    def __init__(self, stack: ExitStack, directory: Path, baresip_path: str, ca_file: Path) -> None:
        self._stack = stack
        self._ca_file = ca_file
        self._directory = directory
        self._baresip_path = baresip_path
        self._addresses = iter(range(10, 250))
        self._switch = self._new_host("swi")
        self._switch.bridge()
        host, address = self.host("dba")
        self.cluster = host.run(lambda: Cluster(listen=address))
        stack.callback(self.cluster.close)
        url = self.cluster.url(self.cluster.new_database(), address)
        self.one = self._server("one", url)
        self.two = self._server("two", url)
        for server in (self.one, self.two):
            server.program.wait_ready()

    def _new_host(self, name: str) -> Host:
        host = Host(name)
        self._stack.callback(host.close)
        return host

    def host(self, name: str) -> tuple[Host, str]:
        host, address = self._new_host(name), f"{NETWORK}.{next(self._addresses)}"
        host.plug_into(self._switch, address)
        return host, address

    def _server(self, name: str, url: str) -> Server:
        host, address = self.host(name)
        server = Server(host, address, name, url, self._directory / name, self._ca_file)
        self._stack.callback(lambda: server.program.kill())
        return server

    def baresip(self, server: Server, number: str, frequency_hz: int) -> Baresip:
        host, address = self.host(f"b{number[1:]}")

        def launch(*arguments: Any, **options: Any) -> Started:
            program = Started(*arguments, **options)
            self._stack.callback(program.close)
            return program

        def make() -> Baresip:
            path, directory = self._baresip_path, self._directory
            return Baresip(path, launch, directory, server, number, frequency_hz, registers=False, host=address)

        phone = host.run(make)
        self._stack.callback(phone.close)
        server.user(number)
        return phone

    def soft_phone(self, server: Server, number: str) -> SoftPhone:
        host, address = self.host(f"s{number[1:]}")
        phone = host.run(lambda: SoftPhone(server, number, host=address, server_host=server.host_address))
        self._stack.callback(phone.close)
        phone.register()
        return phone


@pytest.fixture
def office(tmp_path: Path, baresip_path: str, tls_files: TlsFiles) -> Iterator[Office]:
    with ExitStack() as stack:
        yield Office(stack, tmp_path, baresip_path, tls_files.ca)


def ended(server: Server, count: int) -> list[tuple[str, str, str]]:
    """The last calls, newest first: from, to, and why they ended."""
    eventually(lambda: len(server.get("/api/calls/history")) == count, f"{count} ended calls", WAIT_S)
    return [
        (call["fromNumber"], call["toNumber"], call["terminationReason"]) for call in server.get("/api/calls/history")
    ]


def wait_for_audio(server: Server, streams: int) -> None:
    def have_carried() -> bool:
        found = server.get("/api/rtp-streams")
        return len(found) == streams and all(stream["packets"] >= TALK_PACKETS for stream in found)

    eventually(have_carried, "sound both ways", WAIT_S)


def test_one_server_is_killed_and_its_phones_go_on_at_the_other(office: Office) -> None:
    one, two = office.one, office.two
    alice, bob = office.baresip(one, "100", LOW_HZ), office.baresip(two, "101", HIGH_HZ)
    carol = office.soft_phone(two, "102")
    for number in ("101", "102"):
        one.user(number)
    two.user("100")

    # A call across, with sound through both servers.
    alice.dial("101")
    for phone in (alice, bob):
        phone.expect("CALL_ESTABLISHED")
    for server in (one, two):
        wait_for_audio(server, 2)
    alice.hang_up()
    for phone in (alice, bob):
        phone.expect("CALL_CLOSED")
    assert ended(one, 1) == ended(two, 1) == [("100", "101", "normal")]

    # Two calls are up when one server dies: one of its own, one of the other.
    bob.dial("100")
    for phone in (alice, bob):
        phone.expect("CALL_ESTABLISHED")
    wait_for_audio(one, 2)
    two.program.kill()

    # Its phones register at the other server: one as a new device, one as it was, by Call-ID, CSeq and contact.
    alice.hang_up()
    bob.move_to(one)
    eventually(lambda: "server" not in one.user("101")["contacts"][0], "the phone back at the other server", WAIT_S)
    before = one.contacts("102")
    carol.move_to(one.host_address, one.sip_port)
    carol.register()
    assert one.contacts("102") == before
    alice.dial("101")
    for phone in (alice, bob):
        phone.expect("CALL_ESTABLISHED")
    wait_for_audio(one, 2)
    bob.hang_up()
    for phone in (alice, bob):
        phone.expect("CALL_CLOSED")

    # The call that was cut off is in the history too, and the history is that of both.
    expected = [("100", "101", "normal"), ("101", "100", "interrupted"), ("100", "101", "normal")]
    eventually(lambda: len(ended(one, 3)) == 3, "the call that was cut off", WAIT_S)
    assert sorted(ended(one, 3)) == sorted(expected)
    assert one.get("/healthz")["problems"] == ["the server two gives no sign of life: its phones can't be called"]
    two.start_again()
    assert ended(two, 3) == ended(one, 3)

    # Who has moved is called once, and not by the server that is back.
    eventually(lambda: two.contacts("102") == before, "what is known of a phone that has moved", WAIT_S)
    alice.dial("102")
    ring = carol.expect_call()
    ring.answer()
    alice.expect("CALL_ESTABLISHED")
    assert len({invite.branch for invite in carol.messages("received", "INVITE")}) == 1
    ring.hang_up()
    alice.expect("CALL_CLOSED")
    alice.quit()
    bob.quit()
    for phone, other_hz in ((alice, HIGH_HZ), (bob, LOW_HZ)):
        heard = [seconds_of_tone(samples, other_hz) for samples in phone.recordings()]
        assert len([seconds for seconds in heard if seconds > 0.4]) == 3, heard
    for server in (one, two):
        eventually(lambda server=server: server.get("/healthz") == {"status": "ok", "problems": []}, "all well", WAIT_S)
