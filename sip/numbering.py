"""The numbers of the office: a plain range from EXT_MIN to EXT_MAX.  Pure."""

from __future__ import annotations


class NumberPlan:
    """Which numbers exist.  Numbers are strings: "0100" is not "100"."""

    def __init__(self, first: int, last: int) -> None:
        self._first = first
        self._last = last

    def change(self, first: int, last: int) -> None:
        """From now on these are the numbers."""
        self._first, self._last = first, last

    def __contains__(self, number: str) -> bool:
        # isdigit alone admits digits of other scripts, which int() would read.
        if not (number.isascii() and number.isdigit()) or (number[0] == "0" and number != "0"):
            return False
        return len(number) < 10 and self._first <= int(number) <= self._last

    def __str__(self) -> str:
        return f"{self._first}-{self._last}"

    def numbers(self) -> list[str]:
        """All of them, in order."""
        return [str(number) for number in range(self._first, self._last + 1)]
