"""What the parts of the signalling core share.  Pure; everything here is guarded by the core lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from config import Config
from sip.calls import Call, CallTable
from sip.flow import Flow
from sip.location import LocationService
from sip.media import MediaRelay
from sip.message import Message
from sip.numbering import NumberPlan
from sip.routing import Identity
from sip.timers import TimerQueue, TimerSettings
from sip.transaction_layer import TransactionLayer


@dataclass(slots=True, eq=False)
class Exchange:
    """The parts of one running core, handed to each handler.

    `send` puts a message on the wire that no transaction owns and notes it in the call's journal; `wall` turns
    monotonic seconds into wall clock; `current` is the datagram or stream message being handled: (flow, bytes).
    """

    config: Config
    plan: NumberPlan
    identity: Identity
    timers: TimerQueue
    settings: TimerSettings
    location: LocationService
    calls: CallTable
    relay: MediaRelay
    layer: TransactionLayer
    send: Callable[[Flow, Message, Call | None], None]
    wall: Callable[[float], float]
    current: tuple[Flow, bytes] | None = None
