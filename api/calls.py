"""Calls in progress, ended calls, calls of one extension, and the list of valid extensions. Waitress workers."""

from __future__ import annotations

from flask import Blueprint, Response

from api.errors import Problem
from api.paging import PARAMETERS, live_response, page_response, read_limit, read_offset
from api.query import Query, bad_parameter
from api.services import current
from api.views import call_view
from sip.snapshots import CallSnapshot, HistoryQuery

bp = Blueprint("calls", __name__)


@bp.get("/api/calls")
def calls() -> Response:
    query = Query(*PARAMETERS)
    now_at = current().wall_clock()
    return live_response(query, _live_calls(), lambda call: call_view(call, now_at))


@bp.get("/api/calls/history")
def history() -> Response:
    """Ended calls, the one that ended last first; `since` and `until` are about the time of the end."""
    query = Query("since", "until", "extension", *PARAMETERS)
    since_at, until_at = query.time_at("since"), query.time_at("until")
    if since_at is not None and until_at is not None and until_at < since_at:
        raise bad_parameter("until", "The time until lies before the time since.")
    limit, offset = read_limit(query), read_offset(query)
    page = current().services.history(HistoryQuery(since_at, until_at, query.word("extension"), limit, offset))
    now_at = current().wall_clock()
    return page_response([call_view(call, now_at) for call in page.calls], page.total, limit, offset)


@bp.get("/api/users/<username>/calls")
def calls_of_user(username: str) -> Response:
    """The extension's calls in progress; with `history=true` its ended ones follow, and the list is paged as one."""
    query = Query("history", *PARAMETERS)
    if username not in current().services.extensions():
        raise Problem(404, "There is no such extension.", "The number isn't one of those listed at /api/extensions.")
    now_at = current().wall_clock()
    live = [call for call in _live_calls() if username in (call.from_number, call.to_number)]
    if not query.flag("history"):
        return live_response(query, live, lambda call: call_view(call, now_at))
    limit, offset = read_limit(query), read_offset(query)
    rows, total = _live_then_ended(live, username, limit, offset)
    return page_response([call_view(call, now_at) for call in rows], total, limit, offset)


@bp.get("/api/extensions")
def extensions() -> Response:
    query = Query(*PARAMETERS)
    return live_response(query, current().services.extensions(), str)


def _live_calls() -> list[CallSnapshot]:
    """Newest first."""
    return sorted(current().services.calls(), key=lambda call: call.invited_at, reverse=True)


def _live_then_ended(live: list[CallSnapshot], number: str, limit: int, offset: int) -> tuple[list[CallSnapshot], int]:
    """One page of `live` followed by the ended calls of `number`, and how many there are in all."""
    # The newest ended calls are looked at whatever the page: a call that ended since `live` was read is among them.
    newest = current().services.history(HistoryQuery(None, None, number, limit, 0))
    ended_ids = {(call.call_id, call.invited_at) for call in newest.calls}
    live = [call for call in live if (call.call_id, call.invited_at) not in ended_ids]
    rows = live[offset : offset + limit]
    skipped = max(0, offset - len(live))
    wanted = limit - len(rows)
    if not wanted:
        return rows, len(live) + newest.total
    page = newest if not skipped else current().services.history(HistoryQuery(None, None, number, wanted, skipped))
    return rows + list(page.calls[:wanted]), len(live) + page.total
