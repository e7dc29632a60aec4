"""Calls in progress, ended calls, calls of one extension, and the list of valid extensions. Waitress workers.

Ended calls are read page by page from where they are kept; nothing here holds more than one page of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import chain

from flask import Blueprint, Response

from api import csv_text
from api.call_ids import is_shown_as
from api.csv_text import Cell, harmless, spreadsheet_time
from api.errors import Problem
from api.outcome import outcome
from api.paging import PARAMETERS, live_response, page_response, read_limit, read_offset
from api.query import Query, bad_parameter, check_extension
from api.services import current, one_per_app
from api.views import SENDERS, Json, call_view, clean, record_view
from sip.snapshots import CallRecord, CallSnapshot, HistoryPage, HistoryQuery, MediaFigures

bp = Blueprint("calls", __name__)

_FILTERS = ("since", "until", "extension")

MAX_EXPORTS = 2
"""Exports at one time: whoever reads one slowly keeps a worker busy, and some must be left for everybody else."""

_KEY = "sipserver.exports"

_CALL_COLUMNS = (
    "inviteTimeUtc",
    "ringTimeUtc",
    "answerTimeUtc",
    "endTimeUtc",
    "duration",
    "fromNumber",
    "toNumber",
    "terminationReason",
    "statusCode",
    "reasonText",
    "endedBy",
    "fromAddress",
    "toAddress",
    "callId",
)
_MEDIA_COLUMNS = ("Codec", "Packets", "Lost", "Jitter", "Mos")
CSV_COLUMNS = (*_CALL_COLUMNS, *(f"{sender}{name}" for sender in SENDERS for name in _MEDIA_COLUMNS))
"""Those of the media are about what that side has sent."""


@bp.get("/api/calls")
def calls() -> Response:
    query = Query(*PARAMETERS)
    now_at = current().wall_clock()
    return live_response(query, _live_calls(), lambda call: call_view(call, now_at))


@bp.delete("/api/calls/<callid:call_id>")
def hang_up(call_id: str) -> Response:
    """End one call in progress on both phones."""
    Query()
    services = current().services
    found = {call.call_id for call in services.calls() if is_shown_as(call.call_id, call_id)}
    # Each of them, or only half of what the client sees under this id would be over.
    if not [each for each in found if services.end_call(each)]:
        raise Problem(
            404,
            "There is no such call in progress.",
            "Calls in progress stand at /api/calls. This one is over already, or its callId has a typing mistake; "
            "characters such as / and @ are percent-encoded in a path.",
        )
    return outcome(f"Hung up the call {clean(call_id)}.", callId=clean(call_id))


@bp.get("/api/calls/history")
def history() -> Response:
    """Ended calls, the one that ended last first; `since` and `until` are about the time of the end."""
    query = Query(*_FILTERS, *PARAMETERS)
    limit, offset = read_limit(query), read_offset(query)
    page = current().services.history(_history_query(query, limit, offset))
    return page_response(_views(page), page.total, limit, offset)


@bp.get("/api/calls/history.csv")
def history_csv() -> Response:
    """All ended calls that the filters let through, newest first, for a spreadsheet."""
    wanted = _history_query(Query(*_FILTERS), 1, 0)
    exports = one_per_app(_KEY, lambda: threading.BoundedSemaphore(MAX_EXPORTS))
    if not exports.acquire(blocking=False):
        raise Problem(
            503,
            "Too many exports at the same time.",
            f"{MAX_EXPORTS} are being read right now. Try again when one of them is complete.",
            headers={"Retry-After": "10"},
        )
    try:
        pieces = csv_text.table(CSV_COLUMNS, map(_csv_row, current().services.history_rows(wanted)))
        # What can't be read at all shows up here, where it still can become an answer of its own.
        response = Response(chain([next(pieces)], pieces), content_type=csv_text.MEDIA_TYPE)
    except BaseException:
        exports.release()
        raise
    response.call_on_close(exports.release)
    day = spreadsheet_time(current().wall_clock())[:10]
    response.headers["Content-Disposition"] = f'attachment; filename="calls-{day}.csv"'
    return response


@bp.get("/api/users/<username>/calls")
def calls_of_user(username: str) -> Response:
    """The extension's calls in progress; with `history=true` its ended ones follow, and the list is paged as one."""
    query = Query("history", *PARAMETERS)
    check_extension(username)
    now_at = current().wall_clock()
    live = [call for call in _live_calls() if username in (call.from_number, call.to_number)]
    if not query.flag("history"):
        return live_response(query, live, lambda call: call_view(call, now_at))
    limit, offset = read_limit(query), read_offset(query)
    rows, total = _live_then_ended(live, username, limit, offset)
    return page_response(rows, total, limit, offset)


