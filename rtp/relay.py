"""The media relay as the rest of the program sees it: open a stream, say where its two sides are, read figures, close.

Any thread may call anything here. What changes a stream that packets flow on is handed to the thread `rtp-relay`, which
alone touches latches, routes and statistics; nobody waits for it. The leaf lock `_lock` guards the table of open
sessions and the totals of closed ones.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from lasting_thread import LastingThread
from rtp.crew import Crew
from rtp.endpoint import RtpEndpoint
from rtp.figures import RelayTotals, StreamSnapshot
from rtp.loop import RelayLoop
from rtp.pool import PairPool
from rtp.ports import NoPortsAvailable, PortAllocator
from rtp.stream import Figures, Place, RelaySession

log = logging.getLogger(__name__)

__all__ = ["RelaySession", "RtpRelay"]


class RtpRelay:
    """Every session in the table holds its port pairs; a relay that is not running has no sessions and no sockets."""

    def __init__(
        self,
        host: str,
        first_port: int,
        last_port: int,
        workers: int | None = 0,
        clock: Callable[[], float] = time.monotonic,
        *,
        logs_headers: bool = False,
    ) -> None:
        """Relay on ports first_port..last_port of the local address `host`; `clock` is monotonic, in seconds.

        `workers`: processes that settled streams are handed to; None starts them when there is enough to do.
        `logs_headers`: the headers of the last packets are kept; then no stream is handed to anybody.
        """
        self._clock = clock
        self._ports = PortAllocator(host, first_port, last_port)
        self._logs_headers = logs_headers
        self._wanted_workers = 0 if logs_headers else workers
        self._lock = threading.Lock()
        self._sessions: dict[RelaySession | RtpEndpoint, None] = {}
        self._closed_totals = RelayTotals()
        self._fell_short = False
        self._place: Place | None = None
        self._crew: Crew | None = None
        self._thread: LastingThread | None = None
        self.on_news: Callable[[str], None] | None = None
        """Told, on the relay's thread, of a call whose media events should not wait; set before `start`."""

    def start(self) -> None:
        """Start the thread `rtp-relay`."""
        assert self._thread is None
        loop = RelayLoop(self._clock)
        self._crew = Crew(loop, self._wanted_workers)
        self._thread = LastingThread("rtp-relay", loop.run, loop.is_stopping)
        self._thread.start()
        loop.post(self._crew.start)
        with self._lock:
            self._place = Place(loop, PairPool(loop, self._ports), self._crew, self._logs_headers, self.on_news)

    def stop(self) -> None:
        """Close every session, end the thread and the workers, free every port and descriptor. Idempotent."""
        with self._lock:
            place, self._place = self._place, None  # nothing is opened from here on
            sessions = list(self._sessions)
        if place is None or self._thread is None or self._crew is None:
            return
        for session in sessions:
            session.close()
        place.loop.stop()
        self._thread.join()
        self._thread = None
        self._crew.stop()
        place.pool.close()
        place.loop.close()

    def is_running(self) -> bool:
        """The relay thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def problems(self) -> tuple[str, ...]:
        """What hinders it though it runs, in plain words."""
        return () if self._thread is None else self._thread.problems()

    def workers_running(self) -> int:
        """How many worker processes are up."""
        return 0 if self._crew is None else self._crew.workers_running()

    def port_pairs(self) -> tuple[int, int]:
        """Port pairs that belong to calls, and those in the range."""
        with self._lock:
            return sum(session.port_pairs for session in self._sessions), len(self._ports)

    def shortage(self) -> str:
        """Why one more stream could not be relayed now; empty while it could, or nothing speaks against it."""
        in_use, pairs = self.port_pairs()
        place = self._place
        if place is None or not (self._fell_short or in_use + 2 > pairs):
            return ""
        try:
            taken = place.pool.take_two()
        except NoPortsAvailable as error:
            return str(error)
        for pair in taken:
            place.pool.give_back(pair)
        self._fell_short = False
        return ""

    def open(self, call_id: str, kind: str) -> RelaySession | None:
        """Take two legs for a stream of `kind` ("audio", "video", ...); None when ports or descriptors are used up."""
        place = self._place
        if place is None:
            return None
        try:
            pairs = place.pool.take_two()
        except NoPortsAvailable as error:
            self._fell_short = True
            log.warning("no media relay for call %s: %s", call_id, error)
            return None
        session = RelaySession(place, call_id, kind, pairs, self._retire)
        return session if self._enter(session, place) else None

    def open_endpoint(self, call_id: str, program: str, address: str) -> RtpEndpoint | None:
        """Take a leg for a phone that talks to the server itself; None when ports or descriptors are used up."""
        place = self._place
        if place is None:
            return None
        try:
            pair = place.pool.take()
        except NoPortsAvailable as error:
            self._fell_short = True
            log.warning("no media ports for call %s: %s", call_id, error)
            return None
        endpoint = RtpEndpoint(place.loop, place.pool, call_id, program, address, pair, self._retire, place.on_news)
        return endpoint if self._enter(endpoint, place) else None

    def _enter(self, session: RelaySession | RtpEndpoint, place: Place) -> bool:
        """Take it into the table; False when the relay was stopped meanwhile, by somebody who had not seen it."""
        with self._lock:
            self._sessions[session] = None
            is_open = self._place is place
        if not is_open:
            session.close()
        return is_open

    def sample(self) -> None:
        """To be called every second or so: let every stream note now and then how it does."""
        with self._lock:
            sessions = list(self._sessions)
        now = self._clock()
        for session in sessions:
            session.sample(now)

    def snapshot(self) -> tuple[StreamSnapshot, ...]:
        """Both directions of every open session."""
        with self._lock:
            sessions = list(self._sessions)
        return tuple(stream for session in sessions for stream in session.figures())

    def totals(self) -> RelayTotals:
        """Sums since the relay was made."""
        with self._lock:
            totals = self._closed_totals
            sessions = list(self._sessions)
        # A session that closes from here on is in neither, so it is counted once: from its figures, which stay.
        for session in sessions:
            for stream in session.figures():
                totals = totals.plus(stream)
        return totals

    def _retire(self, session: RelaySession | RtpEndpoint, final: Figures) -> None:
        """A session has closed."""
        with self._lock:
            del self._sessions[session]
            for stream in final:
                if stream.packets or stream.rejected:
                    self._closed_totals = self._closed_totals.plus(stream)
