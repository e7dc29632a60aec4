"""docs/deployment.md names files and settings that there are."""

from __future__ import annotations

import re

import config
from config import Config
from tests.deploy.tools import DEPLOY, ROOT

TEXT = (ROOT / "docs" / "deployment.md").read_text()


def test_every_file_it_names_is_there() -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]+\w", TEXT))
    assert [path for path in named if not (ROOT / path).exists()] == []
    linked = re.findall(r"\]\((\.\./[^)#]+)\)", TEXT)
    assert [path for path in linked if not (ROOT / "docs" / path).resolve().exists()] == []


def test_it_names_every_file_that_a_person_uses() -> None:
    used = {path.relative_to(ROOT).as_posix() for path in DEPLOY.rglob("*") if path.is_file()}
    inside = {
        "deploy/docker/Dockerfile",
        "deploy/docker/Dockerfile.dockerignore",
        "deploy/docker/healthcheck.py",
    }
    assert {path for path in used - inside if path not in TEXT and "__pycache__" not in path} == set()


def test_every_setting_it_names_is_one() -> None:
    names = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)[=`]", TEXT))
    assert len(names) > 10
    assert names <= {setting.name for setting in config.SETTINGS}


def test_the_ports_it_names_are_the_defaults() -> None:
    default = Config()
    for line in (
        f"| {default.sip_port} UDP and TCP |",
        f"| {default.sip_tls_port} TCP |",
        f"| {default.rtp_port} to {default.rtp_port_max} UDP |",
        f"| {default.api_port} TCP |",
    ):
        assert line in TEXT
