"""How much memory this process takes, as far as the platform tells without help. Any thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import resource

_STATM = Path("/proc/self/statm")


def memory_bytes() -> dict[str, int | None]:
    """`rss`: bytes in memory now (Linux); `peakRss`: the most there ever was (all but Windows). None where unknown."""
    return {"rss": _rss(), "peakRss": _peak_rss()}


def _rss() -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _peak_rss() -> int | None:
    if sys.platform == "win32":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # KiB everywhere but on macOS
