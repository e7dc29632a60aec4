"""`env.example` and the settings table say the same, both ways."""

from __future__ import annotations

from pathlib import Path

import config

EXAMPLE = Path(__file__).parent.parent / "env.example"
REMAKE = "python -c \"import config; print(config.env_example(), end='')\" > env.example"


def assigned_names() -> list[str]:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    return [line.partition("=")[0] for line in lines if line and not line.startswith("#")]


def test_file_is_exactly_what_the_settings_table_says() -> None:
    assert EXAMPLE.read_text("utf-8") == config.env_example(), f"make it anew: {REMAKE}"


def test_every_setting_is_in_the_file_once_and_in_order() -> None:
    assert assigned_names() == [setting.name for setting in config.SETTINGS]


def test_every_setting_is_explained_on_the_line_above() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    for name in assigned_names():
        (index,) = [i for i, line in enumerate(lines) if line.startswith(f"{name}=")]
        assert lines[index - 1].startswith("# ")
        assert lines[index - 1].endswith(".")


def test_loading_the_file_gives_the_defaults() -> None:
    assert config.load({}, EXAMPLE) == config.Config()


def test_no_secret_has_a_default() -> None:
    secrets = [setting for setting in config.SETTINGS if setting.secret]
    assert [setting.name for setting in secrets] == ["DATABASE_URL", "API_TOKEN", "EXT_PASSWORDS"]
    assert [setting.default for setting in secrets] == ["", "", ""]
