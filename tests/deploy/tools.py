"""Programs that judge what stands in deploy/; a test that finds one missing is skipped and says which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"

LIMIT_S = 60.0
"""How long a process may take before a test fails; never how long it does take."""


def needs(program: str, source: str) -> str:
    """Its path; `source` says where it comes from.  Without it the test is skipped, or fails where the environment says
    CI=true."""
    beside_python = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    path = shutil.which(program, path=beside_python)
    if path is not None:
        return path
    reason = f"{program} is not installed ({source})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def output(*command: str | Path) -> tuple[int, str]:
    """Exit status of a program, and what it said."""
    ended = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return ended.returncode, ended.stdout
