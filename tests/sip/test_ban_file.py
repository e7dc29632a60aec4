"""The bans on disk."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path

import pytest

from config import IN_MEMORY
from sip.ban_file import BanFile
from sip.snapshots import BanSnapshot

AT = 1_700_000_000.0
BANS = (
    BanSnapshot("203.0.113.7", AT, AT + 3600, "10 wrong passwords within 600 seconds", 10),
    BanSnapshot("2001:db8::/64", AT, None, "stört – 'сеть'\n", 0),
)


def path(directory: Path) -> Path:
    return directory / "bans.json"


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    BanFile(tmp_path / "data").save(BANS)
    assert BanFile(tmp_path / "data").load() == BANS
    BanFile(tmp_path / "data").save(())
    assert BanFile(tmp_path / "data").load() == ()


def test_without_a_file_there_is_no_ban_and_no_complaint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert BanFile(tmp_path).load() == ()
    assert not caplog.records


def test_only_the_owner_may_read_it_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    file = BanFile(tmp_path)
    file.save(BANS)
    path(tmp_path).chmod(0o644)
    file.save(BANS)
    assert stat.S_IMODE(path(tmp_path).stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path(tmp_path)]


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = BanFile(tmp_path)
    file.save(BANS)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError):
        file.save(())
    assert file.load() == BANS
    assert list(tmp_path.iterdir()) == [path(tmp_path)]


ROW = {"address": "203.0.113.7", "since_at": AT, "until_at": None, "reason": "", "failures": 0}


def test_a_server_that_keeps_nothing_keeps_no_bans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    BanFile(Path(IN_MEMORY)).save(BANS)
    assert BanFile(Path(IN_MEMORY)).load() == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"[]",
        b"null",
        b'{"format": 2, "bans": []}',
        b'{"format": 1}',
        b'{"format": 1, "bans": null}',
        b'{"format": 1, "bans": {"a": 1}}',
        b"[" * 100_000,
        *(
            json.dumps({"format": 1, "bans": [{**ROW, **change}]}).encode()
            for change in (
                {"address": "phone"},
                {"address": "203.0.113.0/24"},
                {"address": 7},
                {"since_at": None},
                {"since_at": float("nan")},
                {"since_at": True},
                {"until_at": float("inf")},
                {"until_at": "never"},
                {"reason": None},
                {"failures": -1},
                {"failures": 1.5},
                {"more": 1},
            )
        ),
        json.dumps({"format": 1, "bans": [{"address": "203.0.113.7"}]}).encode(),
    ],
)
def test_a_damaged_file_is_set_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file = BanFile(tmp_path)
    path(tmp_path).write_bytes(content)
    with caplog.at_level(logging.WARNING, "sip.ban_file"):
        assert file.load() == ()
    assert len(caplog.records) == 1
    assert str(tmp_path / "bans.damaged") in caplog.text
    assert (tmp_path / "bans.damaged").read_bytes() == content
    file.save(BANS)
    assert file.load() == BANS


def test_a_file_that_cannot_be_read_stays_where_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = BanFile(tmp_path)
    path(tmp_path).mkdir()
    with caplog.at_level(logging.WARNING, "sip.ban_file"):
        assert file.load() == ()
    assert "can't be read" in caplog.text
    assert path(tmp_path).is_dir()
