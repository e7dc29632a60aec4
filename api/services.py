"""What the HTTP layer asks of the running server, and where its routes find it.

The composition root gives one `Services`; waitress workers call it, several at once. No lock is held here: the values
that come back are frozen, so JSON is made long after the core has gone on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from flask import Flask, current_app

from config import Config
from rtp.figures import RelayTotals, StreamSnapshot
from sip.events import EventFeed
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
from sip.trace import CallTrace

if TYPE_CHECKING:
    from api.webhooks.courier import Courier

if TYPE_CHECKING:  # the rules of the doctor are loaded when somebody asks for it
    from explain.doctor.facts import DoctorFacts

T = TypeVar("T")

_KEY = "sipserver"


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """Whether the server can do its work, and in plain words what hinders it: clauses without capital and full stop.

    `/healthz` shows the problems to anybody, so they name no person, number or address of a phone.
    """

    ready: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Internals:
    """How the machinery itself fares, for `/metrics`.  What is called a counter counts from the start of the server.

    `server_transactions`, `client_transactions`: those alive. `flood_dropped` (counter): messages beyond
    SIP_RATE_LIMIT. `refused_requests` (counters): requests that were not let in, by `sip.gatekeeper.Cause`.
    `failed_registrations` (counter): what the diary has been told. `connections`: SIP connections open, by transport
    ("tcp", "tls"); `queued_messages` wait to be written to them.

    `setup_bounds_s`, ascending seconds, part the answered calls by the time from INVITE to answer; `setup_counts`
    (counters) has one more entry, for what is above the last bound; entry i has those above bound i-1 and not above
    bound i. `setup_sum_s` (counter) adds up their seconds.

    `media_port_pairs` of RTP and RTCP ports are in the range, `media_port_pairs_in_use` belong to calls; `rtp_workers`
    processes help to copy media. `threads`: those that must live, by name, and whether they do.

    `log_queued` lines wait to be written; `log_dropped` (counter) never were; `log_errors` (counter) were of level
    error; `log_files_failing` can't be written now. `store_pending` changes wait to be stored.

    `faults` (counters): those of the program itself, by the place that they ended in.
    """

    server_transactions: int = 0
    client_transactions: int = 0
    flood_dropped: int = 0
    refused_requests: Mapping[str, int] = field(default_factory=dict)
    failed_registrations: int = 0
    connections: Mapping[str, int] = field(default_factory=dict)
    queued_messages: int = 0
    setup_bounds_s: tuple[float, ...] = ()
    setup_counts: tuple[int, ...] = (0,)
    setup_sum_s: float = 0.0
    media_port_pairs: int = 0
    media_port_pairs_in_use: int = 0
    rtp_workers: int = 0
    threads: Mapping[str, bool] = field(default_factory=dict)
    log_queued: int = 0
    log_dropped: int = 0
    log_errors: int = 0
    log_files_failing: int = 0
    store_pending: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)


class Services(Protocol):
    """Every method copies under one short lock, never blocks on the network, and gives frozen values.

    `registrations`, `calls` and `streams` come in the order in which they began; the two directions of a stream follow
    each other. `clear_*` and `remove_registrations` say how many they ended, `end_call` whether a call with that
    Call-ID was in progress.
    `started_at` is wall time. `dial` gives the call that begins; what can't be connected is an `api.errors.Problem`.

    `doctor_facts` is all that the doctor looks at; it reads from the disk, and takes a good part of a second at first.

    `presence` is where a number can be reached, and how its last registrations ended; `rate_limited` are sources whose
    messages were dropped for SIP_RATE_LIMIT, and when the last was, wall time.

    `bans` are those in force. `add_ban` lasts `duration_s`, or until lifted (None); `lift_ban` says whether there was
    one. Addresses are sources as `sip.sources.source_of` has them. `registration_failures` has the newest first.
    `set_password` says how many bindings it ended, `remove_password` whether there was a password. A change that can't
    be made is an `api.errors.Problem` or, for a ban, `BanTableFull`.

    `call_trace` is all about the newest call of that Call-ID, live or ended, or about the one that was invited in the
    millisecond that begins at `invited_at`; None when none is known. It may read from the disk. `route_source` is the
    address of this machine that faces a host, whatever phones are told.

    `history`, `history_rows` and `period_figures` read from the disk, on the thread that asks; what can't be read is an
    `api.errors.Problem`. `history_rows` gives every call that the query is about, whatever its page, newest first, and
    reads on as it is asked for more. `period_figures` are for today, the last 7 and the last 30 days;
    `timeline` has the hours of today (`days` 1), or the last days.

    `quality_results` are those of the last calls to the quality test, newest first. `events` is what happens, live,
    `webhooks` brings it to others.
    """

    @property
    def events(self) -> EventFeed: ...
    @property
    def webhooks(self) -> Courier: ...

    def registrations(self) -> Sequence[RegistrationSnapshot]: ...
    def remove_registrations(self, number: str) -> int: ...
    def clear_registrations(self) -> int: ...
    def calls(self) -> Sequence[CallSnapshot]: ...
    def clear_calls(self) -> int: ...
    def end_call(self, call_id: str) -> bool: ...
    def dial(self, from_number: str, to_number: str, *, auto_answer: bool) -> CallSnapshot: ...
    def drain(self) -> int: ...
    def call_trace(self, call_id: str, invited_at: float | None = None) -> CallTrace | None: ...
    def route_source(self, host: str) -> str: ...
    def history(self, query: HistoryQuery) -> HistoryPage: ...
    def streams(self) -> Sequence[StreamSnapshot]: ...
    def call_totals(self) -> CallTotals: ...
    def relay_totals(self) -> RelayTotals: ...
    def extensions(self) -> Sequence[str]: ...
    def doctor_facts(self) -> DoctorFacts: ...
    def presence(self, number: str) -> PresenceSnapshot: ...
    def rate_limited(self) -> Mapping[str, float]: ...
    def started_at(self) -> float: ...
    def health(self) -> HealthSnapshot: ...
    def internals(self) -> Internals: ...
    def bans(self) -> Sequence[BanSnapshot]: ...
    def add_ban(self, address: str, duration_s: float | None, reason: str) -> BanSnapshot: ...
    def lift_ban(self, address: str) -> bool: ...
    def registration_failures(self) -> Sequence[RegistrationFailure]: ...
    def numbers_with_password(self) -> frozenset[str]: ...
    def set_password(self, number: str, password: str) -> int: ...
    def remove_password(self, number: str) -> bool: ...
    def history_rows(self, query: HistoryQuery) -> Iterator[CallRecord]: ...
    def period_figures(self) -> Sequence[PeriodFigures]: ...
    def timeline(self, days: int) -> Sequence[TimelinePoint]: ...
    def quality_results(self) -> Sequence[QualityResult]: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What every route may use; `clock` is monotonic seconds, `wall_clock` seconds since the epoch."""

    services: Services
    config: Config
    version: str
    clock: Callable[[], float]
    wall_clock: Callable[[], float]


def attach(app: Flask, context: Context) -> None:
    """Make `context` what `current` gives while `app` serves a request."""
    app.extensions[_KEY] = context


def current() -> Context:
    """The context of the app that serves this request."""
    return cast(Context, current_app.extensions[_KEY])


def one_per_app(key: str, make: Callable[[], T]) -> T:
    """What the app that serves this request has one of, kept under `key`; made when it is first asked for."""
    found = current_app.extensions.get(key)
    if found is None:
        # Several workers may have made one: the first is everybody's.
        found = current_app.extensions.setdefault(key, make())
    return cast(T, found)
