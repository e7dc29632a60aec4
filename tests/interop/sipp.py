"""SIPp as a phone: one run of one scenario of `scenarios/`, on one port.

Registering and calling are two runs on the same port, as one SIPp runs one scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.interop.exchange import Exchange
from tests.interop.programs import Program, free_port, free_ports

SCENARIOS = Path(__file__).with_name("scenarios")

_MEDIA_RANGE = range(30_000, 32_760)
"""Apart from the media ports of the exchange."""

Launch = Callable[..., Program]


class SippPhone:
    """A number with a port of its own; each method starts one SIPp and returns it or its success."""

    def __init__(
        self, path: str, launch: Launch, directory: Path, exchange: Exchange, number: str, transport: str = "UDP"
    ) -> None:
        self.number = number
        self.port = free_port()
        # SIPp binds the port it is given and the second one after it.
        self.media_port = free_ports(4, _MEDIA_RANGE).start
        self._path = path
        self._launch = launch
        self._exchange = exchange
        self._directory = directory / f"sipp-{number}"
        self._directory.mkdir()
        self._mode = {"UDP": "u1", "TCP": "t1"}[transport]
        self._runs = 0

    @property
    def directory(self) -> Path:
        """Where SIPp runs: a scenario finds its capture file there."""
        return self._directory

    def register(self) -> None:
        self.play("register.xml")

    def play(self, scenario: str, *options: str, to: str = "", limit_s: float = 30.0) -> None:
        """Run a scenario to its end; every call in it must succeed."""
        self.finish(self.start(scenario, *options, to=to), limit_s)

    def listen(self, scenario: str, *options: str, heard_at: int = 0) -> Program:
        """Start a scenario that waits for calls; returns once it listens.  `heard_at` is the port that its SDP names
        for audio, when that is not to be SIPp's own."""
        program = self.start(scenario, *options, heard_at=heard_at, terminal=True)
        program.wait_for("Scenario Screen")
        return program

    def start(self, scenario: str, *options: str, to: str = "", heard_at: int = 0, terminal: bool = False) -> Program:
        self._runs += 1
        errors = self._directory / f"{self._runs}-{scenario}-errors.log"
        keys = {"from": self.number, "to": to, "media": str(heard_at or self.media_port)}
        arguments = [self._path, self._exchange.address, "-sf", str(SCENARIOS / scenario), "-nostdin"]
        arguments += ["-t", self._mode, "-i", "127.0.0.1", "-bind_local", "-p", str(self.port), "-ci", "127.0.0.1"]
        arguments += ["-mi", "127.0.0.1", "-mp", str(self.media_port), "-trace_err", "-error_file", str(errors)]
        for key, value in keys.items():
            arguments += ["-key", key, value]
        if "-m" not in options:
            arguments += ["-m", "1"]
        return self._launch(
            [*arguments, *options], self._directory, {"TERM": "xterm"}, logs=[errors], terminal=terminal
        )

    def finish(self, program: Program, limit_s: float = 30.0) -> None:
        """Wait until it has done its calls. SIPp ends with 0 when each went as the scenario says."""
        status = program.wait(limit_s)
        assert status == 0, f"SIPp reports a failed call (exit status {status})"
