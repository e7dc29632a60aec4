"""The transaction layer (RFC 3261 17, 9; RFC 6026; RFC 4320): match messages to transactions, create and drop them.

Pure.  Run by whichever thread holds the core lock, which guards the layer, its transactions and its timers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from sip.constants import MAGIC_COOKIE
from sip.errors import LocalProtocolError
from sip.flow import Flow
from sip.message import Request, Response
from sip.timers import TimerLane, TimerQueue, TimerSettings
from sip.transaction import State, TransactionKey
from sip.transaction_client import (
    AbsorbingUser,
    ClientTransaction,
    ClientTransactionUser,
    InviteClientTransaction,
    NonInviteClientTransaction,
)
from sip.transaction_server import (
    InviteServerTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
    ServerTransactionUser,
)

DEFAULT_MAX_SERVER_TRANSACTIONS: Final = 20_000
MAX_CLIENT_TRANSACTIONS: Final = 20_000
MAX_ANSWERED_BYTES: Final = 32 * 1024 * 1024
"""Held by answered non-INVITE transactions: responses, and requests that their users still refer to."""

_ABSORBING_USER: Final = AbsorbingUser()
_UNANSWERED: Final = frozenset({State.CALLING, State.TRYING, State.PROCEEDING})


class TransactionUser(ClientTransactionUser, ServerTransactionUser, Protocol):
    """The core above the layer (5 "Transaction User").

    It answers every request it is given, sooner or later, with a final response; an INVITE transaction it forgets stays
    for ever.  It may call the layer and the transactions from within these methods, and is called from within theirs:
    over TCP, `respond` with a final response ends a non-INVITE transaction before it returns.
    """

    def admits(self, request: Request, flow: Flow, now: float) -> bool:
        """Whether a request that would begin a transaction may; never an ACK.  One that may not leaves nothing behind:
        the user has answered it without a transaction, or lets it go unanswered."""

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A new request; never ACK or CANCEL."""

    def on_cancel(
        self, transaction: ServerTransaction, invite: InviteServerTransaction | None, request: Request, now: float
    ) -> None:
        """A CANCEL and the INVITE it is for (9.2), which may be past cancelling; None: nothing to cancel, 481."""

    def on_ack(self, ack: Request, flow: Flow, invite: InviteServerTransaction | None, now: float) -> None:
        """An ACK no transaction wants for itself: to a 2xx, or stray.  It has a branch of its own, so that `invite`, an
        ACCEPTED transaction, is known only for clients that use that of the INVITE."""

    def on_stray_response(self, response: Response, flow: Flow, now: float) -> None:
        """A response without a client transaction: not to be forwarded (RFC 6026 8.9, RFC 4320 4.2)."""

    def on_transport_error(self, transaction: ServerTransaction | ClientTransaction, reason: str, now: float) -> None:
        """Sending failed.  A client transaction ends with this, a server transaction goes on."""

    def on_terminated(self, transaction: ServerTransaction | ClientTransaction) -> None:
        """The layer has forgotten the transaction; the last that is heard of it."""


Send = Callable[[Flow, bytes, ServerTransaction | ClientTransaction | None], None]
"""Takes note of bytes to be sent; a failure comes back later by `transport_error` of the transaction."""


def _is_unique(branch: str) -> bool:
    """Made by an RFC 3261 client (8.1.1.7).  The bare cookie says so, but identifies nothing."""
    return branch.startswith(MAGIC_COOKIE) and branch != MAGIC_COOKIE


def server_key(request: Request, method: str) -> TransactionKey:
    """What a request is matched by, taken as one of this method (17.2.3)."""
    via = request.via
    branch = via.parameters.get("branch") or ""
    if _is_unique(branch):
        # One string instead of a tuple: cheaper to hash and to keep.  Method and sent-by contain no space.
        return f"{method} {via.sent_by} {branch}"
    return rfc2543_key(request, method, request.to.tag)


