"""Click to dial: a call between two numbers that somebody asks for. Waitress workers."""

from __future__ import annotations

from flask import Blueprint, Response, g, json, request

from api.body import Body
from api.call_ids import path_of
from api.idempotency import KeyBook
from api.query import Query, bad_parameter
from api.services import current, one_per_app
from api.views import call_view

bp = Blueprint("dialling", __name__)

_KEY = "sipserver.dialled"


@bp.post("/api/calls")
def dial() -> Response:
    """201 with the call that begins: the phones of `from` ring, and when one is picked up, those of `to`."""
    Query()
    context = current()
    book = one_per_app(_KEY, KeyBook)
    with book.once(request, context.clock()) as once:
        if once.answer is None:
            body = Body("from", "to", "autoAnswer")
            numbers = [body.text(name) for name in ("from", "to")]
            for name, number in zip(("from", "to"), numbers, strict=True):
                if not number:
                    raise bad_parameter(name, f"{name} must be a number of the office in quotation marks.")
            call = context.services.dial(str(numbers[0]), str(numbers[1]), auto_answer=body.flag("autoAnswer"))
            once.done(json.dumps(call_view(call, context.wall_clock())))
            g.outcome = f"Connecting {call.from_number} with {call.to_number}."
    assert once.answer is not None
    view = json.loads(once.answer)
    response = Response(f"{once.answer}\n", 201, content_type="application/json")
    response.headers["Location"] = path_of(view["callId"])
    return response
