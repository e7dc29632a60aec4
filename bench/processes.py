"""What the kernel knows about a server: processor time and memory of its whole process tree (Linux)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class _Stat:
    """The fields of /proc/PID/stat that matter here (proc(5))."""

    def __init__(self, text: str) -> None:
        # The command's name stands in parentheses and may hold anything.
        fields = text.rpartition(")")[2].split()
        self.parent, self.session = int(fields[1]), int(fields[3])
        self.reaped_children_s = (int(fields[13]) + int(fields[14])) / _TICKS_PER_S


def _all_processes() -> dict[int, _Stat]:
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = _Stat((entry / "stat").read_text("latin-1"))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def _tree(leaders: Iterable[int]) -> dict[int, _Stat]:
    """The sessions these processes lead, with everything descended from them."""
    processes, roots = _all_processes(), set(leaders)
    found = {pid for pid, stat in processes.items() if pid in roots or stat.session in roots}
    while more := {pid for pid, stat in processes.items() if stat.parent in found and pid not in found}:
        found |= more
    return {pid: processes[pid] for pid in found}


def pids(leaders: Iterable[int]) -> list[int]:
    return list(_tree(leaders))


def cpu_s(leaders: Iterable[int]) -> float:
    """User and system seconds of the tree so far, threads and children that have ended included.

    The processes' own clocks are read (clock_getcpuclockid(3)): /proc has the same figures in steps of 10 ms.
    """
    total = 0.0
    for pid, stat in _tree(leaders).items():
        try:
            total += time.clock_gettime(~pid << 3 | 2) + stat.reaped_children_s
        except OSError:
            continue
    return total


def memory_mib(leaders: Iterable[int]) -> float:
    """Resident memory of the tree; pages that its processes share are counted once."""
    private_kib, shared_kib = 0, 0
    for pid in _tree(leaders):
        try:
            lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        kib = {words[0]: int(words[1]) for line in lines[1:] if (words := line.split())[-1] == "kB"}
        own = kib["Private_Clean:"] + kib["Private_Dirty:"]
        private_kib += own
        shared_kib = max(shared_kib, kib["Rss:"] - own)
    return (private_kib + shared_kib) / 1024


def machine_busy_s() -> float:
    """Processor seconds that everything on this machine has used since it started."""
    fields = [int(field) for field in (_PROC / "stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / _TICKS_PER_S
