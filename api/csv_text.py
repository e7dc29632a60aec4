"""Tables as CSV (RFC 4180) that spreadsheet programs read without a question and without running anything. Pure.

The text begins with a byte order mark: Excel takes a file without one for the code page of the machine and garbles
every letter beyond ASCII; other programs skip it. Lines end with CRLF, the first one names the columns.

Cells with foreign text (numbers, Call-IDs, names in reasons) could be formulas, which spreadsheet programs calculate as
they open a file: such a cell gets an apostrophe in front. Where semicolons part the cells, as Excel has it in half of
Europe, a cell of ours may fall apart into several, so what follows a separator is looked at as well.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from api.views import clean

MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
BYTE_ORDER_MARK = "\ufeff"

LINES_AT_ONCE = 200

Cell = str | int | float | None

# ASCII and full-width signs that begin a formula, at the begin of a cell or of what may become one.
_FORMULA = re.compile('(^|[,;])([\\s"]*)(?=[=+\\-@\uff1d\uff0b\uff0d\uff20])')


def harmless(text: str) -> str:
    """Foreign text as a cell: no control characters, and no formula."""
    return _FORMULA.sub(r"\1\2'", clean(text))


def spreadsheet_time(at: float | None) -> str:
    """UTC without zone letter and fractions, which is what spreadsheet programs take for a time; "" for None."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """The file in pieces; the first comes when the first rows are there. None is an empty cell."""
    pending, head = iter(rows), [tuple(columns)]
    mark = BYTE_ORDER_MARK
    while lines := [*head, *islice(pending, LINES_AT_ONCE)]:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(lines)
        yield mark + text.getvalue()
        head, mark = [], ""
