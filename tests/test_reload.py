"""SIGHUP: which settings come into force, which wait for a restart, and that a wrong one changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import reload
from config import SETTINGS, Config, ConfigError, load


class Server:
    """Remembers what it is told; can't read passwords if it is said so."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ends = 0
        self.fault = ""

    def configure(self, config: Config) -> int:
        if self.fault:
            raise ConfigError(self.fault)
        self.config = config
        return self.ends


class Place:
    """A directory with a `.env`, a server that was started from it, and what it logs."""

    def __init__(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.dotenv = directory / ".env"
        self.server = Server(load({}))
        self.levels: list[str] = []
        self._caplog = caplog

    def reload(self, dotenv: str) -> list[tuple[str, str]]:
        """With these settings in the file; what was logged."""
        self.dotenv.write_text(dotenv)
        self._caplog.clear()
        with self._caplog.at_level(logging.INFO, "reload"):
            reload.reload(self.server, self.levels.append)
        return [(record.levelname, record.getMessage()) for record in self._caplog.records]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Place:
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    return Place(tmp_path, caplog)


def test_what_can_change_is_in_force_and_what_cannot_is_named(place: Place) -> None:
    lines = place.reload("EXT_MAX=120\nLOG_LEVEL=debug\nSIP_PORT=5070\n")
    assert (place.server.config.ext_max, place.server.config.sip_port) == (120, 5060)
    assert place.levels == ["debug"]
    assert lines == [
        ("INFO", "settings were read again; changed and in force: EXT_MAX, LOG_LEVEL"),
        ("WARNING", "changed, but in force only after a restart: SIP_PORT"),
    ]
    again = place.reload("EXT_MAX=120\nLOG_LEVEL=debug\nSIP_PORT=5070\n")
    assert again[0] == ("INFO", "settings were read again; changed and in force: none")
    assert again[1] == lines[1]


def test_what_is_taken_out_of_the_file_has_its_default_again(place: Place) -> None:
    place.reload("SIP_RATE_LIMIT=7")
    place.reload("")
    assert place.server.config == load({})


@pytest.mark.parametrize(
    ("dotenv", "words"),
    [
        ("LOG_LEVEL=loud\nEXT_MAX=120", "LOG_LEVEL=loud: must be error, warn, info or debug"),
        ("EXT_MAX=99", "EXT_MIN=100: must be at most EXT_MAX=99"),
        ("EXT_MAX=120\n= 1", "line 2 must be NAME=value"),
        ("SIP_PORT=x\nEXT_MAX=120", "SIP_PORT=x: must be"),
    ],
)
def test_a_wrong_setting_leaves_everything_as_it_was(place: Place, dotenv: str, words: str) -> None:
    before = place.server.config
    [(level, text)] = place.reload(dotenv)
    assert (level, words in text) == ("ERROR", True), text
    assert text.startswith("the settings stay as they were: ")
    assert (place.server.config, place.levels) == (before, [])


def test_what_can_change_may_contradict_what_cannot(place: Place) -> None:
    """Both are right together after the restart, but the number of the echo is still the old one."""
    place.server.config = load({"TEST_ECHO": "120"})
    [(level, text)] = place.reload("EXT_MAX=130\nTEST_ECHO=140\n")
    assert (level, place.server.config.ext_max) == ("ERROR", 110)
    assert "TEST_ECHO=120" in text


def test_passwords_that_cannot_be_read_leave_everything_as_it_was(place: Place) -> None:
    place.server.fault = "EXT_PASSWORDS_FILE=gone: can't be read (No such file or directory)"
    lines = place.reload("EXT_PASSWORDS_FILE=gone\nLOG_LEVEL=debug")
    assert lines == [("ERROR", f"the settings stay as they were: {place.server.fault}")]
    assert place.levels == []


def test_no_secret_is_shown(place: Place) -> None:
    lines = place.reload("EXT_PASSWORDS=100:hush-hush\nAPI_TOKEN=quite-a-secret-token\n")
    assert "EXT_PASSWORDS" in str(lines)
    assert "API_TOKEN" in str(lines)
    assert "hush" not in str(lines)
    assert "quite-a" not in str(lines)


def test_what_ended_and_what_is_misspelt_is_said(place: Place) -> None:
    place.server.ends = 3
    lines = place.reload("AUTH_REQUIRED=true\nEXT_MAXX=120\n")
    assert ("INFO", "3 registrations ended that the new settings would not let in") in lines
    assert any("is EXT_MAX meant?" in text for _, text in lines)
