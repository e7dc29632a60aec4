"""Text that came from the network, as SQLite keeps it.  Pure.

SIP text may hold bytes that are no UTF-8; the parser keeps them as lone surrogates.  They go into the database as the
bytes they were, which needs `CAST(? AS TEXT)` around the value, and come back as the surrogates they were.
"""

from __future__ import annotations

from collections.abc import Iterable

TEXT = "CAST(? AS TEXT)"
"""The placeholder of a value that `storable` has made."""


def storable(text: str) -> str | bytes:
    """What to bind for `TEXT`: the same text, or its bytes where it is no valid text."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape")


def values_of(source: object, columns: Iterable[str]) -> list[object]:
    """The attributes of those names, as they are bound for `placeholders`."""
    values = (getattr(source, column) for column in columns)
    return [storable(value) if isinstance(value, str) else value for value in values]


def from_stored(data: bytes) -> str:
    """The `text_factory` of every connection."""
    return data.decode("utf-8", "surrogateescape")


def placeholders(columns: Iterable[str], texts: frozenset[str]) -> str:
    """The VALUES of an INSERT, in the order of its columns."""
    return ", ".join(TEXT if column in texts else "?" for column in columns)
