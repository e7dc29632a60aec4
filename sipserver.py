"""The program: wires configuration, media relay, signalling and HTTP together, starts them in order and stops them in
reverse.

`SipServer` is the whole server as an object; several may run in one process.  Threads and locks are described in
docs/architecture.md.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import interpreter
from config import Config, ConfigError, NotYet, dotenv_warnings, load, wrong_value
from faults import FaultLog, fault_counts
from lasting_thread import LastingThread
from log_setup import log_figures, start_logging
from reload import reload
from rtp import srtp
from rtp.figures import RelayTotals, StreamSnapshot
from rtp.relay import RtpRelay
from signals import Signals
from sip.addresses import route_source
from sip.click_to_dial import DialRefused
from sip.engine import SipEngine
from sip.event_bus import EventBus
from sip.events import NO_DATA, EventType
from sip.numbering import NumberPlan
from sip.safekeeping import Safekeeping
from sip.snapshots import (
    SETUP_BOUNDS_S,
    BanSnapshot,
    CallRecord,
    CallSnapshot,
    CallTotals,
    HistoryPage,
    HistoryQuery,
    PeriodFigures,
    PresenceSnapshot,
    QualityResult,
    RegistrationFailure,
    RegistrationSnapshot,
    TimelinePoint,
)
from sip.timers import TimerSettings
from sip.tls import load_certificate
from sip.trace import CallTrace
from startup import EPHEMERAL_PORTS, Greeting, banner, call_capacity, raise_descriptor_limit
from store import StoreError, open_storage, trace_limits

if TYPE_CHECKING:  # see `_start_http` and `main`
    import argparse

    from api.server import HttpServer
    from api.services import HealthSnapshot, Internals
    from api.webhooks.courier import Courier
    from explain.doctor.facts import DoctorFacts
    from surroundings import PasswordJudge

__version__ = "0.1.0"

log = logging.getLogger("sipserver")

_HOUSEKEEPING_S = 1.0
_THREADS = ("sip-udp", "sip-tcp-accept", "sip-timer", "rtp-relay", "store-writer", "housekeeper", "http", "webhooks")

_EXAMINED_CALLS = 20
"""The doctor looks at so many of the last calls."""

_OWN_WRITES_S = 0.5
"""How long a request of the API waits for what has just happened to be written."""

EXIT_USAGE = 2
"""Exit status for settings or ports that can't be used."""
EXIT_NOT_YET = 75
"""Exit status when the database can't be reached: starting again is of use (sysexits.h: EX_TEMPFAIL)."""


