"""The program as its user meets it: `python sipserver.py`, its options, messages, signals and files."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from config import Config, load
from sipserver import __version__
from startup import Greeting, banner, call_capacity
from tests.support.api_client import ApiClient
from tests.support.office import eventually
from tests.support.phone import SoftPhone
from tests.support.program import FREE_PORTS, LIMIT_S, PROGRAM, Ended, ForkedProgram, Program, Running, run_here

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None  # type: ignore[assignment]

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts the program in `tmp_path`, on free ports unless told otherwise."""
    programs: list[Program] = []

    def make(*arguments: str, kind: type[Program] = Program, **settings: str) -> Program:
        programs.append(kind(tmp_path, *arguments, **{**FREE_PORTS, **settings}))
        return programs[-1]

    yield make
    for program in programs:
        program.kill()


@pytest.fixture
def fork(start: Callable[..., Program]) -> Callable[..., Program]:
    """The same where it matters what the program does and not how it is started, at a fifth of the price."""
    return partial(start, kind=ForkedProgram)


@pytest.fixture
def running(start: Callable[..., Program]) -> Running:
    return Running(start())


# ------------------------------------------------------------------------------------------------ options


def test_help_says_where_the_settings_are(tmp_path: Path) -> None:
    ended = run_here(tmp_path, "--help")

    assert (ended.status, ended.errors) == (0, "")
    assert "env.example" in ended.output
    assert "--check" in ended.output


def test_version(start: Callable[..., Program]) -> None:
    assert start("--version").wait() == Ended(0, f"sipserver {__version__}\n", "")


def test_an_unknown_option_is_an_error(tmp_path: Path) -> None:
    ended = run_here(tmp_path, "--fast")

    assert ended.status == 2
    assert "--fast" in ended.errors


def test_check_says_what_would_be_used_and_ends(start: Callable[..., Program]) -> None:
    ended = start("--check").wait()

    assert (ended.status, ended.errors) == (0, "")
    assert re.search(r"SIP +127\.0\.0\.1:[1-9]\d*", ended.output)
    assert "nothing was started" in ended.output


def test_check_finds_a_port_in_use(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        ended = run_here(tmp_path, "--check", **{**FREE_PORTS, "SIP_PORT": str(port)})

    assert (ended.status, ended.output) == (2, "")
    assert f"SIP_PORT={port}" in ended.errors


# ------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("SIP_PORT", "seventy", "0 to 65535"),
        ("LOG_LEVEL", "loud", "error, warn, info or debug"),
        ("EXT_MIN", "200", "EXT_MAX=110"),
        ("SIP_HOST", "192.0.2.77", "an address of this machine"),
        ("TLS_CERT", "missing.pem", "a PEM certificate with its key (No such file or directory)"),
        ("TLS_KEY", "mine.key", "empty, unless TLS_CERT"),
        ("API_TLS", "true", "false as long as there is no certificate"),
    ],
)
def test_a_wrong_setting_is_one_line_that_says_what_is_allowed(
    tmp_path: Path, name: str, value: str, allowed: str
) -> None:
    ended = run_here(tmp_path, **{**FREE_PORTS, name: value})

    assert (ended.status, ended.output) == (2, "")
    assert ended.errors.startswith(f"sipserver: {name}={value}: must be ")
    assert allowed in ended.errors
    assert ended.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [("SIP_PORT", socket.SOCK_DGRAM), ("SIP_PORT", socket.SOCK_STREAM), ("API_PORT", socket.SOCK_STREAM)],
    ids=["SIP over UDP", "SIP over TCP", "API"],
)
def test_a_port_in_use_is_one_line_that_names_it(tmp_path: Path, name: str, kind: socket.SocketKind) -> None:
    with closing(socket.socket(socket.AF_INET, kind)) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]

        ended = run_here(tmp_path, **{**FREE_PORTS, name: str(port)})

    assert (ended.status, ended.output) == (2, "")
    assert ended.errors.startswith(f"sipserver: {name}={port}: must be a free port")
    assert ended.errors.count("\n") == 1


def test_settings_come_from_the_dotenv_file_too(start: Callable[..., Program], tmp_path: Path) -> None:
    tmp_path.joinpath(".env").write_text("EXT_MIN=seven\n")

    ended = start().wait()

    assert ended.status == 2
    assert ended.errors.startswith("sipserver: EXT_MIN=seven: must be ")


def test_a_misspelt_setting_is_pointed_out(start: Callable[..., Program], tmp_path: Path) -> None:
    tmp_path.joinpath(".env").write_text("SIP_PROT=5070\n")
    running = Running(start())

    running.program.process.terminate()

    assert "is SIP_PORT meant?" in running.program.wait().errors


