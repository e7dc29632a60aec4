"""Passwords, bans and limits with a started server: what the administrator does is in force at once, and stays."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from config import SETTINGS, Config
from sipserver import SipServer
from tests.support.api_client import ApiClient
from tests.support.namespaces import Host, missing
from tests.support.office import Office, eventually, office_config
from tests.support.phone import SoftPhone
from tests.support.tls import TlsFiles

PROJECT = Path(__file__).resolve().parents[2]

PASSWORDS = {"100": "korrekt-Pferd-7", "101": "batterie-Stapel-9"}

LIMIT_S = 20.0
"""How long a command may take before the test fails."""

_MISSING = missing()

needs_namespaces = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)

SERVER, PHONE = "10.77.1.1", "10.77.1.2"
OTHER_SERVER, OTHER_PHONE = "10.77.2.1", "10.77.2.2"


def set_password(office: Office, number: str, password: str) -> Any:
    answer = office.api.request("PUT", f"/api/extensions/{number}/password", {"password": password})
    assert answer.status == 200, answer
    return answer.json


def failures(office: Office) -> list[tuple[str, int]]:
    """Number and status of each failed registration, newest first."""
    return [(each["number"], each["statusCode"]) for each in office.api.get("/api/registrations/failures")]


# ------------------------------------------------------------------------------------------------ passwords


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
@pytest.mark.parametrize("transport", ["UDP", "TCP", "TLS"])
def test_phones_register_and_call_with_their_passwords(
    start_office: Callable[..., Office], tls_files: TlsFiles, transport: str, algorithm: str
) -> None:
    office = start_office(
        ext_passwords=tuple(PASSWORDS.items()),
        auth_required=True,
        trusted_networks=(),
        tls_cert=tls_files.certificate,
        tls_key=tls_files.key,
    )
    alice, bob = (
        office.phone(number, password=password, transport=transport, algorithm=algorithm)
        for number, password in PASSWORDS.items()
    )
    alice.register()
    call, ring = office.connect(alice, bob)
    assert "Proxy-Authorization" not in ring.invite
    assert ring.invite["P-Asserted-Identity"].startswith("<sip:100@")
    packets = call.media.make_packets(5)
    call.media.send(*packets)
    assert [ring.media.receive() for _ in packets] == packets
    assert call.hold().status == 200
    assert ring.hang_up().status == 200
    call.wait_ended()
    assert alice.unregister().status == 200
    assert office.numbers() == ["101"]
    assert office.last_ended()["terminationReason"] == "normal"


def test_a_call_that_is_cancelled_and_one_that_is_busy(start_office: Callable[..., Office]) -> None:
    """The second INVITE, with the password, is the one that they end."""
    office = start_office(ext_passwords=tuple(PASSWORDS.items()))
    alice, bob = (office.phone(number, password=password) for number, password in PASSWORDS.items())
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    call.wait_ringing()
    assert call.cancel().status == 487
    ring.wait_ended()
    busy = alice.call("101")
    bob.expect_call().reject(486)
    assert busy.wait_rejected().status == 486
    assert len(alice.messages("received", "407 INVITE")) == 2


def test_a_password_set_changed_and_removed_by_the_api_is_in_force_at_once(office: Office) -> None:
    plain = office.phone("100")
    assert set_password(office, "100", PASSWORDS["100"])["removed"] == 1
    assert office.numbers() == []
    assert plain.send_register().wait_final().status == 401
    assert plain.call("100").wait_rejected().status == 407

    phone = office.phone("100", password=PASSWORDS["100"])
    assert set_password(office, "100", "another-Wort-8")["removed"] == 1
    assert phone.send_register().wait_final().status == 401
    assert failures(office) == [("100", 401)]
    office.phone("100", password="another-Wort-8")

    assert office.api.request("DELETE", "/api/extensions/100/password").status == 200
    assert office.numbers() == []
    plain.register()


def test_a_call_goes_on_when_the_password_changes(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    set_password(office, "100", PASSWORDS["100"])
    assert ring.hold().status == 200
    assert call.hang_up().status == 200


def passwd(config: Config, *arguments: str, typed: str = "") -> str:
    """`python sipserver.py passwd` for the data directory of a running server; what it says."""
    # An empty value is the default, so nothing of the developer's own environment comes through.
    settings = dict.fromkeys((setting.name for setting in SETTINGS), "") | {"DATA_DIR": str(config.data_dir)}
    done = subprocess.run(
        [sys.executable, PROJECT / "sipserver.py", "passwd", *arguments],
        cwd=PROJECT,
        env={**os.environ, **settings},
        input=typed,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_password_set_by_the_command_is_in_force_while_the_server_runs(office: Office) -> None:
    plain = office.phone("100")
    passwd(office.config, "100", typed=PASSWORDS["100"] + "\n")
    eventually(lambda: office.numbers() == [], "the end of the old registration")
    assert plain.send_register().wait_final().status == 401
    office.phone("100", password=PASSWORDS["100"])

    said = passwd(office.config, "100", "--generate")
    made = said.partition("The password of 100 is ")[2].partition("\n")[0]
    eventually(lambda: office.numbers() == [], "the end of the second registration")
    office.phone("100", password=made)

    passwd(office.config, "100", "--remove")
    eventually(lambda: office.numbers() == [], "the end of the third registration")
    plain.register()


def test_passwords_survive_a_restart(start_office: Callable[..., Office], tmp_path: Path) -> None:
    first = start_office(data_dir=tmp_path / "kept")
    set_password(first, "100", PASSWORDS["100"])
    first.close()
    kept = tmp_path / "kept" / "passwords.json"
    assert kept.stat().st_mode & 0o077 == 0
    assert PASSWORDS["100"] not in kept.read_text()

    second = start_office(data_dir=tmp_path / "kept")
    assert second.unregistered("100").send_register().wait_final().status == 401
    second.phone("100", password=PASSWORDS["100"])


# ------------------------------------------------------------------------------------------------ bans


def test_this_machine_is_never_banned_for_wrong_passwords(start_office: Callable[..., Office]) -> None:
    office = start_office(ext_passwords=tuple(PASSWORDS.items()), trusted_networks=(), ban_after=3)
    guesser = office.unregistered("100", password="guessed", host="127.0.0.5")
    for _ in range(40):
        assert guesser.send_register().wait_final().status == 401
    assert office.api.get("/api/bans") == []
    assert office.api.get("/api/registrations/failures")[0]["count"] == 40
    office.phone("100", password=PASSWORDS["100"], host="127.0.0.5")


class Site:
    """A server on a machine of its own, reached over two networks; what runs on other machines is `run` there."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory
        self.machine, self.near, self.far = (self._host(name) for name in ("srv", "nea", "far"))
        self.machine.cable(self.near, SERVER, PHONE)
        self.machine.cable(self.far, OTHER_SERVER, OTHER_PHONE)
        self.server: SipServer

    def _host(self, name: str) -> Host:
        host = Host(name)
        self._stack.callback(host.close)
        return host

    def start(self, **settings: Any) -> SipServer:
        """The server, or the next one with the same data."""
        config = office_config(self._directory, sip_host="0.0.0.0", rtp_host="0.0.0.0", trusted_networks=(), **settings)
        self.server = SipServer(config)
        self.machine.run(self.server.start)
        self._stack.callback(self.stop, self.server)
        return self.server

    def stop(self, server: SipServer) -> None:
        self.machine.run(server.stop)

    def api(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The JSON of the answer, asked for on the machine itself."""
        answer = self.machine.run(lambda: ApiClient(self.server).request(method, path, body))
        assert answer.status == status, answer
        return answer.json

    def phone(self, number: str, password: str, *, far: bool = False, transport: str = "UDP") -> SoftPhone:
        host, address, server = (self.far, OTHER_PHONE, OTHER_SERVER) if far else (self.near, PHONE, SERVER)
        options = {"host": address, "server_host": server, "password": password, "transport": transport}
        phone = host.run(lambda: SoftPhone(self.server, number, **options))
        self._stack.callback(phone.close)
        return phone


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, tmp_path)


@needs_namespaces
def test_who_guesses_is_banned_listed_still_banned_after_a_restart_and_lifted(site: Site) -> None:
    settings = {"ext_passwords": tuple(PASSWORDS.items()), "ban_after": 3}
    first = site.start(**settings)
    guesser = site.phone("100", "guessed")
    for _ in range(3):
        assert guesser.send_register().wait_final().status == 401
    (ban,) = site.api("GET", "/api/bans")
    assert (ban["address"], ban["failures"]) == (PHONE, 3)
    is_deaf_to(site, guesser)
    # Others are heard.
    site.phone("101", PASSWORDS["101"], far=True).register()
    site.stop(first)

    site.start(**settings)
    assert [each["address"] for each in site.api("GET", "/api/bans")] == [PHONE]
    phone = site.phone("100", PASSWORDS["100"])
    is_deaf_to(site, phone)
    site.api("DELETE", f"/api/bans/{PHONE}")
    phone.register()
    assert site.api("GET", "/api/bans") == []


@needs_namespaces
def test_a_ban_ends_the_connection_that_is_open_and_lets_no_other_in(site: Site) -> None:
    site.start(ext_passwords=tuple(PASSWORDS.items()))
    phone = site.phone("100", PASSWORDS["100"], transport="TCP")
    phone.register()
    site.api("POST", "/api/bans", {"address": PHONE, "reason": "a test"}, status=201)
    phone.link.send_bytes(phone.make_request("OPTIONS", phone.server_uri, phone.server_uri).to_bytes())
    phone.wait(lambda: phone.link.closed_by_server, "the end of the connection")
    assert phone.messages("received", "407 OPTIONS") == []
    again = site.phone("100", PASSWORDS["100"], transport="TCP")
    again.wait(lambda: again.link.closed_by_server, "the end of the new connection")
    site.api("DELETE", f"/api/bans/{PHONE}")
    site.phone("100", PASSWORDS["100"], transport="TCP").register()


def is_deaf_to(site: Site, phone: SoftPhone) -> None:
    """Nothing comes back, while a later request of somebody else has long been answered."""
    before = len(phone.messages("received"))
    phone.link.send_bytes(phone.make_request("OPTIONS", phone.server_uri, phone.server_uri).to_bytes())
    other = site.phone("105", "", far=True)
    assert other.request("OPTIONS", other.server_uri).wait_final().status == 407
    assert len(phone.messages("received")) == before


# ------------------------------------------------------------------------------------------------ floods


class Flood:
    """Requests from 120 addresses of the near machine, as forged ones would come."""

    SOURCES = tuple(f"10.77.1.{number}" for number in range(130, 250))

    def __init__(self, stack: ExitStack, site: Site) -> None:
        self._site = site
        self._server = SERVER, site.server.sip_port
        self.sent = 0
        # Every address of that range is the machine's own.
        command = ["ip", "route", "add", "local", "10.77.1.128/25", "dev", "lo"]
        site.near.run(lambda: subprocess.run(command, check=True))
        self._sockets = [
            site.near.run(lambda host=source: stack.enter_context(_bound(host))) for source in self.SOURCES
        ]

    def burst(self, method: str) -> None:
        """A thousand of them."""
        for number in range(1_000):
            index = number % len(self._sockets)
            host = self.SOURCES[index]
            uri, unique = f"sip:100@{SERVER}", f"{method}{self.sent}"
            lines = [
                f"{method} {uri} SIP/2.0",
                f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{unique}",
                f"From: <{uri}>;tag={unique}",
                f"To: <{uri}>",
                f"Call-ID: {unique}",
                f"CSeq: 1 {method}",
                f"Contact: <sip:100@{host}>",
                "Content-Length: 0",
            ]
            with contextlib.suppress(BlockingIOError):
                self._sockets[index].sendto("\r\n".join([*lines, "", ""]).encode(), self._server)
                self.sent += 1

    def answers(self) -> int:
        """How many came since this was asked last."""
        count = 0
        for sock in self._sockets:
            with contextlib.suppress(BlockingIOError):
                while sock.recv(65_536):
                    count += 1
        return count


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 5060))
    sock.setblocking(False)
    return sock


@needs_namespaces
def test_phones_call_while_strangers_flood_the_server(site: Site) -> None:
    """What a burst pushes out of the socket's queue the phones send again."""
    with ExitStack() as stack:
        site.start(ext_passwords=tuple(PASSWORDS.items()), sip_rate_limit=2)
        alice, bob = (site.phone(number, password, far=True) for number, password in PASSWORDS.items())
        alice.register()
        bob.register()
        flood = Flood(stack, site)
        flood.burst("REGISTER")
        call = site.far.run(lambda: alice.call("101"))
        flood.burst("INVITE")
        ring = bob.expect_call()
        ring.ring()
        flood.burst("OPTIONS")
        call.wait_ringing()
        ring.answer()
        flood.burst("MESSAGE")
        call.wait_answered()
        flood.burst("BYE")
        assert ring.hold().status == 200
        assert call.hang_up().status == 200
        assert {each["number"] for each in site.api("GET", "/api/users")} == {"100", "101"}
        assert 0 < flood.answers() < flood.sent // 2
        assert site.api("GET", "/api/calls") == []
