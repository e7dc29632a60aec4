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
from collections.abc import Mapping

from config import Config
from sip.call import Call
from sip.credentials import Credentials
from sip.errors import ParseError
from sip.facts import Departure
from sip.flow import Flow
from sip.message import MalformedMessage, Request, Response
from sip.recorder import CLOCK_STEP_S, restored
from sip.snapshots import (
    CallSnapshot,
    CallTotals,
    NumberRecord,
    PresenceSnapshot,
    QualityResult,
    RegistrationSnapshot,
    SignallingFigures,
    StoredBinding,
    TerminationReason,
)
from sip.trace import LiveTrace
from sip.transaction_client import ClientTransaction
from sip.transaction_server import ServerTransaction
from sip.transaction_user import Send, TransactionUser, banner
from sip.uri import Uri
from sip.validation import validate_response

log = logging.getLogger(__name__)

_QUOTED_REQUEST = re.compile(
    rb"(?P<method>[A-Z]{1,20}) .{1,1000}?\r\nVia: [^\r\n]{1,300}?;branch=(?P<branch>z9hG4bK[0-9A-Za-z.-]{1,100})[;,\r]",
    re.DOTALL,
)
"""A request of ours as ICMP quotes it, up to the branch of its topmost Via."""


def _reconnect(lost: Flow, contact: Uri | None) -> Flow:
    """Where a new connection to the phone behind a lost one leads: it has no name that must be looked up, and its
    address is still what its requests are admitted by."""
    port = contact.effective_port if contact is not None else lost.remote_port
    return lost._replace(remote_port=port, connection=0)


class SipCore(TransactionUser):
    """The transaction user with what its driver brings and asks for."""

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
        self._banner = banner(config)
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