@bp.get("/api/extensions")
def extensions() -> Response:
    query = Query(*PARAMETERS)
    return live_response(query, current().services.extensions(), str)


def _live_calls() -> list[CallSnapshot]:
    """Newest first."""
    return sorted(current().services.calls(), key=lambda call: call.invited_at, reverse=True)


def _history_query(query: Query, limit: int, offset: int) -> HistoryQuery:
    since_at, until_at = query.time_at("since"), query.time_at("until")
    if since_at is not None and until_at is not None and until_at < since_at:
        raise bad_parameter("until", "The time until lies before the time since.")
    return HistoryQuery(since_at, until_at, query.word("extension"), limit, offset)


def _views(page: HistoryPage) -> list[Json]:
    now_at = current().wall_clock()
    media = page.media or ((),) * len(page.calls)
    return [record_view(CallRecord(*each), now_at) for each in zip(page.calls, media, strict=True)]


def _csv_row(record: CallRecord) -> Sequence[Cell]:
    call = record.call
    return (
        spreadsheet_time(call.invited_at),
        spreadsheet_time(call.ringing_at),
        spreadsheet_time(call.answered_at),
        spreadsheet_time(call.ended_at),
        round(call.duration_s(call.ended_at or 0.0), 3),
        harmless(call.from_number),
        harmless(call.to_number),
        call.termination_reason.value if call.termination_reason else "",
        call.status or None,
        harmless(call.reason_text),
        harmless(call.ended_by),
        harmless(call.from_address),
        harmless(call.to_address),
        harmless(call.call_id),
        *_media_cells(record.media, 0),
        *_media_cells(record.media, 1),
    )


def _media_cells(media: Sequence[MediaFigures], side: int) -> Iterator[Cell]:
    """Of the sound that this side has sent; when several phones rang, of the one that was heard most."""
    sound = [figures for figures in media if figures.kind == "audio" and figures.side == side]
    heard = max(sound, key=lambda figures: figures.packets, default=None)
    if heard is None:
        yield from (None,) * len(_MEDIA_COLUMNS)
        return
    yield None if heard.codec is None else harmless(heard.codec)
    yield heard.packets
    yield heard.lost
    yield round(heard.jitter_ms, 3)
    yield None if heard.mos is None else round(heard.mos, 2)


def _live_then_ended(live: list[CallSnapshot], number: str, limit: int, offset: int) -> tuple[list[Json], int]:
    """One page of `live` followed by the ended calls of `number`, and how many there are in all."""
    # The newest ended calls are looked at whatever the page: a call that ended since `live` was read is among them.
    newest = current().services.history(HistoryQuery(None, None, number, limit, 0))
    ended_ids = {(call.call_id, call.invited_at) for call in newest.calls}
    live = [call for call in live if (call.call_id, call.invited_at) not in ended_ids]
    now_at = current().wall_clock()
    rows = [call_view(call, now_at) for call in live[offset : offset + limit]]
    skipped = max(0, offset - len(live))
    wanted = limit - len(rows)
    if not wanted:
        return rows, len(live) + newest.total
    page = newest if not skipped else current().services.history(HistoryQuery(None, None, number, wanted, skipped))
    return rows + _views(page)[:wanted], len(live) + page.total
