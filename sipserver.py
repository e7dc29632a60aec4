"""The program: wires configuration, media relay, signalling and HTTP together, starts them in order and stops them in
reverse.

`SipServer` is the whole server as an object; several may run in one process.  Threads and locks are described in
docs/architecture.md.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

import interpreter
from api import create_app
from api.access import load_or_create_token
from api.server import HttpServer
from api.services import HealthSnapshot
from config import Config, ConfigError, dotenv_warnings, load, wrong_value
from log_setup import start_logging
from rtp.figures import RelayTotals, StreamSnapshot
from rtp.relay import RtpRelay
from sip.addresses import AddressBook, is_wildcard
from sip.engine import SipEngine
from sip.numbering import NumberPlan
from sip.snapshots import CallSnapshot, CallTotals, HistoryPage, HistoryQuery, RegistrationSnapshot
from sip.timers import TimerSettings

__version__ = "0.1.0"

log = logging.getLogger("sipserver")

EPHEMERAL_PORTS = (49_152, 65_535)
"""Where media ports come from when RTP_PORT is 0 (RFC 6335 6: the dynamic range)."""

_DESCRIPTORS_PER_CALL = 6
"""Two ports of two sockets each, and one more on either side once it has latched."""
_OTHER_DESCRIPTORS = 150
"""Listening sockets, logs, TCP phones and HTTP clients."""
_UNLIMITED = 1 << 30

EXIT_USAGE = 2
"""Exit status for settings or ports that can't be used."""


class SipServer:
    """One telephone exchange.  `start` returns when every socket is bound and every thread runs; `stop` hangs up all
    calls and returns when everything is closed.  Also what the HTTP API reads from (`api.services.Services`)."""

    def __init__(self, config: Config, timers: TimerSettings | None = None) -> None:
        """`timers` are those of RFC 3261 unless given; a test need not wait 32 seconds for a dead phone."""
        self.config = config
        first, last = (config.rtp_port, config.rtp_port_max) if config.rtp_port else EPHEMERAL_PORTS
        self._relay = RtpRelay(config.rtp_host, first, last)
        self._engine = SipEngine(config, self._relay, timers)
        self._http: HttpServer | None = None
        self._started_at = 0.0
        self._plan = NumberPlan(config.ext_min, config.ext_max)

    @property
    def sip_port(self) -> int:
        """The port bound for UDP and TCP."""
        return self._engine.port

    @property
    def api_port(self) -> int:
        """The port the HTTP API listens on."""
        return self._http.port if self._http is not None else self.config.api_port

    def start(self) -> None:
        """Raises `ConfigError`, one line, when a port is taken or a setting can't be used on this machine."""
        config = self.config
        token = load_or_create_token(config)
        try:
            self._engine.bind()
        except OSError as error:
            raise _bind_error("SIP_PORT", config.sip_port, "SIP_HOST", config.sip_host, error) from error
        self._started_at = time.time()
        try:
            self._relay.start()
            self._http = self._start_http(token)
        except BaseException:
            self.stop()
            raise
        self._engine.start()
        log.info("ready: SIP on port %d, HTTP API on port %d", self.sip_port, self.api_port)

    def _start_http(self, token: str | None) -> HttpServer:
        config = self.config
        http = HttpServer(create_app(self, config, version=__version__, token=token), config.api_host, config.api_port)
        try:
            http.start()
        except OSError as error:
            raise _bind_error("API_PORT", config.api_port, "API_HOST", config.api_host, error) from error
        return http

    def has_media_ports(self) -> bool:
        """Whether one more call could have its sound relayed now."""
        session = self._relay.open("", "audio")
        if session is None:
            return False
        session.close()
        return True

    def has_calls(self) -> bool:
        """Whether anybody is on the phone, or about to be."""
        return self._engine.has_calls()

    def stop(self) -> None:
        """Idempotent."""
        with ExitStack() as last_first:
            # Each is stopped even if the one before it fails.
            last_first.callback(self._relay.stop)
            last_first.callback(self._engine.stop)
            if self._http is not None:
                last_first.callback(self._http.stop)

    # -------------------------------------------------------------------------------------------- api.services

    def registrations(self) -> Sequence[RegistrationSnapshot]:
        return self._engine.registrations()

    def remove_registrations(self, number: str) -> int:
        return self._engine.remove_registrations(number)

    def clear_registrations(self) -> int:
        return self._engine.clear_registrations()

    def calls(self) -> Sequence[CallSnapshot]:
        return self._engine.calls()

    def clear_calls(self) -> int:
        return self._engine.clear_calls()

    def history(self, query: HistoryQuery) -> HistoryPage:
        return self._engine.history(query)

    def streams(self) -> Sequence[StreamSnapshot]:
        return self._relay.snapshot()

    def call_totals(self) -> CallTotals:
        return self._engine.call_totals()

    def relay_totals(self) -> RelayTotals:
        return self._relay.totals()

    def extensions(self) -> Sequence[str]:
        return self._plan.numbers()

    def started_at(self) -> float:
        return self._started_at

    def health(self) -> HealthSnapshot:
        problems = []
        if not self._engine.is_running():
            problems.append("signalling has stopped: phones can neither register nor call")
        if not self._relay.is_running():
            problems.append("the media relay has stopped: calls have no sound")
        return HealthSnapshot(ready=not problems, problems=tuple(problems))


