"""Structured logging: one JSON object a line in rotating files, readable lines on stderr.

Any thread logs through the standard `logging` loggers; there the line is only merged and put on a queue (no lock, no
disk). One thread per process, `log-writer`, masks secrets, formats and writes. Several servers in one process share
it: a line goes once to each file that some server asked for, and once to the console. `_lock` guards starting and
stopping; a log call never takes it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import count
from json import JSONEncoder
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from config import AUDIT_LOG_NAME, ERROR_LOG_NAME, Config, wrong_value
from faults import FaultLog
from lasting_thread import LastingThread

PROJECT_LOGGERS = ("api", "config", "lasting_thread", "log_setup", "reload", "rtp", "sip", "store", "sipserver")
"""These log from LOG_LEVEL on; any other library only what the root logger lets through (warnings and worse)."""

AUDIT_LOGGER = "api.audit"
"""Whatever LOG_LEVEL is, its lines from info on go into a file of their own, and none of them is ever dropped."""

MAX_QUEUED_LINES = 100_000
"""A disk that hangs costs at most so many lines of memory; what comes on top is counted and dropped."""

_LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
_CONSOLE = "console"
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

_GATHERING_S = 0.2
"""How long the writer lets lines gather when it has been idle."""

_MAX_TOGETHER = 500
"""Lines written in one go while more and more are waiting."""

_lock = threading.Lock()


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


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, dict):
        return {key: _MASK if key.lower() in _SECRET_FIELDS else _masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return value


def _plain(value: Any) -> Any:
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
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


def _extras(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    for name, value in vars(record).items():
        if name not in _STANDARD_FIELDS:
            yield name, value


def _level_name(levelno: int) -> str:
    return next((name for name, level in _LEVELS.items() if levelno >= level), "debug")


def _printable(text: str) -> str:
    """`text` with control characters and line ends escaped: it may come from the network."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _say(line: str) -> None:
    """Write to stderr; a console that has gone away is nobody's fault and has no other place to be told."""
    stream: TextIO | None = sys.stderr
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.write(line + "\n")
            stream.flush()


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
        for name, value in _extras(record):
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
        for name, value in _extras(record):
            plain_word = isinstance(value, str) and value and " " not in value
            parts.append(f"{name}={value if plain_word else _encode(value)}")
        lines = [_printable(" ".join(parts))]
        for text in (record.exc_text, record.stack_info):
            lines += (f"    {_printable(line)}" for line in (text or "").splitlines())
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class LogFigures:
    """How logging fares in this process: `queued` lines wait to be written, `failing` files can't be written now;
    `dropped` lines never were and `errors` were of level error, both since logging was started."""

    queued: int = 0
    dropped: int = 0
    errors: int = 0
    failing: int = 0
    problems: tuple[str, ...] = ()
    """What the thread that writes has met, as clauses without capital and full stop."""


class _Entrance(QueueHandler):
    """What a log call runs through: merge the message, copy the extras, enqueue.

    Arguments are merged in the calling thread because they may belong to state under that caller's lock. The record
    isn't copied, as the standard handler does at twice the cost: `msg` with its arguments merged in reads the same
    to every other handler. A traceback is formatted by the writer, since that reads source files.
    """

    def __init__(self, queue: SimpleQueue[Any]) -> None:
        super().__init__(queue)
        self.lines = queue
        self.dropped = 0

    def handle(self, record: logging.LogRecord) -> bool:
        self.emit(record)  # without Handler's lock: SimpleQueue.put is atomic
        return True

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg = record.getMessage()
        record.args = None
        for name, value in list(_extras(record)):
            setattr(record, name, _plain(value))
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        # Audit lines are few: the API limits its clients.
        if self.lines.qsize() < MAX_QUEUED_LINES or record.name == AUDIT_LOGGER:
            self.lines.put(record)
        else:
            self.dropped += 1


_Lines = list[tuple[logging.LogRecord, str]]
"""Records with what a handler's `format` has made of them."""


