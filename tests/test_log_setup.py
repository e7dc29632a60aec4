"""`log_setup.py`: JSON lines, console lines, rotation, secrets, shared and repeated starts, faults of the disk."""

from __future__ import annotations

import dataclasses
import enum
import errno
import json
import logging
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import log_setup
from config import Config, ConfigError
from log_lines import JsonFormatter
from log_setup import LogHandle

StartLogging = Callable[..., LogHandle]
LOG = logging.getLogger("sip.core")
AUDIT = logging.getLogger(log_setup.AUDIT_LOGGER)


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "sip.log"


@pytest.fixture
def start(log_path: Path) -> Iterator[StartLogging]:
    """Start logging with some settings changed; whatever a test leaves running is stopped after it."""
    handles: list[LogHandle] = []

    def start_one(*, console: bool = False, **changes: Any) -> LogHandle:
        config = dataclasses.replace(Config(), **{"log_file": log_path, **changes})
        handles.append(log_setup.start_logging(config, console=console))
        return handles[-1]

    yield start_one
    for handle in handles:
        handle.stop()


def read(path: Path) -> list[dict[str, Any]]:
    """All lines of a log file, each of which must be a whole JSON object."""
    text = path.read_bytes()
    assert not text or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def messages(path: Path) -> list[str]:
    return [line["message"] for line in read(path)]


def all_files(path: Path) -> list[Path]:
    """The rotated files, oldest first, and the current one."""
    old = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    return [*old, path]


def writer_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "log-writer"]


