"""How much a process holds: what must be the same before and after."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sip import headers

MARGIN_BLOCKS = 10_000
"""Objects more than at the beginning that are no leak: caches of the interpreter and of the parsers."""
MARGIN_KIB = 8 * 1024
"""Resident memory likewise: the allocator keeps pages that are not wholly free."""


@dataclass(frozen=True)
class Level:
    """`blocks` of memory the interpreter has given out, KiB of resident memory (0 where there is no /proc), the names
    of all threads, and descriptors (likewise)."""

    blocks: int
    resident_kib: int
    threads: tuple[str, ...]
    descriptors: int

    @classmethod
    def now(cls) -> Level:
        # What is remembered of header lines is bounded, and more than a short run fills.
        headers._KEPT.clear()
        gc.collect()
        names = sorted(thread.name for thread in threading.enumerate())
        return cls(sys.getallocatedblocks(), _resident_kib(), tuple(names), _descriptors())

    def leaks_since(self, before: Level) -> Iterator[str]:
        """In plain words, what there is too much of."""
        if self.blocks > before.blocks + MARGIN_BLOCKS:
            yield f"{self.blocks - before.blocks} blocks of memory more than before"
        if self.resident_kib > before.resident_kib + MARGIN_KIB:
            yield f"{self.resident_kib - before.resident_kib} KiB more than before"
        if self.threads != before.threads:
            yield f"threads were {before.threads} and are {self.threads}"
        if self.descriptors != before.descriptors:
            yield f"{before.descriptors} descriptors were open, {self.descriptors} are"

    def __str__(self) -> str:
        return (
            f"{self.blocks} blocks, {self.resident_kib} KiB resident, "
            f"{len(self.threads)} threads, {self.descriptors} descriptors"
        )


def _resident_kib() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _descriptors() -> int:
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except FileNotFoundError:
        return 0
