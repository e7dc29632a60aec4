"""python sipserver.py doctor: asks the server that runs, looks at the settings where none does, and says so by its exit
status."""

from __future__ import annotations

import argparse
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import surroundings
from commands import doctor
from config import Config
from sip.credentials import Credentials, PasswordDigests
from store import StoreError
from surroundings import PasswordJudge, examine
from tests.support.office import Office, office_config


def ask(config: Config, capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[int, Any]:
    """Exit status and output."""
    arguments = argparse.Namespace(**{"host": "", "json": True, "lang": "en", **options})
    status = doctor.run(arguments, config)
    output = capsys.readouterr().out
    return status, json.loads(output) if arguments.json else output


def keys(diagnosis: Any) -> dict[str, str]:
    """Severity by rule."""
    return {each["rule"]: each["severity"] for each in diagnosis["findings"]}


def running(office: Office) -> Config:
    """Settings that name the ports of that server."""
    return replace(office.config, sip_port=office.server.sip_port, api_port=office.server.api_port)


def test_the_server_that_runs_is_asked(start_office: Callable[..., Office], capsys: pytest.CaptureFixture[str]) -> None:
    office = start_office(ext_passwords=(("101", "correct horse battery staple"),))
    office.phone("100")
    status, diagnosis = ask(running(office), capsys)
    # It listens on 127.0.0.1, as every server of a test does.
    assert keys(diagnosis) == {
        "only-this-machine": "warning",
        "advertised-addresses": "info",
        "ports-to-open": "warning",
    }
    assert (status, diagnosis["verdict"]) == (1, "warning")


def test_a_weak_password_is_a_problem(start_office: Callable[..., Office], capsys: pytest.CaptureFixture[str]) -> None:
    office = start_office(ext_passwords=(("100", "100"), ("101", "correct horse battery staple")))
    status, diagnosis = ask(running(office), capsys)
    assert keys(diagnosis)["weak-passwords"] == "problem"
    assert diagnosis["findings"][0]["cause"] == "easy to guess: the password of 100"
    assert status == 2


def test_phones_are_looked_at(start_office: Callable[..., Office], capsys: pytest.CaptureFixture[str]) -> None:
    office = start_office()
    for host in ("127.0.0.1", "127.0.0.2"):
        office.phone("100", host=host)
    office.unregistered("999").send_register().wait_final()
    found = keys(ask(running(office), capsys)[1])
    assert found["several-phones-one-number"] == "info"
    assert found["refused-phones"] == "warning"


def test_a_history_that_cannot_be_read_hides_nothing_else(
    start_office: Callable[..., Office], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    office = start_office()

    def fail(_query: object) -> None:
        raise StoreError("a test")

    monkeypatch.setattr(office.server._store, "history", fail)
    status, diagnosis = ask(running(office), capsys)
    assert (status, keys(diagnosis)["only-this-machine"]) == (1, "warning")


def test_where_no_server_runs_settings_and_machine_are_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = office_config(tmp_path, ext_passwords=(("100", "1234"),))
    status, diagnosis = ask(config, capsys)
    found = keys(diagnosis)
    assert (found["server-not-running"], found["weak-passwords"], status) == ("problem", "problem", 2)


def test_a_port_that_another_program_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = office_config(tmp_path, sip_port=port)
        assert keys(ask(config, capsys)[1])["port-taken"] == "problem"


def test_a_server_whose_api_cannot_be_asked(
    start_office: Callable[..., Office], capsys: pytest.CaptureFixture[str]
) -> None:
    office = start_office()
    status = doctor.run(argparse.Namespace(host="", json=True, lang="en"), replace(running(office), api_port=1))
    assert status == doctor.EXIT_NO_ANSWER
    assert "API_PORT=1" in capsys.readouterr().err


@pytest.mark.parametrize(("language", "words"), [("en", "What to do: "), ("ru", "Что делать: ")])
def test_for_people_it_is_text_in_their_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str, words: str
) -> None:
    _, text = ask(office_config(tmp_path), capsys, json=False, lang=language)
    assert words in text and "problem" in text


def test_the_language_of_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")
    assert ask(office_config(tmp_path), capsys, lang="")[1]["language"] == "ru"


# ------------------------------------------------------------------------------------------------ the machine


def examined(config: Config, **more: Any) -> Any:
    return examine(config, Credentials("realm"), PasswordJudge(), 1_900_000_000.0, **more)


def test_each_disk_is_looked_at_once_also_before_the_directories_are_there(tmp_path: Path) -> None:
    config = office_config(tmp_path, data_dir=tmp_path / "not" / "yet", log_file=tmp_path / "logs" / "x.log")
    (disk,) = examined(config).disks
    assert disk.path == str(tmp_path / "not" / "yet")
    assert 0 < disk.free <= disk.total


def test_a_full_disk_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = type("Usage", (), {"free": 1_000_000, "total": 1_000_000_000})
    monkeypatch.setattr(surroundings.shutil, "disk_usage", lambda _path: full)
    assert keys(ask(office_config(tmp_path), capsys)[1])["disk-space"] == "problem"


def test_passwords_are_judged_once_as_long_as_they_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    monkeypatch.setattr(surroundings, "common_among", lambda credentials: judged.append(credentials) or ["100"])
    judge, credentials = PasswordJudge(), Credentials("realm", {"100": PasswordDigests.of("100", "realm", "100")})
    for _ in range(3):
        assert judge.weak(Config(), credentials) == ("100",)
    assert judge.weak(Config(), Credentials("realm")) == ("100",)
    assert len(judged) == 2
