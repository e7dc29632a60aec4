"""One server per data directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from store.lock import DirectoryInUse, DirectoryLock

LIMIT_S = 20.0
ROOT = Path(__file__).parent.parent.parent


def test_the_second_is_refused_until_the_first_is_through(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path / "lock"), DirectoryLock(tmp_path / "lock")
    first.acquire()
    first.acquire()
    with pytest.raises(DirectoryInUse, match=r"a server is running on it; stop that one first") as caught:
        second.acquire()
    assert str(tmp_path) in str(caught.value)
    first.release()
    second.acquire()
    second.release()
    second.release()


def test_the_death_of_a_process_releases_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from store.lock import DirectoryLock;"
        "DirectoryLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DirectoryInUse):
            DirectoryLock(path).acquire()
        holder.kill()
        holder.wait(LIMIT_S)
    lock = DirectoryLock(path)
    lock.acquire()
    lock.release()


def test_the_file_is_private(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "lock")
    lock.acquire()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_missing_directory_is_no_lock_of_another(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DirectoryLock(tmp_path / "none" / "lock").acquire()
