"""Every error of the API as RFC 9457 problem details, plus `error`, a short sentence for simple clients.

Runs on waitress workers; nothing here is shared between them. `problem` needs no request, so that `api.server` can use
it for what never reaches Flask.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus

from flask import Flask, Response, g, json, request
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed

from api.views import clean
from faults import FaultLog

log = logging.getLogger(__name__)
_faults = FaultLog(log, "http")

MEDIA_TYPE = "application/problem+json"

# status -> error, detail
_SENTENCES = {
    400: (
        "The request can't be understood.",
        "It breaks the rules of HTTP; usual programs send no such thing.",
    ),
    404: ("There is nothing at this address.", "No page of this server has this path. Check it for a typing mistake."),
    413: ("The request is too large.", "It carries more data than any page of this server takes."),
    431: ("The request's header is too large.", "Its address, cookies or other header fields are longer than allowed."),
    501: ("The request can't be understood.", "It is encoded in a way that this server doesn't know."),
}


class Problem(Exception):
    """An answer that is an error; `members` are added to the problem details, `headers` to the response."""

    def __init__(
        self,
        status: int,
        error: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.detail = detail
        self.headers = headers or {}
        self.members = members


def problem(status: int, error: str, detail: str, **members: object) -> dict[str, object]:
    """The members of RFC 9457 3.1; the type is about:blank, so the title is the status phrase (4.2.1)."""
    title = HTTPStatus(status).phrase
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "error": error,
        **members,
    }


def sentences(status: int) -> tuple[str, str]:
    """`error` and `detail` for a status that says all there is to say."""
    known = HTTPStatus(status)
    return _SENTENCES.get(status) or (f"{known.phrase}.", known.description or "No more is known.")


def new_fault_id() -> str:
    """A short name for one fault of ours, for the answer and for the log."""
    return secrets.token_hex(6)


def fault_problem(fault_id: str) -> Problem:
    return Problem(
        500,
        "Something went wrong inside the server.",
        f"This is a fault of the server, not of the request. Its log tells more under the id {fault_id}.",
        id=fault_id,
    )


def register_errors(app: Flask) -> None:
    """Let every exception of a request, known or not, become problem details."""
    app.register_error_handler(Problem, _on_problem)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(Exception, _on_fault)


def _on_problem(error: Problem) -> Response:
    g.outcome = error.error
    body = problem(error.status, error.error, error.detail, **error.members)
    response = Response(json.dumps(body) + "\n", error.status, content_type=MEDIA_TYPE)
    response.headers.update(error.headers)
    return response


def _on_http_error(error: HTTPException) -> Response:
    if isinstance(error, InternalServerError):
        return _on_fault(error.original_exception or error)
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        method = clean(request.method)
        return _on_problem(
            Problem(
                405,
                f"{method} isn't possible here.",
                f"This page of the server exists, but it takes other methods than {method}: {allowed}.",
                headers={"Allow": allowed},
            )
        )
    status = error.code or 500
    return _on_problem(Problem(status, *sentences(status)))


def _on_fault(error: BaseException) -> Response:
    fault_id = new_fault_id()
    _faults.count()  # each is told: whoever got the id may ask for it
    log.error("fault %s: %s %s", fault_id, request.method, request.path, exc_info=error)
    return _on_problem(fault_problem(fault_id))
