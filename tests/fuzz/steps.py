"""Counts what a regular expression does: a backtracking matcher of the same patterns, step by step.

It reads a pattern by the parser of `re` itself and matches as CPython's engine does (greedy, lazy, possessive, atomic,
assertions), so that the steps grow with the input as that engine's do.  Only growth is looked at: a clock would tell
the same less reliably.  The result is that of `re`, and `test_linear.py` sees to it that both agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from re import _constants as op
from re import _parser as parser
from typing import Any

Subject = Sequence[Any]
Matcher = Callable[[int], Iterator[int]]
"""From a position to the positions where the match may end, the preferred one first."""


class Budget(Exception):
    """More steps than anybody would call linear."""


class Counter:
    """Steps taken, and the most that may be."""

    def __init__(self, limit: int = 20_000_000) -> None:
        self.steps = 0
        self._limit = limit

    def step(self, count: int = 1) -> None:
        self.steps += count
        if self.steps > self._limit:
            raise Budget


_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    op.CATEGORY_DIGIT: str.isdecimal,
    op.CATEGORY_NOT_DIGIT: lambda char: not char.isdecimal(),
    op.CATEGORY_SPACE: str.isspace,
    op.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
}


class Machine:
    """One pattern on one subject."""

    def __init__(self, pattern: re.Pattern[Any], subject: Subject, counter: Counter) -> None:
        text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
        self._text = subject if isinstance(subject, str) else bytes(subject).decode("latin-1")
        self._flags = pattern.flags
        self._counter = counter
        self._match = self._sequence(list(parser.parse(text, pattern.flags & ~re.DEBUG)))

    def match(self, at: int) -> int | None:
        """Where a match that begins at `at` ends."""
        return next(self._match(at), None)

    def full_match(self, at: int) -> bool:
        return any(end == len(self._text) for end in self._match(at))

    # -------------------------------------------------------------------------------------------- sequences

    def _sequence(self, items: list[tuple[Any, Any]]) -> Matcher:
        matchers = [self._item(kind, value) for kind, value in items]

        def run(at: int) -> Iterator[int]:
            # A stack of alternatives instead of recursion: as deep as the sequence is long.
            if not matchers:
                yield at
                return
            stack = [matchers[0](at)]
            while stack:
                end = next(stack[-1], None)
                if end is None:
                    stack.pop()
                elif len(stack) == len(matchers):
                    yield end
                else:
                    stack.append(matchers[len(stack)](end))

        return run

    def _item(self, kind: Any, value: Any) -> Matcher:
        single = self._single(kind, value)
        if single is not None:
            return self._char(single)
        if kind in (op.MAX_REPEAT, op.POSSESSIVE_REPEAT, op.MIN_REPEAT):
            return self._repeat(kind, *value)
        if kind is op.SUBPATTERN:
            *_, inner = value
            return self._sequence(list(inner))
        if kind is op.ATOMIC_GROUP:
            return self._first_only(self._sequence(list(value)))
        if kind is op.BRANCH:
            return self._branch([self._sequence(list(branch)) for branch in value[1]])
        if kind is op.AT:
            return self._at(value)
        if kind in (op.ASSERT, op.ASSERT_NOT):
            direction, inner = value
            back = 0 if direction > 0 else inner.getwidth()[0]
            return self._assertion(back, self._sequence(list(inner)), wanted=kind is op.ASSERT)
        raise NotImplementedError(kind)

    # -------------------------------------------------------------------------------------------- one character

    def _single(self, kind: Any, value: Any) -> Callable[[str], bool] | None:
        """The test of an item that takes exactly one character."""
        if kind is op.LITERAL:
            return self._same(chr(value))
        if kind is op.NOT_LITERAL:
            same = self._same(chr(value))
            return lambda char: not same(char)
        if kind is op.ANY:
            return (lambda char: True) if self._flags & re.DOTALL else (lambda char: char != "\n")
        return self._set(value) if kind is op.IN else None

    def _same(self, wanted: str) -> Callable[[str], bool]:
        if self._flags & re.IGNORECASE:
            return lambda char: char.lower() == wanted.lower()
        return lambda char: char == wanted

    def _set(self, items: list[tuple[Any, Any]]) -> Callable[[str], bool]:
        wanted = items[0][0] is not op.NEGATE
        tests = [self._set_item(kind, value) for kind, value in items if kind is not op.NEGATE]
        return lambda char: any(test(char) for test in tests) == wanted

    def _set_item(self, kind: Any, value: Any) -> Callable[[str], bool]:
        if kind is op.LITERAL:
            return self._same(chr(value))
        if kind is op.CATEGORY:
            return _CATEGORIES[value]
        low, high = value
        if self._flags & re.IGNORECASE:
            return lambda char: any(low <= ord(each) <= high for each in (char.lower(), char.upper()[:1]))
        return lambda char: low <= ord(char) <= high

    def _char(self, test: Callable[[str], bool]) -> Matcher:
        text, counter = self._text, self._counter

        def run(at: int) -> Iterator[int]:
            counter.step()
            if at < len(text) and test(text[at]):
                yield at + 1

        return run

    # -------------------------------------------------------------------------------------------- repetition

    def _repeat(self, kind: Any, low: int, high: Any, inner: Any) -> Matcher:
        most = len(self._text) + 1 if high is op.MAXREPEAT else high
        items = list(inner)
        single = self._single(*items[0]) if len(items) == 1 else None
        if kind is op.MIN_REPEAT:
            raise NotImplementedError("lazy repetition")
        if single is not None:
            greedy = self._run_of(single, low, most)
        else:
            greedy = self._repeat_group(self._sequence(items), low, most)
        return self._first_only(greedy) if kind is op.POSSESSIVE_REPEAT else greedy

    def _run_of(self, test: Callable[[str], bool], low: int, most: int) -> Matcher:
        text, counter = self._text, self._counter

        def run(at: int) -> Iterator[int]:
            end = at
            while end < len(text) and end - at < most and test(text[end]):
                end += 1
            counter.step(end - at + 1)
            while end - at >= low:
                yield end
                counter.step()
                end -= 1

        return run

    def _repeat_group(self, inner: Matcher, low: int, most: int) -> Matcher:
        counter = self._counter

        def run(at: int) -> Iterator[int]:
            ends, tries = [at], [inner(at)]
            # Down as far as it goes, then one step back for each failure.
            while tries:
                counter.step()
                end = next(tries[-1], None) if len(ends) <= most else None
                if end is not None and end != ends[-1]:
                    ends.append(end)
                    tries.append(inner(end))
                    continue
                tries.pop()
                end = ends.pop()
                if len(ends) >= low:
                    yield end

        return run

    # -------------------------------------------------------------------------------------------- the rest

    @staticmethod
    def _first_only(inner: Matcher) -> Matcher:
        def run(at: int) -> Iterator[int]:
            for end in inner(at):
                yield end
                return

        return run

    @staticmethod
    def _branch(branches: list[Matcher]) -> Matcher:
        def run(at: int) -> Iterator[int]:
            for branch in branches:
                yield from branch(at)

        return run

    def _at(self, where: Any) -> Matcher:
        text, counter = self._text, self._counter
        tests: dict[Any, Callable[[int], bool]] = {
            op.AT_BEGINNING_STRING: lambda at: at == 0,
            op.AT_END_STRING: lambda at: at == len(text),
            op.AT_BEGINNING: lambda at: at == 0 or (bool(self._flags & re.MULTILINE) and text[at - 1] == "\n"),
            op.AT_END: lambda at: at == len(text) or text[at:] == "\n",
        }
        test = tests[where]

        def run(at: int) -> Iterator[int]:
            counter.step()
            if test(at):
                yield at

        return run

    def _assertion(self, back: int, inner: Matcher, *, wanted: bool) -> Matcher:
        """`back`: where what is looked for begins, in characters before the position."""

        def run(at: int) -> Iterator[int]:
            start = at - back
            end = next(inner(start), None) if start >= 0 else None
            if (end is not None) == wanted:
                yield at

        return run
