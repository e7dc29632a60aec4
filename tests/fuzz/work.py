"""How much work a parser does, counted instead of timed: calls, characters that built-in methods look at, steps of
regular expressions.

Deterministic: the same input gives the same number on any machine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.fuzz.steps import Counter, Machine

MODULES = (
    *("sip.digest", "sip.flow", "sip.headers", "sip.message", "sip.multipart", "sip.routing", "sip.sdp"),
    *("sip.contact_rules", "sip.sdp_values", "sip.stream", "sip.uri", "sip.validation", "rtp.rtcp"),
)
_SIZED = (str, bytes, bytearray)
_BRIEF = frozenset({"startswith", "endswith", "find", "append", "extend"})
"""Methods that look at few characters of a long text, or are told where to begin."""


def work(action: Callable[[], object]) -> int:
    """What `action` does, its exceptions included in it."""
    counter = Counter()

    def note(_frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            counter.step()
        elif event == "c_call":
            subject = getattr(argument, "__self__", None)
            is_scan = isinstance(subject, _SIZED) and argument.__name__ not in _BRIEF
            counter.step(1 + (len(subject) if is_scan else 0))

    with _counted_patterns(counter, note):
        sys.setprofile(note)
        try:
            action()
        finally:
            sys.setprofile(None)
    return counter.steps


class CountedPattern:
    """Stands for a compiled pattern; the steps are counted, the answers are those of the pattern itself."""

    def __init__(self, pattern: re.Pattern[Any], counter: Counter, profile: Callable[..., None] | None) -> None:
        self._pattern = pattern
        self._counter = counter
        self._profile = profile

    def match(self, text: Any, start: int = 0) -> Any:
        self._count(text, lambda machine: machine.match(start))
        return self._pattern.match(text, start)

    def fullmatch(self, text: Any, start: int = 0) -> Any:
        self._count(text, lambda machine: machine.full_match(start))
        return self._pattern.fullmatch(text, start)

    def search(self, text: Any) -> Any:
        self._count(text, lambda machine: next(_found(machine, len(text)), None))
        return self._pattern.search(text)

    def finditer(self, text: Any) -> Any:
        self._count(text, lambda machine: list(_found(machine, len(text))))
        return self._pattern.finditer(text)

    def sub(self, replacement: Any, text: Any, count: int = 0) -> Any:
        self._count(text, lambda machine: list(_found(machine, len(text))))
        return self._pattern.sub(replacement, text, count)

    def split(self, text: Any) -> Any:
        self._count(text, lambda machine: list(_found(machine, len(text))))
        return self._pattern.split(text)

    def _count(self, text: Any, run: Callable[[Machine], object]) -> None:
        sys.setprofile(None)  # The machine's own calls are none of the parser's.
        run(Machine(self._pattern, text, self._counter))
        sys.setprofile(self._profile)


def _found(machine: Machine, length: int) -> Iterator[tuple[int, int]]:
    """Matches from left to right, as `finditer` finds them."""
    at = 0
    while at <= length:
        end = machine.match(at)
        if end is None:
            at += 1
        else:
            yield at, end
            at = end if end > at else at + 1


@contextmanager
def _counted_patterns(counter: Counter, profile: Callable[..., None] | None) -> Iterator[None]:
    """Every pattern that the modules hold is counted; nothing comes from a cache."""
    patches = []
    for module in map(import_module, MODULES):
        for name, value in vars(module).items():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
            counted = _counted(value, counter, profile)
            if counted is not None:
                patches.append(patch.object(module, name, counted))
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def _counted(value: Any, counter: Counter, profile: Callable[..., None] | None) -> Any:
    """The stand-in of a pattern, of a table of patterns, of `re` itself; None for anything else."""
    if isinstance(value, re.Pattern):
        return CountedPattern(value, counter, profile)
    if isinstance(value, dict) and value and all(isinstance(each, re.Pattern) for each in value.values()):
        return {key: CountedPattern(each, counter, profile) for key, each in value.items()}
    if isinstance(value, ModuleType) and value is re:

        def compile_counted(pattern: Any, flags: int = 0) -> CountedPattern:
            sys.setprofile(None)  # Compiled once, and then found in the cache of `re`.
            compiled = re.compile(pattern, flags)
            sys.setprofile(profile)
            return CountedPattern(compiled, counter, profile)

        return SimpleNamespace(compile=compile_counted, escape=re.escape)
    return None


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every pattern of the modules, by its name."""
    for module in map(import_module, MODULES):
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{module.__name__}.{name}", value