class _ConsoleHandler(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.setFormatter(ConsoleFormatter())

    def write(self, lines: _Lines) -> list[logging.LogRecord]:
        """What could not be written: nothing, since there is no other place for it."""
        _say("\n".join(line for _, line in lines))
        return []


class _JsonFileHandler(RotatingFileHandler):
    """A rotated file of whole JSON lines, `max_files` files in all; used by the writer thread only.

    A fault of the disk never leaves `write`: it is reported once, `failed` says that lines are missing from the
    file, and each further line tries again.
    """

    def __init__(self, path: Path, level: int, max_bytes: int, max_files: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_from(path, max_files)
        super().__init__(path, maxBytes=max_bytes, backupCount=max_files - 1, encoding="utf-8")
        self.setLevel(level)
        self.setFormatter(JsonFormatter())
        self.failed = False

    def write(self, lines: _Lines) -> list[logging.LogRecord]:
        """Lines that fit into the file together go there together; what could not be written."""
        missed: list[logging.LogRecord] = []
        together: _Lines = []
        end = self._size()
        for record, text in lines:
            line = text + "\n"
            if together and end + len(line) > self.maxBytes:
                missed += self._put_all(together)
                together, end = [], self._size()
            together.append((record, line))
            end += len(line)
        return missed + self._put_all(together)

    def _put_all(self, lines: _Lines) -> list[logging.LogRecord]:
        """Where they can't be written in one go, as many of them as can."""
        try:
            self._put("".join(line for _, line in lines))
        except OSError as error:
            if len(lines) > 1:
                return [record for line in lines for record in self._put_all([line])]
            self._fail(error)
            return [record for record, _ in lines]
        self._recover()
        return []

    def _put(self, text: str) -> None:
        """Whole lines, or nothing; OSError."""
        if self.stream is None:
            self.stream = self._open()
        end = self._size()
        if end and end + len(text) > self.maxBytes:
            self.doRollover()
            end = 0
        data = memoryview(text.encode("ascii"))
        try:
            while data:
                data = data[os.write(self.stream.fileno(), data) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.baseFilename, end)  # half a line on a full disk
            raise

    def _size(self) -> int:
        """Asked of the system, since somebody else may cut the file."""
        return 0 if self.stream is None else os.fstat(self.stream.fileno()).st_size

    def doRollover(self) -> None:  # noqa: N802 - the standard library's name
        """Not as the standard library does it, which lets a single file grow for ever, and moves the old files on with
        each try although the new one can't be renamed, until none of them is left."""
        if not self.backupCount:
            if self.stream is not None:
                self.stream.truncate(0)
            return
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        old = [f"{self.baseFilename}.{number}" for number in range(1, self.backupCount + 1)]
        gap = next((number for number, path in enumerate(old) if not Path(path).exists()), len(old) - 1)
        for number in range(gap, 0, -1):
            os.replace(old[number - 1], old[number])  # noqa: PTH105 - the tests have it fail
        os.replace(self.baseFilename, old[0])  # noqa: PTH105
        self.stream = self._open()

    def _open(self) -> Any:
        path = Path(self.baseFilename)
        stream = path.open("ab", buffering=0)
        if _ends_in_mid_line(path):
            stream.write(b"\n")  # the machine went down while a line was written
        return stream

    def _fail(self, error: OSError) -> None:
        if self.stream is not None:
            with contextlib.suppress(OSError):
                self.stream.close()
            self.stream = None
        if not self.failed:
            self.failed = True
            _say(f"log file {self.baseFilename} can't be written ({error.strerror or error}); its lines go to stderr")

    def _recover(self) -> None:
        if self.failed:
            self.failed = False
            _say(f"log file {self.baseFilename} is written again; the lines in between are missing from it")


class _AuditHandler(_JsonFileHandler):
    """The file of the audit log: lines of AUDIT_LOGGER and no others, whatever LOG_LEVEL is."""

    def __init__(self, path: Path, max_bytes: int, max_files: int) -> None:
        super().__init__(path, logging.INFO, max_bytes, max_files)
        self.addFilter(lambda record: record.name == AUDIT_LOGGER)


def _remove_from(path: Path, first_number: int) -> None:
    """Remove the rotated files that an earlier, larger LOG_MAX_FILES has left."""
    for number in count(first_number):
        old = Path(f"{path}.{number}")
        if not old.exists():
            break
        old.unlink()


def _ends_in_mid_line(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


_Outlet = _ConsoleHandler | _JsonFileHandler


class _Writer(QueueListener):
    """The thread that masks and writes; it outlives every fault, as the queue would grow without it."""

    def __init__(self, entrance: _Entrance) -> None:
        super().__init__(entrance.queue)
        self._entrance = entrance
        self._lines = entrance.lines
        self._fallback = _ConsoleHandler(logging.NOTSET)
        self.outlets: tuple[_Outlet, ...] = ()
        self._gathered: list[logging.LogRecord] = []
        self._stopping = threading.Event()
        self._dropped = 0
        self._errors = 0
        self._faults = FaultLog(logging.getLogger(__name__), "log-writer")
        self._problems: Callable[[], tuple[str, ...]] = tuple

    def start(self) -> None:
        self._stopping.clear()
        # It also goes on after a fault when it is told to stop: what is in the queue before the last word is written.
        thread = LastingThread("log-writer", self._monitor, lambda: False)  # type: ignore[attr-defined]
        self._thread = thread
        self._problems = thread.problems
        thread.start()

    def stop(self) -> None:
        self._stopping.set()
        super().stop()
        self._write_gathered()

    def dequeue(self, block: bool) -> Any:
        """The next line. After a pause more lines are let gather: a thread that wakes up for each one takes the
        interpreter from signalling and media each time, and so does each write."""
        if len(self._gathered) >= _MAX_TOGETHER:
            self._write_gathered()
        if block and self._lines.empty():
            self._write_gathered()
            first = self._lines.get()
            self._stopping.wait(_GATHERING_S)
            return first
        return self._lines.get(block)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """A masked copy; the original may still be in the hands of another handler."""
        masked = logging.LogRecord.__new__(logging.LogRecord)
        vars(masked).update(vars(record), msg=mask_secrets(record.msg))
        if record.exc_info:
            masked.exc_text = mask_secrets("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        if record.stack_info:
            masked.stack_info = mask_secrets(record.stack_info)
        vars(masked).update(_masked(dict(_extras(record))))
        return masked

    def handle(self, record: logging.LogRecord) -> None:
        try:
            if self._entrance.dropped:
                self._gather(self._drop_report())
            self._gather(self.prepare(record))
        except Exception:  # noqa: BLE001 - a fault in one line must not end the logging of all
            self._tell_fault(record)

    def figures(self) -> LogFigures:
        """Any thread; what is being counted this moment may be missing."""
        failing = sum(isinstance(handler, _JsonFileHandler) and handler.failed for handler in self.outlets)
        dropped = self._dropped + self._entrance.dropped
        queued = self._lines.qsize() + len(self._gathered)
        return LogFigures(queued, dropped, self._errors, failing, self._problems())

    def _gather(self, record: logging.LogRecord) -> None:
        self._errors += record.levelno >= logging.ERROR
        self._gathered.append(record)

    def _write_gathered(self) -> None:
        """Give each handler its lines; those that are missing from a file and not on the console go there."""
        if not self._gathered:
            return
        records, self._gathered = self._gathered, []
        missed: dict[logging.LogRecord, None] = {}
        for handler in self.outlets:
            try:
                if lines := self._lines_for(handler, records):
                    missed |= dict.fromkeys(handler.write(lines))
            except Exception:  # noqa: BLE001 - nor must a fault of one handler
                self._tell_fault(records[0])
        for handler in self.outlets:
            if isinstance(handler, _ConsoleHandler):
                missed = {record: None for record in missed if not _wants(handler, record)}
        if missed:
            self._fallback.write(self._lines_for(self._fallback, missed))

    def _lines_for(self, handler: logging.Handler, records: Iterable[logging.LogRecord]) -> _Lines:
        lines: _Lines = []
        for record in records:
            if _wants(handler, record):
                try:
                    lines.append((record, handler.format(record)))
                except Exception:  # noqa: BLE001 - as in `handle`
                    self._tell_fault(record)
        return lines

    def _tell_fault(self, record: logging.LogRecord) -> None:
        self._faults.count()
        with contextlib.suppress(Exception):  # where stderr is closed, there is nobody to tell
            self._fallback.handleError(record)

    def _drop_report(self) -> logging.LogRecord:
        dropped, self._entrance.dropped = self._entrance.dropped, 0
        self._dropped += dropped
        text = f"about {dropped} log lines were dropped: the log could not be written fast enough"
        return logging.LogRecord(__name__, logging.ERROR, __file__, 0, text, None, None)


def _wants(handler: logging.Handler, record: logging.LogRecord) -> bool:
    return record.levelno >= handler.level and bool(handler.filter(record))


@dataclass(slots=True)
class _Output:
    handler: _Outlet
    users: int = 0


class _Pipeline:
    """The process's one entrance, queue and writer, and the outputs in use; every method runs under `_lock`.

    The writer runs exactly while there are outputs. They change only while it stands still, so that a file holds
    every line from its server's start to its stop and none from before or after.
    """

    def __init__(self) -> None:
        self._entrance = _Entrance(SimpleQueue())
        self._writer = _Writer(self._entrance)
        self._outputs: dict[str, _Output] = {}
        self._levels_before = {name: logging.getLogger(name).level for name in (*PROJECT_LOGGERS, AUDIT_LOGGER)}

    @property
    def in_use(self) -> bool:
        return bool(self._outputs)

    def figures(self) -> LogFigures:
        return self._writer.figures()

    def add(self, wanted: Mapping[str, Callable[[], _Outlet]]) -> None:
        """Use the outputs the keys name and open those not yet in use; OSError leaves everything as it was."""
        opened: dict[str, _Outlet] = {}
        with contextlib.ExitStack() as undo:
            for key, open_handler in wanted.items():
                if key not in self._outputs:
                    opened[key] = open_handler()
                    undo.callback(opened[key].close)
            undo.pop_all()
        if self._outputs:
            self._writer.stop()
        self._outputs |= {key: _Output(handler) for key, handler in opened.items()}
        for key in wanted:
            self._outputs[key].users += 1
        self._run()
        logging.getLogger().addHandler(self._entrance)

    def remove(self, keys: Iterable[str]) -> None:
        """Write all that is queued, then close the outputs that nobody else uses."""
        for key in keys:
            self._outputs[key].users -= 1
        unused = [key for key, output in self._outputs.items() if not output.users]
        if len(unused) == len(self._outputs):
            self._detach()
        self._writer.stop()
        for key in unused:
            with contextlib.suppress(OSError):
                self._outputs.pop(key).handler.close()
        if self._outputs:
            self._run()

    def set_level(self, keys: Iterable[str], level: int) -> None:
        """Of these outputs, but for those with a level of their own; what is queued goes by the old one."""
        self._writer.stop()
        for key in keys:
            handler = self._outputs[key].handler
            if not isinstance(handler, _AuditHandler) and Path(key).name != ERROR_LOG_NAME:
                handler.setLevel(level)
        self._run()

    def _run(self) -> None:
        self._writer.outlets = tuple(output.handler for output in self._outputs.values())
        level = min(handler.level for handler in self._writer.outlets if not isinstance(handler, _AuditHandler))
        audit_level = min(level, logging.INFO)
        self._entrance.setLevel(audit_level)
        for name in PROJECT_LOGGERS:
            logging.getLogger(name).setLevel(level)
        logging.getLogger(AUDIT_LOGGER).setLevel(audit_level)
        self._writer.start()

    def _detach(self) -> None:
        logging.getLogger().removeHandler(self._entrance)
        for name, level in self._levels_before.items():
            logging.getLogger(name).setLevel(level)


_pipeline: _Pipeline | None = None


class LogHandle:
    """One server's share of the logging; `stop` may be called again and then does nothing."""

    def __init__(self, pipeline: _Pipeline, keys: Iterable[str]) -> None:
        self._pipeline = pipeline
        self._keys = tuple(keys)

    def set_level(self, log_level: str) -> None:
        """Have LOG_LEVEL be this from now on."""
        with _lock:
            if self._keys:
                self._pipeline.set_level(self._keys, _LEVELS[log_level])

    def stop(self) -> None:
        """Write every line logged before this call; the last handle also joins the thread and undoes the set-up."""
        global _pipeline
        with _lock:
            if self._keys:
                self._pipeline.remove(self._keys)
                self._keys = ()
                if not self._pipeline.in_use:
                    _pipeline = None


def log_figures() -> LogFigures:
    """Of the servers in this process together; all zero while nothing is logged by `start_logging`."""
    with _lock:
        return LogFigures() if _pipeline is None else _pipeline.figures()


def start_logging(config: Config, console: bool = True) -> LogHandle:
    """Log to LOG_FILE, `error.log` and `audit.log` beside it and, with `console`, stderr; ConfigError names LOG_FILE.

    A file or console that another server in this process uses already is shared, with the level and the size its
    first user gave it.
    """
    global _pipeline
    level = _LEVELS[config.log_level]
    log_path = config.log_file.absolute()
    error_path = log_path.with_name(ERROR_LOG_NAME)
    audit_path = log_path.with_name(AUDIT_LOG_NAME)

    def open_file(path: Path, level: int) -> _Outlet:
        return _JsonFileHandler(path, level, config.log_max_size, config.log_max_files)

    wanted: dict[str, Callable[[], _Outlet]] = {
        str(log_path): lambda: open_file(log_path, level),
        str(error_path): lambda: open_file(error_path, logging.ERROR),
        str(audit_path): lambda: _AuditHandler(audit_path, config.log_max_size, config.log_max_files),
    }
    if console:
        wanted[_CONSOLE] = lambda: _ConsoleHandler(level)
    with _lock:
        pipeline = _pipeline or _Pipeline()
        try:
            pipeline.add(wanted)
        except OSError as error:
            allowed = f"a file that can be written ({error.strerror}: {error.filename})"
            raise wrong_value("LOG_FILE", config.log_file, allowed) from None
        _pipeline = pipeline
    return LogHandle(pipeline, wanted)
