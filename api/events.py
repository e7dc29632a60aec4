"""What happens, live: `/api/events` as a stream of server-sent events (HTML 9.2), or as a list for simple clients.
Waitress workers.

A stream, and a request that waits for news, holds its worker until it ends, so their number is limited and the server
has that many workers more (`api.server.WORKERS` are left for everybody else).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from flask import Blueprint, Response, g, jsonify, request

from api.access import cookie_name
from api.connection import Connection, connection_of
from api.errors import Problem
from api.event_view import TYPES, envelope, gap, source_of, wanted_types
from api.query import Query, bad_parameter
from api.services import Context, current, one_per_app
from api.sessions import sessions
from api.views import Json
from sip.events import Event, EventType

bp = Blueprint("events", __name__)

PATH = "/api/events"
STREAM_TYPE = "text/event-stream"

MAX_WAIT_S = 60
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

HEARTBEAT_S = 15.0
"""Whatever lies between must see a stream alive so often."""

LOOK_S = 1.0
"""How soon a stream notices that its client has gone."""

MAX_BACKLOG = 256 * 1024
"""Bytes that a client may leave unread before it is given up; it can come back and go on where it was."""

RETRY_MS = 2000
"""When a browser comes back after its stream has ended."""

_KEY = "sipserver.event_clients"


class _Place(NamedTuple):
    """Where a client goes on: after that number, which is of this run unless it `restarted`."""

    after: int
    restarted: bool = False


@bp.get(PATH)
def events() -> Response:
    """With `Accept: text/event-stream` a stream, from now on or from `Last-Event-ID`; else what is remembered, or has
    happened after `after`, as JSON."""
    query = Query("types", "after", "wait", "limit")
    kinds = _kinds(query)
    place = _place(query)
    if STREAM_TYPE in request.accept_mimetypes.values():
        return _stream(place, kinds)
    wait_s = query.whole("wait", 0, 0, MAX_WAIT_S)
    limit = query.whole("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    return _list(place, kinds, wait_s, limit)


def _kinds(query: Query) -> frozenset[EventType]:
    text = query.text("types")
    if text is None:
        return frozenset(EventType)
    try:
        return wanted_types(text)
    except ValueError:
        detail = f"types must name some of {', '.join(TYPES)}, separated by commas; call.* stands for all of call."
        raise bad_parameter("types", detail) from None


def _place(query: Query) -> _Place | None:
    """None: the client names no event."""
    event_id = query.text("after") or request.headers.get("Last-Event-ID")
    if not event_id:
        return None
    try:
        number = current().services.events.number_of(event_id)
    except ValueError:
        raise bad_parameter("after", "after must be the id of an event, as an event or next has it.") from None
    return _Place(0, restarted=True) if number is None else _Place(number)


# ------------------------------------------------------------------------------------------------ a stream


def _stream(place: _Place | None, kinds: frozenset[EventType]) -> Response:
    context = current()
    headers = {"X-Accel-Buffering": "no"}  # a proxy in between must not gather events
    if request.method == "HEAD":
        return Response(content_type=STREAM_TYPE, headers=headers)
    clients = _clients(context)
    if not clients.acquire(blocking=False):
        raise _too_many(context)
    connection = connection_of(request)
    connection.expect_end()
    stream = _Stream(context, connection, kinds, _welcome(context))
    start = place if place is not None else _Place(context.services.events.newest)
    response = Response(stream.blocks(start), content_type=STREAM_TYPE, headers=headers)
    response.call_on_close(clients.release)
    return response


def _welcome(context: Context) -> Callable[[], bool]:
    """Whether who was let in would be so still: a session may be closed while its stream goes on."""
    if g.who != "session":
        return lambda: True
    return partial(sessions().has, request.cookies.get(cookie_name(context.config), ""))


class _Stream:
    """One client's; used by its worker alone."""

    def __init__(
        self, context: Context, connection: Connection, kinds: frozenset[EventType], is_welcome: Callable[[], bool]
    ) -> None:
        self._feed = context.services.events
        self._clock = context.clock
        self._context = context
        self._connection = connection
        self._kinds = kinds
        self._is_welcome = is_welcome

    def blocks(self, place: _Place) -> Iterator[str]:
        """Text to be sent as it is (HTML 9.2.5), until the server stops, or the client is gone or signed out."""
        feed, after, sent_at = self._feed, place.after, self._clock()
        yield f"retry: {RETRY_MS}\nid: {feed.id_of(after)}\n\n"
        if place.restarted:
            yield _block(gap(0, None, self._context.wall_clock(), feed, source_of(self._context.config)))
        while self._connection.is_open and self._connection.unsent <= MAX_BACKLOG and self._is_welcome():
            is_last = feed.is_closed
            text, after = self._news(after)
            if not text and self._clock() - sent_at >= HEARTBEAT_S:
                # With an id and no data it is no event; a client that comes back starts from there.
                text = f": alive\nid: {feed.id_of(after)}\n\n"
            if text:
                sent_at = self._clock()
                yield text
            if is_last:
                return
            feed.wait(after, LOOK_S)

    def _news(self, after: int) -> tuple[str, int]:
        """What has happened since, and up to where that is."""
        found, missed, after = _read(self._context, after, self._kinds)
        return "".join(map(_block, [*missed, *found])), after


