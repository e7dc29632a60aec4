"""`python sipserver.py passwd` as its user meets it."""

from __future__ import annotations

import argparse
import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from commands import COMMANDS, passwd
from config import Config
from sip.credentials import Credentials, PasswordDigests
from sip.kept_passwords import PASSWORD_FILE, passwords_in
from sip.password_store import PasswordStore
from tests.support.program import LIMIT_S, PROGRAM, Ended, run_here

GOOD = "correct horse 7"


class Office:
    """A directory in which the program is run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *arguments: str, typed: str = "", **settings: str) -> Ended:
        """With `typed` on a pipe as its standard input, and nothing in the environment but `settings`."""
        return run_here(self.directory, *arguments, typed=typed, **settings)

    def run_alone(self, *arguments: str, typed: str) -> Ended:
        """The same as a process of its own."""
        command = [sys.executable, str(PROGRAM), *arguments]
        ended = subprocess.run(
            command,
            cwd=self.directory,
            env={},
            input=typed,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def has(self, number: str, password: str) -> bool:
        other = Credentials("sipserver", {number: PasswordDigests.of(number, "sipserver", password)})
        config = replace(Config(), data_dir=self.directory / "data")
        credentials = PasswordStore(config, passwords_in(config)).load()
        return number in credentials and number not in credentials.changed_since(other)

    @property
    def file(self) -> Path:
        return self.directory / "data" / PASSWORD_FILE


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_password_from_a_pipe_is_set_and_not_shown(office: Office) -> None:
    ended = office.run_alone("passwd", "100", typed=f"{GOOD}\n")
    assert (ended.status, ended.errors) == (0, "")
    assert GOOD not in ended.output
    assert "The password of 100 is set." in ended.output
    assert office.has("100", GOOD)
    assert stat.S_IMODE(office.file.stat().st_mode) == 0o600


def test_generate_shows_a_strong_password_once(office: Office) -> None:
    ended = office.run("passwd", "100", "--generate")
    assert ended.status == 0
    found = re.search(r"^The password of 100 is (\S{16})$", ended.output, re.MULTILINE)
    assert found
    assert ended.output.count(found[1]) == 1
    assert office.has("100", found[1])
    again = office.run("passwd", "--generate", "100")
    assert found[1] not in again.output


def test_list_and_remove(office: Office) -> None:
    assert office.run("passwd", "--list").output == "No number has a password; phones in TRUSTED_NETWORKS need none.\n"
    for number in ("101", "100"):
        assert office.run("passwd", number, typed=GOOD).status == 0
    assert office.run("passwd", "--list", EXT_PASSWORDS="105:from outside").output == (
        "100\n101\n105  from the settings\n"
    )
    removed = office.run("passwd", "--remove", "101")
    assert (removed.status, removed.output) == (0, "101 has no password any more.\n")
    assert office.run("passwd", "--list").output == "100\n"
    again = office.run("passwd", "101", "--remove")
    assert (again.status, again.errors) == (1, "sipserver: 101 has no password\n")


def test_a_number_that_left_the_range_can_be_rid_of_its_password(office: Office) -> None:
    office.run("passwd", "120", typed=GOOD, EXT_MAX="120")
    assert office.run("passwd", "120", typed=GOOD).status == 1
    assert office.run("passwd", "--remove", "120").status == 0


@pytest.mark.parametrize(
    ("arguments", "typed", "words"),
    [
        (["100"], "short", "nothing was changed"),
        (["100"], "100", "nothing was changed"),
        (["100"], "", "nothing was changed"),
        (["99"], GOOD, "99 is no number of this office (100-110)"),
        (["bob", "--generate"], "", "bob is no number of this office (100-110)"),
        ([], GOOD, "which number? Try: python sipserver.py passwd 100"),
        (["--remove", "999"], "", "999 is no number of this office (100-110)"),
    ],
)
def test_what_is_refused_with_status_1(office: Office, arguments: list[str], typed: str, words: str) -> None:
    ended = office.run("passwd", *arguments, typed=typed)
    assert (ended.status, ended.output) == (1, "")
    assert words in ended.errors
    assert not office.file.exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"EXT_PASSWORDS": "100:from outside"}, "the password of 100 comes from EXT_PASSWORDS"),
        ({"EXT_PASSWORDS_FILE": "missing"}, "EXT_PASSWORDS_FILE=missing: can't be read"),
        ({"DATA_DIR": ":memory:"}, "DATA_DIR keeps nothing"),
        ({"SIP_PORT": "x"}, "SIP_PORT=x: must be"),
    ],
)
def test_what_the_settings_forbid_has_status_2(office: Office, settings: dict[str, str], words: str) -> None:
    ended = office.run("passwd", "100", typed=GOOD, **settings)
    assert (ended.status, ended.output) == (2, "")
    assert ended.errors.startswith("sipserver: ")
    assert words in ended.errors
    assert ended.errors.count("\n") == 1


def test_a_damaged_file_is_said_and_left_alone(office: Office) -> None:
    office.file.parent.mkdir()
    office.file.write_text("{")
    for arguments in (["100"], ["--list"], ["--remove", "100"]):
        ended = office.run("passwd", *arguments, typed=GOOD)
        assert ended.status == 2
        assert "is damaged" in ended.errors
    assert office.file.read_text() == "{"


def test_wrong_usage_has_status_2(office: Office) -> None:
    assert office.run("passwd", "100", "--generate", "--list").status == 2
    assert office.run("passwort").status == 2


def test_help_tells_of_every_command(office: Office) -> None:
    ended = office.run("--help")
    assert ended.status == 0
    for command in COMMANDS:
        summary = (command.__doc__ or "").partition("\n")[0]
        assert summary
        assert re.search(rf"^\s+{command.NAME}\s+{re.escape(summary[:20])}", ended.output, re.MULTILINE)
        assert f"sipserver.py {command.NAME}" in office.run(command.NAME, "--help").output


class Terminal:
    """Standard input of a person."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "status"), [((GOOD, GOOD), 0), ((GOOD, GOOD + "!"), 1)])
def test_a_person_is_asked_twice(
    office: Office, monkeypatch: pytest.MonkeyPatch, typed: tuple[str, str], status: int
) -> None:
    asked: list[str] = []
    answers = iter(typed)

    def getpass(prompt: str) -> str:
        asked.append(prompt)
        return next(answers)

    monkeypatch.setattr("getpass.getpass", getpass)
    monkeypatch.setattr("sys.stdin", Terminal())
    parser = argparse.ArgumentParser()
    passwd.add_arguments(parser)
    config = replace(Config(), data_dir=office.directory / "data")
    assert passwd.run(parser.parse_args(["100"]), config) == status
    assert asked == ["New password for 100: ", "Once more: "]
    assert office.file.exists() is (status == 0)
