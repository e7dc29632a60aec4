"""Text that came from the network, as a database keeps it.  Pure.

SIP text may hold bytes that are no UTF-8; the parser keeps them as lone surrogates.  They go into SQLite as the bytes
they were, which needs `store.sql.TEXT` around the value, and come back as the surrogates they were.
"""

from __future__ import annotations


def storable(text: str) -> str | bytes:
    """What to bind for `TEXT` in SQLite: the same text, or its bytes where it is no valid text."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape")


def from_stored(data: bytes) -> str:
    """The `text_factory` of every connection to SQLite."""
    return data.decode("utf-8", "surrogateescape")
