"""Client transactions (RFC 3261 17.1, RFC 6026 7.2) and the cancelling of an INVITE (9.1): repeat a request until it
is answered, acknowledge what is not a 2xx.

Pure.  Run by whichever thread holds the core lock, which guards every transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sip.flow import Flow
from sip.message import Request, Response, make_ack, make_cancel
from sip.transaction import Input, Owner, State, Table, Transaction, TransactionKey, runs

# ------------------------------------------------------------------------------------------------ tables

# Figure 5 as replaced by RFC 6026 8.4, and cancelling by 9.1.  No entry on purpose: TU_CANCEL after a final response,
# a 1xx after it, a response of another class in COMPLETED and ACCEPTED.  A transport error in PROCEEDING can only
# come late: the 1xx shows that the INVITE got through.
INVITE_CLIENT: Final[Table] = {
    (State.CALLING, Input.TIMER_A): (State.CALLING, ("resend", "double_a")),
    (State.CALLING, Input.TIMER_B): (State.TERMINATED, ("inform_timeout",)),
    (State.CALLING, Input.TRANSPORT_ERROR): (State.TERMINATED, ("inform_transport_error",)),
    # 9.1: without a provisional response the CANCEL MUST NOT be sent.
    (State.CALLING, Input.TU_CANCEL): (State.CALLING, ()),
    (State.CALLING, Input.RESPONSE_1XX): (
        State.PROCEEDING,
        ("stop_timers", "drop_data", "send_held_cancel", "pass_up"),
    ),
    (State.CALLING, Input.RESPONSE_2XX): (State.ACCEPTED, ("stop_timers", "drop_data", "start_m", "pass_up")),
    (State.CALLING, Input.RESPONSE_300_699): (State.COMPLETED, ("stop_timers", "send_ack", "start_d", "pass_up")),
    (State.PROCEEDING, Input.TU_CANCEL): (State.PROCEEDING, ("send_cancel",)),
    (State.PROCEEDING, Input.CANCEL_TIMEOUT): (State.TERMINATED, ("inform_timeout",)),
    (State.PROCEEDING, Input.RESPONSE_1XX): (State.PROCEEDING, ("pass_up",)),
    (State.PROCEEDING, Input.RESPONSE_2XX): (State.ACCEPTED, ("stop_timers", "start_m", "pass_up")),
    (State.PROCEEDING, Input.RESPONSE_300_699): (State.COMPLETED, ("stop_timers", "send_ack", "start_d", "pass_up")),
    (State.COMPLETED, Input.RESPONSE_300_699): (State.COMPLETED, ("resend",)),
    (State.COMPLETED, Input.TIMER_D): (State.TERMINATED, ()),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, ("inform_transport_error",)),
    (State.ACCEPTED, Input.RESPONSE_2XX): (State.ACCEPTED, ("pass_up",)),
    (State.ACCEPTED, Input.TIMER_M): (State.TERMINATED, ()),
}

# Figure 6.  No entry on purpose: responses in COMPLETED are copies.
NON_INVITE_CLIENT: Final[Table] = {
    (State.TRYING, Input.TIMER_E): (State.TRYING, ("resend", "double_e")),
    (State.TRYING, Input.TIMER_F): (State.TERMINATED, ("inform_timeout",)),
    (State.TRYING, Input.TRANSPORT_ERROR): (State.TERMINATED, ("inform_transport_error",)),
    (State.TRYING, Input.RESPONSE_1XX): (State.PROCEEDING, ("pass_up",)),
    (State.TRYING, Input.RESPONSE_200_699): (State.COMPLETED, ("stop_timers", "drop_data", "start_k", "pass_up")),
    (State.PROCEEDING, Input.TIMER_E): (State.PROCEEDING, ("resend", "slow_e")),
    (State.PROCEEDING, Input.TIMER_F): (State.TERMINATED, ("inform_timeout",)),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.TERMINATED, ("inform_transport_error",)),
    (State.PROCEEDING, Input.RESPONSE_1XX): (State.PROCEEDING, ("pass_up",)),
    (State.PROCEEDING, Input.RESPONSE_200_699): (State.COMPLETED, ("stop_timers", "drop_data", "start_k", "pass_up")),
    (State.COMPLETED, Input.TIMER_K): (State.TERMINATED, ()),
}

# ------------------------------------------------------------------------------------------------ what they need


class ClientTransactionUser(Protocol):
    """What a client transaction tells the core."""

    def on_response(self, transaction: ClientTransaction, response: Response, flow: Flow, now: float) -> None: ...

    def on_client_timeout(self, transaction: ClientTransaction, now: float) -> None:
        """Timer B or F, or 64*T1 since an INVITE was cancelled without a final response to it (9.1)."""

    def on_transport_error(self, transaction: ClientTransaction, reason: str, now: float) -> None: ...

    def on_terminated(self, transaction: ClientTransaction) -> None: ...


class ClientOwner(Owner, Protocol):
    """The layer as client transactions see it."""

    @property
    def user(self) -> ClientTransactionUser: ...

    def transmit(self, flow: Flow, data: bytes, transaction: ClientTransaction) -> None: ...

    def send_cancel(self, cancel: Request, flow: Flow, now: float) -> None: ...

    def forget_client(self, transaction: ClientTransaction) -> None: ...


# ------------------------------------------------------------------------------------------------ transactions


class ClientTransaction(Transaction[ClientOwner]):
    """Invariant: `request` is not changed once it is sent; ACK and CANCEL are made from it."""

    __slots__ = ("_begun_at", "_interval_s", "_user", "request")

    def __init__(
        self,
        owner: ClientOwner,
        key: TransactionKey,
        request: Request,
        flow: Flow,
        user: ClientTransactionUser,
        context: object,
    ) -> None:
        super().__init__(owner, key, flow, context)
        self.request = request
        self._user = user
        self._begun_at = self._interval_s = 0.0

    def begin(self, now: float) -> None:
        """Send the request and start its timers; once."""
        raise NotImplementedError

    def receive(self, response: Response, flow: Flow, now: float) -> None:
        """A response matched this transaction (17.1.3)."""
        try:
            self._step(self._classify(response.status), (response, flow), now)
        finally:
            # Timers D and K are 0 on reliable transports.  The user has seen the response before it hears of the end.
            if self.state is State.COMPLETED and self.flow.reliable:
                self._step(self._linger_timer(), None, now)

    def _classify(self, status: int) -> Input:
        raise NotImplementedError

    def _linger_timer(self) -> Input:
        """What ends COMPLETED."""
        raise NotImplementedError

    def _leave(self) -> None:
        self._owner.forget_client(self)
        self._user.on_terminated(self)

    def _resend(self, _subject: object, _now: float) -> None:
        self._owner.transmit(self.flow, self._data, self)

    def _start_once(self, timer: Input, delay_s: float) -> None:
        """For timers B and F, with the first copy: they count from the beginning, but most requests are answered before
        they are repeated, and need none."""
        if self._timers is None or timer not in self._timers:
            self._start_at(timer, self._begun_at + delay_s)

    def _pass_up(self, subject: tuple[Response, Flow], now: float) -> None:
        response, flow = subject
        self._user.on_response(self, response, flow, now)

    def _inform_timeout(self, _subject: object, now: float) -> None:
        self._user.on_client_timeout(self, now)

    def _inform_transport_error(self, reason: str, now: float) -> None:
        self._user.on_transport_error(self, reason, now)


@runs(INVITE_CLIENT, State.CALLING)
class InviteClientTransaction(ClientTransaction):
    """17.1.1 with RFC 6026.  Nothing here ends PROCEEDING but a final response or `cancel`: Timer C is the proxy's."""

    __slots__ = ("_cancel_headers",)

    def __init__(
        self,
        owner: ClientOwner,
        key: TransactionKey,
        request: Request,
        flow: Flow,
        user: ClientTransactionUser,
        context: object,
    ) -> None:
        super().__init__(owner, key, request, flow, user, context)
        self._cancel_headers: Sequence[tuple[str, str]] | None = None

    def begin(self, now: float) -> None:
        self._data = self.request.to_bytes()
        self._owner.transmit(self.flow, self._data, self)
        self._begun_at = now
        settings = self._owner.settings
        if self.flow.reliable:
            self._start(Input.TIMER_B, settings.timer_b_s, now)
        else:
            self._interval_s = settings.timer_a_s
            self._start(Input.TIMER_A, self._interval_s, now)

    @property
    def cancelled(self) -> bool:
        """`cancel` was called, whether or not the CANCEL has gone out."""
        return self._cancel_headers is not None

    def cancel(self, now: float, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Cancel the INVITE by 9.1; `headers` (a Reason, say) go into the CANCEL.  Only the first call counts."""
        if self._cancel_headers is None:
            self._cancel_headers = headers
            self._step(Input.TU_CANCEL, None, now)

    def _classify(self, status: int) -> Input:
        if status < 200:
            return Input.RESPONSE_1XX
        return Input.RESPONSE_2XX if status < 300 else Input.RESPONSE_300_699

    def _linger_timer(self) -> Input:
        return Input.TIMER_D

    def _double_a(self, _subject: object, now: float) -> None:
        # 17.1.1.2: no cap at T2.
        self._interval_s *= 2
        self._start(Input.TIMER_A, self._interval_s, now)
        self._start_once(Input.TIMER_B, self._owner.settings.timer_b_s)

    def _start_d(self, _subject: object, now: float) -> None:
        if not self.flow.reliable:
            self._start_last(Input.TIMER_D, self._owner.settings.timer_d_s, now)

    def _start_m(self, _subject: object, now: float) -> None:
        self._start_last(Input.TIMER_M, self._owner.settings.timer_m_s, now)

    def _send_ack(self, subject: tuple[Response, Flow], _now: float) -> None:
        # From here on it is the ACK that copies of the response bring out again (17.1.1.2).
        self._data = make_ack(self.request, subject[0]).to_bytes()
        self._owner.transmit(self.flow, self._data, self)

    def _send_held_cancel(self, subject: object, now: float) -> None:
        if self.cancelled:
            self._send_cancel(subject, now)

    def _send_cancel(self, _subject: object, now: float) -> None:
        cancel = make_cancel(self.request)
        for name, value in self._cancel_headers or ():
            cancel.headers.append(name, value)
        self._owner.send_cancel(cancel, self.flow, now)
        self._start(Input.CANCEL_TIMEOUT, self._owner.settings.cancel_s, now)


@runs(NON_INVITE_CLIENT, State.TRYING)
class NonInviteClientTransaction(ClientTransaction):
    """17.1.2."""

    __slots__ = ()

    def begin(self, now: float) -> None:
        self._data = self.request.to_bytes()
        self._owner.transmit(self.flow, self._data, self)
        self._begun_at = now
        settings = self._owner.settings
        if self.flow.reliable:
            self._start(Input.TIMER_F, settings.timer_f_s, now)
        else:
            self._interval_s = settings.timer_e_s
            self._start(Input.TIMER_E, self._interval_s, now)

    def _classify(self, status: int) -> Input:
        return Input.RESPONSE_1XX if status < 200 else Input.RESPONSE_200_699

    def _linger_timer(self) -> Input:
        return Input.TIMER_K

    def _double_e(self, _subject: object, now: float) -> None:
        settings = self._owner.settings
        self._interval_s = min(2 * self._interval_s, settings.t2_s)
        self._start(Input.TIMER_E, self._interval_s, now)
        self._start_once(Input.TIMER_F, settings.timer_f_s)

    def _slow_e(self, _subject: object, now: float) -> None:
        settings = self._owner.settings
        self._start(Input.TIMER_E, settings.t2_s, now)
        self._start_once(Input.TIMER_F, settings.timer_f_s)

    def _start_k(self, _subject: object, now: float) -> None:
        if not self.flow.reliable:
            self._start_last(Input.TIMER_K, self._owner.settings.timer_k_s, now)


class AbsorbingUser:
    """The transaction user of a CANCEL: what becomes of it is seen by the INVITE alone (9.1)."""

    def on_response(self, transaction: ClientTransaction, response: Response, flow: Flow, now: float) -> None:
        pass

    def on_client_timeout(self, transaction: ClientTransaction, now: float) -> None:
        pass

    def on_transport_error(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        pass

    def on_terminated(self, transaction: ClientTransaction) -> None:
        pass
