"""What the scanners of the trade (Debian package sipvicious) find out about a server that has passwords: nothing.

Each tool is also run against a server without passwords, where it does find something: so its silence means something.
The tools scan from 127.0.0.1, which is no trusted network here, as an outsider would from the internet.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.programs import require
from tests.support.office import Office

pytestmark = pytest.mark.interop

LIMIT_S = 60.0
"""How long a scan may take before the test fails; it takes a few seconds."""

SILENCE_S = "5"
"""After so long without an answer svwar and svcrack stop sending."""

PASSWORDS = (("100", "korrekt-Pferd-7"), ("105", "batterie-Stapel-9"))

_ROW = re.compile(r"^\| (?P<key>\S+) +\| (?P<value>.*?) +\|$", re.MULTILINE)
_HEADINGS = {"SIP", "Extension"}

Scan = Callable[..., dict[str, str]]


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    """Runs a tool against a server; the rows of the table that it prints: extension or address -> what it found."""

    def run(tool: str, office: Office, *options: str) -> dict[str, str]:
        path = require(tool, "sipvicious")
        command = [path, "-p", str(office.server.sip_port), "-b", "127.0.0.1", "-x", "127.0.0.1", *options, "127.0.0.1"]
        # The tools keep what they find below HOME.
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        print(f"--- {' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return {row["key"]: row["value"] for row in _ROW.finditer(done.stdout) if row["key"] not in _HEADINGS}

    return run


@pytest.fixture
def closed_office(start_office: Callable[..., Office]) -> Office:
    """A server on the internet: two numbers have a password, and nobody may do without."""
    return start_office(ext_passwords=PASSWORDS, auth_required=True, trusted_networks=())


# ------------------------------------------------------------------------------------------------ svmap


def test_svmap_learns_no_name_and_no_version(closed_office: Office, scan: Scan) -> None:
    found = scan("svmap", closed_office)
    assert found == {f"127.0.0.1:{closed_office.server.sip_port}": "unknown"}


# ------------------------------------------------------------------------------------------------ svwar


def test_svwar_finds_every_number_of_a_trusting_office(office: Office, scan: Scan) -> None:
    found = scan("svwar", office, "-e", "95-115", "-m", "REGISTER", "--maximumtime", SILENCE_S)
    assert found == {str(number): "noauth" for number in range(100, 111)}


@pytest.mark.parametrize(
    ("method", "force"), [("REGISTER", ()), ("OPTIONS", ()), ("INVITE", ()), ("INVITE", ("--force",))]
)
def test_svwar_finds_no_number(closed_office: Office, scan: Scan, method: str, force: tuple[str, ...]) -> None:
    options = ("-e", "95-115", "-m", method, "--maximumtime", SILENCE_S, *force)
    assert scan("svwar", closed_office, *options) == {}


# ------------------------------------------------------------------------------------------------ svcrack


def test_svcrack_sees_that_a_trusting_office_needs_no_password(office: Office, scan: Scan) -> None:
    found = scan("svcrack", office, "-u", "100", "-r", "1-20", "--maximumtime", SILENCE_S)
    assert found == {"100": "[no password]"}


@pytest.mark.parametrize("number", ["100", "101", "999"])
def test_svcrack_finds_no_password(closed_office: Office, scan: Scan, tmp_path: Path, number: str) -> None:
    """Neither for a number that has one, nor that has none, nor that is none.  The tool knows MD5 alone; what
    becomes of one that tries many passwords is tested with the bans."""
    words = tmp_path / "words"
    words.write_text("".join(f"{word}\n" for word in ("1234", number, "secret", "password")))
    found = scan("svcrack", closed_office, "-u", number, "-d", str(words), "--maximumtime", SILENCE_S)
    assert found == {}
    assert closed_office.numbers() == []
