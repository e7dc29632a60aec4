"""A telephone for tests: a small SIP client that registers, calls, answers and talks, over UDP, TCP or TLS.

    with SoftPhone(server, "100") as alice, SoftPhone(server, "101") as bob:
        alice.register()
        bob.register()
        call = alice.call("101")
        ring = bob.expect_call()
        ring.ring()
        call.wait_ringing()
        ring.answer()
        call.wait_answered()
        call.media.send(*call.media.make_packets(10))
        assert ring.media.receive()
        call.hang_up()
        ring.wait_ended()

`server` is anything with a `sip_port`, such as a started `SipServer`.  Nothing sleeps: every `wait_` and `expect_`
returns as soon as what it waits for is there, and fails after `TIMEOUT_S` with a transcript of what went over the wire.

The phone does by itself what every phone does: it repeats what is not answered, acknowledges what must be, takes part
in BYE, CANCEL, OPTIONS and re-INVITE.  Take a method out of `automatic`, and the test answers it.  `lose` and `double`
script a bad network.
"""

from __future__ import annotations

import itertools
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar

from tests.support.link import Address, Link
from tests.support.phone_call import IncomingCall, OutgoingCall, PhoneCall
from tests.support.phone_credentials import question
from tests.support.phone_transaction import TIMEOUT_S, ReceivedRequest, SentRequest
from tests.support.sip_text import Header, SipText

T = TypeVar("T")

AUTOMATIC = frozenset({"100", "BYE", "CANCEL", "INFO", "INVITE", "OPTIONS", "PRACK", "UPDATE"})
"""What a phone sees to by itself: methods it answers inside calls, and "100", its 100 Trying to a call."""


_ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE, MESSAGE"


class HasSipPort(Protocol):
    @property
    def sip_port(self) -> int: ...


