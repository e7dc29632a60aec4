"""One part of a multipart body, found and changed in place (RFC 2046 5.1, RFC 5621).  Pure.

Everything outside the changed part leaves byte for byte as it came: preamble, delimiters, headers, other parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sip.errors import ParseError

MAX_DEPTH: Final = 4
"""Multiparts inside multiparts; deeper ones are refused."""

_MAX_BOUNDARY = 70  # RFC 2046 5.1.1
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"\\]*)"|([^\s;"]+))', re.IGNORECASE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]+")
_CONTENT_LENGTH = re.compile(rb"^(content-length[ \t]*:[ \t]*)[0-9]+", re.IGNORECASE | re.MULTILINE)
_IDENTITY_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})


def media_type(content_type: str) -> str:
    """Type and subtype in lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()


def change_part(content_type: str, body: bytes, wanted: str, change: Callable[[bytes], bytes]) -> bytes:
    """`body` with `change` applied to its part of media type `wanted`: the body itself, or the one such part of a
    multipart body.  A body without such a part comes back as it is.

    Raises `ParseError`: 400 when the multipart is malformed, 415 when the part is in a transfer encoding, 488 when
    there are several such parts; and whatever `change` raises.  `change` runs once, when all else is known to be right.
    """
    if content_type == wanted or media_type(content_type) == wanted:
        return change(body)
    _, count = _change(content_type, body, wanted, _unchanged, 0)
    if count > 1:
        raise ParseError(f"more than one {wanted} part", 488)
    return _change(content_type, body, wanted, change, 0)[0] if count else body


def _unchanged(part: bytes) -> bytes:
    return part


def _change(
    content_type: str, body: bytes, wanted: str, change: Callable[[bytes], bytes], depth: int
) -> tuple[bytes, int]:
    kind = media_type(content_type)
    if kind == wanted:
        return change(body), 1
    if not kind.startswith("multipart/"):
        return body, 0
    if depth == MAX_DEPTH:
        raise ParseError(f"multipart bodies nested more than {MAX_DEPTH} deep")
    pieces, position, total = [], 0, 0
    for start, end in _parts(content_type, body):
        part, count = _change_one(body[start:end], wanted, change, depth)
        pieces += [body[position:start], part]
        position, total = end, total + count
    return b"".join([*pieces, body[position:]]), total


def _change_one(part: bytes, wanted: str, change: Callable[[bytes], bytes], depth: int) -> tuple[bytes, int]:
    """A part with its headers."""
    if part.startswith((b"\r\n", b"\n")):
        return part, 0  # No headers: text/plain (RFC 2046 5.1).
    match = _HEADERS_END.search(part)
    if match is None:
        return part, 0
    head, content = part[: match.start()], part[match.end() :]
    headers = _headers(head)
    content_type = headers.get("content-type", "")
    if media_type(content_type) == wanted and (
        headers.get("content-transfer-encoding", "").lower() not in _IDENTITY_ENCODINGS
    ):
        raise ParseError(f"{wanted} part in a transfer encoding", 415)
    changed, count = _change(content_type, content, wanted, change, depth + 1)
    if count:
        head = _CONTENT_LENGTH.sub(b"\\g<1>%d" % len(changed), head, count=1)
    return head + match.group() + changed, count


def _headers(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in _FOLD.sub(" ", head.decode("latin-1")).splitlines():
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return headers


def _parts(content_type: str, body: bytes) -> list[tuple[int, int]]:
    """Where each part with its headers begins and ends.  The line end before a delimiter belongs to the delimiter."""
    match = _BOUNDARY.search(content_type)
    boundary = (match[1] or match[2] or "") if match is not None else ""
    if not 0 < len(boundary) <= _MAX_BOUNDARY:
        raise ParseError("multipart body without a usable boundary")
    marker = re.escape(boundary.encode("utf-8", "surrogateescape"))
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + marker + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    parts: list[tuple[int, int]] = []
    start: int | None = None
    for found in delimiter.finditer(body):
        if start is not None:
            parts.append((start, max(start, found.start())))
        if found[1] is not None:
            return parts
        line_end = body.find(b"\n", found.end())
        start = line_end + 1 if line_end >= 0 else len(body)
    if start is None:
        raise ParseError("multipart body without its delimiter")
    parts.append((start, len(body)))  # The closing delimiter is missing: the part ends with the body.
    return parts