class SipServer:
    """One telephone exchange.  `start` returns when every socket is bound and every thread runs; `stop` hangs up all
    calls and returns when everything is closed.  Also what the HTTP API reads from (`api.services.Services`)."""

    def __init__(self, config: Config, timers: TimerSettings | None = None) -> None:
        """`timers` are those of RFC 3261 unless given; a test need not wait 32 seconds for a dead phone."""
        self.config = config
        first, last = (config.rtp_port, config.rtp_port_max) if config.rtp_port else EPHEMERAL_PORTS
        logs_headers = config.trace_rtp == "headers"
        self._relay = RtpRelay(config.rtp_host, first, last, config.rtp_workers, logs_headers=logs_headers)
        storage = open_storage(config)
        self._store, self._neighbours = storage.store, storage.neighbours
        self.events = EventBus()
        self._engine = SipEngine(config, self._relay, self._store, self.events, timers)
        self._store.on_settled(self._engine.on_settled)
        self._relay.on_news = self._engine.on_media_news
        self._safekeeping = Safekeeping(config, self._engine, storage.passwords, storage.bans)
        self._is_draining = False
        self._faults = FaultLog(log, "housekeeper")
        self._stopped = threading.Event()
        self._housekeeper = LastingThread("housekeeper", self._keep_house, self._stopped.is_set)
        self._http: HttpServer | None = None
        self._courier: Courier | None = None
        self._started_at = 0.0
        self._plan = NumberPlan(config.ext_min, config.ext_max)
        self._judge: PasswordJudge | None = None

    @property
    def sip_port(self) -> int:
        """The port bound for UDP and TCP."""
        return self._engine.port

    @property
    def tls_port(self) -> int:
        """The port bound for SIP over TLS; 0 without a certificate."""
        return self._engine.tls_port

    @property
    def api_port(self) -> int:
        """The port the HTTP API listens on."""
        return self._http.port if self._http is not None else self.config.api_port

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
            raise _bind_error("SIP_PORT", config.sip_port, "SIP_HOST", config.sip_host, error) from error

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
            raise _bind_error("API_PORT", config.api_port, "API_HOST", config.api_host, error) from error
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

    def _keep_house(self) -> None:
        from api.problem_watch import ProblemWatch

        problem_watch = ProblemWatch(self.events)

        def watch_problems() -> None:
            problem_watch.look(self.health().problems, time.time())

        while not self._stopped.wait(_HOUSEKEEPING_S):
            for chore in (self._relay.sample, self._safekeeping.tick, self._engine.watch_addresses, watch_problems):
                try:
                    chore()
                except Exception as error:  # noqa: BLE001 - logged, once for each kind; the other chores are done
                    self._faults.note(error, time.monotonic(), "housekeeping met a fault")

    def _stop_housekeeping(self) -> None:
        self._stopped.set()
        if self._housekeeper.is_alive():
            self._housekeeper.join()
        self._safekeeping.save_bans()

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

    # -------------------------------------------------------------------------------------------- api.services

    @property
    def webhooks(self) -> Courier:
        assert self._courier is not None  # made before the API that asks for it
        return self._courier

    def registrations(self) -> Sequence[RegistrationSnapshot]:
        return self._engine.registrations()

    def remove_registrations(self, number: str) -> int:
        with self._kept():
            return self._engine.remove_registrations(number)

    def clear_registrations(self) -> int:
        with self._kept():
            return self._engine.clear_registrations()

    def calls(self) -> Sequence[CallSnapshot]:
        return self._engine.calls()

    def clear_calls(self) -> int:
        ended = self._engine.clear_calls()
        if ended:
            self._store.flush(_OWN_WRITES_S)
        return ended

    def end_call(self, call_id: str) -> bool:
        return self._engine.end_call(call_id)

    def dial(self, from_number: str, to_number: str, *, auto_answer: bool) -> CallSnapshot:
        try:
            return self._engine.dial(from_number, to_number, auto_answer=auto_answer)
        except DialRefused as refused:
            from api.errors import Problem

            raise Problem(refused.status, "These numbers can't be connected.", str(refused)) from refused

    def call_trace(self, call_id: str, invited_at: float | None = None) -> CallTrace | None:
        trace = self._engine.call_trace(call_id, invited_at)
        if trace is not None:
            return trace
        with self._reading():
            return self._store.call_trace(call_id, invited_at)

    def route_source(self, host: str) -> str:
        return route_source(host) or ""

    def history(self, query: HistoryQuery) -> HistoryPage:
        with self._reading():
            return self._store.history(query)

    def history_rows(self, query: HistoryQuery) -> Iterator[CallRecord]:
        with self._reading():
            yield from self._store.history_rows(query)

    def period_figures(self) -> Sequence[PeriodFigures]:
        with self._reading():
            return self._store.statistics(time.time())

    def timeline(self, days: int) -> Sequence[TimelinePoint]:
        with self._reading():
            return self._store.timeline(days, time.time())

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """With all that has happened in it; what can't be read now becomes an answer of the API."""
        self._store.flush(_OWN_WRITES_S)
        try:
            yield
        except StoreError as error:
            from api.errors import Problem

            raise Problem(503, "The history can't be read at the moment.", f"Try again soon: {error}.") from error

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """A change that is answered when it is written."""
        yield
        self._store.flush(_OWN_WRITES_S)

    def streams(self) -> Sequence[StreamSnapshot]:
        return self._relay.snapshot()

    def bans(self) -> Sequence[BanSnapshot]:
        return self._engine.bans()

    def add_ban(self, address: str, duration_s: float | None, reason: str) -> BanSnapshot:
        return self._safekeeping.add_ban(address, duration_s, reason)

    def lift_ban(self, address: str) -> bool:
        return self._safekeeping.lift_ban(address)

    def registration_failures(self) -> Sequence[RegistrationFailure]:
        return self._engine.registration_failures()

    def numbers_with_password(self) -> frozenset[str]:
        return self._engine.numbers_with_password()

    def doctor_facts(self) -> DoctorFacts:
        """Whoever asks for it pays for what it needs: the server starts without."""
        from explain.doctor.facts import Advertised, Running
        from surroundings import PasswordJudge, examine

        self._judge = judge = self._judge or PasswordJudge()
        presences = self._engine.presences()
        peers = dict.fromkeys(contact.address for each in presences for contact in each.contacts)
        running = Running(
            sip_port=self.sip_port,
            tls_port=self.tls_port,
            api_port=self.api_port,
            started_at=self._started_at,
            presences=presences,
            failures=self.registration_failures(),
            bans=self.bans(),
            rate_limited=self.rate_limited(),
            problems=self.health().problems,
            calls=self._last_calls(),
            clock_set=self._engine.clock_set(),
        )
        told = (Advertised(peer, self._engine.local_host(peer)) for peer in peers)
        credentials = self._engine.credentials()
        return examine(self.config, credentials, judge, time.time(), told=told, running=running)

    def _last_calls(self) -> list[CallTrace]:
        """Those that ended last; none when the store can't be read, which is among the server's problems anyway."""
        self._store.flush(_OWN_WRITES_S)
        try:
            last = self._store.history(HistoryQuery(None, None, None, _EXAMINED_CALLS, 0)).calls
            keys = [(call.call_id, call.invited_at) for call in last]
            traces = [self._engine.call_trace(*key) or self._store.call_trace(*key) for key in keys]
        except StoreError as error:
            log.debug("the doctor looks at no calls: %s", error)
            return []
        return [trace for trace in traces if trace is not None]

    def presence(self, number: str) -> PresenceSnapshot:
        return self._engine.presence(number)

    def rate_limited(self) -> Mapping[str, float]:
        return self._engine.rate_limited()

    def set_password(self, number: str, password: str) -> int:
        with _explained("The password of this extension can't be changed here."), self._kept():
            return self._safekeeping.set_password(number, password)

    def remove_password(self, number: str) -> bool:
        with _explained("The password of this extension can't be removed here."), self._kept():
            return self._safekeeping.remove_password(number)

    def quality_results(self) -> Sequence[QualityResult]:
        return self._engine.quality_results()

    def call_totals(self) -> CallTotals:
        return self._engine.call_totals()

    def relay_totals(self) -> RelayTotals:
        return self._relay.totals()

    def extensions(self) -> Sequence[str]:
        return self._plan.numbers()

    def started_at(self) -> float:
        return self._started_at

    def internals(self) -> Internals:
        from api.services import Internals

        signalling, logs = self._engine.figures(), log_figures()
        in_use, port_pairs = self._relay.port_pairs()
        return Internals(
            server_transactions=signalling.server_transactions,
            client_transactions=signalling.client_transactions,
            flood_dropped=signalling.flood_dropped,
            refused_requests=signalling.refused,
            failed_registrations=signalling.failed_registrations,
            connections=signalling.connections,
            queued_messages=signalling.queued_messages,
            setup_bounds_s=SETUP_BOUNDS_S,
            setup_counts=signalling.setup_counts,
            setup_sum_s=signalling.setup_sum_s,
            media_port_pairs=port_pairs,
            media_port_pairs_in_use=in_use,
            rtp_workers=self._relay.workers_running(),
            threads=self._threads(),
            log_queued=logs.queued,
            log_dropped=logs.dropped,
            log_errors=logs.errors,
            log_files_failing=logs.failing,
            store_pending=self._store.pending(),
            faults=fault_counts(),
        )

    def _threads(self) -> dict[str, bool]:
        """The threads that last as long as the server, and whether they live."""
        alive = {thread.name for thread in threading.enumerate()}
        expected = [*_THREADS, "sip-tls-accept"] if self.tls_port else [*_THREADS]
        if self._neighbours is not None:
            expected.append("store-neighbours")
        return {name: name in alive for name in expected}

    def health(self) -> HealthSnapshot:
        from api.services import HealthSnapshot

        fatal = []
        if not self._engine.is_running():
            fatal.append("signalling has stopped: phones can neither register nor call")
        if not self._relay.is_running():
            fatal.append("the media relay has stopped: calls have no sound")
        return HealthSnapshot(ready=not fatal, problems=(*fatal, *self._hindrances()))

    def _hindrances(self) -> Iterator[str]:
        """What is wrong though phones can register and call."""
        yield from self._engine.problems()
        yield from self._relay.problems()
        if shortage := self._relay.shortage():
            yield f"one more call would have no sound: {shortage}"
        yield from self._store.problems()
        if self._neighbours is not None:
            yield from self._neighbours.problems()
        yield from self._safekeeping.problems()
        yield from self._housekeeper.problems()
        if self._http is not None:
            yield from self._http.problems()
        if self._courier is not None:
            yield from self._courier.problems()
        logs = log_figures()
        if logs.failing:
            yield f"{logs.failing} log files can't be written; their lines go to stderr"
        if logs.dropped:
            yield f"{logs.dropped} log lines were never written"
        yield from logs.problems