class SoftPhone:
    """One phone of one number.  The condition `changed` guards it and its calls; any thread may call any method."""

    def __init__(
        self,
        server: HasSipPort,
        number: str,
        *,
        transport: str = "UDP",
        host: str = "127.0.0.1",
        server_host: str = "127.0.0.1",
        t1_s: float = 0.5,
        scheme: str = "sip",
        server_port: int | None = None,
        ca_file: Path | None = None,
        password: str = "",
        algorithm: str = "",
    ) -> None:
        """`host` is the address of the phone on this machine, `t1_s` its T1 (RFC 3261 17.1.1.1).  A phone on TLS needs
        the `server_port` for it and the `ca_file` that it trusts; its `scheme` may be sips.  With a `password` it
        answers challenges, by the `algorithm` or else by the one that the server prefers."""
        self.number = number
        self.host = host
        self.password = password
        self._algorithm = algorithm
        self.transport = transport
        self.automatic = set(AUTOMATIC)
        self.changed = threading.Condition()
        self.calls: list[PhoneCall] = []
        self._scheme = scheme
        self._ca_file = ca_file
        self._server: Address = server_host, server_port if server_port is not None else server.sip_port
        self._t1_s = t1_s
        self._sent: dict[tuple[str, str], SentRequest] = {}
        self._received: dict[tuple[str, str], ReceivedRequest] = {}
        self._new_calls: list[IncomingCall] = []
        self._new_requests: list[ReceivedRequest] = []
        self._register_call_id = secrets.token_hex(8)
        self._register_cseq = itertools.count(1)
        self.link = self._new_link()

    def _new_link(self) -> Link:
        on_message, server = self._on_message, self._server
        return Link(self.number, self.transport, self.host, server, self.changed, on_message, self._t1_s, self._ca_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave without a word, as when the power fails.  Idempotent."""
        self.link.close()
        for call in self.calls:
            call.media.close()

    def disconnect(self) -> None:
        """Lose the connection, and wait until the server knows."""
        self.link.leave()
        self.wait(lambda: self.link.closed_by_server, "the end of the connection")

    def reconnect(self) -> None:
        """Lose the connection and come back from another port; calls go on, the registration has to be renewed."""
        self.link.close()
        self.link = self._new_link()

    def move_to(self, host: str, port: int) -> None:
        """Speak to another server from now on, by the same socket (UDP); the next REGISTER goes there."""
        self._server = self.link.server = host, port

    # -------------------------------------------------------------------------------------------- names

    @property
    def address(self) -> str:
        """Host and port of this phone, as the server sees it."""
        return f"{self.link.local[0]}:{self.link.local[1]}"

    @property
    def uri(self) -> str:
        """The address of record."""
        return self.uri_of(self.number)

    @property
    def contact(self) -> str:
        """The Contact value."""
        plain = self.transport == "UDP" or self._scheme == "sips"
        return f"<{self._scheme}:{self.number}@{self.address}{'' if plain else f';transport={self.transport.lower()}'}>"

    @property
    def server_uri(self) -> str:
        """The server itself, without a number."""
        return f"{self._scheme}:{self._server[0]}:{self._server[1]}"

    def uri_of(self, number: str) -> str:
        return f"{self._scheme}:{number}@{self._server[0]}:{self._server[1]}"

    def can_use(self, uri: str) -> bool:
        """Whether a Route leads over the transport of this phone, and over TLS only if it is to (RFC 5630 5.1.1)."""
        if uri.startswith("sips:"):
            return self.transport == "TLS"
        transport = re.search(r";transport=(\w+)", uri.lower())
        return (transport[1].upper() if transport is not None else "UDP") == self.transport

    # -------------------------------------------------------------------------------------------- doing

    def register(self, expires_s: int | None = None, *headers: Header) -> SipText:
        """REGISTER, or refresh, until it is accepted; the 200.  `expires_s` None leaves the time to the server."""
        response = self.send_register(expires_s, *headers).wait_final()
        assert response.status == 200, f"REGISTER was answered {response.start_line}\n{self.transcript}"
        return response

    def unregister(self) -> SipText:
        return self.register(0)

    def send_register(self, expires_s: int | None = None, *headers: Header) -> SentRequest:
        """REGISTER with this phone's contact, unless `headers` hold another."""
        contact = [] if any(name.lower() == "contact" for name, _ in headers) else [("Contact", self.contact)]
        expires = [("Expires", str(expires_s))] if expires_s is not None else []
        request = self.make_request("REGISTER", self.server_uri, self.uri, [*contact, *expires, *headers])
        request.set("Call-ID", self._register_call_id)
        request.set("CSeq", f"{next(self._register_cseq)} REGISTER")
        return self.send_request(request)

    def call(self, number: str, *headers: Header, offer: bool = True) -> OutgoingCall:
        """Dial.  Without `offer` the other side offers the media and the ACK answers (late offer)."""
        return OutgoingCall(self, number, headers, offer=offer)

    def request(self, method: str, uri: str, *headers: Header, body: bytes = b"") -> SentRequest:
        """Send a request outside a call."""
        return self.send_request(self.make_request(method, uri, uri, headers, body))

    def lose(self, direction: str, pattern: str, times: int = 1) -> None:
        """The next `times` messages "sent" or "received" that look like `pattern` ("INVITE", "2?? BYE") get lost."""
        self.link.lose(direction, pattern, times)

    def double(self, direction: str, pattern: str, times: int = 1) -> None:
        """The next `times` messages that look like `pattern` arrive twice."""
        self.link.double(direction, pattern, times)

    # -------------------------------------------------------------------------------------------- waiting

    def expect_call(self) -> IncomingCall:
        """The next call that comes in."""
        return self.wait(lambda: self._new_calls.pop(0) if self._new_calls else None, "a call")

    def expect_request(self, method: str) -> ReceivedRequest:
        """The next request with this method that belongs to no call; answer it with `respond`."""

        def take() -> ReceivedRequest | None:
            for request in self._new_requests:
                if request.message.method == method:
                    self._new_requests.remove(request)
                    return request
            return None

        return self.wait(take, method)

    def wait(self, condition: Callable[[], T | None], what: str) -> T:
        """What `condition` returns as soon as that is true; it is looked at after each message."""
        with self.changed:
            result: T | None = None

            def met() -> bool:
                nonlocal result
                if self.link.fault is not None:
                    raise AssertionError(f"phone {self.number}: {self.link.fault!r}") from self.link.fault
                result = condition()
                return bool(result)

            if not self.changed.wait_for(met, TIMEOUT_S) or result is None:
                raise AssertionError(f"phone {self.number} waited in vain for {what}\n{self.transcript}")
            return result

    # -------------------------------------------------------------------------------------------- looking back

    @property
    def transcript(self) -> str:
        """Every message so far, a line each."""
        with self.changed:
            return "\n".join(str(each) for each in self.link.log)

    def messages(self, direction: str, pattern: str = "*") -> list[SipText]:
        """What was "sent" or "received" so far, lost messages included."""
        with self.changed:
            return [
                each.message for each in self.link.log if each.direction == direction and each.message.matches(pattern)
            ]

    # -------------------------------------------------------------------------------------------- messages

    def make_request(
        self, method: str, uri: str, to: str, headers: Sequence[Header] = (), body: bytes = b""
    ) -> SipText:
        """A request outside a dialog (RFC 3261 8.1.1)."""
        return SipText(
            f"{method} {uri} SIP/2.0",
            [
                ("Via", self.new_via()),
                ("Max-Forwards", "70"),
                ("From", f"<{self.uri}>;tag={secrets.token_hex(4)}"),
                ("To", f"<{to}>"),
                ("Call-ID", secrets.token_hex(8)),
                ("CSeq", f"1 {method}"),
                ("User-Agent", "SoftPhone"),
                ("Allow", _ALLOW),
                *headers,
            ],
            body,
        )

    def new_via(self) -> str:
        return f"SIP/2.0/{self.transport} {self.address};branch=z9hG4bK{secrets.token_hex(8)};rport"

    def send_request(
        self,
        request: SipText,
        address: Address | None = None,
        on_response: Callable[[SipText], None] | None = None,
    ) -> SentRequest:
        """Begin a client transaction; `on_response` is called for each response by the phone's thread."""
        with self.changed:
            sent = SentRequest(self, request, address, on_response)
            self._sent[request.branch, request.method] = sent
            sent.start()
            return sent

    def send_again(self, sent: SentRequest, challenge: SipText) -> bool:
        """The request with the answer to a 401 or 407 (22.2, 22.3), if this phone knows one."""
        if not self.password:
            return False
        asked = question(challenge, self._algorithm)
        request = sent.request
        cseq = next(self._register_cseq) if request.method == "REGISTER" else request.cseq + 1
        headers = [each for each in request.headers if each[0] not in ("Authorization", "Proxy-Authorization")]
        again = SipText(request.start_line, headers, request.body)
        again.set("Via", self.new_via())
        again.set("CSeq", f"{cseq} {request.method}")
        again.headers.append(asked.answer(self.number, self.password, request.method, request.request_uri))
        self._sent[again.branch, again.method] = sent
        sent.request = again
        sent.start()
        return True

    # -------------------------------------------------------------------------------------------- the phone's thread

    def _on_message(self, message: SipText, source: Address) -> None:
        if message.is_request:
            self._on_request(message, source)
        elif (sent := self._sent.get((message.branch, message.method))) is not None:
            sent.on_response(message)

    def _on_request(self, message: SipText, source: Address) -> None:
        if message.method == "ACK":
            self._on_ack(message)
            return
        known = self._received.get((message.branch, message.method))
        if known is not None:
            known.on_copy()
            return
        received = self._received[message.branch, message.method] = ReceivedRequest(self, message, source)
        if message.method == "CANCEL":
            self._on_cancel(received)
        elif message.to_tag:
            self._on_request_in_call(received)
        elif message.method == "INVITE":
            self._new_calls.append(IncomingCall(self, received))
        elif message.method == "OPTIONS" and "OPTIONS" in self.automatic:
            received.respond(200)
        else:
            self._new_requests.append(received)

    def _on_ack(self, ack: SipText) -> None:
        """For a failure it has the branch of its INVITE (17.1.1.3), for a 2xx only the CSeq (13.2.2.4)."""
        for request in self._received.values():
            if request.is_acknowledged_by(ack):
                request.on_ack(ack)

    def _on_cancel(self, cancel: ReceivedRequest) -> None:
        invite = self._received.get((cancel.message.branch, "INVITE"))
        call = next((each for each in self.calls if isinstance(each, IncomingCall) and each.request is invite), None)
        if call is None:
            cancel.respond(481)
        else:
            call.on_cancel(cancel)

    def _on_request_in_call(self, received: ReceivedRequest) -> None:
        call = next((each for each in self.calls if each.is_mine(received.message)), None)
        if call is None:
            received.respond(481)
        else:
            call.on_request(received)
