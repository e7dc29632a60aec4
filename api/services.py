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
from sip.snapshots import (
    BanSnapshot,
    CallSnapshot,
    CallTotals,
    HistoryPage,
    HistoryQuery,
    RegistrationFailure,
    RegistrationSnapshot,
)

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
    each other. `clear_*` and `remove_registrations` say how many they ended. `started_at` is wall time.

    `bans` are those in force. `add_ban` lasts `duration_s`, or until lifted (None); `lift_ban` says whether there was
    one. Addresses are sources as `sip.sources.source_of` has them. `registration_failures` has the newest first.
    `set_password` says how many bindings it ended, `remove_password` whether there was a password. A change that can't
    be made is an `api.errors.Problem` or, for a ban, `BanTableFull`.
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
    def bans(self) -> Sequence[BanSnapshot]: ...
    def add_ban(self, address: str, duration_s: float | None, reason: str) -> BanSnapshot: ...
    def lift_ban(self, address: str) -> bool: ...
    def registration_failures(self) -> Sequence[RegistrationFailure]: ...
    def numbers_with_password(self) -> frozenset[str]: ...
    def set_password(self, number: str, password: str) -> int: ...
    def remove_password(self, number: str) -> bool: ...


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
