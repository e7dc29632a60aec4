"""Transactions of the test phone (RFC 3261 17): a request it sent, and a request it received."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tests.support.link import Address
from tests.support.phone_credentials import questions
from tests.support.sip_text import Header, SipText

if TYPE_CHECKING:
    from tests.support.phone import SoftPhone

TIMEOUT_S = 5.0
"""How long anything is waited for before the test fails; never how long it takes."""

_PHRASES = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    404: "Not Found",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    500: "Server Internal Error",
    603: "Decline",
}


_MAX_CHALLENGES = 2
"""One, and one more for a nonce that has become too old meanwhile."""


class SentRequest:
    """A client transaction; `responses` in the order they came, without the challenges that the phone has answered.
    `request` is the one that it has sent last."""

    def __init__(
        self,
        phone: SoftPhone,
        request: SipText,
        address: Address | None,
        on_response: Callable[[SipText], None] | None,
    ) -> None:
        self.request = request
        self.address = address
        self.responses: list[SipText] = []
        self._phone = phone
        self._tell = on_response
        self._challenges = 0

    @property
    def final(self) -> SipText | None:
        return next((each for each in self.responses if each.status >= 200), None)

    def wait_final(self) -> SipText:
        return self._phone.wait(lambda: self.final, f"the answer to {self.request.method}")

    def wait_for(self, status: int) -> SipText:
        """A response with this status."""
        return self._phone.wait(
            lambda: next((each for each in self.responses if each.status == status), None),
            f"{status} to {self.request.method}",
        )

    def start(self) -> None:
        data = self._phone.link.send(self.request, self.address)
        if self._phone.transport == "UDP":
            self._phone.link.repeat(self, data, self.address)

    def on_response(self, response: SipText) -> None:
        is_invite = self.request.method == "INVITE"
        if response.status >= 200 or is_invite:
            self._phone.link.stop_repeating(self)
        if is_invite and response.status >= 300:
            self._phone.link.send(self._ack(response), self.address)
        if self._is_answered_challenge(response):
            return
        self.responses.append(response)
        if self._tell is not None:
            self._tell(response)

    def _is_answered_challenge(self, response: SipText) -> bool:
        asked = questions(response)
        # Who has answered once is asked again only for a fresh nonce; anything else means that the password is wrong.
        if not asked or self._challenges == _MAX_CHALLENGES or (self._challenges and not asked[0].stale):
            return False
        self._challenges += 1
        return self._phone.send_again(self, response)

    def _ack(self, response: SipText) -> SipText:
        """Hop by hop (17.1.1.3)."""
        return SipText(f"ACK {self.request.request_uri} SIP/2.0", self.hop_by_hop("ACK", response["To"]))

    def cancel(self) -> SipText:
        """The CANCEL for this INVITE (9.1)."""
        return SipText(f"CANCEL {self.request.request_uri} SIP/2.0", self.hop_by_hop("CANCEL", self.request["To"]))

    def hop_by_hop(self, method: str, to: str) -> list[Header]:
        request = self.request
        return [
            ("Via", request["Via"]),
            ("Max-Forwards", "70"),
            *[("Route", value) for value in request.all("Route")],
            ("From", request["From"]),
            ("To", to),
            ("Call-ID", request.call_id),
            ("CSeq", f"{request.cseq} {method}"),
        ]


class ReceivedRequest:
    """A server transaction: copies of the request get the last response again."""

    def __init__(self, phone: SoftPhone, message: SipText, source: Address) -> None:
        self.message = message
        self.copies = 0
        self.ack: SipText | None = None
        self.status = 0
        self.tag = message.to_tag or secrets.token_hex(4)
        self._phone = phone
        self._source = source
        self._response = b""

    def respond(
        self, status: int, *headers: Header, body: bytes = b"", content_type: str = "application/sdp", reason: str = ""
    ) -> SipText:
        """Send a response (8.2.6); a final one to an INVITE is repeated until its ACK (13.3.1.4, 17.2.1)."""
        request = self.message
        to = request["To"] if request.to_tag or status == 100 else f"{request['To']};tag={self.tag}"
        response = SipText(
            f"SIP/2.0 {status} {reason or _PHRASES.get(status, 'Whatever')}",
            [
                *[("Via", value) for value in request.all("Via")],
                *self._record_route(status),
                ("From", request["From"]),
                ("To", to),
                ("Call-ID", request.call_id),
                ("CSeq", request["CSeq"]),
                *headers,
                *([("Content-Type", content_type)] if body else []),
            ],
            body,
        )
        with self._phone.changed:
            self.status = status
            self._response = self._phone.link.send(response, self._source)
            if request.method == "INVITE" and status >= 200 and (status < 300 or self._phone.transport == "UDP"):
                self._phone.link.repeat(self, self._response, self._source)
        return response

    def wait_ack(self) -> SipText:
        return self._phone.wait(lambda: self.ack, f"the ACK to {self.status}")

    def on_copy(self) -> None:
        self.copies += 1
        if self._response:
            self._phone.link.resend(self._response, self._source)

    def is_acknowledged_by(self, ack: SipText) -> bool:
        request = self.message
        if request.method != "INVITE" or (request.call_id, request.cseq) != (ack.call_id, ack.cseq):
            return False
        return request.branch == ack.branch if self.status >= 300 else (self.tag == ack.to_tag)

    def on_ack(self, ack: SipText) -> None:
        self._phone.link.stop_repeating(self)
        self.ack = ack

    def _record_route(self, status: int) -> Sequence[Header]:
        return [("Record-Route", value) for value in self.message.all("Record-Route")] if 100 < status < 300 else []
