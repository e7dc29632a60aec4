"""The numbers that the server answers itself, for whoever wants to try out a phone: echo, quality test, tone.

Pure; guarded by the core lock.  What is played and counted is the business of the endpoint; here is when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from config import Config
from sip.call import Call
from sip.call_control import CallControl
from sip.facts import Fact
from sip.quality_verdict import judge_incoming, judge_outgoing
from sip.snapshots import DirectionResult, QualityResult, TerminationReason
from sip.timers import TimerQueue

MAX_AT_ONCE: Final = 10
"""Calls to these numbers; each takes two ports, and packets for itself alone."""
MAX_PER_CALLER: Final = 2
LONGEST_S: Final = 300.0
"""A phone that was forgotten off the hook does not listen all night."""

MEASURE_S: Final = 10.0
LAST_SECOND_S: Final = 1.0
"""From the end of the verdict to the hanging up."""

RESULTS_KEPT: Final = 100


class Service(StrEnum):
    """What a number does; also the name of the endpoint's program."""

    ECHO = "echo"
    QUALITY = "quality"
    TONE = "tone"


class ServiceNumbers:
    """Which there are, who may call them now, and what the quality tests have shown."""

    def __init__(
        self,
        config: Config,
        timers: TimerQueue,
        control: CallControl,
        live_calls: Callable[[], list[Call]],
        wall: Callable[[float], float],
    ) -> None:
        numbers = {
            config.test_echo: Service.ECHO,
            config.test_quality: Service.QUALITY,
            config.test_tone: Service.TONE,
        }
        self._services = {number: service for number, service in numbers.items() if number}
        self._timers = timers
        self._control = control
        self._live_calls = live_calls
        self._wall = wall
        self._results: deque[QualityResult] = deque(maxlen=RESULTS_KEPT)

    def program(self, number: str) -> str | None:
        return self._services.get(number)

    def results(self) -> tuple[QualityResult, ...]:
        """Newest first."""
        return tuple(reversed(self._results))

    def refusal(self, call: Call) -> str:
        """Why that call can't be taken, in plain words; "" when it can."""
        others = [other for other in self._live_calls() if other.local is not None]
        if len(others) >= MAX_AT_ONCE:
            return f"there are {MAX_AT_ONCE} test calls already, which is all there may be at once"
        if sum(other.caller.number == call.caller.number for other in others) >= MAX_PER_CALLER:
            return f"{call.caller.number} has {MAX_PER_CALLER} test calls already, which is all one number may have"
        return ""

    def begin(self, call: Call, now: float) -> None:
        """The call is up."""
        local = call.local
        assert local is not None
        local.start_timer(self._timers, "limit", now + LONGEST_S, self._too_long, call)
        local.media.start()
        if self.program(call.to_number) is Service.QUALITY:
            local.start_timer(self._timers, "measured", now + MEASURE_S, self._measured, call)

    def _too_long(self, call: Call, now: float) -> None:
        text = f"test calls last {LONGEST_S / 60:g} minutes at most"
        self._control.end(call, TerminationReason.NORMAL, text, now)

    def _measured(self, call: Call, now: float) -> None:
        """Say what came out, and remember it."""
        local = call.local
        assert local is not None
        from_phone, from_server = local.media.figures()
        result = QualityResult(
            call_id=call.call_id,
            number=call.to_number,
            from_number=call.caller.number,
            at=self._wall(now),
            to_server=judge_incoming(from_phone),
            to_phone=judge_outgoing(from_server),
        )
        self._results.append(result)
        text = f"quality test: to the server {result.to_server.text}; to the phone {result.to_phone.text}"
        call.journal.media(result.at, text, Fact.TEST_RESULT, _details(result))
        length_s = local.media.announce((result.to_server.verdict, result.to_phone.verdict))
        local.start_timer(self._timers, "said", now + length_s + LAST_SECOND_S, self._said, call)

    def _said(self, call: Call, now: float) -> None:
        self._control.end(call, TerminationReason.NORMAL, "the quality test is over", now)


def _details(result: QualityResult) -> dict[str, str | int | float]:
    """As details of a journal entry: what is not known is left out."""
    found: dict[str, str | int | float] = {}
    for name, direction in (("toServer", result.to_server), ("toPhone", result.to_phone)):
        found |= {f"{name}{key}": value for key, value in _figures(direction).items() if value is not None}
    return found


def _figures(direction: DirectionResult) -> dict[str, str | int | float | None]:
    return {
        "Verdict": direction.verdict.value,
        "Packets": direction.packets,
        "Lost": direction.lost,
        "Jitter": direction.jitter_ms,
        "Mos": direction.mos,
    }
