"""Calls of the test phone: one side of a dialog (RFC 3261 12 to 15) with its media."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.support.link import Address
from tests.support.phone_transaction import ReceivedRequest, SentRequest
from tests.support.rtp import MediaPort, media_direction, session_description
from tests.support.sip_text import Header, SipText, host_port, uri_of

if TYPE_CHECKING:
    from tests.support.phone import SoftPhone

_SDP = ("Content-Type", "application/sdp")
_MIRRORED = {"sendonly": "recvonly", "recvonly": "sendonly"}


class PhoneCall:
    """What calls in and out have in common.  `media` follows the last description of the other side."""

    def __init__(self, phone: SoftPhone, call_id: str, local: str, local_tag: str) -> None:
        self.phone = phone
        self.call_id = call_id
        self.media = MediaPort(phone.host)
        self.remote_sdp = b""
        self.ended_by: SipText | None = None
        self.requests: list[ReceivedRequest] = []
        self._local = local
        self._local_tag = local_tag
        self._remote = ""
        self._remote_tag = ""
        self._target = ""
        self._route_set: list[str] = []
        self._cseq = 1
        self._version = 0
        self._taken = 0
        with phone.changed:
            phone.calls.append(self)

    # -------------------------------------------------------------------------------------------- doing

    def hang_up(self) -> SipText:
        """BYE; its 200."""
        response = self.send("BYE").wait_final()
        assert response.status == 200, f"BYE was answered {response.start_line}\n{self.phone.transcript}"
        self.ended_by = self.ended_by or response
        return response

    def hold(self) -> SipText:
        return self.reinvite("sendonly")

    def resume(self) -> SipText:
        return self.reinvite("sendrecv")

    def move_media(self) -> SipText:
        """Continue on other media ports; packets to the old ones are lost."""
        old, self.media = self.media, MediaPort(self.phone.host)
        response = self.reinvite("sendrecv")
        old.close()
        return response

    def reinvite(self, direction: str = "sendrecv") -> SipText:
        """A new offer; the final response."""
        return self.send("INVITE", body=self.describe(direction)).wait_final()

    def send(self, method: str, *headers: Header, body: bytes = b"") -> SentRequest:
        """A request inside the call."""
        with self.phone.changed:
            self._cseq += 1
            request = self._make(method, self._cseq, headers, body)
            on_response = self._on_reinvite_response if method == "INVITE" else None
            return self.phone.send_request(request, self._next_hop(), on_response)

    def describe(self, direction: str = "sendrecv") -> bytes:
        """A session description of this side."""
        self._version += 1
        return session_description(self.media.host, self.media.port, direction, self._version)

    # -------------------------------------------------------------------------------------------- waiting

    def expect(self, method: str) -> ReceivedRequest:
        """The next request with this method inside the call."""

        def take() -> ReceivedRequest | None:
            for index in range(self._taken, len(self.requests)):
                if self.requests[index].message.method == method:
                    self._taken = index + 1
                    return self.requests[index]
            return None

        return self.phone.wait(take, f"{method} in the call")

    def wait_ended(self) -> SipText:
        """What ended the call: a BYE, a CANCEL, a final response."""
        return self.phone.wait(lambda: self.ended_by, "the end of the call")

    # -------------------------------------------------------------------------------------------- inside

    def is_mine(self, request: SipText) -> bool:
        tags = (request.to_tag, request.from_tag)
        return request.call_id == self.call_id and tags == (self._local_tag, self._remote_tag)

    def on_request(self, received: ReceivedRequest) -> None:
        """A request inside the call."""
        self.requests.append(received)
        message = received.message
        if message.method == "BYE":
            self.ended_by = message
        if message.method not in self.phone.automatic:
            return
        if message.method in ("INVITE", "UPDATE"):
            self._accept(received)
        else:
            received.respond(200)

    def _accept(self, received: ReceivedRequest) -> None:
        message = received.message
        self._target = uri_of(message.get("Contact", self._target))
        direction = "sendrecv"
        if message.body:
            self._follow(message.body)
            offered = media_direction(message.body)
            direction = _MIRRORED.get(offered, offered)
        body = self.describe(direction) if message.body or message.method == "INVITE" else b""
        received.respond(200, ("Contact", self.phone.contact), body=body)

    def _on_reinvite_response(self, response: SipText) -> None:
        if 200 <= response.status < 300:
            self._follow(response.body)
            self._target = uri_of(response.get("Contact", self._target))
            self._send_ack(response)

    def _follow(self, sdp: bytes) -> None:
        if sdp:
            self.remote_sdp = sdp
            self.media.follow(sdp)

    def _send_ack(self, response: SipText, body: bytes = b"") -> None:
        """For a 2xx (13.2.2.4): a request of the dialog with the CSeq of its INVITE."""
        ack = self._make("ACK", response.cseq, (), body)
        self.phone.link.send(ack, self._next_hop())

    def _make(self, method: str, cseq: int, headers: Sequence[Header], body: bytes) -> SipText:
        """12.2.1.1."""
        contact = [("Contact", self.phone.contact)] if method in ("INVITE", "UPDATE") else []
        return SipText(
            f"{method} {self._target} SIP/2.0",
            [
                ("Via", self.phone.new_via()),
                ("Max-Forwards", "70"),
                *[("Route", value) for value in self._route_set],
                ("From", self._local),
                ("To", self._remote),
                ("Call-ID", self.call_id),
                ("CSeq", f"{cseq} {method}"),
                *contact,
                *headers,
                *([_SDP] if body and not any(name == "Content-Type" for name, _ in headers) else []),
            ],
            body,
        )

    def _next_hop(self) -> Address:
        """The topmost Route, which the server must have made for the transport of this phone (RFC 5658)."""
        uri = uri_of(self._route_set[0]) if self._route_set else self._target
        assert self.phone.can_use(uri), f"{uri} is no way for this phone"
        return host_port(uri)


class OutgoingCall(PhoneCall):
    """A call this phone makes; the INVITE goes out at once."""

    def __init__(self, phone: SoftPhone, number: str, headers: Sequence[Header], *, offer: bool) -> None:
        uri = phone.uri_of(number)
        request = phone.make_request("INVITE", uri, uri, [("Contact", phone.contact), *headers])
        super().__init__(phone, request.call_id, request["From"], request.from_tag)
        if offer:
            request.body = self.describe()
            request.headers.append(_SDP)
        self._late_answer = b"" if offer else self.describe()
        self.invite = phone.send_request(request, None, self._on_response)

    def wait_ringing(self) -> SipText:
        return self.invite.wait_for(180)

    def wait_progress(self) -> SipText:
        """183 with early media."""
        return self.invite.wait_for(183)

    def wait_answered(self) -> SipText:
        response = self.invite.wait_final()
        assert response.status == 200, f"the call was answered {response.start_line}\n{self.phone.transcript}"
        return response

    def wait_rejected(self) -> SipText:
        response = self.invite.wait_final()
        assert response.status >= 300, f"the call was answered {response.start_line}\n{self.phone.transcript}"
        return response

    def cancel(self, *headers: Header) -> SipText:
        """Give up before the answer; the final response to the INVITE."""
        request = self.invite.cancel()
        request.headers += headers
        response = self.phone.send_request(request).wait_final()
        assert response.status == 200, f"CANCEL was answered {response.start_line}\n{self.phone.transcript}"
        return self.invite.wait_final()

    def _on_response(self, response: SipText) -> None:
        # Higher than 1 when the phone was asked for its password.
        self._cseq = max(self._cseq, response.cseq)
        if response.status >= 300:
            self.ended_by = response
        elif response.status >= 200:
            self._on_success(response)
        elif response.to_tag:
            self._meet(response)
            self._follow(response.body)

    def _on_success(self, response: SipText) -> None:
        final = self.invite.final
        if final is not None and final.to_tag != response.to_tag:
            self._decline_second(response)
            return
        self._meet(response)
        self._follow(response.body)
        self._send_ack(response, self._late_answer)

    def _meet(self, response: SipText) -> None:
        """The dialog this response makes (12.1.2)."""
        self._remote, self._remote_tag = response["To"], response.to_tag
        self._target = uri_of(response.get("Contact", self._target))
        self._route_set = response.all("Record-Route")[::-1]

    def _decline_second(self, response: SipText) -> None:
        """A second phone answered as well: acknowledge it and hang up there (13.2.2.4)."""
        state = self._remote, self._remote_tag, self._target, self._route_set
        self._meet(response)
        self._send_ack(response)
        self.phone.send_request(self._make("BYE", response.cseq + 1, (), b""), self._next_hop())
        self._remote, self._remote_tag, self._target, self._route_set = state


class IncomingCall(PhoneCall):
    """A call that came in; it rings until `answer`, `reject` or the caller's CANCEL."""

    def __init__(self, phone: SoftPhone, request: ReceivedRequest) -> None:
        invite = request.message
        super().__init__(phone, invite.call_id, f"{invite['To']};tag={request.tag}", request.tag)
        self.request = request
        self._remote, self._remote_tag = invite["From"], invite.from_tag
        self._target = uri_of(invite["Contact"])
        self._route_set = invite.all("Record-Route")
        self._cseq = secrets.randbelow(1000)
        self._follow(invite.body)
        if "100" in phone.automatic:
            request.respond(100)

    @property
    def invite(self) -> SipText:
        return self.request.message

    def ring(self) -> SipText:
        """180 Ringing."""
        return self.request.respond(180, ("Contact", self.phone.contact))

    def progress(self) -> SipText:
        """183 with early media."""
        return self.request.respond(183, ("Contact", self.phone.contact), body=self.describe())

    def answer(self, *headers: Header) -> SipText:
        """200, and wait for the ACK, which is returned."""
        self.send_answer(*headers)
        return self.wait_ack()

    def send_answer(self, *headers: Header) -> SipText:
        return self.request.respond(200, ("Contact", self.phone.contact), *headers, body=self.describe())

    def wait_ack(self) -> SipText:
        ack = self.request.wait_ack()
        self._follow(ack.body)
        return ack

    def reject(self, status: int = 486, *headers: Header) -> SipText:
        """A final refusal, and wait for its ACK, which is returned."""
        self.request.respond(status, *headers)
        return self.request.wait_ack()

    def on_cancel(self, cancel: ReceivedRequest) -> None:
        self.requests.append(cancel)
        if "CANCEL" not in self.phone.automatic:
            return
        cancel.respond(200)
        if self.request.status < 200:
            self.ended_by = cancel.message
            self.request.respond(487)
