"""Query strings of the HTTP API: a value within its bounds, or a `Problem` with 400."""

from __future__ import annotations

from math import isfinite
from unicodedata import category

from flask import Flask

from api.errors import Problem
from api.query import Query

_APP = Flask(__name__)
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control and format characters, lone surrogates, separators of lines."""


def check_query(data: bytes) -> None:
    query_string = data.decode("latin-1").replace("#", "%23")
    with _APP.test_request_context("/", query_string=query_string):
        try:
            read()
        except Problem as problem:
            assert problem.status == 400
            assert len(problem.error) < 200
            assert not any(category(char) in _UNPRINTABLE for char in problem.error + problem.detail), problem.detail


def read() -> None:
    query = Query("whole", "decimal", "flag", "word", "time")
    assert 1 <= query.whole("whole", 20, 1, 500) <= 500
    assert 0.0 <= query.decimal("decimal", 1.0, 5.0) <= 5.0
    assert query.flag("flag") in (True, False)
    word = query.word("word")
    assert word is None or (0 < len(word) <= 64 and word.isprintable())
    time = query.time_at("time")
    assert time is None or isfinite(time)
