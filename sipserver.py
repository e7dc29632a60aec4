"""The program: starts what the server is made of in order, and stops it in reverse.

`SipServer` is the whole server as an object; several may run in one process.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import interpreter  # first: it says if this Python can't load what follows
from answers import Answers
from config import Config, ConfigError, NotYet, dotenv_warnings, load, wrong_value
from log_setup import start_logging
from reload import reload
from rtp import srtp
from signals import Signals
from sip.events import NO_DATA, EventType
from sip.numbering import NumberPlan
from sip.timers import TimerSettings
from sip.tls import load_certificate
from startup import Greeting, banner, bind_error, call_capacity, raise_descriptor_limit
from store import trace_limits

if TYPE_CHECKING:  # see `_start_http`
    from api.server import HttpServer

__version__ = "0.1.0"

log = logging.getLogger("sipserver")

EXIT_USAGE = 2
"""Exit status for settings or ports that can't be used."""
EXIT_NOT_YET = 75
"""Exit status when the database can't be reached: starting again is of use (sysexits.h: EX_TEMPFAIL)."""


class SipServer(Answers):
    """One telephone exchange.  `start` returns when every socket is bound and every thread runs; `stop` hangs up all
    calls and returns when everything is closed.  Also what the HTTP API reads from (`api.services.Services`)."""

    def __init__(self, config: Config, timers: TimerSettings | None = None) -> None:
        """`timers` are those of RFC 3261 unless given; a test need not wait 32 seconds for a dead phone."""
        super().__init__(config, timers)
        self._is_draining = False

    def greeting(self, descriptors: int) -> Greeting:
        """What to say about the running server, which may open so many descriptors."""
        return Greeting(
            __version__,
            self.sip_port,
            self.tls_port,
            self.api_port,
            call_capacity(self.config, descriptors),
            len(self.numbers_with_password()),
        )

    def start(self) -> None:
        """Raises `ConfigError`, one line, when a port is taken or a setting can't be used on this machine."""
        self._started_at = time.time()
        try:
            self._store.start()
            self._safekeeping.load()
            self._bind()
            self._restore()
            if self.tls_port:
                srtp.load()
            self._relay.start()
            self._engine.start()
            self._http = self._start_http()
        except BaseException:
            self.stop()
            raise
        self._housekeeper.start()
        if self._neighbours is not None:
            self._neighbours.start(self._engine, self.sip_port)
        ports = {"sipPort": self.sip_port, "tlsPort": self.tls_port, "apiPort": self.api_port}
        self.events.emit(EventType.SERVER_STARTED, self._started_at, {"version": __version__, **ports})
        log.info("ready: SIP on port %d, HTTP API on port %d", self.sip_port, self.api_port)

    def _bind(self) -> None:
        config = self.config
        try:
            self._engine.bind()
        except OSError as error:
            raise bind_error("SIP_PORT", config.sip_port, "SIP_HOST", config.sip_host, error) from error

    def _restore(self) -> None:
        """Take up what an earlier run has left."""
        kept = self._store.bindings(self._started_at)
        count = self._engine.restore(kept, self._store.number_records().values())
        if kept:
            log.info("%d of %d kept registrations are in force again", count, len(kept))

    def _start_http(self) -> HttpServer:
        """Only here is anything of `api` imported: Flask is nearly half of all there is to load, and meanwhile phones
        are answered."""
        from api import create_app
        from api.access import load_or_create_token
        from api.event_view import source_of
        from api.server import HttpServer
        from api.webhooks.book import WebhookBook
        from api.webhooks.courier import Courier

        config = self.config
        token = load_or_create_token(config)
        certificate = load_certificate(config) if config.api_tls else None
        if config.api_tls and certificate is None:
            raise wrong_value("API_TLS", "true", "false as long as there is no certificate; try `sipserver.py cert`")
        self._courier = Courier(WebhookBook(config.data_dir), self.events, source_of(config), __version__)
        self._courier.book.load()
        self._courier.start()
        app = create_app(self, config, version=__version__, token=token)
        new_codec = certificate.new_codec if certificate is not None else None
        http = HttpServer(app, config.api_host, config.api_port, new_codec, config.api_event_clients)
        try:
            http.start()
        except OSError as error:
            raise bind_error("API_PORT", config.api_port, "API_HOST", config.api_host, error) from error
        return http

    def configure(self, config: Config) -> int:
        """Go by these settings from now on, as far as they can change while the server runs (`config.Setting.live`);
        how many registrations that ended.  Raises `ConfigError` when their passwords can't be read; then everything
        stays as it was.  One thread at a time."""
        ended = self._safekeeping.configure(config) + self._engine.configure(config)
        self._store.retain(config.history_days, trace_limits(config))
        self._plan = NumberPlan(config.ext_min, config.ext_max)
        self.config = config
        return ended

    def has_media_ports(self) -> bool:
        """Whether one more call could have its sound relayed now."""
        session = self._relay.open("", "audio")
        if session is None:
            return False
        session.close()
        return True

    def drain(self) -> int:
        """Take no new calls, and be `drained` when the last one is over; how many there still are."""
        self._is_draining = True
        left = self._engine.drain()
        log.info("draining: no new calls are taken, %d are still up", left)
        return left

    @property
    def drained(self) -> bool:
        """Everybody has hung up after `drain`; whoever started the server stops it now."""
        return self._is_draining and not self.has_calls()

    def has_calls(self) -> bool:
        """Whether anybody is on the phone, or about to be."""
        return self._engine.has_calls()

    def stop(self) -> None:
        """Idempotent."""
        if not self.events.is_closed:
            self.events.emit(EventType.SERVER_STOPPING, time.time(), NO_DATA)
            self.events.close()
        with ExitStack() as last_first:
            # Each is stopped even if the one before it fails.
            last_first.callback(self._store.stop)
            last_first.callback(self._stop_housekeeping)
            last_first.callback(self._relay.stop)
            if self._courier is not None:
                last_first.callback(self._courier.stop)  # after the calls have ended, which it tells of
            last_first.callback(self._engine.stop)
            if self._neighbours is not None:
                last_first.callback(self._neighbours.stop)
            if self._http is not None:
                last_first.callback(self._http.stop)


