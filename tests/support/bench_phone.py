"""Phones for the bench of `tests/support/harness.py`: realistic messages, no sockets, no timers.

A phone keeps to RFC 3261 at message level: responses copy every Via and Record-Route, requests inside a dialog carry
the Route set and go to the remote target, the ACK to a failure has the branch of its INVITE.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from tests.support.harness import Address, CoreHarness, Sent
from tests.support.rtp import session_description
from tests.support.sip_text import SipText, parameter, uri_of

SDP = ("Content-Type", "application/sdp")

_numbers = itertools.count(1)


@dataclass
class Dialog:
    """One phone's half of a dialog (RFC 3261 12)."""

    phone: FakePhone
    call_id: str
    local: str
    remote: str
    target: str
    route_set: list[str]
    cseq: int

    def request(self, method: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()) -> SipText:
        if method != "ACK":
            self.cseq += 1
        routes = tuple(("Route", route) for route in self.route_set)
        return self.phone.send_request(
            method,
            self.target,
            from_=self.local,
            to=self.remote,
            call_id=self.call_id,
            cseq=self.cseq,
            headers=routes + headers,
            body=body,
        )

    def expect(self, pattern: str) -> SipText:
        return self.phone.expect(pattern)


@dataclass
class FakePhone:
    """One phone on the wire.

    `host` and `port` are where its packets come from; `own` is the address it believes to have (Via, Contact), another
    one behind NAT.  `connection` is the number of its TCP connection, 0 with UDP.
    """

    office: CoreHarness
    number: str
    host: str
    port: int = 5060
    own: str = ""
    connection: int = 0
    rtp_port: int = 20_000
    server: str = "192.0.2.1"
    contact_parameters: str = ""
    register_cseq: int = 0
    tags: list[str] = field(default_factory=list)

    @property
    def transport(self) -> str:
        return "TCP" if self.connection else "UDP"

    @property
    def way(self) -> Address | int:
        return self.connection or (self.host, self.port)

    @property
    def contact_uri(self) -> str:
        host = self.own or f"{self.host}:{self.port}"
        return f"sip:{self.number}@{host}" + (";transport=tcp" if self.connection else "")

    @property
    def aor(self) -> str:
        return f"sip:{self.number}@{self.server}"

    # -------------------------------------------------------------------------------------------- wire

    def inject(self, data: bytes | str) -> None:
        self.office.inject(data, (self.host, self.port), self.transport, self.connection)

    def expect(self, pattern: str) -> SipText:
        """The next unread message to this phone."""
        return self.expect_sent(pattern).message

    def expect_sent(self, pattern: str) -> Sent:
        return self.office.expect(pattern, self.way)

    def expect_nothing(self) -> None:
        assert self.office.unread(self.way) == []

    # -------------------------------------------------------------------------------------------- requests

    def via(self, branch: str) -> str:
        return f"SIP/2.0/{self.transport} {self.own or f'{self.host}:{self.port}'};rport;branch={branch}"

    def send_request(
        self,
        method: str,
        uri: str,
        *,
        from_: str | None = None,
        to: str | None = None,
        call_id: str | None = None,
        cseq: int = 1,
        branch: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> SipText:
        """Send a request; what is not given is as for one outside a dialog."""
        number = next(_numbers)
        message = SipText(
            f"{method} {uri} SIP/2.0",
            [
                ("Via", self.via(branch or f"z9hG4bK-{self.number}-{number}")),
                ("Max-Forwards", "70"),
                ("From", from_ or f'"Phone {self.number}" <{self.aor}>;tag=from{number}'),
                ("To", to or f"<{uri}>"),
                ("Call-ID", call_id or f"call-{number}@{self.host}"),
                ("CSeq", f"{cseq} {method}"),
                *headers,
            ],
            body,
        )
        names = {name for name, _ in message.headers}
        if method in ("INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY") and "Contact" not in names:
            message.headers.append(("Contact", f"<{self.contact_uri}>"))
        if body and "Content-Type" not in names:
            message.headers.append(SDP)
        self.inject(message.to_bytes())
        return message

    def register(
        self, *contacts: str, expires: int | None = 3600, headers: tuple[tuple[str, str], ...] = (), to: str = ""
    ) -> None:
        """Send a REGISTER of this phone's own series, by default for its own contact."""
        self.register_cseq += 1
        values = contacts or (f"<{self.contact_uri}>{self.contact_parameters}",)
        lines = tuple(("Contact", value) for value in values if value)
        if expires is not None:
            lines += (("Expires", str(expires)),)
        self.send_request(
            "REGISTER",
            f"sip:{self.server}",
            to=to or f"<{self.aor}>",
            call_id=f"register-{self.number}@{self.host}:{self.port}",
            cseq=self.register_cseq,
            headers=lines + headers,
        )

    def registered(self) -> FakePhone:
        """Register and see that it worked."""
        self.register()
        self.expect("200 REGISTER")
        return self

    def sdp(self, direction: str = "sendrecv", version: int = 1) -> bytes:
        return session_description(self.own or self.host, self.rtp_port, direction, version)

    def invite(
        self, number: str, body: bytes | None = None, headers: tuple[tuple[str, str], ...] = (), **more: object
    ) -> SipText:
        """An INVITE outside a dialog, with an offer unless `body` is empty; the 100 is seen to come at once."""
        offer = self.sdp() if body is None else body
        uri = f"sip:{number}@{self.server}"
        invite = self.send_request("INVITE", uri, headers=headers, body=offer, **more)  # type: ignore[arg-type]
        self.expect("100 INVITE")
        return invite

    def ack_failure(self, invite: SipText, response: SipText) -> None:
        """17.1.1.3."""
        self.inject(_hop_by_hop(invite, "ACK", response["To"]).to_bytes())

    def cancel(self, invite: SipText, reason: str = "") -> None:
        """9.1."""
        cancel = _hop_by_hop(invite, "CANCEL", invite["To"])
        if reason:
            cancel.headers.append(("Reason", reason))
        self.inject(cancel.to_bytes())

    def caller_dialog(self, invite: SipText, response: SipText) -> Dialog:
        """12.1.2."""
        return Dialog(
            self,
            invite.call_id,
            invite["From"],
            response["To"],
            uri_of(response["Contact"]),
            response.all("Record-Route")[::-1],
            invite.cseq,
        )

    # -------------------------------------------------------------------------------------------- responses

    def respond(
        self,
        request: SipText,
        status: int,
        reason: str = "Because",
        *,
        tag: str | None = "",
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> SipText:
        """8.2.6, and 12.1.1 for responses that make a dialog; with `tag` None no To tag is given."""
        to = request["To"]
        if tag is not None and not parameter(to, "tag") and status > 100:
            to = f"{to};tag={tag or f'to{self.number}'}"
        copied = [
            header for header in request.headers if header[0] in ("Via", "Record-Route", "From", "Call-ID", "CSeq")
        ]
        response = SipText(f"SIP/2.0 {status} {reason}", [*copied, ("To", to), *headers], body)
        names = {name for name, _ in headers}
        if 100 < status < 300 and request.method in ("INVITE", "UPDATE", "SUBSCRIBE") and "Contact" not in names:
            response.headers.append(("Contact", f"<{self.contact_uri}>"))
        if body and "Content-Type" not in names:
            response.headers.append(SDP)
        self.inject(response.to_bytes())
        return response

    def answer(self, request: SipText, **more: object) -> Dialog:
        """200 with an answer, and the callee's half of the dialog."""
        response = self.respond(request, 200, "OK", body=self.sdp(), **more)  # type: ignore[arg-type]
        return self.callee_dialog(request, response)

    def callee_dialog(self, request: SipText, response: SipText) -> Dialog:
        """12.1.1."""
        return Dialog(
            self,
            request.call_id,
            response["To"],
            request["From"],
            uri_of(request["Contact"]),
            request.all("Record-Route"),
            0,
        )


def _hop_by_hop(invite: SipText, method: str, to: str) -> SipText:
    copied = [(name, invite[name]) for name in ("Via", "From", "Call-ID", "Max-Forwards")]
    return SipText(f"{method} {invite.request_uri} SIP/2.0", [*copied, ("To", to), ("CSeq", f"{invite.cseq} {method}")])


@dataclass
class TestCall:
    """An established call between two phones, seen from both ends."""

    __test__ = False

    caller: Dialog
    callee: Dialog
    invite: SipText
    answer: SipText


def establish(caller: FakePhone, callee: FakePhone, headers: tuple[tuple[str, str], ...] = ()) -> TestCall:
    """INVITE, 100, 180, 200, ACK, with nothing unread at the end; `headers` go into the 200."""
    invite = caller.invite(callee.number)
    received = callee.expect("INVITE")
    callee.respond(received, 180, "Ringing")
    caller.expect("180 INVITE")
    callee_dialog = callee.answer(received, headers=headers)
    answer = caller.expect("200 INVITE")
    caller_dialog = caller.caller_dialog(invite, answer)
    caller_dialog.request("ACK")
    callee.expect("ACK")
    return TestCall(caller_dialog, callee_dialog, invite, answer)


def hang_up(by: Dialog, other: Dialog) -> None:
    """BYE from one to the other, answered."""
    by.request("BYE")
    bye = other.expect("BYE")
    other.phone.respond(bye, 200, "OK")
    by.expect("200 BYE")