def _block(event: Json) -> str:
    return f"id: {event['id']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"


# ------------------------------------------------------------------------------------------------ a list


def _list(place: _Place | None, kinds: frozenset[EventType], wait_s: int, limit: int) -> Response:
    context = current()
    feed = context.services.events
    if place is None:
        place, wait_s = _Place(max(0, feed.newest - MAX_LIMIT)), 0
    restart = [gap(0, None, context.wall_clock(), feed, source_of(context.config))] if place.restarted else []
    found, missed, after = _read(context, place.after, kinds, limit)
    if not (found or missed or restart) and wait_s and request.method != "HEAD":
        found, missed, after = _wait(context, after, kinds, wait_s, limit)
    return jsonify({"events": [*restart, *missed, *found], "next": feed.id_of(after)})


def _wait(
    context: Context, after: int, kinds: frozenset[EventType], wait_s: int, limit: int
) -> tuple[list[Json], list[Json], int]:
    """The next events, at most `wait_s` seconds from now."""
    clients = _clients(context)
    if not clients.acquire(blocking=False):
        raise _too_many(context)
    try:
        connection = connection_of(request)
        connection.expect_end()
        feed, until = context.services.events, context.clock() + wait_s
        found: list[Json] = []
        missed: list[Json] = []
        while not (found or missed) and connection.is_open and not feed.is_closed:
            left_s = until - context.clock()
            if left_s <= 0:
                break
            feed.wait(after, min(left_s, LOOK_S))
            found, missed, after = _read(context, after, kinds, limit)
        return found, missed, after
    finally:
        clients.release()


# ------------------------------------------------------------------------------------------------ both


def _read(
    context: Context, after: int, kinds: frozenset[EventType], limit: int = MAX_LIMIT
) -> tuple[list[Json], list[Json], int]:
    """Events of these kinds after that number, what stands for those that are forgotten, and the number of the last
    event looked at."""
    feed, source = context.services.events, source_of(context.config)
    batch = feed.read(after)
    missed = [gap(after, batch.missed, context.wall_clock(), feed, source)] if batch.missed else []
    after += batch.missed
    wanted: list[Event] = []
    for event in batch.events:
        if len(wanted) == limit:
            break
        after = event.number
        if event.kind in kinds:
            wanted.append(event)
    return [envelope(event, feed, source) for event in wanted], missed, after


def _clients(context: Context) -> threading.BoundedSemaphore:
    return one_per_app(_KEY, lambda: threading.BoundedSemaphore(context.config.api_event_clients))


def _too_many(context: Context) -> Problem:
    return Problem(
        503,
        "Too many clients follow the events.",
        f"{context.config.api_event_clients} do so already, which is all that API_EVENT_CLIENTS allows. "
        "Try again when one of them has gone.",
        headers={"Retry-After": "10"},
    )
