"""Strict reading of a request's body: one JSON object (RFC 8259) whose members the route knows. Waitress workers.

No error repeats a value: it may be a password.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from flask import request
from werkzeug.wrappers import Request

from api.errors import Problem
from api.query import bad_parameter

MEDIA_TYPE = "application/json"


def check_type(request: Request) -> None:
    """415 for a body that isn't declared as JSON: a form of a web page can't declare it (Fetch 2.2.2)."""
    # The HTTP server has put together what came in chunks, and says how long it is.
    if request.content_length and request.mimetype != MEDIA_TYPE:
        raise Problem(
            415,
            "The request must carry JSON.",
            f"What is sent along must be JSON, and the header Content-Type must say {MEDIA_TYPE}.",
            headers={"Accept": MEDIA_TYPE},
        )


class Body:
    """The members of the current request's JSON object; null counts as left out."""

    def __init__(self, *known: str) -> None:
        self._values = _read_object(request.get_data())
        for name in self._values:
            if name not in known:
                raise bad_parameter(name, f"The body may have {', '.join(known)}, and nothing else.")

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str) -> str | None:
        """May hold any character, and halves of surrogate pairs."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise bad_parameter(name, f"{name} must be a text in quotation marks.")
        return value

    def flag(self, name: str) -> bool:
        value = self._values.get(name)
        if not (value is None or isinstance(value, bool)):
            raise bad_parameter(name, f"{name} must be true or false.")
        return bool(value)

    def texts(self, name: str, most: int) -> tuple[str, ...] | None:
        """A list of at most so many."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > most or not all(isinstance(each, str) for each in value):
            raise bad_parameter(name, f"{name} must be a list of at most {most} texts.")
        return tuple(value)

    def seconds(self, name: str, high: int) -> float | None:
        """More than 0, at most `high`."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= high:
            raise bad_parameter(name, f"{name} must be a number of seconds above 0 and at most {high}, or null.")
        return float(value)


def _read_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object_of,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Problem(
            400,
            "The request's body can't be used.",
            "It must be a JSON object in UTF-8, such as {} or one with members, each of them given once.",
        )
    return value


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8259 4: the names should be unique; which of two values counts would be anybody's guess."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is given twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("too large a number")
    return value
