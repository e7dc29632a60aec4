"""What the server is made of, how it is wired, and how it fares.

Threads and locks are described in docs/architecture.md.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from config import Config
from faults import FaultLog, fault_counts
from lasting_thread import LastingThread
from log_setup import log_figures
from rtp.relay import RtpRelay
from sip.engine import SipEngine
from sip.event_bus import EventBus
from sip.safekeeping import Safekeeping
from sip.snapshots import SETUP_BOUNDS_S
from sip.timers import TimerSettings
from startup import EPHEMERAL_PORTS
from store import open_storage

if TYPE_CHECKING:  # see `SipServer._start_http`
    from api.server import HttpServer
    from api.services import HealthSnapshot, Internals
    from api.webhooks.courier import Courier

log = logging.getLogger("sipserver")

_HOUSEKEEPING_S = 1.0
_THREADS = ("sip-udp", "sip-tcp-accept", "sip-timer", "rtp-relay", "store-writer", "housekeeper", "http", "webhooks")


class Machinery:
    """The parts of one server, put together and not started; the HTTP API and the courier of webhooks are added when
    phones are answered already.  Whatever is asked here may be asked by any thread."""

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
        self._faults = FaultLog(log, "housekeeper")
        self._stopped = threading.Event()
        self._housekeeper = LastingThread("housekeeper", self._keep_house, self._stopped.is_set)
        self._http: HttpServer | None = None
        self._courier: Courier | None = None
        self._started_at = 0.0

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

    # -------------------------------------------------------------------------------------------- thread `housekeeper`

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

    # -------------------------------------------------------------------------------------------- how it fares

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