def rfc2543_key(request: Request, method: str, to_tag: str | None) -> TransactionKey:
    """What requests of RFC 2543 clients are matched by; also of those whose branch is the bare cookie."""
    via = request.via
    return (
        request.uri_text,
        to_tag,
        request.from_.tag,
        request.call_id,
        request.cseq.number,
        (via.transport, via.sent_by, frozenset(via.parameters.items())),
        method,
    )


class TransactionLayer:
    """Invariant: `_servers` and `_clients` hold every transaction that is not TERMINATED under its key, nothing else;
    `_answered` the non-INVITE server transactions in COMPLETED, oldest first, which hold `_answered_bytes`."""

    def __init__(
        self,
        timers: TimerQueue,
        settings: TimerSettings,
        send: Send,
        user: TransactionUser,
        max_server_transactions: int = DEFAULT_MAX_SERVER_TRANSACTIONS,
    ) -> None:
        """Beyond `max_server_transactions`, or beyond `MAX_ANSWERED_BYTES`, the oldest answered non-INVITE transactions
        make room for new ones; what that costs is that a late copy of their request is executed again."""
        self.timers = timers
        self.settings = settings
        self.user = user
        self.transmit = send
        self._answered: TimerLane[NonInviteServerTransaction] = TimerLane(timers, settings.timer_j_s, self._forget)
        self._answered_bytes = 0
        self._max_server_transactions = max_server_transactions
        self._servers: dict[TransactionKey, ServerTransaction] = {}
        self._clients: dict[TransactionKey, ClientTransaction] = {}

    @property
    def server_count(self) -> int:
        """Live server transactions."""
        return len(self._servers)

    @property
    def is_full(self) -> bool:
        """No transaction could make room for one more."""
        return (len(self._servers) >= self._max_server_transactions and not self._answered) or len(
            self._clients
        ) >= MAX_CLIENT_TRANSACTIONS

    @property
    def unanswered_count(self) -> int:
        """Requests of ours that still wait for a final response; looks at every client transaction."""
        return sum(1 for client in self._clients.values() if client.state in _UNANSWERED)

    @property
    def client_count(self) -> int:
        """Live client transactions."""
        return len(self._clients)

    # -------------------------------------------------------------------------------------------- requests in

    def receive_request(self, request: Request, flow: Flow, now: float) -> None:
        """A validated request whose topmost Via is stamped (18.2.1, 17.2.3)."""
        method = request.method
        if method == "ACK":
            self._receive_ack(request, flow, now)
            return
        key = server_key(request, method)
        known = self._servers.get(key)
        if known is not None:
            known.receive(request, flow, now)
        elif not self.user.admits(request, flow, now):
            return
        elif method == "INVITE":
            invite = InviteServerTransaction(self, key, request, flow)
            self._add_server(invite, now)
            self.user.on_request(invite, request, now)
        else:
            self._serve(NonInviteServerTransaction(self, key, request, flow), request, now)

    def find_server(self, request: Request, method: str | None = None) -> ServerTransaction | None:
        """The live transaction that a request belongs to, or would if its method were `method` (9.2)."""
        return self._servers.get(server_key(request, method or request.method))

    def _serve(self, transaction: NonInviteServerTransaction, request: Request, now: float) -> None:
        self._add_server(transaction, now)
        try:
            if request.method == "CANCEL":
                invite = self.find_server(request, "INVITE")
                self.user.on_cancel(
                    transaction, invite if isinstance(invite, InviteServerTransaction) else None, request, now
                )
            else:
                self.user.on_request(transaction, request, now)
        finally:
            if transaction.state is State.TRYING:
                transaction.await_answer(now)

    def _receive_ack(self, ack: Request, flow: Flow, now: float) -> None:
        invite = self._find_acknowledged(ack)
        if invite is None:
            self.user.on_ack(ack, flow, None, now)
        else:
            invite.receive(ack, flow, now)

    def _find_acknowledged(self, ack: Request) -> InviteServerTransaction | None:
        """17.2.3: the INVITE an ACK is for."""
        invite = self.find_server(ack, "INVITE")
        if not _is_unique(ack.via.branch):
            if invite is None:
                # An INVITE that began its dialog had no To tag yet.
                invite = self._servers.get(rfc2543_key(ack, "INVITE", None))
            if not isinstance(invite, InviteServerTransaction) or invite.sent_to_tag() != ack.to.tag:
                return None
        return invite if isinstance(invite, InviteServerTransaction) else None

    def _add_server(self, transaction: ServerTransaction, now: float) -> None:
        servers = self._servers
        servers[transaction.key] = transaction
        while len(servers) > self._max_server_transactions and self._answered:
            self._answered.expire_oldest(now)

    def keep_answered(self, transaction: NonInviteServerTransaction, now: float) -> None:
        """For the transaction itself, in COMPLETED: end it after Timer J."""
        self._answered_bytes += transaction.kept_bytes
        self._answered.append(transaction, now)
        while self._answered_bytes > MAX_ANSWERED_BYTES:
            self._answered.expire_oldest(now)

    def _forget(self, transaction: NonInviteServerTransaction, now: float) -> None:
        self._answered_bytes -= transaction.kept_bytes
        transaction.expire(now)

    def forget_server(self, transaction: ServerTransaction) -> None:
        """For the transaction itself, at its end."""
        del self._servers[transaction.key]

    # -------------------------------------------------------------------------------------------- requests out

    def send_request(self, request: Request, flow: Flow, now: float, context: object = None) -> ClientTransaction:
        """Send a request, our own Via topmost, in a new client transaction (17.1).

        Raises `LocalProtocolError` for an ACK, which has no transaction, and for a branch already in use.
        """
        transaction_class = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        return self._begin(transaction_class, request, flow, now, self.user, context)

    def send_cancel(self, cancel: Request, flow: Flow, now: float) -> None:
        """For the INVITE client transaction: its CANCEL, a transaction nobody hears of (9.1)."""
        self._begin(NonInviteClientTransaction, cancel, flow, now, _ABSORBING_USER, None)

    def _begin(
        self,
        transaction_class: type[InviteClientTransaction | NonInviteClientTransaction],
        request: Request,
        flow: Flow,
        now: float,
        user: ClientTransactionUser,
        context: object,
    ) -> ClientTransaction:
        if request.method == "ACK":
            raise LocalProtocolError("ACK is sent without a transaction")
        branch = request.via.branch
        if not branch.startswith(MAGIC_COOKIE):
            raise LocalProtocolError("our own branch must begin with the magic cookie")
        key = (branch, request.method)
        if key in self._clients:
            raise LocalProtocolError("branch is in use")
        transaction = transaction_class(self, key, request, flow, user, context)
        self._clients[key] = transaction
        transaction.begin(now)
        return transaction

    def connection_lost(self, connection: int, now: float) -> None:
        """A TCP connection is gone: requests sent over it that nothing has come back to are lost (17.1.4)."""
        for client in list(self._clients.values()):
            if client.flow.connection == connection and client.state in _UNANSWERED:
                client.transport_error("the connection is closed", now)

    def find_client(self, branch: str, method: str) -> ClientTransaction | None:
        """The live transaction of a request that was sent with this branch."""
        return self._clients.get((branch, method))

    def forget_client(self, transaction: ClientTransaction) -> None:
        """For the transaction itself, at its end."""
        del self._clients[transaction.key]

    # -------------------------------------------------------------------------------------------- responses in

    def receive_response(self, response: Response, flow: Flow, now: float) -> None:
        """A validated response (17.1.3)."""
        branch = response.via.parameters.get("branch") or ""
        transaction = self._clients.get((branch, response.cseq.method))
        if transaction is None:
            self.user.on_stray_response(response, flow, now)
        else:
            transaction.receive(response, flow, now)
