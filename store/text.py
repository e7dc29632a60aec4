"""Text that came from the network, as a database keeps it.  Pure.

SIP text may hold bytes that are no UTF-8; the parser keeps them as lone surrogates.  They go into SQLite as the bytes
they were, which needs `store.sql.TEXT` around the value, and come back as the surrogates they were.
"""

from __future__ import annotations

import re


def storable(text: str) -> str | bytes:
    """What to bind for `TEXT` in SQLite: the same text, or its bytes where it is no valid text."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape")


def from_stored(data: bytes) -> str:
    """The `text_factory` of every connection to SQLite."""
    return data.decode("utf-8", "surrogateescape")


# PostgreSQL's text is UTF-8 without NUL, whatever is bound to it: what else there is, is written with a backslash.
_UNSTORABLE = re.compile("[\\\\\x00\ud800-\udfff]")
_WRITTEN = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4}))")
_UNDECODABLE = 0xDC00
"""What `surrogateescape` adds to a byte that is no UTF-8."""


def escaped(text: str) -> str:
    """What to bind in PostgreSQL: different texts stay different, and what is no riddle stays as it is."""
    return text if _UNSTORABLE.search(text) is None else _UNSTORABLE.sub(_write, text)


def unescaped(text: str) -> str:
    """The text that `escaped` was given."""
    return text if "\\" not in text else _WRITTEN.sub(_read, text)


def _write(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\\":
        return "\\\\"
    if code == 0 or _UNDECODABLE + 0x80 <= code <= _UNDECODABLE + 0xFF:
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}"


def _read(match: re.Match[str]) -> str:
    if match[1] is not None:
        byte = int(match[1], 16)
        return chr(_UNDECODABLE + byte if byte else 0)
    return chr(int(match[2], 16)) if match[2] is not None else "\\"
