"""What the HTTP layer asks of the running server, and where its routes find it.

The composition root gives one `Services`; waitress workers call it, several at once. No lock is held here: the values
that come back are frozen, so JSON is made long after the core has gone on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from flask import Flask, current_app

from config import Config
from rtp.figures import RelayTotals, StreamSnapshot
from sip.snapshots import CallSnapshot, CallTotals, HistoryPage, HistoryQuery, RegistrationSnapshot

_KEY = "sipserver"


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """Whether the server can do its work, and in plain words what hinders it: clauses without capital and full stop.

    `/healthz` shows the problems to anybody, so they name no person, number or address of a phone.
    """

    ready: bool
    problems: tuple[str, ...] = ()


class Services(Protocol):
    """Every method copies under one short lock, never blocks on the network, and gives frozen values.

    `registrations`, `calls` and `streams` come in the order in which they began; the two directions of a stream follow
    each other. `clear_*` and `remove_*` say how many they ended. `started_at` is wall time.
    """

    def registrations(self) -> Sequence[RegistrationSnapshot]: ...
    def remove_registrations(self, number: str) -> int: ...
    def clear_registrations(self) -> int: ...
    def calls(self) -> Sequence[CallSnapshot]: ...
    def clear_calls(self) -> int: ...
    def history(self, query: HistoryQuery) -> HistoryPage: ...
    def streams(self) -> Sequence[StreamSnapshot]: ...
    def call_totals(self) -> CallTotals: ...
    def relay_totals(self) -> RelayTotals: ...
    def extensions(self) -> Sequence[str]: ...
    def started_at(self) -> float: ...
    def health(self) -> HealthSnapshot: ...


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
