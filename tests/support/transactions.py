"""A transaction layer on a bench: fake clock, recorded sends, a transaction user that notes what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sip.flow import Flow
from sip.message import Request, Response, make_response, parse_datagram
from sip.timers import TimerQueue, TimerSettings
from sip.transaction_client import ClientTransaction, InviteClientTransaction
from sip.transaction_layer import TransactionLayer
from sip.transaction_server import InviteServerTransaction, NonInviteServerTransaction, ServerTransaction

UDP = Flow("UDP", "192.0.2.1", 5060, "192.0.2.7", 5060)
TCP = Flow("TCP", "192.0.2.1", 5060, "192.0.2.7", 40000, connection=3)
FLOWS = {"UDP": UDP, "TCP": TCP}


@dataclass(frozen=True)
class Sent:
    at: float
    flow: Flow
    data: bytes
    transaction: ServerTransaction | ClientTransaction | None

    @property
    def start_line(self) -> str:
        return self.data.split(b"\r\n")[0].decode()

    @property
    def what(self) -> str:
        """Method of a request, status of a response."""
        words = self.start_line.split(" ")
        return words[1] if words[0] == "SIP/2.0" else words[0]

    @property
    def message(self) -> Request | Response:
        return parse_datagram(self.data)


class RecordingUser:
    """Notes every call as (name without "on_", what it was called with)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, tuple[object, ...]]] = []
        self.is_open = True
        self.answer: Callable[[ServerTransaction, Request, float], None] | None = None
        self.on_any_response: Callable[[ClientTransaction, Response, float], None] | None = None

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def of(self, name: str) -> list[tuple[object, ...]]:
        return [details for event, details in self.events if event == name]

    def admits(self, request: Request, flow: Flow, now: float) -> bool:
        return self.is_open

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.events.append(("request", (transaction, request)))
        if self.answer is not None:
            self.answer(transaction, request, now)

    def on_cancel(
        self, transaction: ServerTransaction, invite: InviteServerTransaction | None, request: Request, now: float
    ) -> None:
        self.events.append(("cancel", (transaction, invite, request)))
        if self.answer is not None:
            self.answer(transaction, request, now)

    def on_ack(self, ack: Request, flow: Flow, invite: InviteServerTransaction | None, now: float) -> None:
        self.events.append(("ack", (ack, flow, invite)))

    def on_response(self, transaction: ClientTransaction, response: Response, flow: Flow, now: float) -> None:
        self.events.append(("response", (transaction, response, flow)))
        if self.on_any_response is not None:
            self.on_any_response(transaction, response, now)

    def on_stray_response(self, response: Response, flow: Flow, now: float) -> None:
        self.events.append(("stray_response", (response, flow)))

    def on_client_timeout(self, transaction: ClientTransaction, now: float) -> None:
        self.events.append(("client_timeout", (transaction, now)))

    def on_ack_timeout(self, transaction: InviteServerTransaction, now: float) -> None:
        self.events.append(("ack_timeout", (transaction, now)))

    def on_transport_error(self, transaction: ServerTransaction | ClientTransaction, reason: str, now: float) -> None:
        self.events.append(("transport_error", (transaction, reason)))

    def on_terminated(self, transaction: ServerTransaction | ClientTransaction) -> None:
        self.events.append(("terminated", (transaction,)))


class Bench:
    """The layer with its clock.  Everything sent is in `sent`, with the time since the start."""

    def __init__(self, settings: TimerSettings | None = None, max_server_transactions: int = 100_000) -> None:
        self.now = self.began = 1000.0
        self.sent: list[Sent] = []
        self.user = RecordingUser()
        self.timers = TimerQueue()
        self.layer = TransactionLayer(
            self.timers, settings or TimerSettings(), self._send, self.user, max_server_transactions
        )

    def _send(self, flow: Flow, data: bytes, transaction: ServerTransaction | ClientTransaction | None) -> None:
        self.sent.append(Sent(self.now - self.began, flow, data, transaction))

    @property
    def elapsed(self) -> float:
        return self.now - self.began

    @property
    def live(self) -> tuple[int, int, int]:
        """Server transactions, client transactions, timers."""
        return self.layer.server_count, self.layer.client_count, len(self.timers)

    def what_sent(self) -> list[str]:
        return [sent.what for sent in self.sent]

    def advance(self, seconds: float) -> None:
        """Let time pass, firing each timer at its very deadline."""
        end = self.now + seconds
        while (deadline := self.timers.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.timers.fire_due(self.now)
        self.now = end

    def forget(self) -> None:
        """Start the record anew."""
        self.sent.clear()
        self.user.events.clear()

    # -------------------------------------------------------------------------------------------- driving

    def receive(self, message: Request | Response, flow: Flow = UDP) -> None:
        if isinstance(message, Request):
            self.layer.receive_request(message, flow, self.now)
        else:
            self.layer.receive_response(message, flow, self.now)

    def invite_server(self, flow: Flow = UDP) -> InviteServerTransaction:
        self.receive(make_request("INVITE", flow=flow), flow)
        transaction = self.user.of("request")[-1][0]
        assert isinstance(transaction, InviteServerTransaction)
        return transaction

    def non_invite_server(self, flow: Flow = UDP, method: str = "OPTIONS") -> NonInviteServerTransaction:
        self.receive(make_request(method, flow=flow), flow)
        transaction = self.user.of("request")[-1][0]
        assert isinstance(transaction, NonInviteServerTransaction)
        return transaction

    def invite_client(self, flow: Flow = UDP) -> InviteClientTransaction:
        transaction = self.layer.send_request(make_request("INVITE", flow=flow), flow, self.now)
        assert isinstance(transaction, InviteClientTransaction)
        return transaction

    def non_invite_client(self, flow: Flow = UDP, method: str = "OPTIONS") -> ClientTransaction:
        return self.layer.send_request(make_request(method, flow=flow), flow, self.now)

    def respond(self, transaction: ServerTransaction, request: Request, status: int) -> None:
        transaction.respond(make_response(request, status, to_tag="ours"), self.now)


def make_request(
    method: str,
    *,
    flow: Flow = UDP,
    branch: str | None = "z9hG4bKone",
    sent_by: str = "192.0.2.7:5060",
    uri: str = "sip:bob@example.com",
    to_tag: str | None = None,
    from_tag: str = "alice",
    cseq: int = 7,
    call_id: str = "call-1",
    extra: str = "",
) -> Request:
    via = f"SIP/2.0/{flow.transport} {sent_by}" + (f";branch={branch}" if branch is not None else "")
    to = "<sip:bob@example.com>" + (f";tag={to_tag}" if to_tag is not None else "")
    text = (
        f"{method} {uri} SIP/2.0\r\nVia: {via}\r\n{extra}Max-Forwards: 70\r\n"
        f"From: <sip:alice@example.com>;tag={from_tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n"
        f"CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
    )
    message = parse_datagram(text.encode())
    assert isinstance(message, Request)
    return message


def response_to(request: Request, status: int, to_tag: str = "bob") -> Response:
    """A response as it would come from the network."""
    message = parse_datagram(make_response(request, status, to_tag=to_tag).to_bytes())
    assert isinstance(message, Response)
    return message
