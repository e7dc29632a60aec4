"""Two phones in a call that the server has begun between them: each has a dialog with the server, under one Call-ID.

Pure; guarded by the core lock.  The dialogs are chosen so that little lies between them: the callee knows the caller by
the tag that the caller's phone itself has chosen.  What remains is done here to every message that passes: the callee's
tag as the caller's phone knows it, and the numbers of both sides' requests (RFC 3261 12.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sip.media_relay import CALLER
from sip.message import Request, Response

if TYPE_CHECKING:
    from sip.call import Call, Leg

_MAX_REMEMBERED: Final = 16


@dataclass(slots=True, eq=False)
class Joined:
    """`tag` is the callee's as the caller's phone knows it, `callee` its From value there; `contact` is where that
    phone reaches the server.  `_cseq` are the highest numbers sent to caller and callee, `_sent` those that INVITEs of
    either side got, for their ACKs."""

    tag: str
    callee: str
    contact: str
    _cseq: list[int] = field(default_factory=lambda: [0, 0])
    _sent: dict[tuple[int, int], int] = field(default_factory=dict)

    def next_cseq(self, receiver: int) -> int:
        """Of the next request to that side."""
        self._cseq[receiver] += 1
        return self._cseq[receiver]

    def adapted(self, request: Request, call: Call, leg: Leg, sender: int) -> Request:
        """A request of one side as one of the other dialog."""
        request = request.copy()
        receiver, number = 1 - sender, request.cseq.number
        party = call.caller if receiver == CALLER else leg.party
        if party.contact is not None:
            request.set_uri(party.contact)
        request.headers.remove("route")
        routes = party.route_set()
        if routes:
            request.headers.append("Route", ", ".join(routes))
        request.headers.set("From", self.callee if receiver == CALLER else call.caller.address)
        request.headers.set("To", party.address)
        if receiver == CALLER and "contact" in request.headers:
            request.headers.set("Contact", self.contact)
        if request.method == "ACK":
            sent = self._sent.get((sender, number), self._cseq[receiver])
        else:
            sent = self.next_cseq(receiver)
            if request.method == "INVITE":
                self._sent[sender, number] = sent
                while len(self._sent) > _MAX_REMEMBERED:
                    del self._sent[next(iter(self._sent))]
        request.headers.set("CSeq", f"{sent} {request.method}")
        return request

    def restore(self, response: Response, request: Request, sender: int) -> None:
        """Make the response to an adapted request one to `request`, as its sender knows it."""
        for name in ("From", "To", "CSeq"):
            value = request.headers.get(name.lower())
            if value is not None:
                response.headers.set(name, value)
        if sender == CALLER and "contact" in response.headers:
            response.headers.set("Contact", self.contact)
