"""A disk that is full or read-only, for everything that is written but the database (see tests/store)."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import log_setup
from log_setup import start_logging
from tests.support.faulty import (
    LogLines,
    fault,
    phones_register_and_call,
    problems,
    wait_for_problem,
    wait_until_well,
)
from tests.support.office import Office, office_config

FULL_AND_READ_ONLY = pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_logs_on_a_full_disk(start: Callable[..., Office], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = office_config(tmp_path)
    config.log_file.parent.mkdir(parents=True)
    config.log_file.symlink_to("/dev/full")
    handle = start_logging(config, console=False)
    try:
        office = start()
        wait_for_problem(office, "1 log files can't be written")
        phones_register_and_call(office)
        config.log_file.unlink()
        office.phone("100").unregister()
        wait_until_well(office)
    finally:
        handle.stop()
    assert "100 registered" in config.log_file.read_text()
    told = capfd.readouterr().err
    assert told.count("can't be written (No space left on device)") == 1
    assert told.count("is written again") == 1


def test_a_queue_of_lines_that_is_full(
    start: Callable[..., Office], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = office_config(tmp_path)
    handle = start_logging(config, console=False)
    try:
        office = start()
        with monkeypatch.context() as patch:
            patch.setattr(log_setup, "MAX_QUEUED_LINES", 0)
            phones_register_and_call(office)
        assert log_setup.log_figures().dropped
        wait_for_problem(office, "log lines were never written")
        logging.getLogger("sipserver").info("there is room again")
    finally:
        handle.stop()
    text = config.log_file.read_text()
    assert "log lines were dropped" in text
    assert "there is room again" in text


@FULL_AND_READ_ONLY
def test_bans(start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    office = start()
    with monkeypatch.context() as patch:
        patch.setattr("sip.ban_file.replace_private", _failing(number))
        assert office.api.request("POST", "/api/bans", {"address": "203.0.113.7"}).status == 201
        for _ in range(3):
            office.server._safekeeping.tick()
        assert problems(office) == ["bans can't be saved and would be gone after a restart"]
        assert [ban["address"] for ban in office.api.get("/api/bans")] == ["203.0.113.7"]
        phones_register_and_call(office)
    assert len(lines.take("bans can't be saved")) == 1

    office.server._safekeeping.tick()
    assert problems(office) == []
    assert "203.0.113.7" in (office.config.data_dir / "bans.json").read_text()
    lines.take("banned by the administrator")


@FULL_AND_READ_ONLY
def test_passwords(start: Callable[..., Office], monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A password that can't be kept is not in force: after a restart it would be gone, and the door open."""
    office = start()
    path = "/api/extensions/100/password"
    assert office.api.request("PUT", path, {"password": "correct horse battery"}).status in (200, 201, 204)
    with monkeypatch.context() as patch:
        patch.setattr("sip.kept_passwords.replace_private", _failing(number))
        answer = office.api.request("PUT", path, {"password": "another long password"})
        assert answer.status == 409
        assert fault(number).strerror in answer.json["detail"]
        phones_register_and_call(office)
    office.phone("100", password="correct horse battery")
    assert office.server.numbers_with_password() == {"100"}


def _failing(number: int) -> Callable[..., None]:
    def replace_private(_path: Path, _data: bytes) -> None:
        raise fault(number)

    return replace_private
