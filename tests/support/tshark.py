"""tshark, which reads captures as Wireshark does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def read_capture(data: bytes, directory: Path, *fields: str, **options: str) -> list[list[str]]:
    """The fields of every packet, and last what tshark finds wrong with it.  Checksums are checked.

    Skips the test without tshark; where CI says that it must be there, fails it."""
    program = shutil.which("tshark")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("tshark is missing")
        pytest.skip("tshark is not installed")
    path = directory / "call.pcap"
    path.write_bytes(data)
    command = [program, "-r", str(path), "-T", "fields", "-E", "separator=/t", "-E", "occurrence=f"]
    for protocol in ("ip", "udp", "tcp"):
        command += ["-o", f"{protocol}.check_checksum:TRUE"]
    for name, value in options.items():
        command += ["-o", f"{name}:{value}"]
    for field in (*fields, "_ws.expert.message"):
        command += ["-e", field]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [line.split("\t") for line in run.stdout.splitlines()]
