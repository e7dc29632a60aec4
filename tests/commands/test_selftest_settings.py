"""What the self-test finds of settings and files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from commands.selftest import settings
from commands.selftest.verdict import Finding, Level
from config import IN_MEMORY, Config
from tests.support.office import Office
from tests.support.selftest import look, scene_of
from tests.support.tls import TlsFiles

PUBLIC_ADDRESS = "8.8.8.8"
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes of files are those of POSIX")


@pytest.fixture
def check(office: Office) -> Callable[..., dict[str, Finding]]:
    """The findings about settings that differ from those of the office."""
    scene = scene_of(office)

    def judge(**changes: Any) -> dict[str, Finding]:
        changed = replace(scene, config=replace(scene.config, **changes))
        return {each.check: each for each in settings.check(changed)}

    return judge


@pytest.mark.parametrize(
    ("networks", "auth_required", "level"),
    [
        ((), False, Level.OK),
        (("192.168.1.0/24", "fd00::/8"), False, Level.OK),
        (("100.64.0.0/10",), False, Level.OK),
        (("10.0.0.0/8", "198.51.100.7/32"), False, Level.WARNING),
        (("2001:db8::1/128",), False, Level.WARNING),
        (("198.51.0.0/16",), False, Level.DANGER),
        (("0.0.0.0/0",), False, Level.DANGER),
        (("::/0",), False, Level.DANGER),
        (("0.0.0.0/0",), True, Level.WARNING),
    ],
)
def test_trusting_the_internet_is_dangerous(
    check: Callable[..., dict[str, Finding]], networks: tuple[str, ...], auth_required: bool, level: Level
) -> None:
    found = check(trusted_networks=tuple(map(ip_network, networks)), auth_required=auth_required)["trusted-networks"]
    assert found.level is level
    assert level is Level.OK or networks[-1] in found.meaning


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, Level.OK),
        ({"auth_required": True}, Level.OK),
        ({"server_address": PUBLIC_ADDRESS}, Level.WARNING),
        ({"server_address": PUBLIC_ADDRESS, "auth_required": True}, Level.OK),
    ],
)
def test_on_a_public_address_everybody_should_need_a_password(
    check: Callable[..., dict[str, Finding]], changes: dict[str, Any], level: Level
) -> None:
    assert check(**changes)["auth-required"].level is level


@pytest.mark.parametrize(
    ("name", "changes", "level"),
    [
        ("bans", {}, Level.OK),
        ("bans", {"ban_after": 0}, Level.WARNING),
        ("rate-limits", {"api_rate_limit": 600}, Level.OK),
        ("rate-limits", {"api_rate_limit": 0}, Level.WARNING),
        ("rate-limits", {"sip_rate_limit": 0, "api_rate_limit": 600}, Level.WARNING),
        ("connections", {}, Level.OK),
        ("connections", {"sip_max_connections": 50}, Level.WARNING),
    ],
)
def test_guards_that_are_off_are_named(
    check: Callable[..., dict[str, Finding]], name: str, changes: dict[str, Any], level: Level
) -> None:
    assert check(**changes)[name].level is level


# ------------------------------------------------------------------------------------------------ files


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "tls").mkdir()
    for name, mode in (
        ("passwords.json", 0o600),
        ("bans.json", 0o600),
        ("tls/server.pem", 0o644),
        ("tls/ca.pem", 0o644),
    ):
        (tmp_path / name).touch(mode)
    return replace(Config(), data_dir=tmp_path)


@POSIX
def test_files_for_their_owner_alone_are_fine(config: Config) -> None:
    assert settings.check_files(config).level is Level.OK


@POSIX
@pytest.mark.parametrize(
    ("name", "mode", "level"),
    [
        ("passwords.json", 0o640, Level.DANGER),
        ("api-token", 0o604, Level.DANGER),
        ("tls/server.key", 0o644, Level.DANGER),
        ("bans.json", 0o644, Level.WARNING),
    ],
)
def test_files_that_others_can_read_are_named(config: Config, name: str, mode: int, level: Level) -> None:
    path = config.data_dir / name
    path.touch()
    path.chmod(mode)
    found = settings.check_files(config)
    assert found.level is level
    assert str(path) in found.meaning and found.advice == f"chmod 600 {path}"


@POSIX
def test_a_directory_that_everybody_may_write_to_is_dangerous(config: Config) -> None:
    config.data_dir.chmod(0o777)
    assert settings.check_files(config).level is Level.DANGER


@POSIX
def test_files_named_by_the_settings_are_looked_at(config: Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    files = TlsFiles.make(elsewhere)
    passwords = elsewhere / "ext_passwords"
    passwords.touch(0o644)
    config = replace(config, tls_cert=files.certificate, tls_key=files.key, ext_passwords_file=passwords)
    passwords.chmod(0o444)
    found = settings.check_files(config)
    assert (found.level, found.advice) == (Level.WARNING, f"chmod 600 {passwords}")
    files.key.chmod(0o644)
    assert settings.check_files(config).level is Level.DANGER


def test_where_nothing_is_kept_there_is_nothing_to_read(config: Config) -> None:
    gone = settings.check_files(replace(config, data_dir=config.data_dir / "gone"))
    assert gone.level is Level.SKIPPED or os.name != "posix"
    if sys.platform == "linux":
        assert settings.check_files(replace(config, data_dir=Path(IN_MEMORY))).level is Level.OK


@POSIX
def test_a_running_server_keeps_its_files_private(start_office: Callable[..., Office]) -> None:
    office = start_office(api_hosts=("pbx.selftest.invalid",))
    office.server.set_password("100", "sea-gull-17")
    found = look(office)
    assert found["files"].level is Level.OK
    assert found["api-token"].level is Level.OK
