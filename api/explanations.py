"""Why a call went as it did, in words, in the language of the reader.  Waitress workers."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from api.explanation_views import explanation_view
from api.query import Query
from api.services import current
from api.traces import find_call
from explain.calls.explanation import explain_call
from explain.words import LANGUAGES, chosen_language

bp = Blueprint("explanations", __name__)


@bp.get("/api/calls/<callid:call_id>/explain")
def explain(call_id: str) -> Response:
    """Of a call in progress or ended; also of one whose record is forgotten, as far as the history says."""
    query = Query("inviteTime", "lang")
    language, trace, context = read_language(query), find_call(call_id, query), current()
    explanation = explain_call(trace, context.services.bans(), context.wall_clock())
    return in_language(jsonify(explanation_view(trace.call, explanation, language)), language)


def read_language(query: Query) -> str:
    """What the parameter `lang` says, or else what the client reads best (Accept-Language)."""
    best = chosen_language(request.headers.get("Accept-Language", ""))
    return query.choice("lang", best, *(language for language in LANGUAGES if language != best))


def in_language(response: Response, language: str) -> Response:
    """Say which it is, and that another reader may get another one (RFC 9110 8.5, 12.5.5)."""
    response.headers["Content-Language"] = language
    response.headers.add("Vary", "Accept-Language")
    return response
