"""Webhooks by HTTP: which there are, adding and removing one, trying it, what became of its events. Waitress workers.

The secret of a webhook is shown once, when it is made.
"""

from __future__ import annotations

import threading

from flask import Blueprint, Response, g, jsonify

from api.body import Body
from api.errors import Problem
from api.event_view import TYPES
from api.outcome import outcome
from api.paging import PARAMETERS, live_response
from api.query import Query, bad_parameter
from api.services import current, one_per_app
from api.views import Json, clean, iso_time
from api.webhooks.book import MAX_HOOKS, TooManyHooks, Webhook
from api.webhooks.courier import Courier, Delivery

bp = Blueprint("webhooks", __name__)

PATH = "/api/webhooks"
_MAX_TYPES = 50
_KEY = "sipserver.webhook_tests"


@bp.get(PATH)
def webhooks() -> Response:
    """In the order in which they were added."""
    query = Query(*PARAMETERS)
    courier = _courier()
    return live_response(query, courier.book.hooks(), lambda hook: _view(hook, courier))


@bp.post(PATH)
def add() -> Response:
    """201 with the webhook and its secret, which is not shown again."""
    Query()
    body = Body("url", "types")
    url, types = body.text("url") or "", body.texts("types", _MAX_TYPES) or ("*",)
    courier = _courier()
    try:
        hook = courier.book.add(url, types, current().wall_clock())
    except TooManyHooks:
        raise Problem(409, "There are too many webhooks.", f"{MAX_HOOKS} is the most; remove one first.") from None
    except OSError as error:
        raise _not_kept(error) from error
    except ValueError as error:
        raise _unusable(url, str(error)) from None
    g.outcome = f"Added the webhook {hook.hook_id}."
    response = jsonify(_view(hook, courier) | {"secret": hook.secret})
    response.status_code = 201
    response.headers["Location"] = f"{PATH}/{hook.hook_id}"
    return response


@bp.delete(f"{PATH}/<hook_id>")
def remove(hook_id: str) -> Response:
    """What waits for it is lost."""
    Query()
    courier = _courier()
    hook = _find(hook_id)
    try:
        courier.book.remove(hook.hook_id)
    except OSError as error:
        raise _not_kept(error) from error
    courier.forget(hook.hook_id)
    return outcome(f"Removed the webhook {hook.hook_id}.")


@bp.post(f"{PATH}/<hook_id>/test")
def test(hook_id: str) -> Response:
    """Sends an event of type `webhook.test` at once, and says what came of it.  One at a time: a receiver that does not
    answer holds the worker of the request, and must not hold them all."""
    Query()
    hook, trying = _find(hook_id), one_per_app(_KEY, threading.Lock)
    if not trying.acquire(blocking=False):
        raise Problem(
            503,
            "A webhook is being tried already.",
            "One is tried at a time, which takes as long as its receiver needs to answer. Try again soon.",
            headers={"Retry-After": "5"},
        )
    try:
        delivery = _courier().test(hook)
    finally:
        trying.release()
    g.outcome = f"Tested the webhook {hook_id}: {delivery.outcome}."
    return jsonify(_delivery_view(delivery))


@bp.get(f"{PATH}/<hook_id>/deliveries")
def deliveries(hook_id: str) -> Response:
    """The last tries, newest first."""
    query = Query(*PARAMETERS)
    found = _courier().deliveries(_find(hook_id).hook_id)
    return live_response(query, found, _delivery_view)


def _courier() -> Courier:
    return current().services.webhooks


def _find(hook_id: str) -> Webhook:
    hook = _courier().book.find(hook_id)
    if hook is None:
        raise Problem(404, "There is no such webhook.", f"Those that there are stand at {PATH}.")
    return hook


def _unusable(url: str, why: str) -> Problem:
    if why.startswith(("must ", "has ")):
        return bad_parameter("url", f"url can't be used: it {why}.")
    known = ", ".join(TYPES)
    return bad_parameter("types", f"types must name some of {known}; call.* stands for all of call, * for everything.")


def _not_kept(error: OSError) -> Problem:
    return Problem(503, "The list of webhooks can't be written.", f"Nothing was changed: {error.strerror or error}.")


def _view(hook: Webhook, courier: Courier) -> Json:
    standing = courier.standing(hook.hook_id)
    return {
        "id": hook.hook_id,
        "url": hook.url,
        "types": list(hook.types),
        "createdAt": iso_time(hook.created_at),
        "queued": standing.queued,
        "lost": standing.lost,
        "lastDelivery": None if standing.last is None else _delivery_view(standing.last),
    }


def _delivery_view(delivery: Delivery) -> Json:
    return {
        "eventId": delivery.event_id,
        "type": delivery.kind,
        "attempt": delivery.attempt,
        "time": iso_time(delivery.at),
        "took": round(delivery.took_s, 3),
        "statusCode": delivery.status or None,
        "error": clean(delivery.error) or None,
        "outcome": delivery.outcome,
    }