# ------------------------------------------------------------------------------------------------ the banner


def test_the_banner_says_how_to_set_up_a_phone(running: Running) -> None:
    assert f"server / domain   127.0.0.1:{running.sip_port}" in running.banner
    assert "one of 100 to 110" in running.banner
    assert "UDP" in running.banner


def test_the_ports_of_the_banner_are_the_real_ones(running: Running) -> None:
    with SoftPhone(running, "100") as alice:
        alice.register()

        assert [user["number"] for user in ApiClient(running).get("/api/users")] == ["100"]


def test_the_standard_port_need_not_be_entered() -> None:
    text = banner(load({"SIP_HOST": "192.0.2.1"}), Greeting("1.0", 5060, 0, 3000, 250, 0))

    assert "server / domain   192.0.2.1\n" in text
    assert "UDP 10000-10999, enough for 250 calls at once" in text
    assert "  page   http://127.0.0.1:3000/  who" in text


def test_the_banner_shows_the_address_that_phones_can_reach() -> None:
    config = load({"SERVER_ADDRESS": "pbx.example.com", "API_HOST": "::1"})

    text = banner(config, Greeting("1.0", 5070, 0, 3000, 250, 0))

    assert "server / domain   pbx.example.com:5070\n" in text
    assert "http://[::1]:3000/" in text
    assert "0.0.0.0" not in text


def test_the_banner_shows_tls_and_https_where_they_are_spoken() -> None:
    text = banner(load({"SIP_HOST": "192.0.2.1", "API_TLS": "true"}), Greeting("1.0", 5060, 5061, 3000, 250, 0))

    assert "192.0.2.1:5060  UDP and TCP, 192.0.2.1:5061  TLS\n" in text
    assert "https://127.0.0.1:3000/  who" in text
    assert "UDP (TCP works too, TLS on port 5061)" in text


@pytest.mark.parametrize(
    ("settings", "protected", "advice"),
    [
        ({}, 0, "leave it empty"),
        ({}, 2, "2 of them have one"),
        ({"AUTH_REQUIRED": "true"}, 0, "sipserver.py passwd NUMBER"),
    ],
)
def test_the_banner_says_what_to_enter_as_password(settings: dict[str, str], protected: int, advice: str) -> None:
    text = banner(load(settings), Greeting("1.0", 5060, 0, 3000, 250, protected))

    assert advice in next(line for line in text.splitlines() if line.startswith("  password "))


@pytest.mark.parametrize(
    ("first", "last", "descriptors", "calls"),
    [
        (10_000, 10_999, 1_000_000, 250),
        (10_001, 10_005, 1_000_000, 1),
        (10_000, 10_999, 1024, 145),
        (10_000, 10_999, 100, 0),
    ],
    ids=["ports are the limit", "odd first port", "descriptors are the limit", "too few descriptors"],
)
def test_the_banner_tells_how_many_calls_there_is_room_for(first: int, last: int, descriptors: int, calls: int) -> None:
    assert call_capacity(Config(rtp_port=first, rtp_port_max=last), descriptors) == calls


