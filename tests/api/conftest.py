"""A server that isn't there: fake services with real values, fake clocks, and clients of the app around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.services import HealthSnapshot, Internals
from api.webhooks.book import WebhookBook
from api.webhooks.courier import Courier
from config import IN_MEMORY, Config
from explain.doctor.facts import DoctorFacts
from rtp.figures import RelayTotals, StreamSnapshot
from sip.event_bus import EventBus
from sip.facts import Denial
from sip.snapshots import (
    BanSnapshot,
    CallRecord,
    CallSnapshot,
    CallState,
    CallTotals,
    ContactSnapshot,
    DepartureSnapshot,
    HistoryPage,
    HistoryQuery,
    MediaFigures,
    PeriodFigures,
    PresenceSnapshot,
    QualityResult,
    RegistrationFailure,
    RegistrationSnapshot,
    TerminationReason,
    TimelinePoint,
)
from sip.trace import CallTrace, is_within

NOW_AT = 1_900_000_000.0  # 2030-03-17T17:46:40Z

CONTACT = ContactSnapshot(
    uri="sip:100@192.0.2.10:5060",
    address="192.0.2.10",
    port=5060,
    transport="udp",
    expires_s=3600,
    expires_at=NOW_AT + 3000,
    registered_at=NOW_AT - 600,
    last_seen_at=NOW_AT - 5,
    user_agent="baresip 4.0",
    behind_nat=False,
)
CALL = CallSnapshot(
    call_id="call-1",
    from_number="100",
    to_number="101",
    state=CallState.ESTABLISHED,
    invited_at=NOW_AT - 70,
    ringing_at=NOW_AT - 69,
    answered_at=NOW_AT - 60.5,
    ended_at=None,
    from_address="192.0.2.10:5060",
    to_address="192.0.2.11:5060",
    status=200,
    termination_reason=None,
    reason_text="",
    ended_by="",
)
STREAM = StreamSnapshot(
    call_id="call-1",
    kind="audio",
    side=0,
    from_address="192.0.2.10",
    from_port=4000,
    to_address="192.0.2.11",
    to_port=4002,
    relay_port=10000,
    packets=3000,
    bytes=516_000,
    lost=3,
    out_of_order=1,
    duplicates=0,
    rejected=2,
    dropped=0,
    jitter_ms=1.25,
    codec="PCMA",
    payload_type=8,
    ssrc=0xCAFE,
    first_packet_at=NOW_AT - 60,
    last_packet_at=NOW_AT - 0.02,
    remote_lost=1,
    remote_jitter_ms=2.5,
    rtt_ms=12.0,
    mos=4.3,
    active=True,
)

FIGURES = MediaFigures(
    call_id="call-1",
    kind="audio",
    side=0,
    from_address="192.0.2.10",
    from_port=4000,
    to_address="192.0.2.11",
    to_port=4002,
    relay_port=10000,
    packets=3000,
    bytes=516_000,
    lost=3,
    out_of_order=1,
    duplicates=0,
    rejected=2,
    dropped=0,
    jitter_ms=1.25,
    codec="PCMA/8000",
    mos=4.314,
    first_packet_at=NOW_AT - 60,
    last_packet_at=NOW_AT - 0.02,
)
PERIOD = PeriodFigures(
    days=1,
    since_at=NOW_AT - 3600,
    calls=8,
    answered=6,
    completed=5,
    failed=3,
    talk_s=300.0,
    by_reason={"normal": 5, "interrupted": 1, "busy": 2},
    average_mos=4.256,
)

FAILURE = RegistrationFailure(
    number="100",
    address="192.0.2.10",
    transport="udp",
    user_agent="baresip 4.0",
    status=401,
    reason="the password is wrong",
    first_at=NOW_AT - 100,
    last_at=NOW_AT - 10,
    count=3,
    denial=Denial.WRONG,
)


def make_registration(number: str = "100", *contacts: ContactSnapshot, count: int = 1) -> RegistrationSnapshot:
    return RegistrationSnapshot(number, contacts or (CONTACT,), count)


def make_contact(**changes: Any) -> ContactSnapshot:
    return replace(CONTACT, **changes)


def make_call(call_id: str, **changes: Any) -> CallSnapshot:
    return CALL._replace(call_id=call_id, **changes)


def make_ended(call_id: str, ended_at: float, **changes: Any) -> CallSnapshot:
    ended = {
        "state": CallState.TERMINATED,
        "ended_at": ended_at,
        "termination_reason": TerminationReason.NORMAL,
        "reason_text": "100 hung up",
        "ended_by": "100",
    }
    return make_call(call_id, **(ended | changes))


def make_stream(call_id: str = "call-1", **changes: Any) -> StreamSnapshot:
    return STREAM._replace(call_id=call_id, **changes)


def make_figures(**changes: Any) -> MediaFigures:
    return replace(FIGURES, **changes)


def make_period(days: int, **changes: Any) -> PeriodFigures:
    return replace(PERIOD, days=days, **changes)


def make_failure(**changes: Any) -> RegistrationFailure:
    return replace(FAILURE, **changes)


def make_ban(address: str, **changes: Any) -> BanSnapshot:
    return replace(BanSnapshot(address, NOW_AT - 60, NOW_AT + 3540, "10 wrong passwords", 10), **changes)


@dataclass
class FakeServices:
    registered: list[RegistrationSnapshot] = field(default_factory=list)
    live: list[CallSnapshot] = field(default_factory=list)
    ended: list[CallSnapshot] = field(default_factory=list)
    media: list[StreamSnapshot] = field(default_factory=list)
    totals: CallTotals = field(default_factory=lambda: CallTotals(0, 0, 0, 0.0, {}))
    relayed: RelayTotals = field(default_factory=RelayTotals)
    state: HealthSnapshot = field(default_factory=lambda: HealthSnapshot(ready=True))
    inside: Internals = field(default_factory=Internals)
    fault: Exception | None = None
    banned: dict[str, BanSnapshot] = field(default_factory=dict)
    failures: list[RegistrationFailure] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)
    departures: dict[str, list[DepartureSnapshot]] = field(default_factory=dict)
    """By number."""
    flooding: dict[str, float] = field(default_factory=dict)
    examined: DoctorFacts = field(default_factory=lambda: DoctorFacts(Config(), NOW_AT, 0.0, call_capacity=100))
    figures: dict[str, tuple[MediaFigures, ...]] = field(default_factory=dict)
    """Of the media of ended calls, by Call-ID."""
    traces: list[CallTrace] = field(default_factory=list)
    periods: list[PeriodFigures] = field(default_factory=list)
    points: list[TimelinePoint] = field(default_factory=list)
    tested: list[QualityResult] = field(default_factory=list)
    history_fault: Exception | None = None
    events: EventBus = field(default_factory=EventBus)
    dialled: list[tuple[str, str, bool]] = field(default_factory=list)
    webhooks: Courier = field(init=False)
    sums: int = 0
    """How often the figures of the last days were asked for."""

    def __post_init__(self) -> None:
        book = WebhookBook(Path(IN_MEMORY))
        self.webhooks = Courier(book, self.events, "sipserver@test", "1.2.3", wall_clock=lambda: NOW_AT)

    def registrations(self) -> list[RegistrationSnapshot]:
        if self.fault:
            raise self.fault
        return list(self.registered)

    def remove_registrations(self, number: str) -> int:
        removed = sum(len(each.contacts) for each in self.registered if each.number == number)
        self.registered = [each for each in self.registered if each.number != number]
        return removed

    def clear_registrations(self) -> int:
        return sum(self.remove_registrations(each.number) for each in list(self.registered))

    def calls(self) -> list[CallSnapshot]:
        return list(self.live)

    def drain(self) -> int:
        return len(self.live)

    def clear_calls(self) -> int:
        cleared = len(self.live)
        self.live = []
        return cleared

    def dial(self, from_number: str, to_number: str, *, auto_answer: bool) -> CallSnapshot:
        if self.fault:
            raise self.fault
        self.dialled.append((from_number, to_number, auto_answer))
        return make_call(f"dialled/{len(self.dialled)}", from_number=from_number, to_number=to_number)

    def end_call(self, call_id: str) -> bool:
        remaining = [call for call in self.live if call.call_id != call_id]
        ended, self.live = len(remaining) < len(self.live), remaining
        return ended

    def route_source(self, host: str) -> str:
        return "192.0.2.1"

    def call_trace(self, call_id: str, invited_at: float | None = None) -> CallTrace | None:
        if self.history_fault:
            raise self.history_fault
        fitting = [each for each in self.traces if each.call.call_id == call_id]
        if invited_at is not None:
            fitting = [each for each in fitting if is_within(each.call.invited_at, invited_at)]
        return max(fitting, key=lambda each: each.call.invited_at, default=None)

    def history(self, query: HistoryQuery) -> HistoryPage:
        fitting = self._records(query)
        shown = fitting[query.offset : query.offset + query.limit]
        return HistoryPage(
            tuple(each.call for each in shown),
            len(fitting),
            tuple(each.media for each in shown) if self.figures else (),
        )

    def history_rows(self, query: HistoryQuery) -> Iterator[CallRecord]:
        yield from self._records(query)

    def quality_results(self) -> Sequence[QualityResult]:
        return list(self.tested)

    def period_figures(self) -> Sequence[PeriodFigures]:
        self.sums += 1
        if self.history_fault:
            raise self.history_fault
        return list(self.periods)

    def timeline(self, days: int) -> Sequence[TimelinePoint]:
        if self.history_fault:
            raise self.history_fault
        return self.points[:days]

    def _records(self, query: HistoryQuery) -> list[CallRecord]:
        if self.history_fault:
            raise self.history_fault
        fitting = [call for call in self.ended if _fits(call, query)]
        fitting.sort(key=lambda call: call.ended_at or 0.0, reverse=True)
        return [CallRecord(call, self.figures.get(call.call_id, ())) for call in fitting]

    def streams(self) -> list[StreamSnapshot]:
        return list(self.media)

    def call_totals(self) -> CallTotals:
        return self.totals

    def relay_totals(self) -> RelayTotals:
        return self.relayed

    def extensions(self) -> list[str]:
        return [str(number) for number in range(100, 111)]

    def doctor_facts(self) -> DoctorFacts:
        return self.examined

    def presence(self, number: str) -> PresenceSnapshot:
        known = next((each for each in self.registered if each.number == number), None)
        contacts, first_seen_at = (known.contacts, known.first_seen_at) if known is not None else ((), None)
        return PresenceSnapshot(number, contacts, first_seen_at, tuple(self.departures.get(number, ())))

    def rate_limited(self) -> dict[str, float]:
        return self.flooding

    def started_at(self) -> float:
        return NOW_AT - 86_400.25

    def health(self) -> HealthSnapshot:
        return self.state

    def internals(self) -> Internals:
        return self.inside

    def bans(self) -> list[BanSnapshot]:
        return list(self.banned.values())

    def add_ban(self, address: str, duration_s: float | None, reason: str) -> BanSnapshot:
        if self.fault:
            raise self.fault
        until_at = None if duration_s is None else NOW_AT + duration_s
        self.banned[address] = BanSnapshot(address, NOW_AT, until_at, reason, 0)
        return self.banned[address]

    def lift_ban(self, address: str) -> bool:
        return self.banned.pop(address, None) is not None

    def registration_failures(self) -> list[RegistrationFailure]:
        return list(self.failures)

    def numbers_with_password(self) -> frozenset[str]:
        return frozenset(self.passwords)

    def set_password(self, number: str, password: str) -> int:
        self.passwords[number] = password
        return self.remove_registrations(number)

    def remove_password(self, number: str) -> bool:
        return self.passwords.pop(number, None) is not None


def _fits(call: CallSnapshot, query: HistoryQuery) -> bool:
    assert call.ended_at is not None
    return (
        (query.since_at is None or call.ended_at >= query.since_at)
        and (query.until_at is None or call.ended_at < query.until_at)
        and (query.extension is None or query.extension in (call.from_number, call.to_number))
    )


@dataclass
class FakeClock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def make() -> SimpleNamespace:
    return SimpleNamespace(
        registration=make_registration,
        contact=make_contact,
        call=make_call,
        ended=make_ended,
        stream=make_stream,
        figures=make_figures,
        period=make_period,
        failure=make_failure,
        ban=make_ban,
        now_at=NOW_AT,
    )


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_client(services: FakeServices, clock: FakeClock) -> Callable[..., FlaskClient]:
    """`make_client(token=None, **settings)` is a client of an app with these settings."""

    def make(token: str | None = None, **settings: Any) -> FlaskClient:
        config = replace(Config(), **settings)
        app = create_app(services, config, version="1.2.3", token=token, clock=clock, wall_clock=lambda: NOW_AT)
        return app.test_client()

    return make


@pytest.fixture
def client(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    return make_client()
