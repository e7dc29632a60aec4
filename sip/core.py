"""The signalling core: messages, commands and `now` in; effects and the next deadline out.

Pure, and not thread-safe: the engine's core lock guards it and everything below it.  Contract:

    core.receive(message, data, flow, now)     or core.reject(error, flow, now), core.connection_closed(...), commands
    core.handle_timeout(now)                   fires every timer due
    core.take_effects() -> list[Send]          after each of the above
    core.next_deadline() -> float | None       monotonic seconds
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from config import Config
from faults import FaultLog
from sip.admission import Admission
from sip.call import Call, Dialog
from sip.call_control import CallControl
from sip.calls import CallTable
from sip.click_to_dial import Dialler
from sip.constants import METHODS
from sip.contact_rules import contact_fault
from sip.credentials import Credentials
from sip.endpoint import EndpointRelay
from sip.errors import ParseError
from sip.events import EventSink, EventType, end_of_binding
from sip.exchange import Exchange
from sip.facts import Departure, Fact
from sip.first_leg import FirstCall, Rejoin
from sip.flow import Flow, address_text, response_flow, stamp_via
from sip.forwarding import Branch, ResponseContext
from sip.gatekeeper import is_for_server
from sip.keepalive import NatKeepAlive, Ping
from sip.local_agent import DialogRequest, LocalAgent
from sip.location import Binding, LocationService
from sip.media_relay import CALLER
from sip.message import MalformedMessage, Message, Request, Response, make_response
from sip.neighbours import Neighbours
from sip.numbering import NumberPlan
from sip.proxy import Proxy
from sip.recorder import CLOCK_STEP_S, Recorder, needs_writing, restored, stored_form
from sip.registrar import Register, Registrar
from sip.responses import ResponseProcessor
from sip.returned import ReturnedMail
from sip.routing import Identity, remove_own_routes
from sip.service_numbers import ServiceNumbers
from sip.sharing import Sharing
from sip.snapshots import (
    CallSnapshot,
    CallTotals,
    DepartureSnapshot,
    NumberRecord,
    PresenceSnapshot,
    QualityResult,
    RegistrationSnapshot,
    SignallingFigures,
    StoredBinding,
    TerminationReason,
)
from sip.timers import TimerQueue, TimerSettings
from sip.trace import LiveTrace
from sip.transaction_client import ClientTransaction
from sip.transaction_layer import TransactionLayer
from sip.transaction_server import InviteServerTransaction, ServerTransaction
from sip.uri import Uri
from sip.validation import validate_request, validate_response

log = logging.getLogger(__name__)

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE, MESSAGE"
"""Methods this server handles or forwards (20.5)."""

_NEGOTIATED = frozenset({420, 423, 500})
"""Refusals of a REGISTER that phones deal with by themselves."""


_QUOTED_REQUEST = re.compile(
    rb"(?P<method>[A-Z]{1,20}) .{1,1000}?\r\nVia: [^\r\n]{1,300}?;branch=(?P<branch>z9hG4bK[0-9A-Za-z.-]{1,100})[;,\r]",
    re.DOTALL,
)
"""A request of ours as ICMP quotes it, up to the branch of its topmost Via."""


class Send(NamedTuple):
    """Put these bytes on the wire.  When that fails, tell `transaction.transport_error`, if there is one."""

    flow: Flow
    data: bytes
    transaction: ServerTransaction | ClientTransaction | None
    ticket: int = 0
    """Not before this ticket of the recorder is settled; 0: at once."""


def _banner(config: Config) -> tuple[tuple[str, str], ...]:
    """What this server says of itself in its own responses."""
    return (("Server", config.server_header),) if config.server_header else ()


def _reconnect(lost: Flow, contact: Uri | None) -> Flow:
    """Where a new connection to the phone behind a lost one leads: it has no name that must be looked up, and its
    address is still what its requests are admitted by."""
    port = contact.effective_port if contact is not None else lost.remote_port
    return lost._replace(remote_port=port, connection=0)


class SipCore:
    """Composes registrar, proxy and transactions; the transaction user of RFC 3261 5."""

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
        self._banner = _banner(config)
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
        timers = TimerQueue()
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
        self._registrar = Registrar(config, plan, x.location, x.contact_fault)
        self._control = CallControl(x)
        self._responses = ResponseProcessor(x, self._control)
        self._numbers = ServiceNumbers(config, timers, self._control, x.calls.live, self._wall)
        self._agent = LocalAgent(x, relay, self._control, self._numbers)
        self._proxy = Proxy(x, self._control, self._responses, self._agent)
        self._dialler = Dialler(x, self._control, self._proxy)

    # -------------------------------------------------------------------------------------------- driver's side

    def receive(self, message: Request | Response, data: bytes, flow: Flow, now: float) -> None:
        """A parsed message and the bytes it was parsed from."""
        self._now = now
        x = self._exchange
        x.current = (flow, data)
        try:
            if isinstance(message, Request):
                self._receive_request(message, data, flow, now)
            else:
                validate_response(message)
                self._note_received(message, data, flow)
                x.layer.receive_response(message, flow, now)
        except ParseError as error:
            log.debug("response from %s dropped: %s", flow, error)
        finally:
            x.current = None

    def reject(self, error: ParseError, flow: Flow, now: float) -> None:
        """A message that could not be parsed: say so if there is enough of a request to answer (8.1.3, 18.3)."""
        self._now = now
        message = error.message if isinstance(error, MalformedMessage) else None
        if isinstance(message, Request):
            self._answer_malformed(message, error, flow)
        else:
            log.debug("message from %s dropped: %s", flow, error)

    def media_changed(self, call_id: str, now: float) -> None:
        """The media of a call have something to tell that should not wait."""
        call = self._exchange.calls.by_call_id(call_id)
        if call is not None and call.live:
            self._control.note_media(call, now)

    def handle_timeout(self, now: float) -> None:
        self._now = now
        self._exchange.timers.fire_due(now)

    def set_wall_offset(self, wall_offset: float) -> None:
        """The wall clock was looked at.  Bindings kept by one that has been set since would end at a wrong time."""
        self.wall_offset = wall_offset
        if abs(wall_offset - self._kept_by) >= CLOCK_STEP_S:
            log.warning("the clock was set by %.0f s; kept registrations follow", wall_offset - self._kept_by)
            self.clock_set = (self._wall(self._now), wall_offset - self._kept_by)
            self._kept_by = wall_offset
            for binding in self._exchange.location.all():
                if not binding.server:
                    self._keep(binding)

    def next_deadline(self) -> float | None:
        return self._exchange.timers.next_deadline()

    def take_effects(self) -> list[Send]:
        effects, self._effects = self._effects, []
        return effects

    def transport_error(self, transaction: ServerTransaction | ClientTransaction, reason: str, now: float) -> None:
        """What that transaction sent last did not go out."""
        self._now = now
        transaction.transport_error(reason, now)

    def undelivered(self, host: str, port: int, quoted: bytes, why: str, now: float) -> None:
        """The network could not deliver a datagram that was sent there, whose beginning is `quoted` (RFC 3261 18.4).

        Its branch is nothing that can be guessed, so who names it is believed; otherwise it is only remembered."""
        self._now = now
        match = _QUOTED_REQUEST.match(quoted)
        if match is None:
            self._exchange.returned.note(host, port, why, now)
            return
        transaction = self._exchange.layer.find_client(match["branch"].decode(), match["method"].decode())
        if transaction is not None and transaction.flow.remote == (host, port):
            transaction.transport_error(why, now)

    def unanswered_requests(self) -> int:
        """Requests sent whose final response has not come yet."""
        return self._exchange.layer.unanswered_count

    def connection_closed(self, flow: Flow, now: float) -> None:
        """A TCP connection is gone.  What was reached by it is reached by a new one to the port of its Contact."""
        self._now = now
        for binding in self._exchange.location.on_connection(flow.connection):
            binding.flow = _reconnect(flow, binding.contact)
            binding.connection_lost_at = self._wall(now)
        for call in self._exchange.calls.live():
            for party in call.parties():
                if party.flow.connection == flow.connection:
                    party.flow = _reconnect(flow, party.contact)
        self._exchange.layer.connection_lost(flow.connection, now)

    def peers(self) -> set[str]:
        """Hosts of all phones that are registered or in a call."""
        x = self._exchange
        hosts = {binding.flow.remote_host for binding in x.location.all()}
        return hosts.union(party.flow.remote_host for call in x.calls.live() for party in call.parties())

    def use_addresses(self, by_peer: Mapping[str, str]) -> Counter[tuple[str, str]]:
        """Tell phones at these hosts that we are at these addresses, from the next request on; how many registered
        devices that concerns, by the address before and after.

        What a phone was told in a call that is up it goes by until its end, so such a call is only hung up by the new
        address; one whose sound came over an address that is gone ends as a silent one (`MEDIA_TIMEOUT`)."""
        x, moved = self._exchange, Counter[tuple[str, str]]()
        for binding in x.location.all():
            flow, local_host = binding.flow, by_peer.get(binding.flow.remote_host, "")
            if local_host and local_host != flow.local_host:
                binding.flow = flow._replace(local_host=local_host)
                moved[flow.local_host, local_host] += 1
        for call in x.calls.live():
            for party in call.parties():
                local_host = by_peer.get(party.flow.remote_host, party.flow.local_host)
                party.flow = party.flow._replace(local_host=local_host)
        return moved

    def restore_binding(self, stored: StoredBinding, flow: Flow, now: float) -> bool:
        """Take a binding of an earlier run over, reached by `flow`; whether it may still stand."""
        admission, location = self.admission, self._exchange.location
        binding = restored(stored, flow, self.wall_offset)
        if flow.reliable:
            binding.flow = _reconnect(flow, binding.contact)
            binding.connection_lost_at = self._wall(now)
        if binding.number not in self._exchange.plan:
            return False
        if binding.expires <= now:
            location.note_departure(binding.departure(Departure.EXPIRED, self._wall(binding.expires)))
            return False
        # The password may have been changed while no server was there to notice.
        if binding.password_mark != admission.credentials.mark(binding.number):
            location.note_departure(binding.departure(Departure.CREDENTIALS_CHANGED, self._wall(now)))
            return False
        location.restore(binding)
        admission.bound(binding)
        self._keepalive.bound(binding, now)
        return True

    def restore_record(self, record: NumberRecord) -> None:
        """Go on counting the registrations of a number."""
        self._exchange.location.restore_record(record)

    def set_neighbours(self, me: str, key: bytes, clock_offset: float, flows: Mapping[str, Flow]) -> None:
        """These other servers on the same database are alive, and reached so (`Neighbours.update`)."""
        self._exchange.neighbours.update(me, key, clock_offset, flows)
        self.admission.note_neighbours(flows)

    # -------------------------------------------------------------------------------------------- commands

    def remove_registrations(self, number: str, now: float, why: Departure = Departure.ADMINISTRATOR) -> int:
        """Drop every binding of a number; the phone notices at its next refresh."""
        self._now = now
        bindings = self._exchange.location.bindings(number)
        for binding in bindings:
            self._exchange.location.remove(binding, why, now)
            log.info("%s unregistered by the administrator: %s", number, binding.flow)
        return len(bindings)

    def set_credentials(self, credentials: Credentials, now: float) -> int:
        """Have these passwords in force at once; bindings of numbers whose password has changed go, and how many."""
        changed = credentials.changed_since(self.admission.credentials)
        self.admission.credentials = credentials
        return sum(self.remove_registrations(number, now, Departure.CREDENTIALS_CHANGED) for number in changed)

    def configure(self, config: Config, now: float) -> int:
        """Go by these settings from now on, as far as they can change while the server runs (`config.Setting.live`).
        Registrations that they would not let in end; how many."""
        self._now = now
        x = self._exchange
        x.config = self._registrar.config = config
        x.plan.change(config.ext_min, config.ext_max)
        self._banner = _banner(config)
        self.admission.configure(config)
        unwelcome = [binding for binding in x.location.all() if not self.admission.may_stay(binding)]
        for binding in unwelcome:
            x.location.remove(binding, Departure.ADMINISTRATOR, now)
        return len(unwelcome)

    def clear_registrations(self, now: float) -> int:
        return sum(self.remove_registrations(number, now) for number in self._exchange.location.numbers())

    def dial(self, from_number: str, to_number: str, now: float, *, auto_answer: bool) -> CallSnapshot:
        """Connect two numbers: the phones of the first are rung, then the second is called.  Raises `DialRefused`."""
        self._now = now
        return self._dialler.dial(from_number, to_number, now, auto_answer=auto_answer).snapshot()

    def drain(self) -> int:
        """Take no new calls from now on; how many there still are."""
        self._exchange.calls.is_closed = True
        return len(self._exchange.calls.live())

    def end_calls(self, reason: TerminationReason, text: str, now: float) -> int:
        """Hang up every live call on both phones."""
        self._now = now
        return self._end(self._exchange.calls.live(), reason, text, now)

    def end_call(self, call_id: str, reason: TerminationReason, text: str, now: float) -> int:
        """Hang up what is live under that Call-ID, on both phones; two phones may use one by mistake."""
        self._now = now
        calls = [call for call in self._exchange.calls.live() if call.call_id == call_id]
        return self._end(calls, reason, text, now)

    def _end(self, calls: list[Call], reason: TerminationReason, text: str, now: float) -> int:
        for call in calls:
            self._control.end(call, reason, text, now)
        return len(calls)

    # -------------------------------------------------------------------------------------------- views

    def registrations(self, now: float) -> tuple[RegistrationSnapshot, ...]:
        return self._exchange.location.snapshot(now, self._wall(now))

    def presence(self, number: str, now: float) -> PresenceSnapshot:
        return self._exchange.location.presence(number, now, self._wall(now))

    def presences(self, now: float) -> list[PresenceSnapshot]:
        return [self.presence(number, now) for number in self._exchange.location.known()]

    def has_calls(self) -> bool:
        return self._exchange.calls.has_live()

    def calls(self) -> tuple[CallSnapshot, ...]:
        return self._exchange.calls.snapshot()

    def quality_results(self) -> tuple[QualityResult, ...]:
        """Newest first."""
        return self._numbers.results()

    def call_trace(self, call_id: str, invited_at: float | None, now: float) -> LiveTrace | None:
        """All that is here of a call, live or just ended (`CallTable.with_record`)."""
        call = self._exchange.calls.with_record(call_id, invited_at)
        if call is None:
            return None
        if call.live:
            self._control.note_media(call, now)
        return LiveTrace(call.snapshot(), call.figures(), call.trace_source())

    def put_traces(self) -> None:
        """The end is near: have everything written that ended calls have left."""
        self._exchange.calls.put_traces()

    def call_totals(self) -> CallTotals:
        return self._exchange.calls.totals()

    def figures(self, flood_dropped: int, connections: dict[str, int], queued_messages: int) -> SignallingFigures:
        """How the core fares, together with what the driver knows of its transports."""
        layer, admission = self._exchange.layer, self.admission
        setup_counts, setup_sum_s = self._exchange.calls.setup_times()
        return SignallingFigures(
            server_transactions=layer.server_count,
            client_transactions=layer.client_count,
            flood_dropped=flood_dropped,
            refused={cause.value: count for cause, count in admission.refused.items()},
            failed_registrations=admission.diary.noted,
            setup_counts=setup_counts,
            setup_sum_s=setup_sum_s,
            connections=connections,
            queued_messages=queued_messages,
        )

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
        # A callee of RFC 2543 may have given no tag (12.2.2).
        in_dialog = request.to.tag is not None or self._exchange.calls.dialog_of(request) is not None
        if not in_dialog and is_for_server(request):
            self._serve(transaction, request, now)
        elif request.max_forwards == 0:
            self._reply(transaction, request, 483, now)
        elif (dialog := self._first_dialog(request)) is not None:
            self._dialler.in_first_dialog(transaction, request, dialog, now)
        elif in_dialog:
            self._proxy.in_dialog(transaction, request, now, forwarded=self.admission.forwarded)
        elif method in ("BYE", "UPDATE", "PRACK"):
            self._reply(transaction, request, 481, now)
        elif method == "PUBLISH":
            self._reply(transaction, request, 489, now)
        else:
            self._proxy.initial(transaction, request, now, forwarded=self.admission.forwarded)

    def _first_dialog(self, request: Request) -> Dialog | None:
        """The dialog of a phone that waits for the other one in a call that the server has begun."""
        dialog = self._exchange.calls.dialog_of(request)
        if dialog is None or dialog.call.first_leg is None or dialog.call.answered is not None:
            return None
        return dialog if dialog.side == CALLER else None

    def _register(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        flow, admission = transaction.flow, self.admission
        mark = admission.credentials.mark(request.to.uri.number) if admission.authenticated else ""
        register = Register(request, flow, now, self._wall(now), mark)
        self._promised = 0
        response = self._registrar.process(register, self._exchange.identity.new_tag())
        for name, value in self._banner:
            response.headers.append(name, value)
        if response.status >= 400 and response.status not in _NEGOTIATED:
            words = f"the phone's registration can't be used: {response.reason}"
            number, denial = request.to.uri.number, self._registrar.denial
            admission.note_failure(request, flow, number, response.status, words, denial, now)
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
            call.journal.received(self._wall(self._now), flow, data)

    def _send_message(self, flow: Flow, message: Message, call: Call | None) -> None:
        data = message.to_bytes()
        if call is not None:
            call.journal.sent(self._wall(self._now), flow, data)
        self._effects.append(Send(flow, data, None))

    def _transmit(self, flow: Flow, data: bytes, transaction: ServerTransaction | ClientTransaction | None) -> None:
        call = self._call_of(transaction)
        if call is not None:
            call.journal.sent(self._wall(self._now), flow, data)
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
