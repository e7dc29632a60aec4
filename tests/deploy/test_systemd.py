"""The systemd unit: what it says fits the program, and the program works within what it allows."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import config
from sipserver import EXIT_USAGE
from tests.deploy.tools import DEPLOY, LIMIT_S, ROOT, needs, output
from tests.support.program import FREE_PORTS

SYSTEMD = DEPLOY / "systemd"
UNIT = SYSTEMD / "sipserver.service"
WRAPPER = SYSTEMD / "sipserver"

NOBODY = 65_534

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is for Linux")


def unit_options() -> list[tuple[str, str]]:
    lines = UNIT.read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and line[0] not in "#[")
    return [(name, value) for name, _, value in pairs]


def values(name: str) -> list[str]:
    return [value for option, value in unit_options() if option == name]


def value(name: str) -> str:
    (only,) = values(name)
    return only


def settings() -> dict[str, str]:
    return dict(line.split("=", 1) for line in values("Environment"))


# ------------------------------------------------------------------------------------------------ what it says


def test_reload_is_the_signal_that_the_program_takes_for_it() -> None:
    assert value("ExecReload") == "/bin/kill -HUP $MAINPID"


def test_the_settings_it_gives_exist_and_can_be_used() -> None:
    assert settings().keys() <= {setting.name for setting in config.SETTINGS}
    loaded = config.load(settings())
    assert loaded.data_dir == Path("/var/lib") / value("StateDirectory")
    assert loaded.log_file.parent == Path("/var/log") / value("LogsDirectory")
    assert value("WorkingDirectory") == f"/etc/{value('ConfigurationDirectory')}"


def test_it_may_write_nowhere_else() -> None:
    assert value("ProtectSystem") == "strict"
    assert values("ReadWritePaths") == []


def test_it_has_no_rights_and_gets_none() -> None:
    assert value("User") == "sipserver"
    assert value("CapabilityBoundingSet") == value("AmbientCapabilities") == ""
    assert value("NoNewPrivileges") == value("MemoryDenyWriteExecute") == "yes"


def test_a_wrong_setting_is_not_tried_again_but_a_crash_is() -> None:
    assert value("Restart") == "on-failure"
    assert value("RestartPreventExitStatus") == str(EXIT_USAGE)


def test_the_wrapper_for_commands_uses_the_service_s_settings_user_and_program() -> None:
    script = WRAPPER.read_text()
    assert os.access(WRAPPER, os.X_OK)
    assert dict(re.findall(r"^ +([A-Z_]+)=(\S+)", script, re.MULTILINE)) == settings()
    assert f"cd {value('WorkingDirectory')}\n" in script
    assert f"runuser -u {value('User')} " in script
    assert f'{value("ExecStart")} "$@"' in script


def test_the_user_it_runs_as_is_the_one_that_is_made() -> None:
    (line,) = [each for each in (SYSTEMD / "sipserver.sysusers").read_text().splitlines() if each[:1] not in ("", "#")]
    assert line.split()[:2] == ["u", value("User")]


# ------------------------------------------------------------------------------------------------ what systemd says


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    analyze = needs("systemd-analyze", "Debian package systemd")
    copy = tmp_path / UNIT.name
    # The program isn't where it will be; everything else stays as it is.
    copy.write_text(UNIT.read_text().replace(value("ExecStart").split()[0], "/bin/true"))
    status, complaints = output(analyze, "verify", "--man=no", copy)
    # What it says about other units of this machine is none of our business.
    assert (status, [line for line in complaints.splitlines() if UNIT.name in line]) == (0, [])


def test_systemd_finds_little_to_attack() -> None:
    analyze = needs("systemd-analyze", "Debian package systemd")
    status, verdict = output(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    if "unrecognized option" in verdict:
        pytest.skip("this systemd can't judge a unit that isn't loaded")
    assert status == 0, verdict


def test_systemd_can_make_the_user() -> None:
    sysusers = needs("systemd-sysusers", "Debian package systemd")
    status, verdict = output(sysusers, "--dry-run", SYSTEMD / "sipserver.sysusers")
    if "unrecognized option" in verdict:
        pytest.skip("this systemd can't try without doing")
    assert (status, "ignoring" in verdict) == (0, False), verdict


# ------------------------------------------------------------------------------------------------ whether we keep to it


class Places(NamedTuple):
    """Directories as the unit gives them, the command before a command that makes its user of ours, and a Python that
    this user can run."""

    state: Path
    logs: Path
    working: Path
    as_user: tuple[str, ...]
    python: str


SITE_PACKAGES = sysconfig.get_path("purelib")


@pytest.fixture
def places() -> Iterator[Places]:
    """Skips the test where nobody can become an ordinary user, or that one couldn't run the program."""
    setpriv = needs("setpriv", "Debian package util-linux")
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    as_user = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
    # setpriv itself looks for the next program with the rights of root, and only that one has none.
    as_user += ("--bounding-set=-all", "--inh-caps=-all", "--", "env", f"PYTHONPATH={SITE_PACKAGES}")
    trial = f"import flask, sqlite3; open({str(ROOT / 'sipserver.py')!r})"
    pythons = (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    usable = [python for python in pythons if output(*as_user, python, "-c", trial)[0] == 0]
    if not usable:
        pytest.skip(f"others than root can't read {ROOT} or have no Python for it")
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        made = Places(top / "state", top / "logs", top / "etc", as_user, usable[0])
        for directory in (made.state, made.logs, made.working):
            directory.mkdir()
        for directory in (made.state, made.logs):
            os.chown(directory, NOBODY, NOBODY)
        yield made


@contextmanager
def running(places: Places, *tracer: str) -> Iterator[subprocess.Popen[str]]:
    """The program as the unit runs it, on free ports, with a tracer around it if one is given."""
    environment = {
        **settings(),
        "DATA_DIR": str(places.state),
        "LOG_FILE": str(places.logs / "sip-server.log"),
        **FREE_PORTS,
        "RTP_WORKERS": "1",
    }
    process = subprocess.Popen(
        [*places.as_user, *tracer, places.python, str(ROOT / "sipserver.py")],
        cwd=places.working,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # The group, since a tracer that is killed lets go of what it traced.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=LIMIT_S)


def ports(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Of SIP and of the API, from the banner."""
    assert process.stdout is not None
    banner = ""
    for line in process.stdout:
        banner += line
        if line.startswith("Then dial"):
            break
    sip = re.search(r"SIP +\S+:(\d+)", banner)
    api = re.search(r"http://127\.0\.0\.1:(\d+)", banner)
    assert sip and api, banner
    return int(sip[1]), int(api[1])


def use(sip_port: int, api_port: int) -> None:
    """A registration over UDP and one over TCP, and the pages that read what the system tells."""
    for kind, number in ((socket.SOCK_DGRAM, 100), (socket.SOCK_STREAM, 101)):
        with socket.socket(socket.AF_INET, kind) as phone:
            phone.settimeout(LIMIT_S)
            phone.connect(("127.0.0.1", sip_port))
            phone.sendall(register(number, "UDP" if kind == socket.SOCK_DGRAM else "TCP", phone.getsockname()[1]))
            assert phone.recv(65_536).startswith(b"SIP/2.0 200 ")
    for path in ("/healthz", "/api/users", "/metrics"):
        connection = http.client.HTTPConnection("127.0.0.1", api_port, timeout=LIMIT_S)
        connection.request("GET", path)
        assert connection.getresponse().status == 200, path
        connection.close()


def register(number: int, transport: str, port: int) -> bytes:
    lines = (
        "REGISTER sip:127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/{transport} 127.0.0.1:{port};branch=z9hG4bK{number}",
        "Max-Forwards: 70",
        f"From: <sip:{number}@127.0.0.1>;tag={number}",
        f"To: <sip:{number}@127.0.0.1>",
        f"Call-ID: deploy-{number}",
        "CSeq: 1 REGISTER",
        f"Contact: <sip:{number}@127.0.0.1:{port};transport={transport.lower()}>",
        "Expires: 600",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_it_runs_without_any_right_and_writes_to_its_directories_alone(places: Places) -> None:
    with running(places) as process:
        use(*ports(process))
        process.send_signal(signal.SIGTERM)
        assert process.wait(float(value("TimeoutStopSec"))) == 0

    assert list(places.working.iterdir()) == []
    assert "ready" in (places.logs / "sip-server.log").read_text()
    written = [*places.state.rglob("*"), *places.logs.rglob("*")]
    assert {path.stat().st_uid for path in written} == {NOBODY}


SYSTEM_CALL = re.compile(r"^(?:\d+ +)?([a-z0-9_]+)\((.*)", re.MULTILINE)


def allowed_system_calls(analyze: str) -> set[str]:
    calls: set[str] = set()
    for line in values("SystemCallFilter"):
        names = expand(analyze, line.removeprefix("~"))
        calls = calls - names if line.startswith("~") else calls | names
    return calls


def expand(analyze: str, group: str) -> set[str]:
    """The system calls of a group of systemd's, groups within it included."""
    status, listing = output(analyze, "--no-pager", "syscall-filter", group)
    assert status == 0, listing
    names = [line.strip() for line in listing.splitlines()[1:]]
    nested = (expand(analyze, name) for name in names if name.startswith("@"))
    return {name for name in names if name and name[0] not in "@#"}.union(*nested)


def test_it_makes_no_system_call_that_the_unit_forbids(places: Places) -> None:
    analyze, strace = needs("systemd-analyze", "Debian package systemd"), needs("strace", "Debian package strace")
    allowed = allowed_system_calls(analyze)
    trace = places.logs / "trace"
    tracer = (strace, "-f", "-qq", "-s", "16", "-e", "signal=none", "-o", str(trace))
    if output(*places.as_user, *tracer, "true")[0] != 0:
        pytest.skip("strace is not allowed here")

    with running(places, *tracer) as process:
        use(*ports(process))
        (server,) = children(process.pid)
        os.kill(server, signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0

    made = [(match[1], match[2]) for match in SYSTEM_CALL.finditer(trace.read_text(errors="replace"))]
    assert {"socket", "execve", "mmap"} <= {name for name, _ in made}
    assert {name for name, _ in made} - allowed == set()
    families = {arguments.partition(",")[0] for name, arguments in made if name in ("socket", "socketpair")}
    assert families <= set(value("RestrictAddressFamilies").split())
    # MemoryDenyWriteExecute: memory is written or executed, not both, and none turns executable later.
    mapped = [arguments for name, arguments in made if name == "mmap" and "PROT_EXEC" in arguments]
    assert [arguments for arguments in mapped if "PROT_WRITE" in arguments] == []
    assert [arguments for name, arguments in made if name == "mprotect" and "PROT_EXEC" in arguments] == []


def children(process_id: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]
