"""What the parts of the signalling core share.  Pure; everything here is guarded by the core lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from config import Config
from sip.call import Call, Party
from sip.calls import CallTable
from sip.endpoint import EndpointRelay
from sip.events import EventSink
from sip.flow import Flow
from sip.location import LocationService
from sip.message import Message
from sip.neighbours import Neighbours
from sip.numbering import NumberPlan
from sip.returned import ReturnedMail
from sip.routing import Identity
from sip.timers import TimerQueue, TimerSettings
from sip.transaction_layer import TransactionLayer
from sip.uri import Uri


@dataclass(slots=True, eq=False)
class Exchange:
    """The parts of one running core, handed to each handler.

    `send` puts a message on the wire that no transaction owns and notes it in the call's journal; `wall` turns
    monotonic seconds into wall clock; `contact_fault` says what is wrong with a Contact; `current` is the datagram or
    stream message being handled: (flow, bytes); `events` takes note of what others may want to follow; `neighbours` are
    the other servers on the same database.
    """

    config: Config
    plan: NumberPlan
    identity: Identity
    timers: TimerQueue
    settings: TimerSettings
    location: LocationService
    calls: CallTable
    relay: EndpointRelay
    layer: TransactionLayer
    send: Callable[[Flow, Message, Call | None], None]
    wall: Callable[[float], float]
    contact_fault: Callable[[Uri, Flow], str | None]
    returned: ReturnedMail
    events: EventSink
    neighbours: Neighbours
    current: tuple[Flow, bytes] | None = None

    def may_be(self, party: Party, flow: Flow) -> bool:
        """The phone of that party speaks from there: from where it spoke before, or from where it is registered now."""
        return flow.remote_host == party.flow.remote_host or self.location.has_binding_from(party.number, flow)

    def takes_part(self, call: Call, flow: Flow) -> bool:
        """One of the phones of that call speaks from there, also one that has only rung; nobody else's words belong
        into its journal."""
        return (
            self.may_be(call.caller, flow)
            or any(flow.remote_host == leg.party.flow.remote_host for leg in call.legs.values())
            or self.location.has_binding_from(call.to_number, flow)
        )