def check(config: Config) -> int:
    """Open everything, say so, close it again."""
    start_logging(config, console=False).stop()
    server = SipServer(config)
    server.start()
    text = banner(config, server.greeting(raise_descriptor_limit()))
    has_media_ports = server.has_media_ports()
    server.stop()
    if not has_media_ports:
        raise wrong_value("RTP_PORT", config.rtp_port, "the first port of a range with four free UDP ports in it")
    print(text.partition("\n\n")[0])
    print("The settings and ports are fine; nothing was started.")
    return 0


def run(config: Config) -> int:
    """Serve until SIGINT or SIGTERM, or until everybody has hung up after SIGUSR1."""
    signals = Signals()
    interpreter.begin()
    descriptors = raise_descriptor_limit()
    logs = start_logging(config)
    server = SipServer(config)
    try:
        for warning in dotenv_warnings():
            log.warning("%s", warning)
        server.start()
        collector = interpreter.Collector(time.monotonic())
        print(banner(config, server.greeting(descriptors)), flush=True)
        # A timeout lets the interpreter run the signal handler on every platform.
        while not (signals.stop or server.drained):
            signals.wait(1.0)
            if signals.take_drain():
                server.drain()
            if signals.take_reload():
                reload(server, logs.set_level)
            collector.collect_when_due(time.monotonic(), busy=server.has_calls())
        log.info("stopping")
        server.stop()
        log.info("stopped")
    finally:
        server.stop()
        logs.stop()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 after an orderly stop, 2 when a setting or a port can't be used, 75 when it may be later, or that
    of the command."""
    words = sys.argv[1:] if arguments is None else arguments
    options = None
    if words:
        from command_line import parse_arguments

        options = parse_arguments(words, __version__)
    try:
        config = load()
        if options is None:
            return run(config)
        if options.run_command is not None:
            return int(options.run_command(options, config))
        return check(config) if options.check else run(config)
    except ConfigError as error:
        print(f"sipserver: {error}", file=sys.stderr)
        return EXIT_NOT_YET if isinstance(error, NotYet) else EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
