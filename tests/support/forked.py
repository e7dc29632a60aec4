"""Servers that are processes of their own and yet start in a tenth of the time: a process that has loaded the whole
program, and done nothing else, becomes one whenever it is asked.

What the program does from its first line on is the same; only the interpreter isn't started and the modules aren't
read anew.  Tests of just that start `python sipserver.py` (see `tests/support/program.py`).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LONGEST_REQUEST = 100_000
"""Bytes."""


class Forked:
    """One process; as much of `subprocess.Popen` as tests need."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.returncode: int | None = None
        self.pid = int(answers.recv(64))

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, negative for a signal."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answers.recv(64))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("sipserver.py", timeout or 0.0) from None
            self._answers.close()
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork(arguments: Iterable[str], directory: Path, environment: Mapping[str, str], stdout: int, stderr: int) -> Forked:
    """`python sipserver.py` with these arguments, in that directory, writing to these descriptors."""
    request = json.dumps([list(arguments), str(directory), dict(environment)]).encode()
    answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        socket.send_fds(_loaded(), [request], [theirs.fileno(), stdout, stderr])
    return Forked(answers)


@functools.cache
def _loaded() -> socket.socket:
    """Where to ask the process that has loaded the program; it goes with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked", str(theirs.fileno())],
            cwd=ROOT,
            env={},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# ------------------------------------------------------------------------------------------------ the other side


def _serve(requests: socket.socket) -> list[Any] | None:
    """Forks as often as it is asked.  Returns the request in each process that is to become a server, and None when
    nobody will ask any more."""
    living: dict[int, tuple[int, socket.socket]] = {}
    """Whom to tell the end of a process, by its descriptor."""
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in living:
                    selector.unregister(key.fd)
                    pid, answers = living.pop(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(pid, 0)
                    with answers, contextlib.suppress(OSError):  # whoever wanted to know may be gone
                        answers.send(str(os.waitstatus_to_exitcode(status)).encode())
                    continue
                data, (answers_fd, stdout, stderr), _, _ = _received(requests)
                if not data:
                    return None
                pid = os.fork()
                if pid == 0:
                    os.dup2(stdout, 1)
                    os.dup2(stderr, 2)
                    inherited = (requests, *(answers for _, answers in living.values()))
                    for sock in inherited:
                        sock.close()
                    for descriptor in (answers_fd, stdout, stderr, *living):
                        os.close(descriptor)
                    request: list[Any] = json.loads(data)
                    return request
                os.close(stdout)
                os.close(stderr)
                answers = socket.socket(fileno=answers_fd)
                answers.send(str(pid).encode())
                ended = os.pidfd_open(pid)
                living[ended] = (pid, answers)
                selector.register(ended, selectors.EVENT_READ)


def _received(requests: socket.socket) -> tuple[bytes, list[int], int, Any]:
    data, descriptors, flags, address = socket.recv_fds(requests, LONGEST_REQUEST, 3)
    return data, descriptors or [-1, -1, -1], flags, address


def _main() -> None:
    import sipserver

    _load_what_a_server_loads_late()
    gc.collect()
    gc.freeze()  # what no collection touches stays shared memory
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        arguments, directory, environment = request
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [str(ROOT / "sipserver.py"), *arguments]
        sys.exit(sipserver.main(arguments))


def _load_what_a_server_loads_late() -> None:
    import api
    import api.server
    import api.webhooks.courier
    from rtp import srtp

    assert api.create_app
    srtp.load()


if __name__ == "__main__":
    _main()
