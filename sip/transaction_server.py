"""Server transactions (RFC 3261 17.2, RFC 6026 7.1, RFC 4320 4): absorb copies of a request, repeat its response.

Pure.  Run by whichever thread holds the core lock, which guards every transaction.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from sip.errors import LocalProtocolError
from sip.flow import Flow, response_flow
from sip.message import Request, Response, make_response, parse_datagram
from sip.transaction import Input, Owner, State, Table, Transaction, TransactionKey, runs

# ------------------------------------------------------------------------------------------------ tables

# Figure 7 as replaced by RFC 6026 8.6.  No entry on purpose: REQUEST in ACCEPTED and ACK in CONFIRMED are absorbed, a
# late response of the transaction user is discarded (RFC 6026 8.3).
INVITE_SERVER: Final[Table] = {
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, ("resend",)),
    (State.PROCEEDING, Input.TU_1XX): (State.PROCEEDING, ("send",)),
    (State.PROCEEDING, Input.TU_2XX): (State.ACCEPTED, ("send", "start_l")),
    (State.PROCEEDING, Input.TU_300_699): (State.COMPLETED, ("send", "start_g", "start_h")),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, ("resend",)),
    (State.COMPLETED, Input.TIMER_G): (State.COMPLETED, ("resend", "double_g")),
    (State.COMPLETED, Input.ACK): (State.CONFIRMED, ("stop_timers", "start_i")),
    # The figure shows no action, the text of 17.2.1 says the user MUST be told.
    (State.COMPLETED, Input.TIMER_H): (State.TERMINATED, ("inform_timeout",)),
    (State.CONFIRMED, Input.TIMER_I): (State.TERMINATED, ()),
    (State.ACCEPTED, Input.TU_2XX): (State.ACCEPTED, ("send",)),
    (State.ACCEPTED, Input.ACK): (State.ACCEPTED, ("pass_up",)),
    (State.ACCEPTED, Input.TIMER_L): (State.TERMINATED, ()),
    # RFC 6026 7.1: stay, so that copies of the request are still absorbed.
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.PROCEEDING, ("inform_transport_error",)),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.COMPLETED, ("inform_transport_error",)),
    (State.ACCEPTED, Input.TRANSPORT_ERROR): (State.ACCEPTED, ("inform_transport_error",)),
}

# Figure 8 as changed by RFC 4320 4: the only provisional is a 100, and it has its time, so the machine sends it itself
# and discards what the user offers; a 408 is never sent, it only ends the transaction; so does the moment when the
# client has given up.  Transport errors: RFC 6026 8.8 says MUST remain, for all server transactions.
NON_INVITE_SERVER: Final[Table] = {
    (State.TRYING, Input.TRYING_DUE): (State.PROCEEDING, ("send_trying",)),
    (State.TRYING, Input.TU_200_699): (State.COMPLETED, ("stop_timers", "send", "start_j")),
    (State.TRYING, Input.TU_408): (State.TERMINATED, ()),
    (State.TRYING, Input.EXPIRY): (State.TERMINATED, ()),
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, ("resend",)),
    (State.PROCEEDING, Input.TU_200_699): (State.COMPLETED, ("stop_timers", "send", "start_j")),
    (State.PROCEEDING, Input.TU_408): (State.TERMINATED, ()),
    (State.PROCEEDING, Input.EXPIRY): (State.TERMINATED, ()),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.PROCEEDING, ("inform_transport_error",)),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, ("resend",)),
    (State.COMPLETED, Input.TIMER_J): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.COMPLETED, ("inform_transport_error",)),
}

# ------------------------------------------------------------------------------------------------ what they need


class ServerTransactionUser(Protocol):
    """What a server transaction tells the core."""

    def on_ack(self, ack: Request, flow: Flow, invite: InviteServerTransaction | None, now: float) -> None:
        """An ACK to a 2xx."""

    def on_ack_timeout(self, transaction: InviteServerTransaction, now: float) -> None:
        """Timer H: nobody acknowledged the 300-699."""

    def on_transport_error(self, transaction: ServerTransaction, reason: str, now: float) -> None: ...

    def on_terminated(self, transaction: ServerTransaction) -> None: ...


class ServerOwner(Owner, Protocol):
    """The layer as server transactions see it."""

    @property
    def user(self) -> ServerTransactionUser: ...

    def transmit(self, flow: Flow, data: bytes, transaction: ServerTransaction) -> None: ...

    def keep_answered(self, transaction: NonInviteServerTransaction, now: float) -> None: ...

    def forget_server(self, transaction: ServerTransaction) -> None: ...


# ------------------------------------------------------------------------------------------------ transactions


class ServerTransaction(Transaction[ServerOwner]):
    """Invariant: every response goes to the same destination, fixed when the request came (18.2.2)."""

    __slots__ = ("_destination", "_request")

    def __init__(self, owner: ServerOwner, key: TransactionKey, request: Request, flow: Flow) -> None:
        super().__init__(owner, key, flow, None)
        self._request: Request | None = request
        self._destination = response_flow(request.via, flow)

    @property
    def request(self) -> Request:
        """The request as it came.  A non-INVITE transaction lets it go with its final response."""
        if self._request is None:
            raise LocalProtocolError("the request is not kept once it is answered")
        return self._request

    def respond(self, response: Response, now: float) -> None:
        """Send a response, unless the state forbids it."""
        raise NotImplementedError

    def receive(self, request: Request, flow: Flow, now: float) -> None:
        """A copy of the request, or an ACK, matched this transaction."""
        raise NotImplementedError

    def _leave(self) -> None:
        owner = self._owner
        owner.forget_server(self)
        owner.user.on_terminated(self)

    def _send(self, response: Response, _now: float) -> None:
        self._data = response.to_bytes()
        self._owner.transmit(self._destination, self._data, self)

    def _resend(self, _subject: object, _now: float) -> None:
        if self._data:
            self._owner.transmit(self._destination, self._data, self)

    def _inform_transport_error(self, reason: str, now: float) -> None:
        self._owner.user.on_transport_error(self, reason, now)


@runs(INVITE_SERVER, State.PROCEEDING)
class InviteServerTransaction(ServerTransaction):
    """17.2.1 with RFC 6026.  The user sends the 100 itself, at once, and must give a final response in the end:
    nothing here ends PROCEEDING."""

    __slots__ = ("_interval_s",)

    def __init__(self, owner: ServerOwner, key: TransactionKey, request: Request, flow: Flow) -> None:
        super().__init__(owner, key, request, flow)
        self._interval_s = 0.0

    def respond(self, response: Response, now: float) -> None:
        """Send a response; in ACCEPTED only a 2xx (a repetition or that of another fork) still goes out, after a
        300-699 nothing does."""
        status = response.status
        if status < 200:
            self._step(Input.TU_1XX, response, now)
        elif status < 300:
            self._step(Input.TU_2XX, response, now)
        else:
            self._step(Input.TU_300_699, response, now)

    def receive(self, request: Request, flow: Flow, now: float) -> None:
        if request.method == "ACK":
            self._step(Input.ACK, (request, flow), now)
        else:
            self._step(Input.REQUEST, None, now)

    def sent_to_tag(self) -> str | None:
        """To tag of the response sent last, which an RFC 2543 ACK is matched by (17.2.3)."""
        # Such clients are rare: better read it back from the bytes than keep it for every call.
        return parse_datagram(self._data).to.tag if self._data else None

    def _start_g(self, _subject: object, now: float) -> None:
        # 17.2.1: not on reliable transports.
        if not self.flow.reliable:
            self._interval_s = self._owner.settings.timer_g_s
            self._start(Input.TIMER_G, self._interval_s, now)

    def _double_g(self, _subject: object, now: float) -> None:
        self._interval_s = min(2 * self._interval_s, self._owner.settings.t2_s)
        self._start(Input.TIMER_G, self._interval_s, now)

    def _start_h(self, _subject: object, now: float) -> None:
        self._start(Input.TIMER_H, self._owner.settings.timer_h_s, now)

    def _start_i(self, _subject: object, now: float) -> None:
        if self.flow.reliable:
            self._step(Input.TIMER_I, None, now)
        else:
            self._start_last(Input.TIMER_I, self._owner.settings.timer_i_s, now)

    def _start_l(self, _subject: object, now: float) -> None:
        self._start_last(Input.TIMER_L, self._owner.settings.timer_l_s, now)

    def _pass_up(self, subject: tuple[Request, Flow], now: float) -> None:
        ack, flow = subject
        self._owner.user.on_ack(ack, flow, self, now)

    def _inform_timeout(self, _subject: object, now: float) -> None:
        self._owner.user.on_ack_timeout(self, now)


@runs(NON_INVITE_SERVER, State.TRYING)
class NonInviteServerTransaction(ServerTransaction):
    """17.2.2 with RFC 4320.  Invariant: in COMPLETED it is kept by the layer for Timer J and holds no more than key,
    flow, response bytes and the user's context; `kept_bytes` is how much that is at most."""

    __slots__ = ("_expires_at", "kept_bytes")

    def await_answer(self, now: float) -> None:
        """The user has not answered at once: time the 100 of RFC 4320 4.1 and the end of all waiting.

        Apart from creation, because most requests are answered within it and then need neither timer.
        """
        settings = self._owner.settings
        trying_s, expiry_s = settings.trying_s, settings.expiry_s
        self._expires_at = now + expiry_s
        if trying_s < expiry_s:
            self._start(Input.TRYING_DUE, trying_s, now)
        else:
            self._start_at(Input.EXPIRY, self._expires_at)

    def respond(self, response: Response, now: float) -> None:
        """Send the final response.  A provisional is discarded, a 408 ends the transaction unsent (RFC 4320 4), and a
        second final response is discarded (17.2.2)."""
        status = response.status
        if status < 200:
            self._step(Input.TU_1XX, response, now)
        elif status == 408:
            self._step(Input.TU_408, response, now)
        else:
            self._step(Input.TU_200_699, response, now)

    def receive(self, request: Request, flow: Flow, now: float) -> None:
        self._step(Input.REQUEST, None, now)

    def expire(self, now: float) -> None:
        """Timer J, or its place in memory is needed: then a late copy of the request counts as a new one."""
        self._step(Input.TIMER_J, None, now)

    def _send_trying(self, _subject: Any, now: float) -> None:
        self._start_at(Input.EXPIRY, self._expires_at)
        self._send(make_response(self.request, 100), now)

    def _start_j(self, _subject: object, now: float) -> None:
        request, self._request = self._request, None
        if self.flow.reliable:
            self._step(Input.TIMER_J, None, now)
            return
        # A context may refer to the request.
        self.kept_bytes = len(self._data) + (request.size if request is not None and self.context is not None else 0)
        self._owner.keep_answered(self, now)
