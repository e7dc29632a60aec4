"""The servers that are measured: the real sipserver, and its peers when they are installed.

Each start has a directory, ports and a session of its own, and everything started is ended.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import processes

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"

SIPSERVER, KAMAILIO, KAMAILIO_RTPENGINE = "sipserver", "kamailio", "kamailio + rtpengine"
BARE = "bare Python"
"""Nothing but moving lines from one datagram to the other in this interpreter (`peers/bare.py`)."""

HOST = "127.0.0.1"
FIRST_NUMBER, LAST_NUMBER = 1000, 9999
FIRST_MEDIA_PORT, LAST_MEDIA_PORT = 20_000, 29_999

_START_LIMIT_S = 20.0
_STOP_LIMIT_S = 5.0
_PROBE_INTERVAL_S = 0.002
_STORED_LOG_BYTES = 2000


class ServerError(Exception):
    """A server that does not start; the text has the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one start may leave its files, and the ports it may use."""

    directory: Path
    sip_port: int
    api_port: int
    control_port: int


@dataclass(frozen=True, slots=True)
class Program:
    """One process of a server.  It is waited for until `probe`, sent to `port`, is answered."""

    command: list[str]
    port: int
    probe: bytes
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that can be started."""

    name: str
    version: str
    programs: Callable[[Place], list[Program]]


class RunningServer:
    """A started server.  `start_ms` runs from the first process's start to the first OPTIONS answered."""

    def __init__(self, port: int, leaders: list[subprocess.Popen[bytes]], start_ms: float) -> None:
        self.port = port
        self.start_ms = start_ms
        self.leaders = [leader.pid for leader in leaders]

    def cpu_s(self) -> float:
        return processes.cpu_s(self.leaders)

    def memory_mib(self) -> float:
        return processes.memory_mib(self.leaders)


@contextlib.contextmanager
def running(candidate: Candidate, prepare: Callable[[Path], None] = lambda _: None) -> Iterator[RunningServer]:
    """Start it in a directory that `prepare` has seen before, wait until it answers, and end it whatever happens."""
    with tempfile.TemporaryDirectory(prefix="sipserver-bench-") as directory:
        place = Place(Path(directory), *_free_ports(3))
        prepare(place.directory)
        started: list[subprocess.Popen[bytes]] = []
        with (Path(directory) / "output").open("w+b") as output:
            try:
                begin = time.monotonic()
                for program in candidate.programs(place):
                    started.append(_start(program, place.directory, output))
                    _await_answer(candidate.name, started[-1], program, output)
                yield RunningServer(place.sip_port, started, 1000 * (time.monotonic() - begin))
            finally:
                _stop(started)