@contextlib.contextmanager
def _explained(title: str) -> Iterator[None]:
    """What settings or files forbid becomes an answer of the API."""
    try:
        yield
    except ConfigError as error:
        from api.errors import Problem

        raise Problem(409, title, f"{error}.") from error


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


def _parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser(
        prog="sipserver.py",
        description="A telephone exchange for a small office: phones register, call one another, and talk.",
        epilog="Settings come from environment variables and from .env; env.example lists them all.",
    )
    parser.add_argument("--version", action="version", version=f"sipserver {__version__}")
    parser.add_argument(
        "--check", action="store_true", help="check the settings and the ports, say what would be used, and end"
    )
    parser.set_defaults(run_command=None)
    _add_commands(parser)
    return parser.parse_args(words)


def _add_commands(parser: argparse.ArgumentParser) -> None:
    from commands import COMMANDS

    commands = parser.add_subparsers(title="commands", metavar="command", description="Without one, the server runs.")
    for command in COMMANDS:
        summary = (command.__doc__ or "").partition("\n")[0]
        subparser = commands.add_parser(command.NAME, help=summary, description=summary)
        command.add_arguments(subparser)
        subparser.set_defaults(run_command=command.run)


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
    # What reads arguments, and the commands, are loaded only for them: the server starts quicker, and smaller.
    options = _parse_arguments(words) if words else None
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