class TestJsonLines:
    def test_a_line_has_time_level_logger_message_and_thread(self, start: StartLogging, log_path: Path) -> None:
        handle = start()
        thread = threading.Thread(target=LOG.info, args=("call from %s to %d", "100", 101), name="sip-udp-0")
        thread.start()
        thread.join()
        handle.stop()
        (line,) = read(log_path)
        assert line.pop("time").endswith("Z")
        assert line == {
            "level": "info",
            "logger": "sip.core",
            "message": "call from 100 to 101",
            "thread": "sip-udp-0",
        }

    @pytest.mark.parametrize(
        ("created", "text"),
        [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (1767225599.9996, "2025-12-31T23:59:59.999Z"),
            (1709210096.25, "2024-02-29T12:34:56.250Z"),
        ],
    )
    def test_time_is_utc_with_milliseconds(self, created: float, text: str) -> None:
        record = logging.makeLogRecord({"created": created, "levelno": logging.INFO, "msg": ""})
        assert json.loads(JsonFormatter().format(record))["time"] == text

    @pytest.mark.parametrize(
        ("log_level", "kept"),
        [
            ("error", ["error", "error"]),
            ("warn", ["warn", "error", "error"]),
            ("info", ["info", "warn", "error", "error"]),
            ("debug", ["debug", "info", "warn", "error", "error"]),
        ],
    )
    @pytest.mark.parametrize("name", log_setup.PROJECT_LOGGERS)
    def test_lines_from_the_configured_level_on_are_kept(
        self, start: StartLogging, log_path: Path, name: str, log_level: str, kept: list[str]
    ) -> None:
        handle = start(log_level=log_level)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            logging.getLogger(f"{name}.part").log(level, "x")
        handle.stop()
        assert [line["level"] for line in read(log_path)] == kept

    def test_other_libraries_are_heard_from_warnings_on(self, start: StartLogging, log_path: Path) -> None:
        handle = start(log_level="debug")
        logging.getLogger("waitress").info("quiet")
        logging.getLogger("waitress").warning("Task queue depth is 5")
        handle.stop()
        assert messages(log_path) == ["Task queue depth is 5"]

    def test_extra_fields_are_fields_of_the_line(self, start: StartLogging, log_path: Path) -> None:
        class State(enum.Enum):
            RINGING = "ringing"
            ENDED = 2

        handle = start()
        extra = {
            "callId": "a@b",
            "peer": ("10.0.0.1", 5060),
            "delay_s": 0.25,
            "ratio": float("nan"),
            "body": b"\xffok",
            "path": Path("x/y"),
            "states": [State.RINGING, State.ENDED],
            "nested": {1: {"deep": None}},
        }
        LOG.info("x", extra=extra)
        handle.stop()
        (line,) = read(log_path)
        assert {name: line[name] for name in extra} == {
            "callId": "a@b",
            "peer": ["10.0.0.1", 5060],
            "delay_s": 0.25,
            "ratio": "nan",
            "body": "\\xffok",
            "path": "x/y",
            "states": ["ringing", "ENDED"],
            "nested": {"1": {"deep": None}},
        }

    def test_extra_field_cannot_pose_as_one_of_ours(self, start: StartLogging, log_path: Path) -> None:
        handle = start()
        LOG.info("x", extra={"level": "error", "time": "never"})
        handle.stop()
        (line,) = read(log_path)
        assert (line["level"], line["extra_level"], line["extra_time"]) == ("info", "error", "never")

    def test_arguments_and_extras_are_those_of_the_moment_of_the_call(
        self, start: StartLogging, log_path: Path
    ) -> None:
        handle = start()
        contacts = ["one"]
        for _ in range(100):
            LOG.info("%s", contacts, extra={"contacts": contacts})
            contacts.append("two")
            contacts.pop()
        contacts.clear()
        handle.stop()
        assert [(line["message"], line["contacts"]) for line in read(log_path)] == [("['one']", ["one"])] * 100

    def test_exception_and_stack_are_fields(self, start: StartLogging, log_path: Path) -> None:
        handle = start()
        try:
            raise KeyError("no such call")
        except KeyError:
            LOG.exception("failed", stack_info=True)
        handle.stop()
        (line,) = read(log_path)
        assert line["message"] == "failed"
        assert line["exception"].startswith("Traceback (most recent call last):")
        assert line["exception"].endswith("KeyError: 'no such call'")
        assert "test_exception_and_stack_are_fields" in line["stack"]

    def test_bytes_from_the_network_cannot_break_or_forge_a_line(self, start: StartLogging, log_path: Path) -> None:
        text = 'a\r\n{"level": "error"}\x00\x1b[31m\x7f\x85\x9b\u2028\u202e\udcff"\\ Иван'
        handle = start()
        LOG.info("%s", text, extra={"display_name": text})
        handle.stop()
        raw = log_path.read_bytes()
        assert raw.count(b"\n") == 1
        assert raw[:-1].decode("ascii").isprintable()
        (line,) = read(log_path)
        assert (line["message"], line["display_name"]) == (text, text)


