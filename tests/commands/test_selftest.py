"""`python sipserver.py selftest --security` as its user meets it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

import sipserver
from commands import COMMANDS, selftest
from commands.selftest import scene as scenes
from commands.selftest.verdict import Finding, Level, Report
from config import Config
from tests.support.office import Office
from tests.support.selftest import INSIDE, settings_of

CHECKS = {
    "enumeration",
    "strangers",
    "own-network",
    "banner",
    "weak-passwords",
    "missing-passwords",
    "trusted-networks",
    "auth-required",
    "bans",
    "rate-limits",
    "connections",
    "files",
    "tcp",
    "api-reach",
    "api-foreign-pages",
    "media-ports",
    "media-injection",
    "certificate",
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The program with these arguments and settings, on a machine whose only address is that of loopback."""
    monkeypatch.setattr(scenes, "_own_addresses", lambda server: [INSIDE])

    def main(config: Config, *arguments: str) -> int:
        monkeypatch.setattr(sipserver, "load", lambda: config)
        return sipserver.main(["selftest", "--security", *arguments])

    return main


def test_it_is_a_command() -> None:
    assert selftest in COMMANDS


def test_a_fresh_office_has_warnings_only_and_nobody_is_disturbed(
    office: Office, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    phone = office.phone("100")
    assert run(settings_of(office), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "warning"
    assert report["server"] == f"127.0.0.1:{office.server.sip_port}"
    levels = {each["check"]: each["level"] for each in report["checks"]}
    assert levels.keys() == CHECKS
    assert (levels["own-network"], levels["media-injection"], levels["strangers"]) == ("warning", "ok", "skipped")
    assert office.numbers() == ["100"]
    assert office.api.get("/api/calls") == []
    assert [str(message.status) for message in phone.messages("received")] == ["200"]


def test_the_text_says_what_is_wrong_and_what_to_do(
    office: Office, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    # The server was started before these settings were made.
    assert run(settings_of(office, trusted_networks=())) == selftest.EXIT_DANGER
    text = capsys.readouterr().out
    assert "DANGER    Strangers get in without a password\n" in text
    assert "What to do: Restart the server" in text
    assert text.splitlines()[-1].endswith("before this server is reachable from outside.")
    assert max(map(len, text.splitlines())) <= 160


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--host", "127.0.0.1"]])
def test_no_server_is_told_apart_from_a_dangerous_one(
    arguments: list[str], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((INSIDE, 0))
        config = replace(Config(), sip_host=INSIDE, sip_port=silent.getsockname()[1])
        assert run(config, *arguments) == selftest.EXIT_NO_SERVER
    output = capsys.readouterr()
    assert "no SIP server answers at" in output.err
    if "--json" in arguments:
        assert json.loads(output.out)["verdict"] == "unreachable"


def test_a_port_that_the_settings_leave_open_is_asked_for(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(replace(Config(), sip_port=0)) == sipserver.EXIT_USAGE
    assert "SIP_PORT=0" in capsys.readouterr().err


def test_what_is_to_be_tested_must_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sipserver.main(["selftest"])
    assert ended.value.code == 2
    assert "--security" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ([], Level.OK),
        ([Level.OK, Level.SKIPPED], Level.OK),
        ([Level.OK, Level.WARNING, Level.SKIPPED], Level.WARNING),
        ([Level.DANGER, Level.WARNING, Level.OK], Level.DANGER),
    ],
)
def test_the_verdict_is_the_worst_finding(levels: list[Level], verdict: Level) -> None:
    found = tuple(Finding(f"check-{level}", level, "Title", "Meaning.") for level in levels)
    report = Report("127.0.0.1:5060", (), found)
    assert report.level is verdict
    assert report.to_json()["verdict"] == str(verdict)
    assert report.to_text().count("Meaning.") == len(levels)
