"""The server under test: `python sipserver.py` as a process of its own, and its HTTP API."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from config import SETTINGS
from rtp.loop import MAX_WAITING
from rtp.pool import MAX_RESTING
from tests.interop.programs import ServerProgram, eventually, free_ports, is_free
from tests.support.tls import TlsFiles

MEDIA_PORTS = 400
"""Ports for media: a hundred calls at a time."""

_RINGBACK_PACKETS = 60
RINGBACK_HZ = 425

# Below the ports that the system hands out by itself, and away from those of the phones.
_MEDIA_RANGE = range(11_000, 30_000)


class Exchange:
    """A running server on 127.0.0.1 with ports of its own; numbers 100 to 110."""

    def __init__(self, directory: Path, tls_files: TlsFiles, **more_settings: str) -> None:
        """`more_settings` are environment variables."""
        directory.mkdir()
        self.ca_file = tls_files.ca
        self.media_ports = free_ports(MEDIA_PORTS, _MEDIA_RANGE)
        # An empty value is the default, so nothing of the developer's own environment comes through.
        settings = dict.fromkeys((setting.name for setting in SETTINGS), "") | {
            "SIP_HOST": "127.0.0.1",
            "SIP_PORT": "0",
            "SIP_TLS_PORT": "0",
            "TLS_CERT": str(tls_files.certificate),
            "TLS_KEY": str(tls_files.key),
            "API_PORT": "0",
            "API_RATE_LIMIT": "0",
            "RTP_HOST": "127.0.0.1",
            "RTP_PORT": str(self.media_ports.start),
            "RTP_PORT_MAX": str(self.media_ports.stop - 1),
            "DATA_DIR": str(directory / "data"),
            "LOG_FILE": str(directory / "sip-server.log"),
            **more_settings,
        }
        self.program = ServerProgram(directory, settings)
        try:
            self.port = int(self.program.wait_for(r"SIP +127\.0\.0\.1:(\d+)")[1])
            self.tls_port = int(self.program.wait_for(r"127\.0\.0\.1:(\d+)  TLS")[1])
            self._api = self.program.wait_for(r"page +(http://127\.0\.0\.1:\d+)/")[1]
        except BaseException:
            self.program.close()
            raise
        self.address = f"127.0.0.1:{self.port}"
        self.tls_address = f"127.0.0.1:{self.tls_port}"

    def get(self, path: str) -> Any:
        """The JSON answer of the API."""
        with urllib.request.urlopen(self._api + path, timeout=10) as response:
            return json.load(response)

    def post(self, path: str, body: Any) -> Any:
        """The JSON of a success."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._api + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def uri(self, number: str) -> str:
        return f"sip:{number}@{self.address}"

    def user(self, number: str) -> dict[str, Any]:
        """The registration of `number`, once it is there."""

        def found() -> list[dict[str, Any]]:
            return [user for user in self.get("/api/users") if user["number"] == number]

        return eventually(found, f"{number} is registered")[0]

    def wait_for_audio(self, packets: int) -> Mapping[str, dict[str, Any]]:
        """The streams of the only call, by sender, once both have carried so many more packets than now."""
        start = {sender: stream["packets"] for sender, stream in self._streams().items()}

        def flowing() -> Mapping[str, dict[str, Any]]:
            streams = self._streams()
            arrived = [stream["packets"] - start.get(sender, 0) >= packets for sender, stream in streams.items()]
            return streams if len(arrived) == 2 and all(arrived) else {}

        return eventually(flowing, f"{packets} packets of audio in each direction")

    def wait_for_ringback(self) -> None:
        """Until the ringing tone has been sent to the first phone for a second and more."""
        eventually(lambda: self._streams().get("callee", {}).get("packets", 0) >= _RINGBACK_PACKETS, "a ringing tone")

    def _streams(self) -> dict[str, dict[str, Any]]:
        return {stream["sender"]: stream for stream in self.get("/api/rtp-streams")}

    def ended_calls(self, count: int) -> list[dict[str, Any]]:
        """The history, newest first, once `count` calls have ended."""

        def ended() -> list[dict[str, Any]]:
            history: list[dict[str, Any]] = self.get("/api/calls/history")
            return history if len(history) >= count else []

        history = eventually(ended, f"{count} ended calls")
        assert len(history) == count
        return history

    def explained(self, call: dict[str, Any]) -> tuple[str, list[str]]:
        """What the server says of a call: the verdict, and the rules that have spoken."""
        explanation = self.get(f"/api/calls/{quote(call['callId'], safe='')}/explain")
        return explanation["verdict"], [finding["rule"] for finding in explanation["findings"]]

    def assert_idle(self) -> None:
        """No call, no stream, and no more media ports bound than rest for the next call or wait to be closed."""
        eventually(lambda: self.get("/api/calls") == [], "no call is left")
        eventually(lambda: self.get("/api/rtp-streams") == [], "no stream is left")
        resting = 2 * (MAX_RESTING + MAX_WAITING)
        eventually(lambda: sum(not is_free(port) for port in self.media_ports) <= resting, "media ports are free")
        assert self.get("/api/statistics")["rtp"]["activeStreams"] == 0

    def stop(self) -> None:
        """End it as an administrator would; it must end in order and without a fault on its console."""
        self.program.terminate()
        status = self.program.wait()
        assert status == 0, f"the server ended with status {status}"
        faults = [line for line in self.program.output.splitlines() if " ERROR " in line or "Traceback" in line]
        assert not faults, f"the server met faults: {faults}"