class Lasting:
    """Servers as `running` gives them, each of which stays for whoever asks for it next.  One whose directory is to be
    prepared is started all the same."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        """They end with the stack."""
        self._stack = stack
        self._servers: dict[str, RunningServer] = {}

    @contextlib.contextmanager
    def running(self, candidate: Candidate, prepare: Callable[[Path], None] | None = None) -> Iterator[RunningServer]:
        if prepare is not None:
            with running(candidate, prepare) as server:
                yield server
            return
        if candidate.name not in self._servers:
            self._servers[candidate.name] = self._stack.enter_context(running(candidate))
        yield self._servers[candidate.name]


def _free_ports(count: int) -> list[int]:
    """Ports free for UDP and TCP a moment ago."""
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < count:
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            udp.bind((HOST, 0))
            port = udp.getsockname()[1]
            with contextlib.suppress(OSError):
                tcp.bind((HOST, port))
                ports.append(port)
    return ports


def _start(program: Program, directory: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        program.command,
        cwd=directory,
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(directory), **program.environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _await_answer(name: str, process: subprocess.Popen[bytes], program: Program, output: IO[bytes]) -> None:
    limit = time.monotonic() + _START_LIMIT_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((HOST, program.port))
        probe.settimeout(_PROBE_INTERVAL_S)
        while process.poll() is None and time.monotonic() < limit:
            try:
                probe.send(program.probe.replace(b"{port}", str(probe.getsockname()[1]).encode()))
                probe.recv(4096)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                time.sleep(_PROBE_INTERVAL_S)
            else:
                return
    output.seek(0)
    written = output.read()[-_STORED_LOG_BYTES:].decode("utf-8", "replace").strip()
    raise ServerError(f"{name} does not start: {program.command[0]} wrote:\n{written}")


def _stop(started: list[subprocess.Popen[bytes]]) -> None:
    everything = processes.pids(process.pid for process in started) if started else []
    for process in reversed(started):
        process.terminate()
    limit = time.monotonic() + _STOP_LIMIT_S
    for process in reversed(started):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, limit - time.monotonic()))
    for pid in everything:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in started:
        process.wait(_STOP_LIMIT_S)


# ------------------------------------------------------------------------------------------------ the servers


def _options(port: int) -> bytes:
    return (
        f"OPTIONS sip:{HOST}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{{port}};rport;branch=z9hG4bKprobe\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:probe@{HOST}>;tag=probe\r\nTo: <sip:{HOST}:{port}>\r\n"
        f"Call-ID: probe@{HOST}\r\nCSeq: 1 OPTIONS\r\nContact: <sip:probe@{HOST}:{{port}}>\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def _sipserver_programs(place: Place) -> list[Program]:
    """As `python sipserver.py` starts for anybody, but on loopback and with numbers and ports for hundreds of calls."""
    environment = {
        "SIP_HOST": HOST,
        "SIP_PORT": str(place.sip_port),
        "API_PORT": str(place.api_port),
        "RTP_HOST": HOST,
        "RTP_PORT": str(FIRST_MEDIA_PORT),
        "RTP_PORT_MAX": str(LAST_MEDIA_PORT),
        "EXT_MIN": str(FIRST_NUMBER),
        "EXT_MAX": str(LAST_NUMBER),
    }
    command = [sys.executable, str(ROOT / "sipserver.py")]
    return [Program(command, place.sip_port, _options(place.sip_port), environment)]


def _kamailio_program(place: Place, *more: str) -> Program:
    run = place.directory / "run"
    run.mkdir()
    command = ["kamailio", "-DD", "-E", "-m", "1024", "-M", "16", "-f", str(PEERS / "kamailio.cfg")]
    command += ["-l", f"udp:{HOST}:{place.sip_port}", "-Y", str(run), "-P", str(run / "pid"), "-w", str(run), *more]
    return Program(command, place.sip_port, _options(place.sip_port))


def _rtpengine_program(place: Place) -> Program:
    """In user space (no kernel table), with a thread for each of two cores."""
    command = ["rtpengine", "--config-file=none", "--foreground", "--table=-1", f"--interface={HOST}"]
    command += [f"--listen-ng={HOST}:{place.control_port}", f"--port-min={FIRST_MEDIA_PORT}"]
    command += [f"--port-max={LAST_MEDIA_PORT}", "--num-threads=2", "--log-stderr", "--log-level=3", "--timeout=60"]
    # By default it keeps the ports of ended calls for half a minute, and has none left for the next measure.
    command += ["--delete-delay=0"]
    return Program(command, place.control_port, b"probe d7:command4:pinge")


def _kamailio_rtpengine_programs(place: Place) -> list[Program]:
    sock = f'RTPENGINE_SOCKET="udp:{HOST}:{place.control_port}"'
    return [_rtpengine_program(place), _kamailio_program(place, "-A", "WITH_RTPENGINE", "-A", sock)]


def _first_line(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=_START_LIMIT_S, check=False)
    return (result.stdout or result.stderr).strip().partition("\n")[0]


def sipserver() -> Candidate:
    version = _first_line(sys.executable, str(ROOT / "sipserver.py"), "--version").removeprefix("sipserver ")
    return Candidate(SIPSERVER, version, _sipserver_programs)


def bare() -> Candidate:
    def programs(place: Place) -> list[Program]:
        command = [sys.executable, str(PEERS / "bare.py"), str(place.sip_port)]
        return [Program(command, place.sip_port, _options(place.sip_port))]

    return Candidate(BARE, platform.python_version(), programs)


def installed_peers() -> list[Candidate]:
    """Kamailio, and Kamailio with rtpengine, as far as they are there."""
    if shutil.which("kamailio") is None:
        return []
    version = _first_line("kamailio", "-v").removeprefix("version: ").partition(" (")[0].removeprefix("kamailio ")
    peers = [Candidate(KAMAILIO, version, lambda place: [_kamailio_program(place)])]
    if shutil.which("rtpengine") is not None:
        both = f"{version}, rtpengine {_first_line('rtpengine', '--version').removeprefix('Version: ')}"
        peers.append(Candidate(KAMAILIO_RTPENGINE, both, _kamailio_rtpengine_programs))
    return peers
