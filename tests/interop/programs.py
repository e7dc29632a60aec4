"""Programs of the distribution that play the phones: started, talked to, listened to, and ended whatever happens.

Nothing waits for a length of time: `Program.wait_for` returns when the program has said what the test waits for, and
`eventually` when the server's API shows it. Their limits only keep a broken run from hanging.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, TypeVar

import pytest

from tests.support.forked import Forked, fork

LIMIT_S = 15.0
"""How long one step may take before the test fails; never how long it does take."""

_POLL_S = 0.05
"""To ask costs both the server and the test some milliseconds of processor time, which phones may need."""
_SHOWN_CHARACTERS = 20_000

_Value = TypeVar("_Value")


def require(program: str, package: str) -> str:
    """The program's path. Without it the test is skipped, or fails where the environment says CI=true."""
    path = shutil.which(program)
    if path is not None:
        return path
    reason = f"{program} is not installed (Debian package {package})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def eventually(value: Callable[[], _Value], what: str, limit_s: float = LIMIT_S) -> _Value:
    """The first true result of `value`, which is asked again and again."""
    deadline = time.monotonic() + limit_s
    pause = threading.Event()
    while not (result := value()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        pause.wait(_POLL_S)
    return result


_PHONE_PORTS = range(11_000, 19_990, 4)
_given: set[int] = set()
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP; not one of those that the system gives to whoever asks for any,
    since programs let it go and take it again.  Nobody else gets it: no other test process, and this one only when it
    has had all."""
    ports = _PHONE_PORTS[_worker::_workers]
    while True:
        if len(_given) == len(ports):
            _given.clear()
        port = random.choice([port for port in ports if port not in _given])
        _given.add(port)
        udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        with udp, tcp, contextlib.suppress(OSError):
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
            return port


def is_free(port: int) -> bool:
    """Whether the UDP port of 127.0.0.1 is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.bind(("127.0.0.1", port))
        return True
    return False


def free_ports(count: int, within: range) -> range:
    """So many free UDP ports in a row, the first one even; another choice each time."""
    firsts = list(range(within.start, within.stop - count, count + count % 2))
    random.shuffle(firsts)
    for first in firsts:
        ports = range(first, first + count)
        if all(map(is_free, ports)):
            return ports
    raise AssertionError(f"{count} free ports in a row are not to be found")


class Program:
    """One running program; `output` is all that it printed so far, standard error included."""

    def __init__(
        self,
        arguments: Iterable[str | Path],
        directory: Path,
        environment: Mapping[str, str] | None = None,
        logs: Iterable[Path] = (),
        terminal: bool = False,
    ) -> None:
        """Run it in `directory`; `logs` are files it writes, shown with its output when a test fails.

        With `terminal` it finds itself in a terminal, for programs that tell a pipe nothing until they end.
        """
        self.arguments = [str(argument) for argument in arguments]
        self.name = Path(self.arguments[0]).name
        self._logs = tuple(logs)
        self._output = bytearray()
        self._changed = threading.Condition()
        self._ended = False
        self._source, sink = os.openpty() if terminal else os.pipe()
        self._stdin: IO[bytes] | None = None
        self._process = self._start(directory, {**os.environ, **(environment or {})}, sink)
        os.close(sink)
        self._reader = threading.Thread(target=self._read, name=f"reads {self.name}", daemon=True)
        self._reader.start()

    def _start(self, directory: Path, environment: Mapping[str, str], sink: int) -> subprocess.Popen[bytes] | Forked:
        process = subprocess.Popen(
            self.arguments,
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        self._stdin = process.stdin
        return process

    def _read(self) -> None:
        # A terminal whose program has gone answers EIO where a pipe says end of file.
        with contextlib.suppress(OSError):
            while data := os.read(self._source, 65536):
                with self._changed:
                    self._output += data
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        with self._changed:
            return self._output.decode("utf-8", "replace")

    def wait_for(self, pattern: str, start: int = 0) -> re.Match[str]:
        """The first match of `pattern` in the output from the character `start` on; fails when the program ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._search(pattern, start) is not None, LIMIT_S)
        match = self._search(pattern, start)
        assert match is not None, f"{self.name} never said {pattern!r}"
        return match

    def _search(self, pattern: str, start: int) -> re.Match[str] | None:
        return re.compile(pattern).search(self._output.decode("utf-8", "replace"), start)

    def type(self, line: str) -> None:
        """Give it a line on its standard input."""
        assert self._stdin is not None
        self._stdin.write(line.encode() + b"\n")
        self._stdin.flush()

    def end_input(self) -> None:
        """There is nothing more for it to read."""
        assert self._stdin is not None
        self._stdin.close()

    def wait(self, limit_s: float = LIMIT_S) -> int:
        """Its exit status."""
        try:
            status = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} has not ended after {limit_s} s")
        self._reader.join()
        return status

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._process.terminate()

    def close(self) -> None:
        """End it if it still runs, and print what it said: pytest shows that when the test fails."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._source)
        if self._stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._stdin.close()
        print(f"--- {' '.join(self.arguments)}: exit status {self._process.returncode}\n{_tail(self.output)}")
        for log in self._logs:
            if log.exists():
                print(f"--- {log.name}\n{_tail(log.read_text('utf-8', 'replace'))}")


class ServerProgram(Program):
    """`python sipserver.py`, forked from a process that has loaded it."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        super().__init__(["sipserver.py"], directory, environment)

    def _start(self, directory: Path, environment: Mapping[str, str], sink: int) -> Forked:
        return fork(self.arguments[1:], directory, environment, sink, sink)


def _tail(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"[...]{text[-_SHOWN_CHARACTERS:]}"