class TestLevel:
    def test_it_may_change_while_lines_are_written(
        self, start: StartLogging, log_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        handle = start(console=True)
        LOG.debug("too fine")
        handle.set_level("debug")
        LOG.debug("fine")
        handle.set_level("error")
        LOG.warning("too harmless")
        LOG.error("bad")
        handle.set_level("info")
        LOG.info("as before")
        handle.stop()
        assert messages(log_path) == ["fine", "bad", "as before"]
        assert messages(log_path.with_name("error.log")) == ["bad"]
        shown = capsys.readouterr().err
        assert [word in shown for word in ("too fine", "fine", "too harmless", "bad")] == [False, True, False, True]

    def test_once_stopped_it_has_none(self, start: StartLogging) -> None:
        handle = start()
        handle.stop()
        handle.set_level("debug")


class TestConsole:
    def test_a_line_for_people(self, start: StartLogging, capsys: pytest.CaptureFixture[str]) -> None:
        handle = start(console=True)
        LOG.warning("call ended", extra={"callId": "a@b", "reason": "no answer", "seconds": 3, "empty": ""})
        handle.stop()
        out, err = capsys.readouterr()
        date, time, rest = err.split(" ", 2)
        assert (out, len(date), len(time)) == ("", len("2026-01-31"), len("12:34:56.789"))
        assert rest == 'WARN  sip.core: call ended callId=a@b reason="no answer" seconds=3 empty=""\n'

    def test_control_characters_are_shown_escaped(
        self, start: StartLogging, capsys: pytest.CaptureFixture[str]
    ) -> None:
        handle = start(console=True)
        LOG.info("a\r\nb\x1b[31m\u202e Иван", extra={"user": "x\ny"})
        handle.stop()
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("sip.core: a\\r\\nb\\x1b[31m\\u202e Иван user=x\\ny")

    @pytest.mark.parametrize(
        "text",
        [
            "\x1b]0;title\x07\x1b[2J",
            "\x9b31m \x90 \x7f \x00",
            "one\r\n2030-01-01 00:00:00.000 ERROR sip: forged\x0b\x0c\x85\u2028\u2029",
            "\u202e001\u202c \u2066x\u2069 \u200e\u200f\u061c \u200b\ufeff\xad",
            "\udcff\ud800 \U000e0041",
        ],
    )
    @pytest.mark.parametrize("place", ["display name", "field", "exception"])
    def test_nothing_from_the_network_reaches_the_terminal_raw(
        self, start: StartLogging, capsys: pytest.CaptureFixture[str], text: str, place: str
    ) -> None:
        handle = start(console=True)
        if place == "display name":
            LOG.info("call from %s", text)
        elif place == "field":
            LOG.info("call", extra={"userAgent": text})
        else:
            try:
                raise ValueError(text)
            except ValueError:
                LOG.exception("failed")
        handle.stop()
        lines = capsys.readouterr().err.split("\n")
        assert lines.pop() == ""
        assert all(line.isprintable() for line in lines)
        assert all(line.startswith("    ") for line in lines[1:])

    def test_traceback_follows_indented(self, start: StartLogging, capsys: pytest.CaptureFixture[str]) -> None:
        handle = start(console=True)
        try:
            raise ValueError("first\nsecond\x1b[2J")
        except ValueError:
            LOG.exception("failed")
        handle.stop()
        first, *others = capsys.readouterr().err.splitlines()
        assert first.endswith("ERROR sip.core: failed")
        assert others[0] == "    Traceback (most recent call last):"
        assert others[-2:] == ["    ValueError: first", "    second\\x1b[2J"]
        assert all(line.startswith("    ") for line in others)

    @pytest.mark.parametrize("gone", ["closed", "none"])
    def test_a_console_gone_away_does_not_stop_the_file(
        self, start: StartLogging, log_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
    ) -> None:
        stream = (tmp_path / "console").open("w")
        stream.close()
        monkeypatch.setattr(sys, "stderr", stream if gone == "closed" else None)
        handle = start(console=True)
        LOG.info("one")
        LOG.info("two")
        handle.stop()
        assert messages(log_path) == ["one", "two"]


class TestSecrets:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("Authorization: Digest username=a, response=b", "Authorization:***"),
            ("x\r\nProxy-Authorization : Digest r\r\n nc=1\r\nTo: b", "x\r\nProxy-Authorization :***\r\nTo: b"),
            ("AUTHORIZATION:Basic abc\nCSeq: 1", "AUTHORIZATION:***\nCSeq: 1"),
            ("{'Authorization': 'Basic abc'}", "{'Authorization':***"),
            ("sent bearer aB0._~+/-== twice", "sent bearer *** twice"),
            (
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3|2^20|1:32;inline:QUJD|2^20|2:4",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***|2^20|1:32;inline:***|2^20|2:4",
            ),
            ('Digest nonce="n", response="6629fae4", opaque="o"', 'Digest nonce="n", response="***", opaque="o"'),
            ("contact <sip:100:s3:cret@pbx>", "contact <sip:100:***@pbx>"),
            ("SIPS:a:b@c and sip:100@d", "SIPS:a:***@c and sip:100@d"),
            ("sip:pbx:5060 asks user@host", "sip:pbx:5060 asks user@host"),
            ('Authentication-Info: rspauth="6629fae4"', 'Authentication-Info: rspauth="***"'),
            ("API_TOKEN=abc GET /?token=d&x=1", "API_TOKEN=*** GET /?token=***&x=1"),
            ("authorised, 200 OK, WWW-Authenticate: Digest", "authorised, 200 OK, WWW-Authenticate: Digest"),
        ],
    )
    def test_masked_in_message_extra_and_exception(
        self, start: StartLogging, log_path: Path, text: str, shown: str
    ) -> None:
        handle = start()
        LOG.info("%s", text, extra={"sip": text, "parts": [{"text": text}]})
        try:
            raise ValueError(text)
        except ValueError:
            LOG.exception("x")
        handle.stop()
        first, second = read(log_path)
        assert (first["message"], first["sip"], first["parts"]) == (shown, shown, [{"text": shown}])
        assert second["exception"].split("\nValueError: ")[1] == shown

    @pytest.mark.parametrize("name", ["Authorization", "Proxy-Authorization", "api_token", "password"])
    def test_fields_with_a_telling_name_are_masked_whole(self, start: StartLogging, log_path: Path, name: str) -> None:
        handle = start()
        LOG.info("x", extra={name: "s3cret", "headers": {name: ["s3cret"]}})
        handle.stop()
        (line,) = read(log_path)
        assert (line[name], line["headers"]) == ("***", {name: "***"})

    def test_masked_on_the_console_too(self, start: StartLogging, capsys: pytest.CaptureFixture[str]) -> None:
        handle = start(console=True)
        LOG.info("Bearer s3cret", extra={"password": "s3cret"})
        handle.stop()
        assert capsys.readouterr().err.endswith("sip.core: Bearer *** password=***\n")


