"""All about one call, live or ended: what happened, its messages, also as a ladder and as a capture, its quality over
time. Waitress workers.

Of several calls with one Call-ID the newest is shown; `inviteTime`, as the lists have it, names another.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify

from api.call_ids import is_shown_as
from api.errors import Problem
from api.query import Query
from api.services import current
from api.trace_views import clean_lines, ladder_view, message_view, quality_view, trace_view
from api.views import iso_time
from rtp.quality import FORMULA
from sip.trace import CallTrace
from tracing.ladder import ladder
from tracing.ladder_text import as_mermaid, as_text
from tracing.messages import read_messages
from tracing.parties import parties
from tracing.pcap import capture

bp = Blueprint("traces", __name__)

PCAP_TYPE = "application/vnd.tcpdump.pcap"
_TEXT_TYPE = "text/plain; charset=utf-8"
_UNFIT = re.compile(r"[^A-Za-z0-9+*#-]")


@bp.get("/api/calls/<callid:call_id>")
def call(call_id: str) -> Response:
    trace = find_call(call_id, Query("inviteTime"))
    return jsonify(trace_view(trace, parties(trace), current().wall_clock()))


@bp.get("/api/calls/<callid:call_id>/ladder")
def call_ladder(call_id: str) -> Response:
    query = Query("inviteTime", "format")
    form = query.choice("format", "json", "text", "mermaid")
    diagram = ladder(find_trace(call_id, query))
    if form == "json":
        return jsonify(ladder_view(diagram))
    text = as_text(diagram) if form == "text" else as_mermaid(diagram)
    return Response(clean_lines(text), content_type=_TEXT_TYPE)


@bp.get("/api/calls/<callid:call_id>/messages")
def call_messages(call_id: str) -> Response:
    trace = find_trace(call_id, Query("inviteTime"))
    return jsonify([message_view(each, trace.call.invited_at) for each in read_messages(trace.entries)])


@bp.get("/api/calls/<callid:call_id>/pcap")
def call_pcap(call_id: str) -> Response:
    trace = find_trace(call_id, Query("inviteTime"))
    response = Response(capture(trace, current().services.route_source), content_type=PCAP_TYPE)
    response.headers["Content-Disposition"] = f'attachment; filename="{_file_name(trace)}"'
    return response


@bp.get("/api/calls/<callid:call_id>/quality")
def call_quality(call_id: str) -> Response:
    return jsonify(quality_view(find_trace(call_id, Query("inviteTime")), FORMULA))


def find_call(call_id: str, query: Query) -> CallTrace:
    """The call that a path names, by a query that knows `inviteTime`; 404 when there is none."""
    services, invited_at = current().services, query.time_at("inviteTime")
    trace = services.call_trace(call_id, invited_at)
    if trace is None:
        # The path may have been made of what is shown of a Call-ID that can't be shown as it is.
        live = (each.call_id for each in services.calls() if is_shown_as(each.call_id, call_id))
        trace = next((found for each in live if (found := services.call_trace(each, invited_at))), None)
    if trace is None:
        raise Problem(
            404,
            "There is no such call.",
            "Calls in progress stand at /api/calls, ended ones at /api/calls/history. The callId may have a typing "
            "mistake; characters such as / and @ are percent-encoded in a path. Calls that ended more than "
            f"HISTORY_DAYS={current().config.history_days} days ago are forgotten.",
            reason="unknown",
        )
    return trace


def find_trace(call_id: str, query: Query) -> CallTrace:
    """The same, with its record; 404 when that is not kept any more."""
    trace = find_call(call_id, query)
    if trace.is_kept:
        return trace
    config, since = current().config, iso_time(trace.forgotten_at)
    limits = f"Messages are kept for TRACE_DAYS={config.trace_days} days and up to TRACE_MAX_MB={config.trace_max_mb}"
    if since is None:
        raise Problem(
            404,
            "Of this call no messages were kept.",
            f"It stands in the history, but nothing else is known of it. {limits}; not at all of calls that were cut "
            "off when the server stopped without warning.",
            reason="not-kept",
        )
    raise Problem(
        404,
        "The messages of this call are forgotten.",
        f"It stands in the history, but what was kept of it beside that was removed at {since}. {limits} megabytes.",
        reason="forgotten",
        forgottenAt=since,
    )


def _file_name(trace: CallTrace) -> str:
    began = datetime.fromtimestamp(trace.call.invited_at, UTC)
    numbers = (_UNFIT.sub("", number)[:32] for number in (trace.call.from_number, trace.call.to_number))
    return f"call-{'-'.join(numbers)}-{began:%Y%m%dT%H%M%SZ}.pcap"
