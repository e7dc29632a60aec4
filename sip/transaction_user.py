"""The transaction user (RFC 3261 5): what is wanted by requests and responses goes to whoever deals with it.

Pure; guarded by the core lock.  Composes registrar, proxy, the server's own phones and what guards them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from config import Config
from faults import FaultLog
from sip.admission import Admission
from sip.call import Call
from sip.call_control import CallControl
from sip.calls import CallTable
from sip.click_to_dial import Dialler
from sip.constants import METHODS
from sip.contact_rules import contact_fault
from sip.endpoint import EndpointRelay
from sip.errors import ParseError
from sip.events import EventSink, EventType, end_of_binding
from sip.exchange import Exchange
from sip.facts import Fact
from sip.first_leg import FirstCall, Rejoin
from sip.flow import Flow, address_text, response_flow, stamp_via
from sip.forwarding import Branch, ResponseContext
from sip.gatekeeper import is_for_server
from sip.keepalive import NatKeepAlive, Ping
from sip.local_agent import DialogRequest, LocalAgent
from sip.location import Binding, LocationService
from sip.message import Message, Request, Response, make_response
from sip.neighbours import Neighbours
from sip.numbering import NumberPlan
from sip.proxy import Proxy
from sip.recorder import Recorder, needs_writing, stored_form
from sip.registrar import Register, Registrar
from sip.responses import ResponseProcessor
from sip.returned import ReturnedMail
from sip.routing import Identity, remove_own_routes
from sip.service_numbers import ServiceNumbers
from sip.sharing import Sharing
from sip.snapshots import DepartureSnapshot, TerminationReason
from sip.timers import TimerQueue, TimerSettings
from sip.transaction_client import ClientTransaction
from sip.transaction_layer import TransactionLayer
from sip.transaction_server import InviteServerTransaction, ServerTransaction
from sip.validation import validate_request

log = logging.getLogger(__name__)

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE, MESSAGE"
"""Methods this server handles or forwards (20.5)."""

_NEGOTIATED = frozenset({420, 423, 500})
"""Refusals of a REGISTER that phones deal with by themselves."""


class Send(NamedTuple):
    """Put these bytes on the wire.  When that fails, tell `transaction.transport_error`, if there is one."""

    flow: Flow
    data: bytes
    transaction: ServerTransaction | ClientTransaction | None
    ticket: int = 0
    """Not before this ticket of the recorder is settled; 0: at once."""


def banner(config: Config) -> tuple[tuple[str, str], ...]:
    """What this server says of itself in its own responses."""
    return (("Server", config.server_header),) if config.server_header else ()


class TransactionUser:
    """Takes what the transaction layer has let through, and hears what becomes of bindings."""

    def __init__(
        self,
        config: Config,
        relay: EndpointRelay,
        recorder: Recorder,
        events: EventSink,
        is_own_address: Callable[[str, int], bool],
        settings: TimerSettings | None = None,
        wall_offset: float = 0.0,
    ) -> None:
        """`is_own_address(host, port)` says whether a Route leads to this server; `wall_offset` is wall clock minus
        monotonic seconds, and is kept true by `set_wall_offset`."""
        self.wall_offset = wall_offset
        self._recorder = recorder
        self._banner = banner(config)
        self._kept_by = wall_offset
        """By which clock the times of what is kept were made."""
        self._faults = FaultLog(log, "sip")
        self.clock_set: tuple[float, float] | None = None
        """When the clock of this machine was last set (wall clock), and by how many seconds."""
        self._promised = 0
        """Ticket of what the REGISTER at hand has changed."""
        self._effects: list[Send] = []
        self._now = 0.0
        settings = settings or TimerSettings()
        timers = TimerQueue(settings.gather_s)
        plan = NumberPlan(config.ext_min, config.ext_max)
        self._exchange = x = Exchange(
            config=config,
            plan=plan,
            identity=Identity(is_own_address),
            timers=timers,
            settings=settings,
            location=LocationService(timers, self, self._wall),
            calls=CallTable(timers, recorder, events),
            relay=relay,
            layer=TransactionLayer(timers, settings, self._transmit, self),
            send=self._send_message,
            wall=self._wall,
            contact_fault=lambda contact, flow: contact_fault(contact, flow, is_own_address),
            returned=ReturnedMail(),
            events=events,
            neighbours=Neighbours(),
        )
        self.admission = Admission(x)
        self._keepalive = NatKeepAlive(x)
        self.sharing = Sharing(x, self.admission, self._keepalive, self._keep)
        self._registrar = Registrar(config, plan, x.location, x.contact_fault, x.calls.follow)
        self._control = CallControl(x)
        self._responses = ResponseProcessor(x, self._control)
        self._numbers = ServiceNumbers(config, timers, self._control, x.calls.live, self._wall)
        self._agent = LocalAgent(x, relay, self._control, self._numbers)
        self._proxy = Proxy(x, self._control, self._responses, self._agent)
        self._dialler = Dialler(x, relay, self._control, self._proxy)

    # -------------------------------------------------------------------------------------------- requests

    def _receive_request(self, request: Request, data: bytes, flow: Flow, now: float) -> None:
        try:
            validate_request(request)
        except ParseError as error:
            self._answer_malformed(request, error, flow)
            return
        stamp_via(request, flow)
        self._note_received(request, data, flow)
        self._exchange.layer.receive_request(request, flow, now)

    def _answer_malformed(self, request: Request, error: ParseError, flow: Flow) -> None:
        """A stateless error response; never to an ACK (17)."""
        if request.method == "ACK":
            return
        try:
            stamp_via(request, flow)
            target = response_flow(request.via, flow)
        except ParseError:
            log.debug("request from %s without a usable Via dropped: %s", flow, error)
            return
        log.debug("request from %s refused: %s", flow, error)
        response = make_response(request, error.status, error.reason, to_tag=self._exchange.identity.new_tag())
        self._send_message(target, response, None)

    def admits(self, request: Request, flow: Flow, now: float) -> bool:
        return self.admission.admits(request, flow, now)

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A new request.  One that turns out malformed only now, or that a fault of ours keeps from being served, is
        answered all the same: an INVITE without a final response would stay for ever (17.2.1)."""
        try:
            self._dispatch(transaction, request, now)
        except ParseError as error:
            response = make_response(request, error.status, error.reason, to_tag=self._exchange.identity.new_tag())
            transaction.respond(response, now)
        except Exception as error:  # noqa: BLE001 - logged, at a rate that packets cannot drive
            text = "%s of call %s met a fault of the server"
            self._faults.note(error, now, text, request.method, request.call_id)
            self._give_up(transaction, request, now)

    def _give_up(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """Answer 500 and end what the request had begun."""
        response = make_response(request, 500, to_tag=self._exchange.identity.new_tag())
        transaction.respond(response, now)
        call = self._exchange.calls.find_live(request.call_id, request.from_.tag or "")
        if call is not None and call.answered is None and request.method == "INVITE":
            if call.context is not None:
                call.context.decided = True
            text = "a fault of the server ended the call"
            call.journal.decided(self._wall(now), text, Fact.SERVER_FAULT)
            self._control.end(call, TerminationReason.ERROR, text, now)

    def _dispatch(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        method = request.method
        if method not in METHODS:
            self._reply(transaction, request, 501, now, ("Allow", ALLOW))
            return
        if method == "REGISTER":
            self._register(transaction, request, now)
            return
        unsupported = request.option_tags("proxy-require")
        if unsupported:
            self._reply(transaction, request, 420, now, ("Unsupported", ", ".join(unsupported)))
            return
        remove_own_routes(request, self._exchange.identity)
        dialog, forwarded = self.admission.dialog, self.admission.forwarded
        # A callee of RFC 2543 may have given no tag (12.2.2).
        in_dialog = request.to.tag is not None or dialog is not None
        if not in_dialog and is_for_server(request):
            self._serve(transaction, request, now)
        elif request.max_forwards == 0:
            self._reply(transaction, request, 483, now)
        elif dialog is not None and dialog.is_first:
            self._dialler.in_first_dialog(transaction, request, dialog, now)
        elif dialog is not None:
            self._proxy.in_dialog(transaction, request, dialog, now)
        elif in_dialog:
            self._proxy.outside_calls(transaction, request, now, forwarded=forwarded)
        elif method in ("BYE", "UPDATE", "PRACK"):
            self._reply(transaction, request, 481, now)
        elif method == "PUBLISH":
            self._reply(transaction, request, 489, now)
        else:
            self._proxy.initial(transaction, request, now, forwarded=forwarded)

    def _register(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        flow, number = transaction.flow, request.to.uri.number
        mark = self.admission.credentials.mark(number) if self.admission.authenticated else ""
        register = Register(
            request, flow, now, now + self.wall_offset, number, request.call_id, request.cseq.number, mark
        )
        self._promised = 0
        response = self._registrar.process(register, self._exchange.identity.new_tag(), self._banner)
        if response.status >= 400 and response.status not in _NEGOTIATED:
            words = f"the phone's registration can't be used: {response.reason}"
            self.admission.note_failure(request, flow, number, response.status, words, self._registrar.denial, now)
        transaction.ticket = self._promised
        transaction.respond(response, now)

    def _serve(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """Requests to the server itself."""
        required = request.option_tags("require")
        if required:
            self._reply(transaction, request, 420, now, ("Unsupported", ", ".join(required)))
        elif request.method == "OPTIONS":
            self._reply(transaction, request, 200, now, ("Allow", ALLOW), ("Accept", "application/sdp"))
        elif request.method in ("SUBSCRIBE", "PUBLISH"):
            self._reply(transaction, request, 489, now)
        else:
            self._reply(transaction, request, 405, now, ("Allow", "OPTIONS, REGISTER"))

    def _reply(
        self, transaction: ServerTransaction, request: Request, status: int, now: float, *headers: tuple[str, str]
    ) -> None:
        to_tag = self._exchange.identity.new_tag()
        response = make_response(request, status, to_tag=to_tag, headers=(*headers, *self._banner))
        transaction.respond(response, now)

    # -------------------------------------------------------------------------------------------- transaction user

    def on_cancel(
        self, transaction: ServerTransaction, invite: InviteServerTransaction | None, request: Request, now: float
    ) -> None:
        self._proxy.cancel(transaction, invite, request, now)

    def on_ack(self, ack: Request, flow: Flow, _invite: InviteServerTransaction | None, now: float) -> None:
        self._proxy.ack(ack, flow, now)

    def on_response(self, transaction: ClientTransaction, response: Response, flow: Flow, now: float) -> None:
        context = transaction.context
        if isinstance(context, Branch):
            self._responses.on_response(context, response, flow, now)
        elif isinstance(context, DialogRequest):
            self._agent.on_response(context, response, now)
        elif isinstance(context, FirstCall):
            self._dialler.first.on_response(context, response, now)
        elif isinstance(context, Rejoin):
            self._dialler.on_rejoin(context, response, now)
        elif isinstance(context, Ping):
            self._keepalive.answered(context.binding, now)

    def on_stray_response(self, response: Response, flow: Flow, _now: float) -> None:
        log.debug("response %d from %s belongs to no transaction; dropped (RFC 6026 8.9)", response.status, flow)

    def on_client_timeout(self, transaction: ClientTransaction, now: float) -> None:
        context = transaction.context
        if isinstance(context, Branch):
            self._responses.on_timeout(context, now)
        elif isinstance(context, DialogRequest):
            self._agent.on_timeout(context, now)
        elif isinstance(context, FirstCall):
            self._dialler.first.on_silence(context, now)
        elif isinstance(context, Rejoin):
            self._dialler.on_lost(context, now)
        elif isinstance(context, Ping):
            self._keepalive.unanswered(context.binding, now)

    def on_ack_timeout(self, transaction: InviteServerTransaction, now: float) -> None:
        call = self._call_of(transaction)
        if call is not None:
            text = "the caller's phone never acknowledged the final response"
            call.journal.decided(self._wall(now), text, Fact.RESPONSE_NOT_ACKNOWLEDGED)

    def on_transport_error(self, transaction: ServerTransaction | ClientTransaction, reason: str, now: float) -> None:
        context, call, flow = transaction.context, self._call_of(transaction), transaction.flow
        if isinstance(transaction, ClientTransaction):
            if isinstance(context, Branch):
                self._responses.on_unreachable(context, reason, now)
            else:
                # What the server asks of its own accord is lost like what is not answered (8.1.3.1).
                self.on_client_timeout(transaction, now)
        elif call is not None:
            text, details = f"a response could not be sent: {reason}", {"address": address_text(flow), "why": reason}
            call.journal.decided(self._wall(now), text, Fact.RESPONSE_UNDELIVERED, details)

    def on_terminated(self, transaction: ServerTransaction | ClientTransaction) -> None:
        context, transaction.context = transaction.context, None
        if isinstance(context, Branch):
            context.client = None
            context.context.release()
        elif isinstance(context, ResponseContext) and context.server is transaction:
            context.ended = True
            context.release()

    # -------------------------------------------------------------------------------------------- bindings

    def bound(self, binding: Binding, now: float, *, is_new: bool) -> None:
        kind = EventType.REGISTRATION_ADDED if is_new else EventType.REGISTRATION_REFRESHED
        self._exchange.events.emit(kind, now + self.wall_offset, binding.content(now))
        self.admission.bound(binding)
        self._keepalive.bound(binding, now)
        if needs_writing(binding):
            self._promised = self._keep(binding)

    def unbound(self, binding: Binding, departure: DepartureSnapshot) -> None:
        self._exchange.events.emit(end_of_binding(departure), departure.at, departure)
        self.admission.unbound(binding)
        self._keepalive.unbound(binding)
        self._promised = self._recorder.remove_binding(binding.binding_id, binding.server)

    def _keep(self, binding: Binding) -> int:
        stored = stored_form(binding, self.wall_offset)
        return self._recorder.put_binding(stored, self._exchange.location.count(binding.number))

    # -------------------------------------------------------------------------------------------- effects

    def _wall(self, now: float) -> float:
        return now + self.wall_offset

    def _note_received(self, message: Message, data: bytes, flow: Flow) -> None:
        call = self._exchange.calls.by_call_id(message.call_id)
        if call is not None and self._exchange.takes_part(call, flow):
            call.journal.received(self._now + self.wall_offset, flow, data)

    def _send_message(self, flow: Flow, message: Message, call: Call | None) -> None:
        data = message.to_bytes()
        if call is not None:
            call.journal.sent(self._now + self.wall_offset, flow, data)
        self._effects.append(Send(flow, data, None))

    def _transmit(self, flow: Flow, data: bytes, transaction: ServerTransaction | ClientTransaction | None) -> None:
        call = self._call_of(transaction)
        if call is not None:
            call.journal.sent(self._now + self.wall_offset, flow, data)
        self._effects.append(Send(flow, data, transaction, transaction.ticket if transaction is not None else 0))

    def _call_of(self, transaction: ServerTransaction | ClientTransaction | None) -> Call | None:
        if transaction is None:
            return None
        if transaction.context is not None:
            call: Call | None = transaction.context.call
            return call
        if isinstance(transaction, ClientTransaction) and transaction.request.method == "CANCEL":
            # The transaction of an INVITE makes its CANCEL by itself.
            return self._exchange.calls.by_call_id(transaction.request.call_id)
        return None
