"""The server's half of a dialog that ends in the server itself.  Pure; guarded by the core lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVarTuple, Unpack

from sip.local_media import LocalMedia
from sip.message import Response
from sip.timers import Timer, TimerQueue

if TYPE_CHECKING:
    from sip.transaction_server import InviteServerTransaction

Arguments = TypeVarTuple("Arguments")


@dataclass(slots=True, eq=False)
class OpenAnswer:
    """A 2xx to an INVITE whose ACK has not come yet (RFC 3261 13.3.1.4).  `interval_s` is the time to its next copy,
    after `until` nobody waits any longer; `holds_offer` says that the ACK has to bring the answer."""

    transaction: InviteServerTransaction
    response: Response
    interval_s: float
    until: float
    holds_offer: bool


@dataclass(slots=True, eq=False)
class LocalDialog:
    """`tag` is ours; `headers` stand in every response that makes or refreshes the dialog (12.1.1), `description` is
    the body of the first 2xx.  `is_confirmed` from the first ACK on."""

    media: LocalMedia
    tag: str
    headers: tuple[tuple[str, str], ...]
    description: bytes
    open_answers: dict[int, OpenAnswer] = field(default_factory=dict)
    """By the number of their CSeq."""
    is_confirmed: bool = False
    _timers: dict[str, Timer] = field(default_factory=dict)

    def start_timer(
        self,
        timers: TimerQueue,
        name: str,
        deadline: float,
        callback: Callable[[Unpack[Arguments], float], None],
        *arguments: *Arguments,
    ) -> None:
        """One timer of each name; they end with the call."""
        self.stop_timer(name)
        self._timers[name] = timers.start(deadline, callback, *arguments)

    def stop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.open_answers.clear()
