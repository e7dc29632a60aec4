"""Structured logging: one JSON object a line in rotating files, readable lines on stderr.

Any thread logs through the standard `logging` loggers; there the line is only merged and put on a queue (no lock, no
disk). One thread per process, `log-writer`, masks secrets, formats and writes. Several servers in one process share
it: a line goes once to each file that some server asked for, and once to the console. `_lock` guards starting and
stopping; a log call never takes it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from config import AUDIT_LOG_NAME, ERROR_LOG_NAME, Config, wrong_value
from faults import FaultLog
from lasting_thread import LastingThread
from log_files import AUDIT_LOGGER, AuditHandler, ConsoleHandler, JsonFileHandler, Lines, Outlet
from log_lines import LEVELS, extras, mask_secrets, masked_value, plain

PROJECT_LOGGERS = ("api", "config", "lasting_thread", "log_setup", "reload", "rtp", "sip", "store", "sipserver")
"""These log from LOG_LEVEL on; any other library only what the root logger lets through (warnings and worse)."""

MAX_QUEUED_LINES = 100_000
"""A disk that hangs costs at most so many lines of memory; what comes on top is counted and dropped."""

_CONSOLE = "console"
_GATHERING_S = 0.2
"""How long the writer lets lines gather when it has been idle, unless there are `_MANY` before."""

_MANY = 100
"""Lines that are written in one go; each takes a kilobyte meanwhile."""

_lock = threading.Lock()


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
        self.hurry = threading.Event()
        """The writer is to gather no longer."""
        self.dropped = 0

    def handle(self, record: logging.LogRecord) -> bool:
        self.emit(record)  # without Handler's lock: SimpleQueue.put is atomic
        return True

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg = record.getMessage()
        record.args = None
        for name, value in extras(record):
            setattr(record, name, plain(value))
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        # Audit lines are few: the API limits its clients.
        waiting = self.lines.qsize()
        if waiting < MAX_QUEUED_LINES or record.name == AUDIT_LOGGER:
            self.lines.put(record)
            if waiting == _MANY:
                self.hurry.set()
        else:
            self.dropped += 1


class _Writer(QueueListener):
    """The thread that masks and writes; it outlives every fault, as the queue would grow without it."""

    def __init__(self, entrance: _Entrance) -> None:
        super().__init__(entrance.queue)
        self._entrance = entrance
        self._lines = entrance.lines
        self._fallback = ConsoleHandler(logging.NOTSET)
        self.outlets: tuple[Outlet, ...] = ()
        self._gathered: list[logging.LogRecord] = []
        self._stopping = False
        self._dropped = 0
        self._errors = 0
        self._faults = FaultLog(logging.getLogger(__name__), "log-writer")
        self._problems: Callable[[], tuple[str, ...]] = tuple

    def start(self) -> None:
        self._stopping = False
        # It also goes on after a fault when it is told to stop: what is in the queue before the last word is written.
        thread = LastingThread("log-writer", self._monitor, lambda: False)  # type: ignore[attr-defined]
        self._thread = thread
        self._problems = thread.problems
        thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._entrance.hurry.set()
        super().stop()
        self._write_gathered()

    def dequeue(self, block: bool) -> Any:
        """The next line. After a pause more lines are let gather: a thread that wakes up for each one takes the
        interpreter from signalling and media each time, and so does each write. Where several have gathered, more are
        expected, and nobody need wake us for the next."""
        if len(self._gathered) >= _MANY:
            self._write_gathered()
        if block and self._lines.empty():
            more_expected = len(self._gathered) > 1
            self._write_gathered()
            if more_expected:
                self._let_gather()
                with contextlib.suppress(Empty):
                    return self._lines.get_nowait()
            first = self._lines.get()
            self._let_gather()
            return first
        return self._lines.get(block)

    def _let_gather(self) -> None:
        if not self._stopping:
            self._entrance.hurry.wait(_GATHERING_S)
            self._entrance.hurry.clear()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """A masked copy; the original may still be in the hands of another handler."""
        masked = logging.LogRecord.__new__(logging.LogRecord)
        vars(masked).update(vars(record), msg=mask_secrets(record.msg))
        if record.exc_info:
            masked.exc_text = mask_secrets("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        if record.stack_info:
            masked.stack_info = mask_secrets(record.stack_info)
        vars(masked).update(masked_value(dict(extras(record))))
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
        failing = sum(isinstance(handler, JsonFileHandler) and handler.failed for handler in self.outlets)
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
            if isinstance(handler, ConsoleHandler):
                missed = {record: None for record in missed if not _wants(handler, record)}
        if missed:
            self._fallback.write(self._lines_for(self._fallback, missed))

    def _lines_for(self, handler: logging.Handler, records: Iterable[logging.LogRecord]) -> Lines:
        lines: Lines = []
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
    handler: Outlet
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

    def add(self, wanted: Mapping[str, Callable[[], Outlet]]) -> None:
        """Use the outputs the keys name and open those not yet in use; OSError leaves everything as it was."""
        opened: dict[str, Outlet] = {}
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
            if not isinstance(handler, AuditHandler) and Path(key).name != ERROR_LOG_NAME:
                handler.setLevel(level)
        self._run()

    def _run(self) -> None:
        self._writer.outlets = tuple(output.handler for output in self._outputs.values())
        level = min(handler.level for handler in self._writer.outlets if not isinstance(handler, AuditHandler))
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
                self._pipeline.set_level(self._keys, LEVELS[log_level])

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
    level = LEVELS[config.log_level]
    log_path = config.log_file.absolute()
    error_path = log_path.with_name(ERROR_LOG_NAME)
    audit_path = log_path.with_name(AUDIT_LOG_NAME)

    def open_file(path: Path, level: int) -> Outlet:
        return JsonFileHandler(path, level, config.log_max_size, config.log_max_files)

    wanted: dict[str, Callable[[], Outlet]] = {
        str(log_path): lambda: open_file(log_path, level),
        str(error_path): lambda: open_file(error_path, logging.ERROR),
        str(audit_path): lambda: AuditHandler(audit_path, config.log_max_size, config.log_max_files),
    }
    if console:
        wanted[_CONSOLE] = lambda: ConsoleHandler(level)
    with _lock:
        pipeline = _pipeline or _Pipeline()
        try:
            pipeline.add(wanted)
        except OSError as error:
            allowed = f"a file that can be written ({error.strerror}: {error.filename})"
            raise wrong_value("LOG_FILE", config.log_file, allowed) from None
        _pipeline = pipeline
    return LogHandle(pipeline, wanted)
