"""sip/password_store.py, sip/kept_passwords.py: where passwords come from, how they are kept, and that a damaged file
opens nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import IN_MEMORY, Config, ConfigError
from sip.credentials import Credentials, PasswordDigests
from sip.kept_passwords import PASSWORD_FILE, passwords_in
from sip.password_store import PasswordStore

ROOT = Path(__file__).resolve().parent.parent.parent

posix_only = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")


def store(directory: Path, **settings: Any) -> PasswordStore:
    config = replace(Config(), data_dir=directory / "data", **settings)
    return PasswordStore(config, passwords_in(config))


def kept(directory: Path) -> Path:
    return directory / "data" / PASSWORD_FILE


def has(credentials: Credentials, number: str, password: str, realm: str = "sipserver") -> bool:
    """The table holds exactly what this password makes."""
    other = Credentials(realm, {number: PasswordDigests.of(number, realm, password)})
    return number in credentials and number not in credentials.changed_since(other)


def fault(passwords: PasswordStore) -> str:
    with pytest.raises(ConfigError) as caught:
        passwords.load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------ the file


def test_the_first_start_finds_no_password_and_makes_no_file(tmp_path: Path) -> None:
    assert store(tmp_path).load().numbers() == []
    assert not (tmp_path / "data").exists()


def test_a_password_is_kept(tmp_path: Path) -> None:
    assert has(store(tmp_path).set("100", "correct horse"), "100", "correct horse")
    assert has(store(tmp_path).load(), "100", "correct horse")


def test_7616_5_2_only_digests_are_kept(tmp_path: Path) -> None:
    store(tmp_path).set("100", "correct horse")
    text = kept(tmp_path).read_text()
    assert "correct horse" not in text
    digests = PasswordDigests.of("100", "sipserver", "correct horse")
    assert json.loads(text) == {
        "realm": "sipserver",
        "numbers": {"100": {"SHA-256": digests.sha256, "MD5": digests.md5}},
    }


@posix_only
def test_the_file_is_for_its_owner_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store(tmp_path).set("100", "correct horse")
    path = kept(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    store(tmp_path).load()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "others could read" in caplog.text


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    passwords = store(tmp_path)
    for word in ("one", "two", "three"):
        passwords.set("100", word)
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names - {f".{PASSWORD_FILE}.lock"} == {PASSWORD_FILE}


def test_set_replaces_and_remove_takes_away(tmp_path: Path) -> None:
    passwords = store(tmp_path)
    passwords.set("100", "first")
    passwords.set("101", "other")
    assert has(passwords.set("100", "second"), "100", "second")
    assert passwords.remove("100").numbers() == ["101"]
    assert passwords.remove("100").numbers() == ["101"]
    assert store(tmp_path).load().numbers() == ["101"]


def test_without_a_data_directory_passwords_last_until_the_end(tmp_path: Path) -> None:
    config = replace(Config(), data_dir=Path(IN_MEMORY))
    passwords = PasswordStore(config, passwords_in(config))
    passwords.set("100", "correct horse")
    assert not passwords.keeps
    assert has(passwords.load(), "100", "correct horse")
    assert passwords.reload_if_changed() is None
    assert not Path(IN_MEMORY).exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        b'{"realm": "sipserver"}',
        b'{"realm": "sipserver", "numbers": []}',
        b'{"realm": "sipserver", "numbers": {"100": "geheim"}}',
        b'{"realm": "sipserver", "numbers": {"100": {"SHA-256": "00", "MD5": "00"}}}',
        b'{"realm": "sipserver", "numbers": {"100": {"SHA-256": 1, "MD5": 2}}}',
        b'{"realm": "sipserver", "numbers": {"x": {"SHA-256": "%s", "MD5": "%s"}}}' % (b"0" * 64, b"0" * 32),
        b'{"realm": "sipserver", "numbers": {"100": {"MD5": "%s"}}}' % (b"0" * 32),
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_refused_at_start_and_not_overwritten(tmp_path: Path, content: bytes) -> None:
    path = kept(tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    assert fault(store(tmp_path)).startswith(f"{path}: is damaged; put back a copy")
    with pytest.raises(ConfigError, match="is damaged"):
        store(tmp_path).set("100", "correct horse")
    assert path.read_bytes() == content


def test_a_file_for_another_realm_is_refused(tmp_path: Path) -> None:
    store(tmp_path, auth_realm="office").set("100", "correct horse")
    assert "set for another AUTH_REALM" in fault(store(tmp_path))
    assert has(store(tmp_path, auth_realm="office").load(), "100", "correct horse", "office")


def test_a_directory_in_place_of_the_file_is_said(tmp_path: Path) -> None:
    kept(tmp_path).mkdir(parents=True)
    assert fault(store(tmp_path)) == f"{kept(tmp_path)}: can't be read (Is a directory)"


def test_a_data_directory_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match=r"can't be opened \((File exists|Not a directory)\)"):
        store(tmp_path).set("100", "correct horse")


# ------------------------------------------------------------------------------------------------ changes from outside


def test_a_change_by_another_process_is_noticed_once(tmp_path: Path) -> None:
    running = store(tmp_path)
    running.load()
    assert running.reload_if_changed() is None
    store(tmp_path).set("100", "correct horse")
    changed = running.reload_if_changed()
    assert changed is not None and has(changed, "100", "correct horse")
    assert running.reload_if_changed() is None


@posix_only
def test_a_file_whose_owner_or_mode_was_put_right_is_read_again(tmp_path: Path) -> None:
    running = store(tmp_path)
    running.set("100", "correct horse")
    kept(tmp_path).chmod(0o400)
    again = running.reload_if_changed()
    assert again is not None and has(again, "100", "correct horse")
    assert running.reload_if_changed() is None


def test_a_change_of_its_own_is_no_news(tmp_path: Path) -> None:
    running = store(tmp_path)
    running.load()
    running.set("100", "correct horse")
    assert running.reload_if_changed() is None


def test_two_processes_do_not_undo_each_other(tmp_path: Path) -> None:
    running, other = store(tmp_path), store(tmp_path)
    running.load()
    other.load()
    other.set("100", "by the command line")
    credentials = running.set("101", "by the API")
    assert has(credentials, "100", "by the command line")
    assert has(credentials, "101", "by the API")


def test_many_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from dataclasses import replace; from pathlib import Path; from config import Config;"
        "from sip.kept_passwords import passwords_in; from sip.password_store import PasswordStore;"
        "config = replace(Config(), data_dir=Path(sys.argv[1])); store = PasswordStore(config, passwords_in(config));"
        "[store.set(str(number), 'correct horse') for number in range(int(sys.argv[2]), int(sys.argv[2]) + 5)]"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "data")]
    started = [subprocess.Popen([*arguments, str(first)], cwd=ROOT) for first in (100, 110, 120)]
    assert [process.wait(timeout=30) for process in started] == [0, 0, 0]
    assert len(store(tmp_path).load()) == 15


def test_a_file_damaged_while_running_changes_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running = store(tmp_path)
    running.set("100", "correct horse")
    kept(tmp_path).write_text("{")
    assert running.reload_if_changed() is None
    assert running.reload_if_changed() is None
    assert caplog.text.count("is damaged") == 1
    assert caplog.text.count("stay as they were") == 1


def test_a_file_that_vanishes_while_running_opens_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = store(tmp_path)
    running.set("100", "correct horse")
    text = kept(tmp_path).read_bytes()
    kept(tmp_path).unlink()
    assert running.reload_if_changed() is None
    assert "stay in force until the next start" in caplog.text
    kept(tmp_path).write_bytes(text)
    back = running.reload_if_changed()
    assert back is not None and has(back, "100", "correct horse")


# ------------------------------------------------------------------------------------------------ the settings


def test_passwords_of_the_settings_win_over_those_kept(tmp_path: Path) -> None:
    store(tmp_path).set("100", "kept")
    store(tmp_path).set("101", "kept")
    given = store(tmp_path, ext_passwords=(("100", "given"), ("102", "given")))
    credentials = given.load()
    assert [
        has(credentials, number, word) for number, word in (("100", "given"), ("101", "kept"), ("102", "given"))
    ] == [
        True,
        True,
        True,
    ]
    assert [given.is_given(number) for number in ("100", "101", "102")] == [True, False, True]


@pytest.mark.parametrize(
    "change", [lambda passwords: passwords.set("100", "x"), lambda passwords: passwords.remove("100")]
)
def test_passwords_of_the_settings_are_changed_there(tmp_path: Path, change: Any) -> None:
    given = store(tmp_path, ext_passwords=(("100", "given"),))
    with pytest.raises(ConfigError, match="the password of 100 comes from EXT_PASSWORDS or EXT_PASSWORDS_FILE"):
        change(given)
    assert not kept(tmp_path).exists()


def secrets_file(directory: Path, text: str) -> Path:
    path = directory / "secrets"
    path.write_text(text, "utf-8")
    return path


def test_a_file_of_passwords(tmp_path: Path) -> None:
    path = secrets_file(tmp_path, "# phones\n100:a,b:c\n\n  101:with space \n")
    credentials = store(tmp_path, ext_passwords_file=path, ext_passwords=(("101", "wins"),)).load()
    assert has(credentials, "100", "a,b:c")
    assert has(credentials, "101", "wins")


def test_a_changed_file_of_passwords_is_noticed(tmp_path: Path) -> None:
    path = secrets_file(tmp_path, "100:first\n")
    running = store(tmp_path, ext_passwords_file=path)
    running.load()
    replacement = tmp_path / "new"
    replacement.write_text("100:second one\n")
    replacement.replace(path)
    changed = running.reload_if_changed()
    assert changed is not None and has(changed, "100", "second one")


@pytest.mark.parametrize(
    ("text", "line"),
    [("100\n", 1), ("100:\n", 1), ("# x\n0100:a\n", 2), ("100:a\n100:b\n", 2), ("111:a\n", 1), (":a", 1)],
)
def test_a_bad_line_is_named_but_not_shown(tmp_path: Path, text: str, line: int) -> None:
    path = secrets_file(tmp_path, text)
    message = f"EXT_PASSWORDS_FILE={path}: line {line} must be number:password, each number of 100-110 once"
    assert fault(store(tmp_path, ext_passwords_file=path)) == message


def test_a_missing_or_binary_file_of_passwords_is_said(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    passwords = store(tmp_path, ext_passwords_file=path)
    assert fault(passwords) == f"EXT_PASSWORDS_FILE={path}: can't be read (No such file or directory)"
    path.write_bytes(b"100:\xff\n")
    assert fault(passwords) == f"EXT_PASSWORDS_FILE={path}: is no UTF-8 text"


# ------------------------------------------------------------------------------------------------ new settings


def test_passwords_of_new_settings_come_into_force(tmp_path: Path) -> None:
    passwords = store(tmp_path, ext_passwords=(("100", "old and long"),))
    passwords.load()
    passwords.set("101", "kept all along")
    config = replace(Config(), data_dir=tmp_path / "data", ext_passwords=(("102", "new and long"),))
    credentials = passwords.configure(config)
    assert sorted(credentials.numbers()) == ["101", "102"]
    assert not passwords.is_given("100")
    assert passwords.reload_if_changed() is None


def test_new_settings_that_cannot_be_used_change_nothing(tmp_path: Path) -> None:
    passwords = store(tmp_path, ext_passwords=(("100", "old and long"),))
    before = passwords.load()
    config = replace(Config(), data_dir=tmp_path / "data", ext_passwords_file=tmp_path / "gone")
    with pytest.raises(ConfigError, match="EXT_PASSWORDS_FILE"):
        passwords.configure(config)
    assert passwords.is_given("100")
    assert passwords.reload_if_changed() is None
    assert passwords.load().numbers() == before.numbers()
