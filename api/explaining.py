"""The answers of `api.explanations`: loaded with the rules and their texts when somebody first asks.

Waitress workers.
"""

from __future__ import annotations

import json
from collections import defaultdict

from flask import Response, jsonify, request

from api.explanation_views import diagnosis_view, explanation_view, findings_view, number_view
from api.paging import PARAMETERS, page_response, read_limit, read_offset
from api.query import Query, check_extension
from api.services import current
from api.traces import find_call
from api.views import failure_view
from explain.calls.explanation import explain_call
from explain.doctor.diagnosis import diagnose
from explain.phones.explanation import explain_failure, explain_number
from explain.phones.standing import Standing
from explain.words import LANGUAGES, chosen_language
from sip.snapshots import RegistrationFailure


def call(call_id: str) -> Response:
    """Of a call in progress or ended; also of one whose record is forgotten, as far as the history says."""
    query = Query("inviteTime", "lang")
    language, trace, context = read_language(query), find_call(call_id, query), current()
    explanation = explain_call(trace, context.services.bans(), context.wall_clock())
    return in_language(jsonify(explanation_view(trace.call, explanation, language)), language)


def user(username: str) -> Response:
    """Whether a number can be reached now, and if not, why."""
    query = Query("lang")
    check_extension(username)
    language, standings = read_language(query), Standings()
    standing = standings.of(username)
    return in_language(jsonify(number_view(standing, explain_number(standing), language)), language)


def failures() -> Response:
    """Refused registrations, the newest first; `since` is about the last one of those counted together."""
    query = Query("since", "extension", "lang", *PARAMETERS)
    since_at, extension, language = query.time_at("since"), query.word("extension"), read_language(query)
    limit, offset = read_limit(query), read_offset(query)
    standings = Standings()
    fitting = [
        failure
        for failure in standings.failures
        if (since_at is None or failure.last_at >= since_at) and extension in (None, failure.number)
    ]
    rows = [
        failure_view(failure)
        | {"explanation": findings_view(explain_failure(failure, standings.of(failure.number)), language)}
        for failure in fitting[offset : offset + limit]
    ]
    return in_language(page_response(rows, len(fitting), limit, offset), language)


def doctor() -> Response:
    """What is found, the gravest first."""
    language = read_language(Query("lang"))
    facts = current().services.doctor_facts()
    return in_language(jsonify(diagnosis_view(diagnose(facts), facts.now_at, language)), language)


class Standings:
    """What is known of numbers at the moment of a request; of each it is asked once."""

    def __init__(self) -> None:
        self._context = current()
        services = self._context.services
        self.failures = services.registration_failures()
        self._bans, self._rate_limited = services.bans(), services.rate_limited()
        extensions = services.extensions()
        self._numbers = f"{extensions[0]}-{extensions[-1]}"
        self._failures_of: defaultdict[str, list[RegistrationFailure]] = defaultdict(list)
        for failure in self.failures:
            self._failures_of[failure.number].append(failure)
        self._known: dict[str, Standing] = {}

    def of(self, number: str) -> Standing:
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = Standing(
                presence=self._context.services.presence(number),
                now_at=self._context.wall_clock(),
                numbers=self._numbers,
                failures=self._failures_of[number],
                bans=self._bans,
                rate_limited=self._rate_limited,
            )
        return known


def read_language(query: Query) -> str:
    """What the parameter `lang` says, or else what the client reads best (Accept-Language)."""
    best = chosen_language(request.headers.get("Accept-Language", ""))
    return query.choice("lang", best, *(language for language in LANGUAGES if language != best))


def in_language(response: Response, language: str) -> Response:
    """Say which it is, and that another reader may get another one (RFC 9110 8.5, 12.5.5).  Its letters stand as they
    are, so that a person can read them in a terminal."""
    response.set_data(json.dumps(response.get_json(), ensure_ascii=False) + "\n")
    response.headers["Content-Language"] = language
    response.headers.add("Vary", "Accept-Language")
    return response
