"""Where lines of the log go: stderr, rotated files, the audit log.

Used by the thread `log-writer` alone, but for opening.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from itertools import count
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

from log_lines import ConsoleFormatter, JsonFormatter

AUDIT_LOGGER = "api.audit"
"""Whatever LOG_LEVEL is, its lines from info on go into a file of their own, and none of them is ever dropped."""

Lines = list[tuple[logging.LogRecord, str]]
"""Records with what a handler's `format` has made of them."""


def say(line: str) -> None:
    """Write to stderr; a console that has gone away is nobody's fault and has no other place to be told."""
    stream: TextIO | None = sys.stderr
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.write(line + "\n")
            stream.flush()


class ConsoleHandler(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.setFormatter(ConsoleFormatter())

    def write(self, lines: Lines) -> list[logging.LogRecord]:
        """What could not be written: nothing, since there is no other place for it."""
        say("\n".join(line for _, line in lines))
        return []


class JsonFileHandler(RotatingFileHandler):
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

    def write(self, lines: Lines) -> list[logging.LogRecord]:
        """Lines that fit into the file together go there together; what could not be written."""
        missed: list[logging.LogRecord] = []
        together: Lines = []
        end = self._size()
        for record, text in lines:
            line = text + "\n"
            if together and end + len(line) > self.maxBytes:
                missed += self._put_all(together)
                together, end = [], self._size()
            together.append((record, line))
            end += len(line)
        return missed + self._put_all(together)

    def _put_all(self, lines: Lines) -> list[logging.LogRecord]:
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
            say(f"log file {self.baseFilename} can't be written ({error.strerror or error}); its lines go to stderr")

    def _recover(self) -> None:
        if self.failed:
            self.failed = False
            say(f"log file {self.baseFilename} is written again; the lines in between are missing from it")


class AuditHandler(JsonFileHandler):
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


Outlet = ConsoleHandler | JsonFileHandler