def _bind_error(port_name: str, port: int, host_name: str, host: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        allowed = f"a free port; {port} on {host} is used by another program: stop that one, or set {port_name}"
        return wrong_value(port_name, port, allowed)
    if error.errno == errno.EADDRNOTAVAIL:
        return wrong_value(host_name, host, "an address of this machine, or 0.0.0.0 for all of them")
    if error.errno in (errno.EACCES, errno.EPERM):
        return wrong_value(port_name, port, "a port this user may open (1024 and above without special rights)")
    return wrong_value(port_name, port, f"a port that can be opened ({error.strerror or error})")


# ------------------------------------------------------------------------------------------------ command line


def reachable_address(config: Config) -> str:
    """The address a person enters into a phone on the local network."""
    if config.server_address:
        return config.server_address
    if not is_wildcard(config.sip_host):
        return config.sip_host
    # TEST-NET-1 (RFC 5737): no packet is sent, the system only says which of its addresses it would use.
    return AddressBook().local_host("192.0.2.1")


def raise_descriptor_limit() -> int:
    """Have as many open files and sockets as the system lets this process have; how many that is."""
    if resource is None:
        return _UNLIMITED
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # Refused where "unlimited" is more than the system can count (macOS): then things stay as they are.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def call_capacity(config: Config, descriptors: int) -> int:
    """How many calls with one audio stream fit the media ports and the open sockets that the process may have."""
    first, last = (config.rtp_port, config.rtp_port_max) if config.rtp_port else EPHEMERAL_PORTS
    pairs = (last + 1 - (first + first % 2)) // 2
    return max(0, min(pairs // 2, (descriptors - _OTHER_DESCRIPTORS) // _DESCRIPTORS_PER_CALL))


def banner(config: Config, sip_port: int, api_port: int, capacity: int) -> str:
    """What the admin needs to set up the first phone."""
    address = reachable_address(config)
    api_host = config.api_host if not is_wildcard(config.api_host) else address
    media = f"{config.rtp_port}-{config.rtp_port_max}" if config.rtp_port else "any free ports"
    return "\n".join(
        [
            f"sipserver {__version__}",
            f"  SIP    {address}:{sip_port}  UDP and TCP",
            f"  media  {address}  UDP {media}, enough for {capacity} calls at once",
            f"  API    http://{f'[{api_host}]' if ':' in api_host else api_host}:{api_port}/api/users",
            "",
            "Set up each phone like this:",
            f"  server / domain   {address}" + ("" if sip_port == 5060 else f":{sip_port}"),
            f"  user / number     one of {config.ext_min} to {config.ext_max}, each phone its own",
            "  password          leave it empty or enter anything: none is asked for",
            "  transport         UDP (TCP works too)",
            "",
            "Then dial the other phone's number.  Ctrl+C stops the server.",
        ]
    )


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sipserver.py",
        description="A telephone exchange for a small office: phones register, call one another, and talk.",
        epilog="Settings come from environment variables and from .env; env.example lists them all.",
    )
    parser.add_argument("--version", action="version", version=f"sipserver {__version__}")
    parser.add_argument(
        "--check", action="store_true", help="check the settings and the ports, say what would be used, and end"
    )
    return parser.parse_args(arguments)


def check(config: Config) -> int:
    """Open everything, say so, close it again."""
    start_logging(config, console=False).stop()
    server = SipServer(config)
    server.start()
    sip_port, api_port, has_media_ports = server.sip_port, server.api_port, server.has_media_ports()
    server.stop()
    if not has_media_ports:
        raise wrong_value("RTP_PORT", config.rtp_port, "the first port of a range with four free UDP ports in it")
    capacity = call_capacity(config, raise_descriptor_limit())
    print(banner(config, sip_port, api_port, capacity).partition("\n\n")[0])
    print("The settings and ports are fine; nothing was started.")
    return 0


def run(config: Config) -> int:
    """Serve until SIGINT or SIGTERM."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    descriptors = raise_descriptor_limit()
    logs = start_logging(config)
    server = SipServer(config)
    try:
        for warning in dotenv_warnings():
            log.warning("%s", warning)
        server.start()
        interpreter.tune()
        capacity = call_capacity(config, descriptors)
        print(banner(config, server.sip_port, server.api_port, capacity), flush=True)
        # A timeout lets the interpreter run the signal handler on every platform.
        while not stop.wait(1.0):
            interpreter.collect_when_due(busy=server.has_calls())
        log.info("stopping")
        server.stop()
        log.info("stopped")
    finally:
        server.stop()
        logs.stop()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 after an orderly stop, 2 when a setting or a port can't be used."""
    options = _parse_arguments(arguments)
    try:
        config = load()
        return check(config) if options.check else run(config)
    except ConfigError as error:
        print(f"sipserver: {error}", file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
