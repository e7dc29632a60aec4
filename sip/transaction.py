"""What client and server transactions have in common: states, inputs and the step through a table (RFC 3261 17,
RFC 6026 7).

Pure.  Run by whichever thread holds the core lock, which guards every transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from sip.flow import Flow
from sip.timers import Timer, TimerQueue, TimerSettings

logger = logging.getLogger(__name__)


class State(Enum):
    """States of all four machines (figures 5 to 8)."""

    # Members are compared by identity; Enum's own hash, written in Python, would dominate a table look-up.
    __hash__ = object.__hash__

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Input(Enum):
    """What can happen to a transaction: TU_* comes from the transaction user, RESPONSE_* from the network."""

    __hash__ = object.__hash__

    REQUEST = "request"
    ACK = "ACK"
    RESPONSE_1XX = "response 1xx"
    RESPONSE_2XX = "response 2xx"
    RESPONSE_300_699 = "response 300-699"
    RESPONSE_200_699 = "response 200-699"
    TU_1XX = "1xx from TU"
    TU_2XX = "2xx from TU"
    TU_300_699 = "300-699 from TU"
    TU_200_699 = "200-699 from TU"
    TU_408 = "408 from TU"
    TU_CANCEL = "cancel from TU"
    TIMER_A = "timer A"
    TIMER_B = "timer B"
    TIMER_D = "timer D"
    TIMER_E = "timer E"
    TIMER_F = "timer F"
    TIMER_G = "timer G"
    TIMER_H = "timer H"
    TIMER_I = "timer I"
    TIMER_J = "timer J"
    TIMER_K = "timer K"
    TIMER_L = "timer L"
    TIMER_M = "timer M"
    # These have no letter.
    CANCEL_TIMEOUT = "64*T1 after CANCEL"
    TRYING_DUE = "timer E of the client at T2"
    EXPIRY = "64*T1 after the request"
    TRANSPORT_ERROR = "transport error"


Table: TypeAlias = Mapping[tuple[State, Input], tuple[State, tuple[str, ...]]]
"""(state, input) -> (next state, names of the actions, run in this order)."""

TransactionKey: TypeAlias = str | tuple[object, ...]
"""What messages are matched by; made by the transaction layer."""

_Action: TypeAlias = Callable[[Any, Any, float], None]
_Rows: TypeAlias = dict[tuple[State, Input], tuple[State, tuple[_Action, ...]]]


class Owner(Protocol):
    """What a transaction needs of the layer that keeps it."""

    @property
    def timers(self) -> TimerQueue: ...

    @property
    def settings(self) -> TimerSettings: ...


OwnerT = TypeVar("OwnerT", bound=Owner)


class Transaction(Generic[OwnerT]):
    """One run of one machine.

    Invariants: only `_step` assigns `state`; a transaction in TERMINATED has no timer and is in no table of the layer.
    `context` is the user's own and never touched here.
    """

    __slots__ = ("_data", "_owner", "_timers", "context", "flow", "key", "state", "ticket")

    table: ClassVar[Table]
    initial_state: ClassVar[State]
    _rows: ClassVar[_Rows]

    def __init__(self, owner: OwnerT, key: TransactionKey, flow: Flow, context: object) -> None:
        self._owner = owner
        self.key = key
        self.flow = flow
        self.state = self.initial_state
        self.context: Any = context
        self.ticket = 0
        """What it sends, copies included, waits until this ticket of the recorder is settled; 0: for nothing."""
        self._data = b""
        """What goes out again when the machine says so."""
        self._timers: dict[Input, Timer] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.value} {self.key}>"

    def transport_error(self, reason: str, now: float) -> None:
        """The driver could not send what this transaction last gave it (17.1.4, 17.2.4)."""
        self._step(Input.TRANSPORT_ERROR, reason, now)

    def _step(self, what: Input, subject: Any, now: float) -> None:
        """Take the row for `what`, if there is one.  `subject` is what the input brought, for the actions: a message,
        a message with its flow, the reason of an error, None for timers."""
        state = self.state
        row = self._rows.get((state, what))
        if row is None:
            logger.debug("%r ignores %s", self, what.value)
            return
        following, actions = row
        self.state = following
        if following is not state and logger.isEnabledFor(logging.DEBUG):
            logger.debug("%r was %s until %s", self, state.value, what.value)
        try:
            for action in actions:
                action(self, subject, now)
        finally:
            if following is State.TERMINATED:
                self._end(now)

    def _drop_data(self, _subject: object, _now: float) -> None:
        self._data = b""

    def _end(self, now: float) -> None:
        self._stop_timers(None, now)
        self._drop_data(None, now)
        self._leave()

    def _leave(self) -> None:
        """Leave the layer's table, then tell the user."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- timers

    def _start(self, timer: Input, delay_s: float, now: float) -> None:
        if self._timers is None:
            self._timers = {}
        self._timers[timer] = self._owner.timers.start(now + delay_s, self._fire, timer)

    def _start_at(self, timer: Input, deadline: float) -> None:
        if self._timers is None:
            self._timers = {}
        self._timers[timer] = self._owner.timers.start(deadline, self._fire, timer)

    def _start_last(self, timer: Input, delay_s: float, now: float) -> None:
        """The one that ends the transaction when it has absorbed copies long enough."""
        if self._timers is None:
            self._timers = {}
        self._timers[timer] = self._owner.timers.start_gathered(now + delay_s, self._fire, timer)

    def _fire(self, timer: Input, now: float) -> None:
        if self._timers is not None:
            self._timers.pop(timer, None)
        self._step(timer, None, now)

    def _stop_timers(self, _subject: object, _now: float) -> None:
        timers, self._timers = self._timers, None
        if timers is not None:
            for timer in timers.values():
                timer.cancel()


T = TypeVar("T", bound=Transaction[Any])


def runs(table: Table, initial_state: State) -> Callable[[type[T]], type[T]]:
    """Class decorator: the machine this transaction runs.  The action "send" is the method `_send`; names are
    resolved here, once."""

    def attach(transaction_class: type[T]) -> type[T]:
        transaction_class.table = table
        transaction_class.initial_state = initial_state
        transaction_class._rows = {
            pair: (following, tuple(getattr(transaction_class, f"_{name}") for name in names))
            for pair, (following, names) in table.items()
        }
        return transaction_class

    return attach
