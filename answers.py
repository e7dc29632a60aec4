"""What the HTTP API asks of the running server (`api.services.Services`), answered by the parts it is made of.

Waitress workers. What goes wrong below becomes an answer of the API here.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from config import Config, ConfigError
from machinery import Machinery
from rtp.figures import RelayTotals, StreamSnapshot
from sip.addresses import route_source
from sip.click_to_dial import DialRefused
from sip.numbering import NumberPlan
from sip.snapshots import (
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
from sip.trace import CallTrace
from store import StoreError

if TYPE_CHECKING:  # see `SipServer._start_http`
    from api.webhooks.courier import Courier
    from explain.doctor.facts import DoctorFacts
    from surroundings import PasswordJudge

log = logging.getLogger("sipserver")

_EXAMINED_CALLS = 20
"""The doctor looks at so many of the last calls."""

_OWN_WRITES_S = 0.5
"""How long a request of the API waits for what has just happened to be written."""


class Answers(Machinery):
    """Each method does or reads one thing."""

    def __init__(self, config: Config, timers: TimerSettings | None = None) -> None:
        super().__init__(config, timers)
        self._plan = NumberPlan(config.ext_min, config.ext_max)
        self._judge: PasswordJudge | None = None

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


@contextlib.contextmanager
def _explained(title: str) -> Iterator[None]:
    """What settings or files forbid becomes an answer of the API."""
    try:
        yield
    except ConfigError as error:
        from api.errors import Problem

        raise Problem(409, title, f"{error}.") from error
