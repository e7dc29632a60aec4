"""The program as a process of its own, in a directory of its own."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import sipserver
from tests.support.forked import Forked, fork

PROGRAM = Path(__file__).resolve().parents[2] / "sipserver.py"
LIMIT_S = 20.0
"""How long a process may take before a test fails; never how long it does take."""

FREE_PORTS = {
    "SIP_HOST": "127.0.0.1",
    "SIP_PORT": "0",
    "API_PORT": "0",
    "RTP_HOST": "127.0.0.1",
    "RTP_PORT": "0",
}


class Ended(NamedTuple):
    status: int
    output: str
    errors: str


def run_here(directory: Path, *arguments: str, typed: str = "", **settings: str) -> Ended:
    """What `python sipserver.py` would do in `directory`, in this process: with `typed` on a pipe as its standard
    input, nothing in the environment but `settings`, and what it changes of this process put back."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    interval, shows = sys.getswitchinterval(), (logging.logProcesses, logging.logMultiprocessing)
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(directory),
        mock.patch.dict(os.environ, settings, clear=True),
        mock.patch("sys.stdin", io.StringIO(typed)),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            status = sipserver.main(arguments)
        except SystemExit as ended:  # from argparse
            status = ended.code if isinstance(ended.code, int) else 1
        finally:
            for number, handler in handlers.items():
                if handler is not signal.getsignal(number):
                    signal.signal(number, handler)
            sys.setswitchinterval(interval)
            logging.logProcesses, logging.logMultiprocessing = shows
            gc.enable()
    return Ended(status, output.getvalue(), errors.getvalue())


class Program:
    """`python sipserver.py` in a directory of its own, with nothing in the environment but `settings`."""

    process: subprocess.Popen[str] | Forked

    def __init__(self, directory: Path, *arguments: str, **settings: str) -> None:
        self.directory = directory
        self._start(arguments, settings)

    def _start(self, arguments: tuple[str, ...], settings: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments],
            cwd=self.directory,
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self._stdout = self.process.stdout

    def wait_ready(self) -> str:
        """The banner, read up to its last line."""
        lines = []
        for line in self._stdout:
            lines.append(line)
            if "Ctrl+C" in line:
                return "".join(lines)
        raise AssertionError(f"no banner, but {self.wait()}")

    def wait(self) -> Ended:
        assert isinstance(self.process, subprocess.Popen)
        output, errors = self.process.communicate(timeout=LIMIT_S)
        return Ended(self.process.returncode, output, errors)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.wait()


class ForkedProgram(Program):
    """The same without the start of an interpreter: for tests of what lasts from one process to the next.

    It may print as much as a pipe holds before somebody reads it."""

    process: Forked

    def _start(self, arguments: tuple[str, ...], settings: dict[str, str]) -> None:
        self._stderr = os.fdopen(os.memfd_create("stderr"), "r+", encoding="utf-8")
        source, sink = os.pipe()
        self._stdout = os.fdopen(source, encoding="utf-8")
        try:
            self.process = fork(arguments, self.directory, settings, sink, self._stderr.fileno())
        finally:
            os.close(sink)

    def wait(self) -> Ended:
        status = self.process.wait(LIMIT_S)
        with self._stdout, self._stderr:
            self._stderr.seek(0)
            return Ended(status, self._stdout.read(), self._stderr.read())


class Running:
    """A program that is ready, with the ports its banner names."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.banner = program.wait_ready()
        self.sip_port = int(self._find(r"SIP +127\.0\.0\.1:(\d+)"))
        self.api_port = int(self._find(r"http://127\.0\.0\.1:(\d+)/"))

    def _find(self, pattern: str) -> str:
        match = re.search(pattern, self.banner)
        assert match is not None, self.banner
        return match[1]
