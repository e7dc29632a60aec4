"""Lines of the log: what must not stand in them, and how they look in files and on the console.

The thread `log-writer` makes them; `plain` and `extras` run in the thread that logs.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from json import JSONEncoder
from typing import Any

LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
_MASK = "***"
_SECRET_FIELDS = frozenset(
    ("authorization", "proxy-authorization", "api_token", "apitoken", "token", "password", "secret")
)
# (what the text must contain in lower case, what is replaced); the group before the secret stays.
_SECRETS = (
    # A header value runs to the end of its line and over folded lines (RFC 3261 7.3.1).
    (
        "authorization",
        re.compile(r"(authorization[\"']?[ \t]*:)[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*", re.IGNORECASE),
    ),
    ("bearer", re.compile(r"(\bbearer[ \t]+)[\w.~+/=-]+", re.IGNORECASE)),
    ("inline:", re.compile(r"(\binline:)[^|;\s\"']+", re.IGNORECASE)),  # RFC 4568 6.1
    ("response=", re.compile(r"(\bresponse=\"?)[0-9a-f]+", re.IGNORECASE)),  # RFC 7616 3.4
    ("token=", re.compile(r"(token=)[^\s&]+", re.IGNORECASE)),
    ("rspauth=", re.compile(r"(\brspauth=\"?)[0-9a-f]+", re.IGNORECASE)),
)
# RFC 3261 19.1.1: user:password@. Matches whether there is an @ or not, so that no character is looked at twice.
_URI = re.compile(r"\b(sips?:)([^\s<>\"@]*)(@?)", re.IGNORECASE)
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OWN_FIELDS = frozenset(("time", "level", "logger", "message", "thread", "exception", "stack"))
# ASCII output: neither C1 controls nor line separators of Unicode reach a file or a terminal, and bytes = characters.
_encode = JSONEncoder(ensure_ascii=True).encode


def mask_secrets(text: str) -> str:
    """`text` with the values of credentials, tokens, SRTP keys and passwords in URIs replaced by `***`."""
    lower = text.lower()
    for needle, pattern in _SECRETS:
        if needle in lower:
            text = pattern.sub(rf"\1{_MASK}", text)
    return _URI.sub(_masked_uri, text) if "sip" in lower and "@" in lower else text


def _masked_uri(match: re.Match[str]) -> str:
    scheme, user_info, at = match.groups()
    user, colon, _ = user_info.partition(":")
    return f"{scheme}{user}:{_MASK}@" if at and colon else match[0]


def masked_value(value: Any) -> Any:
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, dict):
        return {key: _MASK if key.lower() in _SECRET_FIELDS else masked_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked_value(item) for item in value]
    return value


def plain(value: Any) -> Any:
    """A copy in JSON's own types, so that the writer thread never reads what its owner may be changing."""
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def extras(record: logging.LogRecord) -> list[tuple[str, Any]]:
    """The fields that whoever logged has added, which most lines have not."""
    fields = vars(record)
    if fields.keys() <= _STANDARD_FIELDS:
        return []
    return [(name, value) for name, value in fields.items() if name not in _STANDARD_FIELDS]


def _level_name(levelno: int) -> str:
    return next((name for name, level in LEVELS.items() if levelno >= level), "debug")


def _printable(text: str) -> str:
    """`text` with control characters and line ends escaped: it may come from the network."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class JsonFormatter(logging.Formatter):
    """One JSON object: time, level, logger, message, thread, then the `extra` fields, then exception and stack.

    An `extra` that bears one of our own names appears as `extra_<name>`.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": _level_name(record.levelno),
            "logger": record.name,
            "message": record.msg,
            "thread": record.threadName,
        }
        for name, value in extras(record):
            line[f"extra_{name}" if name in _OWN_FIELDS else name] = value
        if record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return _encode(line)


class ConsoleFormatter(logging.Formatter):
    """A line for people, in local time, with the `extra` fields as name=value; a traceback follows indented."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).isoformat(" ", "milliseconds")
        parts = [at, f"{_level_name(record.levelno).upper():5}", f"{record.name}:", record.msg]
        for name, value in extras(record):
            plain_word = isinstance(value, str) and value and " " not in value
            parts.append(f"{name}={value if plain_word else _encode(value)}")
        lines = [_printable(" ".join(parts))]
        for text in (record.exc_text, record.stack_info):
            lines += (f"    {_printable(line)}" for line in (text or "").splitlines())
        return "\n".join(lines)
