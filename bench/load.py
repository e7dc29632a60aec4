"""The load generator `sipload` as an object: built with gcc, told when to go on, read when it has ended."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import processes
from servers import RunningServer

SOURCES = Path(__file__).resolve().parent / "sipload"

Result = dict[str, Any]
"""What the generator prints, with `server_cpu_s` and `others_cpu_share` added by `measure`."""

_SETUP_LIMIT_S = 180.0
"""Longest time a run may take beyond its timed part."""


class LoadError(Exception):
    """The generator could not do its work; the text says why."""


def build(directory: Path) -> Path:
    """Compile the generator; the path of the program."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "sipload"
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    subprocess.run(["gcc", "-O2", "-Wall", "-pthread", "-o", str(program), *sources], check=True)
    return program


class Load:
    """One run of the generator.  It waits twice to be told to go on: before and after its timed part.

    Between `await_begin` and `go_on`, and again after `await_end`, its calls stand and its media flow.
    """

    def __init__(self, program: Path, server_port: int, mode: str, **options: float) -> None:
        arguments = [str(program), mode, "--server", str(server_port)]
        for name, value in options.items():
            arguments += [f"--{name.replace('_', '-')}", str(value)]
        self._arguments = arguments
        self._limit_s = _SETUP_LIMIT_S + options.get("seconds", 0.0)

    def __enter__(self) -> Load:
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, bufsize=1
        )
        self._watchdog = threading.Timer(self._limit_s, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            text = self._errors.read().strip() or "the generator ended early"
            raise LoadError(f"{' '.join(self._arguments[1:])}: {text}")
        return line.rstrip("\n")

    def await_begin(self) -> None:
        """Phones are registered, calls are up, media flow: all that comes before the timed part."""
        self._expect("BEGIN")

    def await_end(self) -> None:
        self._expect("END")

    def _expect(self, word: str) -> None:
        line = self._line()
        if line != word:
            raise LoadError(f"the generator said {line!r} where {word} was due")

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")

    def result(self) -> Result:
        """After `await_end` and `go_on`: standing calls are hung up first."""
        result: Result = json.loads(self._line())
        result["arguments"] = " ".join(self._arguments[1:])
        return result


def measure_timed_part(load: Load, server: RunningServer, after_s: float = 0.0) -> Result:
    """From BEGIN, which came already, to the result, with the server's processor time in the timed part and the time
    after it, in which it does what it has put off."""
    busy_s, cpu_s = processes.machine_busy_s(), server.cpu_s()
    load.go_on()
    load.await_end()
    time.sleep(after_s)
    cpu_s, busy_s = server.cpu_s() - cpu_s, processes.machine_busy_s() - busy_s
    load.go_on()
    result = load.result()
    result["server_cpu_s"] = cpu_s
    others_s = max(0.0, busy_s - cpu_s - result["generator_cpu_s"])
    result["others_cpu_share"] = others_s / max(result["seconds"] + after_s, 0.01)
    return result
