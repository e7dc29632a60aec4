"""How many system calls a server makes, counted by strace where it is installed and allowed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import processes

_LIMIT_S = 20.0

_NOT_COUNTED = frozenset({"futex", "total"})
"""How often a thread waits for the interpreter lock depends on the moment, and on strace, which slows everything."""


@dataclass(slots=True)
class Counter:
    """`total` is known when the block of `counted` has ended."""

    total: int = 0


def can_count() -> bool:
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-c", "-o", "/dev/null", "true"]
    return subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=False).returncode == 0


@contextmanager
def counted(leaders: Iterable[int]) -> Iterator[Counter]:
    """Counts from the first line of the block to its last."""
    counter = Counter()
    with tempfile.NamedTemporaryFile("r") as summary:
        pids = processes.pids(leaders)
        command = ["strace", "-f", "-c", "-U", "calls,name", "-o", summary.name]
        for pid in pids:
            command += ["-p", str(pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            try:
                # A line for each process it has attached to.
                assert strace.stderr is not None
                for _ in pids:
                    strace.stderr.readline()
                yield counter
            finally:
                strace.send_signal(signal.SIGINT)
                try:
                    strace.communicate(timeout=_LIMIT_S)
                except subprocess.TimeoutExpired:
                    strace.kill()
        for line in summary:
            count, _, name = line.strip().partition(" ")
            if count.isdigit() and name.strip() not in _NOT_COUNTED:
                counter.total += int(count)