class TestErrorLog:
    def test_holds_errors_alone(self, start: StartLogging, log_path: Path) -> None:
        handle = start(log_level="debug")
        for level in (logging.DEBUG, logging.WARNING, logging.ERROR, logging.INFO, logging.CRITICAL):
            LOG.log(level, str(level))
        handle.stop()
        assert messages(log_path.with_name("error.log")) == ["40", "50"]
        assert messages(log_path) == ["10", "30", "40", "20", "50"]

    def test_is_rotated_the_same(self, start: StartLogging, log_path: Path) -> None:
        handle = start(log_max_size=500, log_max_files=3)
        for number in range(50):
            LOG.error("%04d", number)
        handle.stop()
        names = {file.name for file in log_path.parent.glob("error.log*")}
        assert names == {"error.log", "error.log.1", "error.log.2"}


class TestAuditLog:
    @pytest.mark.parametrize(
        ("log_level", "in_the_log"), [("error", []), ("warn", []), ("info", ["changed"]), ("debug", ["changed"])]
    )
    def test_holds_audit_lines_alone_whatever_the_level(
        self, start: StartLogging, log_path: Path, log_level: str, in_the_log: list[str]
    ) -> None:
        handle = start(log_level=log_level)
        AUDIT.info("changed", extra={"client": "192.0.2.1", "status": 200})
        for level in (logging.DEBUG, logging.INFO, logging.ERROR):
            logging.getLogger("api").log(level, "other")
        handle.stop()
        (line,) = read(log_path.with_name("audit.log"))
        assert (line["message"], line["client"], line["status"]) == ("changed", "192.0.2.1", 200)
        assert [text for text in messages(log_path) if text != "other"] == in_the_log

    def test_costs_other_loggers_nothing(self, start: StartLogging) -> None:
        start(log_level="error")
        assert not LOG.isEnabledFor(logging.INFO)
        assert not logging.getLogger("api").isEnabledFor(logging.INFO)
        assert AUDIT.isEnabledFor(logging.INFO)

    def test_its_logger_is_undone_with_the_others(self, start: StartLogging) -> None:
        start().stop()
        assert AUDIT.level == logging.NOTSET

    def test_no_line_is_dropped_when_the_queue_is_full(
        self, start: StartLogging, log_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handle = start()
        with monkeypatch.context() as patch:
            patch.setattr(log_setup, "MAX_QUEUED_LINES", 0)
            LOG.info("dropped")
            AUDIT.info("kept")
        handle.stop()
        assert messages(log_path.with_name("audit.log")) == ["kept"]
        assert "dropped" not in messages(log_path)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_on_a_full_disk_its_lines_and_no_others_go_to_the_console(
        self, start: StartLogging, log_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        log_path.parent.mkdir()
        log_path.with_name("audit.log").symlink_to("/dev/full")
        handle = start(log_level="error")
        AUDIT.info("one")
        logging.getLogger("sip").error("other")
        handle.stop()
        report, one = capsys.readouterr().err.splitlines()
        assert report.endswith("audit.log can't be written (No space left on device); its lines go to stderr")
        assert one.endswith("INFO  api.audit: one")

    def test_is_rotated_the_same(self, start: StartLogging, log_path: Path) -> None:
        handle = start(log_max_size=500, log_max_files=3)
        for number in range(50):
            AUDIT.info("%04d", number)
        handle.stop()
        names = {file.name for file in log_path.parent.glob("audit.log*")}
        assert names == {"audit.log", "audit.log.1", "audit.log.2"}


class TestRotation:
    @pytest.mark.parametrize("max_files", [1, 2, 4])
    def test_keeps_so_many_files_of_whole_lines_below_the_size(
        self, start: StartLogging, log_path: Path, max_files: int
    ) -> None:
        handle = start(log_max_size=1000, log_max_files=max_files)
        for number in range(200):
            LOG.info("%04d", number)
        handle.stop()
        files = all_files(log_path)
        assert len(files) == max_files
        assert all(0 < file.stat().st_size <= 1000 for file in files)
        kept = [int(message) for file in files for message in messages(file)]
        assert kept == list(range(200 - len(kept), 200))

    def test_loses_tears_and_doubles_no_line_of_many_threads(self, start: StartLogging, log_path: Path) -> None:
        handle = start(log_max_size=5000, log_max_files=1000)
        together = threading.Barrier(4)

        def work(worker: int) -> None:
            together.wait()
            for number in range(500):
                LOG.info("line", extra={"worker": worker, "number": number})

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        handle.stop()
        files = all_files(log_path)
        assert len(files) > 10
        lines = [line for file in files for line in read(file)]
        for worker in range(4):
            numbers = [line["number"] for line in lines if line["worker"] == worker]
            assert numbers == list(range(500))
        assert len(lines) == 4 * 500

    def test_each_line_is_somewhere_once_whatever_the_disk_does_meanwhile(
        self,
        start: StartLogging,
        log_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Four threads log while the files rotate all the time; every few calls of the system fail: the disk is full in
        the middle of a line, and no file can be renamed."""
        disk = FailingDisk(monkeypatch)
        handle = start(log_max_size=3000, log_max_files=1000)

        def work(worker: int) -> None:
            for number in range(300):
                LOG.info("%d-%d", worker, number)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        handle.stop()

        kept = [message for file in all_files(log_path) for message in messages(file)]
        shown = [line.split("core: ")[1] for line in capsys.readouterr().err.splitlines() if "core: " in line]
        assert sorted(kept + shown) == sorted(f"{worker}-{number}" for worker in range(4) for number in range(300))
        assert disk.full >= 2
        assert disk.stuck >= 2
        assert len(all_files(log_path)) > 10
        assert kept
        assert shown

    def test_old_files_stay_while_the_newest_can_not_be_renamed(
        self, start: StartLogging, log_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handle = start(log_max_size=100, log_max_files=4)
        for number in range(4):
            LOG.info("%d", number)
        handle.stop()
        before = [messages(file) for file in all_files(log_path)]
        assert before == [["0"], ["1"], ["2"], ["3"]]

        def replace(source: str, target: str) -> None:
            if source == str(log_path):
                raise PermissionError(errno.EPERM, "not permitted")
            Path(source).rename(target)

        monkeypatch.setattr(os, "replace", replace)
        handle = start(log_max_size=100, log_max_files=4)
        for number in range(10):
            LOG.info("%d", number)
        handle.stop()
        assert [messages(file) for file in all_files(log_path)] == [["1"], ["2"], ["3"]]

    @pytest.mark.parametrize("max_files", [1, 2])
    def test_a_line_larger_than_a_file_stays_whole(self, start: StartLogging, log_path: Path, max_files: int) -> None:
        handle = start(log_max_size=1000, log_max_files=max_files)
        LOG.info("small")
        LOG.info("%s", "x" * 3000)
        handle.stop()
        assert messages(log_path) == ["x" * 3000]

    def test_files_beyond_a_lowered_count_are_removed_at_start(self, start: StartLogging, log_path: Path) -> None:
        log_path.parent.mkdir()
        for number in range(1, 6):
            Path(f"{log_path}.{number}").write_text("{}\n")
        start(log_max_files=3)
        assert [file.name for file in all_files(log_path)] == ["sip.log.2", "sip.log.1", "sip.log"]

    def test_a_restart_appends(self, start: StartLogging, log_path: Path) -> None:
        for message in ("first run", "second run"):
            handle = start()
            LOG.info(message)
            handle.stop()
        assert messages(log_path) == ["first run", "second run"]

    def test_a_line_torn_by_a_crash_does_not_spoil_the_next(self, start: StartLogging, log_path: Path) -> None:
        log_path.parent.mkdir()
        log_path.write_text('{"message": "whole"}\n{"mess')
        handle = start()
        LOG.info("next")
        handle.stop()
        first, torn, last = log_path.read_text().splitlines()
        assert (json.loads(first)["message"], torn, json.loads(last)["message"]) == ("whole", '{"mess', "next")


class FailingDisk:
    """The calls of the system by which log files are written and renamed.  Of every twenty writes two meet a full
    disk, one of them with half of its lines written; of every five renames two fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = self.stuck = self._writes = self._renames = 0
        self._write, self._replace = os.write, os.replace
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "replace", self.replace)

    def write(self, descriptor: int, data: memoryview) -> int:
        if threading.current_thread().name != "log-writer":
            return self._write(descriptor, data)
        self._writes += 1
        if self._writes % 20 >= 18:
            self.full += 1
            if self._writes % 2:
                return self._write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(descriptor, data)

    def replace(self, source: str, target: str) -> None:
        self._renames += 1
        if self._renames % 5 >= 3:
            self.stuck += 1
            raise OSError(errno.EPERM, "Operation not permitted")
        self._replace(source, target)


class TestStartAndStop:
    def test_stop_writes_everything_joins_the_thread_and_undoes_the_set_up(
        self, start: StartLogging, log_path: Path
    ) -> None:
        root = logging.getLogger()
        names = log_setup.PROJECT_LOGGERS
        before = (list(root.handlers), root.level, [logging.getLogger(name).level for name in names])
        handle = start(log_level="debug")
        assert writer_threads() == ["log-writer"]
        for number in range(5000):
            LOG.debug("%d", number)
        handle.stop()
        assert messages(log_path) == [str(number) for number in range(5000)]
        assert writer_threads() == []
        assert before == (list(root.handlers), root.level, [logging.getLogger(name).level for name in names])

    def test_stop_twice_is_stop_once(self, start: StartLogging, log_path: Path) -> None:
        first, second = start(), start()
        first.stop()
        first.stop()
        LOG.info("still there")
        second.stop()
        assert messages(log_path) == ["still there"]

    def test_nothing_is_written_after_stop(self, start: StartLogging, log_path: Path) -> None:
        start(log_level="debug").stop()
        LOG.error("too late")
        assert read(log_path) == []

    def test_two_servers_with_one_file_write_each_line_once(
        self, start: StartLogging, log_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = start(console=True), start(console=True)
        assert writer_threads() == ["log-writer"]
        LOG.error("both")
        first.stop()
        LOG.error("second")
        second.stop()
        assert messages(log_path) == ["both", "second"]
        assert messages(log_path.with_name("error.log")) == ["both", "second"]
        assert [line.split("core: ")[1] for line in capsys.readouterr().err.splitlines()] == ["both", "second"]

    def test_two_servers_with_two_files_have_every_line_of_their_time(
        self, start: StartLogging, log_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other_path = tmp_path / "other" / "sip.log"
        first = start(console=True)
        LOG.info("alone")
        second = start(console=True, log_file=other_path)
        LOG.info("together")
        first.stop()
        LOG.info("alone again")
        second.stop()
        assert messages(log_path) == ["alone", "together"]
        assert messages(other_path) == ["together", "alone again"]
        assert capsys.readouterr().err.count("\n") == 3

    def test_each_file_has_its_own_level(self, start: StartLogging, log_path: Path, tmp_path: Path) -> None:
        other_path = tmp_path / "other" / "sip.log"
        handles = start(log_level="warn"), start(log_level="debug", log_file=other_path)
        LOG.debug("d")
        LOG.warning("w")
        for handle in handles:
            handle.stop()
        assert messages(log_path) == ["w"]
        assert messages(other_path) == ["d", "w"]

    def test_level_of_the_loggers_follows_who_is_left(self, start: StartLogging, tmp_path: Path) -> None:
        start(log_level="warn")
        second = start(log_level="debug", log_file=tmp_path / "other" / "sip.log")
        assert LOG.isEnabledFor(logging.DEBUG)
        second.stop()
        assert LOG.getEffectiveLevel() == logging.WARNING


class TestFaults:
    @pytest.mark.parametrize("fault", ["parent is a file", "is a directory", "error.log is a directory"])
    def test_unwritable_file_at_start_is_one_line_that_names_the_setting(
        self, start: StartLogging, log_path: Path, fault: str
    ) -> None:
        root_handlers = list(logging.getLogger().handlers)
        if fault == "parent is a file":
            log_path.parent.write_text("")
        elif fault == "is a directory":
            log_path.mkdir(parents=True)
        else:
            log_path.with_name("error.log").mkdir(parents=True)
        with pytest.raises(ConfigError) as caught:
            start()
        message = str(caught.value)
        assert message.startswith("LOG_FILE=")
        assert ": must be a file that can be written (" in message
        assert "\n" not in message
        assert logging.getLogger().handlers == root_handlers
        assert writer_threads() == []

    @pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
    def test_a_failed_start_leaves_no_file_open(self, start: StartLogging, log_path: Path) -> None:
        log_path.with_name("error.log").mkdir(parents=True)
        with pytest.raises(ConfigError) as caught:
            start()
        assert log_path.exists()
        assert str(log_path) not in {str(link.resolve()) for link in Path("/proc/self/fd").iterdir()}
        assert caught.value.__context__ is not None  # the traceback would keep an open handler alive until here

    def test_a_failed_start_leaves_the_running_server_alone(
        self, start: StartLogging, log_path: Path, tmp_path: Path
    ) -> None:
        handle = start()
        with pytest.raises(ConfigError):
            start(log_file=log_path / "under-a-file.log")
        LOG.info("still there")
        handle.stop()
        assert messages(log_path) == ["still there"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_full_disk_is_reported_once_and_the_lines_go_to_the_console(
        self, start: StartLogging, log_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        log_path.parent.mkdir()
        log_path.symlink_to("/dev/full")
        handle = start()
        LOG.info("one")
        LOG.info("two")
        handle.stop()
        report, one, two = capsys.readouterr().err.splitlines()
        assert report == (f"log file {log_path} can't be written (No space left on device); its lines go to stderr")
        assert one.endswith("INFO  sip.core: one")
        assert two.endswith("INFO  sip.core: two")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_with_a_console_no_line_is_shown_twice(
        self, start: StartLogging, log_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        log_path.parent.mkdir()
        log_path.symlink_to("/dev/full")
        handle = start(console=True)
        LOG.info("one")
        handle.stop()
        assert capsys.readouterr().err.count("sip.core: one") == 1

    def test_line_cut_by_a_full_disk_is_taken_back_and_writing_resumes(
        self, start: StartLogging, log_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        handle = start()
        first = start(log_file=log_path.with_name("marker.log"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        LOG.info("before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            LOG.info("%s", "x" * 60_000)
            first.stop()  # waits until all lines so far are written
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        LOG.info("after")
        handle.stop()
        assert messages(log_path) == ["before", "after"]
        err = capsys.readouterr().err
        assert err.count(f"log file {log_path} can't be written (File too large)") == 1
        assert err.count(f"log file {log_path} is written again") == 1

    def test_rotation_that_fails_is_reported_once_and_tried_again(
        self, start: StartLogging, log_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        in_the_way = Path(f"{log_path}.1")
        in_the_way.mkdir(parents=True)
        handle = start(log_max_size=100, log_max_files=2)
        other = start(log_file=log_path.with_name("marker.log"))
        for message in ("one", "two", "three"):
            LOG.info(message)
        other.stop()  # waits until all lines so far are written
        in_the_way.rmdir()
        LOG.info("four")
        handle.stop()
        assert [messages(file) for file in all_files(log_path) if file.suffix != ".log"] == [["one"]]
        assert messages(log_path) == ["four"]
        err = capsys.readouterr().err
        assert err.count("can't be written") == 1
        assert [line.split("core: ")[1] for line in err.splitlines() if "core: " in line] == ["two", "three"]

    def test_a_fault_in_one_line_does_not_end_the_logging(
        self,
        start: StartLogging,
        log_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        mask_secrets = log_setup.mask_secrets

        def faulty(text: str) -> str:
            if text == "poison":
                raise RuntimeError("broken")
            return mask_secrets(text)

        monkeypatch.setattr(log_setup, "mask_secrets", faulty)
        handle = start()
        LOG.info("poison")
        LOG.info("next")
        handle.stop()
        assert messages(log_path) == ["next"]
        assert "RuntimeError: broken" in capsys.readouterr().err

    def test_lines_beyond_the_bound_of_the_queue_are_counted(
        self, start: StartLogging, log_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handle = start()
        with monkeypatch.context() as patch:
            patch.setattr(log_setup, "MAX_QUEUED_LINES", 0)
            for _ in range(3):
                LOG.info("dropped")
        LOG.info("kept")
        handle.stop()
        report = "about 3 log lines were dropped: the log could not be written fast enough"
        assert messages(log_path) == [report, "kept"]
        assert messages(log_path.with_name("error.log")) == [report]


class TestFigures:
    def test_nothing_is_told_while_nothing_is_logged(self) -> None:
        assert log_setup.log_figures() == log_setup.LogFigures()

    def test_errors_and_dropped_lines_are_counted(
        self, start: StartLogging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start(log_file=tmp_path / "other" / "other.log")
        handle = start()
        LOG.error("wrong")
        LOG.info("right")
        handle.stop()  # writes what is queued
        assert log_setup.log_figures() == log_setup.LogFigures(errors=1)
        with monkeypatch.context() as patch:
            patch.setattr(log_setup, "MAX_QUEUED_LINES", 0)
            LOG.info("dropped")
        assert log_setup.log_figures().dropped == 1
        handle = start()
        LOG.info("kept")
        handle.stop()
        # The report of what was dropped is an error too.
        assert log_setup.log_figures() == log_setup.LogFigures(dropped=1, errors=2)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_file_that_cannot_be_written_is_told(self, start: StartLogging, log_path: Path, tmp_path: Path) -> None:
        log_path.parent.mkdir()
        log_path.symlink_to("/dev/full")
        start()
        other = start(log_file=tmp_path / "other" / "other.log")
        LOG.info("lost")
        other.stop()
        assert log_setup.log_figures().failing == 1
