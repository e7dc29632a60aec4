"""The HTTP API: one Flask app whose routes turn frozen snapshots into JSON; no logic beyond shape and paging.

Waitress workers run everything in here but `create_app`. They share the immutable `Context` and `Gate`, and the
`RateLimiter` with its leaf lock; no lock of the core is held while JSON is made.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from flask import Flask, Response, g, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.routing import Rule

from api import (
    admin,
    bans,
    calls,
    dialling,
    documentation,
    draining,
    events,
    explanations,
    extensions,
    health,
    media,
    metrics,
    page,
    registrations,
    session,
    statistics,
    testcalls,
    traces,
)
from api.access import Gate
from api.audit import READING_METHODS, AuditTrail
from api.body import check_type
from api.call_ids import CallIdConverter, CallIdPaths
from api.errors import Problem, register_errors
from api.headers import SECURITY_HEADERS
from api.limits import check_size
from api.rate_limit import RateLimiter
from api.services import Context, Services, attach
from api.sessions import SESSIONS_KEY, SessionBook
from api.webhooks import routes as webhooks
from config import Config

__all__ = ["Services", "create_app"]

log = logging.getLogger(__name__)

_UNLIMITED_PATHS = frozenset({health.PATH, metrics.PATH})
"""To be read as often as anybody likes."""


def create_app(
    services: Services,
    config: Config,
    *,
    version: str,
    token: str | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> Flask:
    """The app for one server; `token` is what `load_or_create_token` gave, None only on a loopback address."""
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.json = _Json(app)
    app.url_rule_class = _Route
    # A redirect to the path without doubled slashes would be an error that isn't JSON.
    app.url_map.merge_slashes = False
    app.url_map.converters["callid"] = CallIdConverter
    app.wsgi_app = CallIdPaths(app.wsgi_app)  # type: ignore[method-assign]
    attach(app, Context(services, config, version, clock, wall_clock))
    app.extensions[SESSIONS_KEY] = sessions = SessionBook()
    register_errors(app)
    _install_door(app, Gate(config, token, sessions), config.api_rate_limit, clock)
    for bp in (
        health.bp,
        registrations.bp,
        calls.bp,
        dialling.bp,
        traces.bp,
        explanations.bp,
        media.bp,
        statistics.bp,
        extensions.bp,
        bans.bp,
        draining.bp,
        metrics.bp,
        documentation.bp,
        page.bp,
        testcalls.bp,
        events.bp,
        session.bp,
        webhooks.bp,
    ):
        app.register_blueprint(bp)
    if config.app_env == "development":
        app.register_blueprint(admin.bp)
    return app


class _Route(Rule):
    """Only matches.  The function that would make the URL of a view, which nothing here asks for, is compiled from
    source by Werkzeug, twice for each route: nine tenths of what it takes to make an app.  (Should Werkzeug come to
    call this something else, it only takes longer again.)"""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _no_url


def _no_url(_route: _Route, **_values: object) -> tuple[str, str]:
    raise NotImplementedError("URLs of views are not made here")


class _Json(DefaultJSONProvider):
    """Fields in the order in which they are written, ASCII only."""

    sort_keys = False


def _install_door(app: Flask, gate: Gate, limit: int, clock: Callable[[], float]) -> None:
    """What happens to every request before its route, and to every response after it."""
    limiter = RateLimiter(limit) if limit else None
    trail = AuditTrail()

    def admit() -> None:
        g.began = clock()
        # First, so that a foreign web page can't use up the quota of the programs on this machine.
        gate.check_source(request)
        reading = request.method in READING_METHODS
        if limiter is not None and not (reading and request.path in _UNLIMITED_PATHS):
            _count(limiter)
        if not (reading and _is_open(request.path)):
            g.who = gate.check_token(request, g.began)
        check_size(request)
        if not reading:
            check_type(request)
        g.admitted = True

    def finish(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if "quota" in g:
            response.headers.update(g.quota.headers())
        _log_request(response, clock() - g.began)
        if request.method not in READING_METHODS:
            _audit(trail, response.status_code)
        return response

    app.before_request(admit)
    app.after_request(finish)


def _is_open(path: str) -> bool:
    """To be read without a token, by whoever reaches the server."""
    return path == health.PATH or page.belongs_to_page(path) or documentation.belongs_to_docs(path)


def _count(limiter: RateLimiter) -> None:
    g.quota = limiter.take(request.remote_addr or "", g.began)
    if not g.quota.allowed:
        raise Problem(
            429,
            "Too many requests.",
            f"This address has made {g.quota.limit} requests within a minute, which is all that API_RATE_LIMIT allows. "
            f"Wait {g.quota.reset_s} s.",
        )


def _log_request(response: Response, took_s: float) -> None:
    log.debug(
        "%s %s %s: %d in %.1f ms",
        request.remote_addr,
        request.method,
        request.path,
        response.status_code,
        took_s * 1000,
    )


def _audit(trail: AuditTrail, status: int) -> None:
    client, outcome = request.remote_addr or "", g.get("outcome", "")
    if "admitted" in g:
        trail.admitted(client, g.who, request.method, request.path, status, outcome)
    else:
        trail.refused(client, request.method, request.path, status, outcome, g.began)
