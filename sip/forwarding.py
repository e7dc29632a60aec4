"""What became of a forwarded request: its branches, their responses, and the best one (RFC 3261 16.7).

Pure; guarded by the core lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sip.call import Call, Leg
from sip.flow import Flow
from sip.media import MediaAnchor
from sip.message import Request, Response
from sip.timers import Timer
from sip.transaction_client import ClientTransaction


class Answerable(Protocol):
    """What answers go to: a server transaction, or what stands in its place."""

    flow: Flow
    ticket: int

    def respond(self, response: Response, now: float) -> None: ...


@dataclass(slots=True, eq=False)
class ResponseContext:
    """The server transaction of a request and the branches it was forwarded on (16.7).

    Invariant: `decided` is True from the moment a final response went upstream; for an INVITE every 2xx goes upstream
    all the same, as long as no other final response went first.
    """

    server: Answerable
    request: Request
    sender_flow: Flow
    call: Call | None = None
    branches: list[Branch] = field(default_factory=list)
    decided: bool = False
    answered: bool = False
    cancel_cause: str = ""
    """Why the branches were cancelled: "caller", "setup timeout", ... or ""."""
    ended: bool = False
    """The server transaction is over."""
    loop_hash: int = 0
    """What routing depended on, for the branches (RFC 5393 4.2); 0 inside a dialog, where nothing is looked up."""

    @property
    def pending(self) -> list[Branch]:
        return [branch for branch in self.branches if branch.final is None]

    def release(self) -> None:
        """A transaction is over.  With the last one the branches go: they and their context refer to each other, and
        what is kept alive by a circle waits for the garbage collector, whose pauses callers would hear."""
        if self.ended and all(branch.client is None for branch in self.branches):
            self.branches.clear()


@dataclass(slots=True, eq=False)
class Branch:
    """One forwarded copy of a request: a client transaction and what came of it.

    `media` is the anchor that its bodies are rewritten by; `sender_side` says which side of the call the request
    came from; `leg` is set for requests inside a dialog.  `silent` says that `final` is ours, because the phone could
    not be reached; `refused` are the To tags of the 2xx that the server has hung up on itself.
    """

    context: ResponseContext
    number: str
    flow: Flow
    media: MediaAnchor | None = None
    sender_side: int = 0
    leg: Leg | None = None
    client: ClientTransaction | None = None
    final: Response | None = None
    provisional: bool = False
    offer_pending: bool = False
    silent: bool = False
    refused: set[str] = field(default_factory=set)
    timer_c: Timer | None = None
    heard_at: float = 0.0
    """When the phone last gave a sign of life (monotonic), or was called."""

    @property
    def call(self) -> Call | None:
        return self.context.call

    def stop_timer(self) -> None:
        if self.timer_c is not None:
            self.timer_c.cancel()
            self.timer_c = None


_PREFERRED_4XX = (401, 407, 415, 420, 484)


def best_response(responses: Iterable[Response]) -> Response:
    """The one final response to send upstream when no branch was answered (16.7 step 6).

    A 6xx wins; else the lowest class; within 4xx those that tell the caller how to repeat the request.  The lists of
    challenges of all 401 and 407 are joined (step 7).
    """
    found = list(responses)
    best = min(found, key=_rank)
    if best.status not in (401, 407):
        return best
    best = best.copy()
    for other in found:
        if other.status in (401, 407):
            _add_challenges(best, other)
    return best


def _rank(response: Response) -> tuple[int, int]:
    status = response.status
    if status >= 600:
        return 0, status
    preference = _PREFERRED_4XX.index(status) if status in _PREFERRED_4XX else len(_PREFERRED_4XX)
    # 408 and 503 say least about the callee: any other answer of the same class explains more.
    return status // 100, preference + (1 if status in (408, 503) else 0)


def _add_challenges(best: Response, other: Response) -> None:
    for name, shown in (("www-authenticate", "WWW-Authenticate"), ("proxy-authenticate", "Proxy-Authenticate")):
        present = best.headers.get_all(name)
        for value in other.headers.get_all(name):
            if value not in present:
                best.headers.append(shown, value)