@posix_only
def test_the_server_takes_as_many_descriptors_as_it_may_have(tmp_path: Path) -> None:
    limits = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2048)); import sipserver; "
    shown = subprocess.run(
        [sys.executable, "-c", limits + "print(sipserver.raise_descriptor_limit())"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "2048\n"


# ------------------------------------------------------------------------------------------------ signals


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_hangs_up_and_ends_in_order(running: Running, number: signal.Signals) -> None:
    with SoftPhone(running, "100") as alice, SoftPhone(running, "101", transport="TCP") as bob:
        alice.register()
        bob.register()
        call = alice.call("101")
        ring = bob.expect_call()
        ring.answer()
        call.wait_answered()

        running.program.process.send_signal(number)

        assert [side.wait_ended().method for side in (call, ring)] == ["BYE", "BYE"]
        ended = running.program.wait()
    assert ended.status == 0
    assert "Traceback" not in ended.errors
    assert "stopped" in ended.errors


@posix_only
def test_a_second_signal_ends_at_once(running: Running) -> None:
    """Both are pending when the process goes on, so the second comes before the orderly stop can have ended.  Which of
    the two that is, is up to the threads that take them."""
    process = running.program.process
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        process.send_signal(number)

    ended = running.program.wait()

    assert ended.status in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert "Traceback" not in ended.errors


@posix_only
def test_a_restart_after_a_kill_works_at_once(fork: Callable[..., Program]) -> None:
    first = Running(fork())
    with SoftPhone(first, "100", transport="TCP") as alice:
        alice.register()
        first.program.process.kill()
        first.program.wait()

    ports = {"SIP_PORT": str(first.sip_port), "API_PORT": str(first.api_port)}
    second = Running(fork(**ports))

    with SoftPhone(second, "100", transport="TCP") as alice:
        assert alice.register().status == 200


@posix_only
def test_sighup_puts_new_settings_in_force_and_a_wrong_one_changes_nothing(
    fork: Callable[..., Program], tmp_path: Path
) -> None:
    running = Running(fork())
    with SoftPhone(running, "125") as late:
        assert late.send_register(60).wait_final().status == 404
        tmp_path.joinpath(".env").write_text("EXT_MAX=130\nRTP_WORKERS=0\n")
        running.program.process.send_signal(signal.SIGHUP)
        eventually(lambda: late.send_register(60).wait_final().status == 200, "the new number")

        tmp_path.joinpath(".env").write_text("EXT_MAX=hundred\n")
        running.program.process.send_signal(signal.SIGHUP)
        log = tmp_path / "logs" / "sip-server.log"
        eventually(lambda: "the settings stay as they were: EXT_MAX=hundred" in log.read_text(), "the line in the log")
        assert late.send_register(60).wait_final().status == 200
    running.program.process.terminate()
    ended = running.program.wait()
    assert ended.status == 0
    assert "changed, but in force only after a restart: RTP_WORKERS" in ended.errors
    assert ended.errors.count("the settings stay as they were") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="gives a process a terminal of its own")
def test_the_server_ends_in_order_with_the_terminal_that_it_was_started_in(tmp_path: Path) -> None:
    """The same signal, SIGHUP, says that a terminal is gone."""
    leader, terminal = os.openpty()
    server = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        cwd=tmp_path,
        env=FREE_PORTS,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    try:
        assert server.stdout is not None
        while "Ctrl+C" not in server.stdout.readline():
            """The banner ends with it."""
        os.close(leader)
        _, errors = server.communicate(timeout=LIMIT_S)
    finally:
        server.kill()
    assert server.returncode == 0
    assert "stopped" in errors


# ------------------------------------------------------------------------------------------------ files


def test_the_log_is_one_json_object_a_line(fork: Callable[..., Program], tmp_path: Path) -> None:
    running = Running(fork(LOG_FILE="here/phones.log"))
    with SoftPhone(running, "100") as alice:
        alice.register()
    running.program.process.terminate()
    ended = running.program.wait()

    lines = [json.loads(line) for line in tmp_path.joinpath("here/phones.log").read_text().splitlines()]
    assert all({"time", "level", "logger", "message", "thread"} <= line.keys() for line in lines)
    messages = [line["message"] for line in lines]
    assert any("100 registered" in message for message in messages)
    assert messages[-1] == "stopped"
    assert tmp_path.joinpath("here/error.log").read_text() == ""
    # On the console the same, for people to read.
    assert "100 registered" in ended.errors
    assert not any(line.startswith("{") for line in ended.errors.splitlines())


def test_secrets_do_not_even_reach_the_debug_log(fork: Callable[..., Program], tmp_path: Path) -> None:
    running = Running(fork(LOG_LEVEL="debug"))
    with SoftPhone(running, "100") as alice:
        alice.register(None, ("Authorization", 'Digest username="100", response="0123456789abcdef"'))
    running.program.process.terminate()
    running.program.wait()

    text = tmp_path.joinpath("logs/sip-server.log").read_text()
    assert '"level": "debug"' in text
    assert "0123456789abcdef" not in text


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the system has no such signal")
def test_sigusr1_ends_the_server_when_the_last_call_is_over(fork: Callable[..., Program]) -> None:
    running = Running(fork())
    with SoftPhone(running, "100") as alice, SoftPhone(running, "101") as bob:
        alice.register()
        bob.register()
        call = alice.call("101")
        ring = bob.expect_call()
        ring.answer()
        call.wait_answered()
        running.program.process.send_signal(signal.SIGUSR1)
        while alice.call("102").wait_rejected().status == 480:
            """Not yet: so far it is only that 102 is not registered."""
        call.hang_up()
        ring.wait_ended()
        assert running.program.wait().status == 0


def test_nothing_is_written_but_logs_and_data(start: Callable[..., Program], tmp_path: Path) -> None:
    running = Running(start())
    running.program.process.terminate()
    running.program.wait()

    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    logs = {"logs/audit.log", "logs/error.log", "logs/sip-server.log"}
    assert written == logs | {"data/.sipserver.db.lock", "data/sipserver.db"}
