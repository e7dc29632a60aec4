"""Strict reading of a request's query string: what can't be used is 400 and names the parameter; and of an extension in
its path, which is 404. Waitress workers.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from flask import request

from api.errors import Problem
from api.services import current
from api.views import clean

_WHOLE = re.compile(r"[0-9]{1,10}")
_DECIMAL = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,6})?")
_MAX_TEXT = 64
_SHOWN = 80


class Query:
    """The parameters of the current request; each is known to the route and given at most once."""

    def __init__(self, *known: str) -> None:
        self._values: dict[str, str] = {}
        for name, values in request.args.lists():
            if name not in known:
                allowed = f"this page takes {', '.join(known)}" if known else "this page takes none"
                raise bad_parameter(name, f"There is no parameter {_shown(name)}; {allowed}.")
            if len(values) > 1:
                raise bad_parameter(name, f"The parameter {name} is given {len(values)} times; once is allowed.")
            self._values[name] = values[0]

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        text = self._values.get(name)
        if text is None:
            return default
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise self._bad(name, f"a whole number from {low} to {high}")
        return int(text)

    def decimal(self, name: str, default: float, high: float) -> float:
        text = self._values.get(name)
        if text is None:
            return default
        if not _DECIMAL.fullmatch(text) or float(text) > high:
            raise self._bad(name, f"a number from 0 to {high:g}")
        return float(text)

    def flag(self, name: str) -> bool:
        text = self._values.get(name, "false").lower()
        if text not in ("true", "false"):
            raise self._bad(name, "true or false")
        return text == "true"

    def choice(self, name: str, default: str, *others: str) -> str:
        text = self._values.get(name, default)
        if text not in (default, *others):
            raise self._bad(name, f"{', '.join((default, *others[:-1]))} or {others[-1]}")
        return text

    def word(self, name: str) -> str | None:
        text = self._values.get(name)
        if text is not None and not (0 < len(text) <= _MAX_TEXT and text.isprintable()):
            raise self._bad(name, f"a number or name of at most {_MAX_TEXT} characters")
        return text

    def text(self, name: str) -> str | None:
        """As it is; the route judges it."""
        return self._values.get(name)

    def time_at(self, name: str) -> float | None:
        """Seconds since the epoch of a date or time in ISO 8601; without a zone it is UTC."""
        text = self._values.get(name)
        if text is None:
            return None
        try:
            # The + of a zone that wasn't percent-encoded arrives as a space.
            when = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise self._bad(name, "a date or time such as 2030-01-31 or 2030-01-31T08:00:00Z") from None

    def has(self, name: str) -> bool:
        return name in self._values

    def _bad(self, name: str, allowed: str) -> Problem:
        return bad_parameter(name, f"{name} is {_shown(self._values[name])!r}; it must be {allowed}.")


def check_extension(number: str) -> None:
    if number not in current().services.extensions():
        raise Problem(404, "There is no such extension.", "The number isn't one of those listed at /api/extensions.")


def bad_parameter(name: str, detail: str) -> Problem:
    return Problem(400, f"The parameter {_shown(name)} can't be used.", detail, parameter=_shown(name))


def _shown(text: str) -> str:
    return clean(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
