"""Figures since the start of the server, and those of the last days. Waitress workers.

`calls`: `averageDuration` is the seconds of talk per completed call; `stateStats` counts the calls in progress by
state, and under TERMINATED those that ended. `users`: `totalUsers` are the numbers registered now, `activeUsers` those
of them with a binding whose time has not run out; `addressStats` counts bindings by the phone's address;
`recentRegistrations` lists the newest bindings made within the last hour, ten at most. `rtp`: packets, bytes and losses
include ended calls.

`periods` comes from the kept history and begins at local midnights: today, and today with the 6 or 29 days before it.
It is null while the history can't be read, since all else is known nevertheless.
"""

from __future__ import annotations

import platform
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from flask import Blueprint, Response, jsonify

from api.errors import Problem
from api.memory import memory_bytes
from api.query import Query, bad_parameter
from api.services import Services, current, one_per_app
from api.views import Json, iso_time, period_view, timeline_view
from sip.snapshots import CallState, PeriodFigures, RegistrationSnapshot

bp = Blueprint("statistics", __name__)

RECENT_S = 3600
MAX_RECENT = 10

PERIOD_NAMES = {1: "today", 7: "last7Days", 30: "last30Days"}
"""By days."""
PERIODS_LAST_S = 5.0
"""How long the figures of the last days are shown before they are summed up again, which takes a while when there are
a million calls."""

_KEY = "sipserver.periods"


class PeriodCache:
    """The figures of the last days and when they were read; of several that want newer ones, one reads.  `_reading`
    is held meanwhile."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._figures: Sequence[PeriodFigures] = ()
        self._good_until = float("-inf")

    def get(self, read: Callable[[], Sequence[PeriodFigures]], now: float) -> Sequence[PeriodFigures]:
        with self._reading:
            if now >= self._good_until:
                self._figures = read()
                self._good_until = now + PERIODS_LAST_S
            return self._figures


@bp.get("/api/statistics")
def statistics() -> Response:
    Query()
    services, now_at = current().services, current().wall_clock()
    return jsonify(
        {
            "calls": _calls(services),
            "users": _users(services.registrations(), now_at),
            "periods": _periods(services),
            "rtp": _rtp(services),
            "server": {
                "uptime": round(max(0.0, now_at - services.started_at()), 3),
                "memory": memory_bytes(),
                "version": current().version,
                "pythonVersion": platform.python_version(),
                "startedAt": iso_time(services.started_at()),
            },
        }
    )


@bp.get("/api/statistics/timeline")
def timeline() -> Response:
    """Hour by hour today, day by day for the longer periods; `period` as under `periods`."""
    query = Query("period")
    name = query.word("period") or PERIOD_NAMES[1]
    days = next((days for days, known in PERIOD_NAMES.items() if known == name), None)
    if days is None:
        raise bad_parameter("period", f"period must be one of {', '.join(PERIOD_NAMES.values())}.")
    points = [timeline_view(point) for point in current().services.timeline(days)]
    return jsonify({"period": name, "bucket": "hour" if days == 1 else "day", "points": points})


def _calls(services: Services) -> Json:
    live, totals = services.calls(), services.call_totals()
    states = Counter(call.state for call in live)
    states[CallState.TERMINATED] += totals.completed + totals.failed
    return {
        "activeCalls": len(live),
        "totalCalls": totals.total,
        "completedCalls": totals.completed,
        "failedCalls": totals.failed,
        "averageDuration": round(totals.talk_s / totals.completed, 3) if totals.completed else 0.0,
        "stateStats": {state.value: states[state] for state in CallState},
    }


def _periods(services: Services) -> Json | None:
    cache = one_per_app(_KEY, PeriodCache)
    try:
        periods = cache.get(services.period_figures, current().clock())
    except Problem:
        return None
    return {PERIOD_NAMES[period.days]: period_view(period) for period in periods}


def _users(registrations: Sequence[RegistrationSnapshot], now_at: float) -> Json:
    bindings = [(each.number, contact) for each in registrations for contact in each.contacts]
    recent = sorted(
        (binding for binding in bindings if binding[1].registered_at > now_at - RECENT_S),
        key=lambda binding: binding[1].registered_at,
        reverse=True,
    )
    return {
        "totalUsers": len(registrations),
        "activeUsers": len({number for number, contact in bindings if contact.expires_at > now_at}),
        "addressStats": dict(Counter(contact.address for _, contact in bindings).most_common()),
        "recentRegistrations": [
            {"number": number, "address": contact.address, "registeredAt": iso_time(contact.registered_at)}
            for number, contact in recent[:MAX_RECENT]
        ],
    }


def _rtp(services: Services) -> Json:
    totals = services.relay_totals()
    return {
        "activeStreams": totals.active_streams,
        "packets": totals.packets,
        "bytes": totals.bytes,
        "lost": totals.lost,
        "rejected": totals.rejected,
        "dropped": totals.dropped,
    }
