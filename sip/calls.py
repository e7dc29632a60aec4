"""The table of live calls and of those that have just ended.

Pure; guarded by the core lock.  Invariant: a call is in the table from its INVITE until a while after its end (late
messages still find it), holds relay ports only while it lasts, and is written to the history exactly once; what else it
leaves is written soon after its end, and again if more has come by the time it is forgotten.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from sip.call import Call, Dialog
from sip.events import EventSink, EventType
from sip.facts import Fact
from sip.flow import Flow
from sip.journal import Budget, Details, Journal
from sip.media_relay import CALLEE, CALLER, StreamFigures
from sip.message import Request
from sip.snapshots import SETUP_BOUNDS_S, CallSnapshot, CallState, CallTotals, TerminationReason
from sip.timers import TimerLane, TimerQueue
from sip.trace import TraceSource, is_within
from sip.trace_keeper import TraceKeeper

LIVE_JOURNAL_BUDGET = 64 * 1024 * 1024
"""Bytes of message text kept for live calls."""

MAX_CALLS = 5_000
"""Live calls; what comes beyond is refused."""

MAX_UNANSWERED_PER_SOURCE = 250
"""Calls that one address may have ringing at once."""

LINGER_S = 40.0
"""Seconds an ended call can still be found by its messages: longer than any transaction lives (64*T1)."""

MAX_LINGERING = 10_000
"""Ended calls that can still be found; beyond it the one that ended first is forgotten early."""


class CallRecorder(Protocol):
    """Keeps what becomes of calls (`sip.recorder.Recorder`)."""

    def put_call(self, call: CallSnapshot) -> int: ...

    def end_call(self, call: CallSnapshot, streams: Sequence[StreamFigures]) -> int: ...

    def put_trace(self, call: CallSnapshot, source: TraceSource) -> int: ...


class _KeptElsewhere:
    """Implements `CallRecorder` for calls of which another server keeps the record."""

    def put_call(self, call: CallSnapshot) -> int:
        return 0

    def end_call(self, call: CallSnapshot, streams: Sequence[StreamFigures]) -> int:
        return 0

    def put_trace(self, call: CallSnapshot, source: TraceSource) -> int:
        return 0


_ELSEWHERE = _KeptElsewhere()


class CallTable:
    """Calls by Call-ID and tags."""

    def __init__(self, timers: TimerQueue, recorder: CallRecorder, events: EventSink) -> None:
        self._recorder = recorder
        self._events = events
        self.is_closed = False
        """No new calls are taken."""
        self._lingering: TimerLane[Call] = TimerLane(timers, LINGER_S, self._forget)
        self._calls: dict[tuple[str, str], Call] = {}
        self._by_call_id: dict[str, Call] = {}
        self._traces = TraceKeeper(timers, self._put_trace)
        self._live_budget = Budget(LIVE_JOURNAL_BUDGET)
        self._unanswered: Counter[str] = Counter()
        self._live: dict[tuple[str, str], Call] = {}
        self._completed = 0
        self._failed = 0
        self._talk_s = 0.0
        self._by_reason: dict[str, int] = {}
        self._setup_counts = [0] * (len(SETUP_BOUNDS_S) + 1)
        self._setup_sum_s = 0.0

    # -------------------------------------------------------------------------------------------- finding

    def by_call_id(self, call_id: str) -> Call | None:
        """The newest call of that Call-ID, live or lingering."""
        return self._by_call_id.get(call_id)

    def find(self, call_id: str, from_tag: str, to_tag: str) -> Dialog | None:
        """The dialog of that Call-ID and these tags (12.2); an absent tag counts as an empty one (RFC 2543)."""
        call = self._calls.get((call_id, from_tag))
        if call is not None and (leg := call.leg_known_as(to_tag)) is not None:
            return Dialog(call, CALLER, leg)
        call = self._calls.get((call_id, to_tag))
        if call is not None and (leg := call.legs.get(from_tag)) is not None:
            return Dialog(call, CALLEE, leg)
        return None

    def dialog_of(self, request: Request) -> Dialog | None:
        """The dialog a request belongs to."""
        return self.find(request.call_id, request.from_.tag or "", request.to.tag or "")

    def with_record(self, call_id: str, invited_at: float | None) -> Call | None:
        """The newest call of that Call-ID, or the one that was invited in the millisecond that begins at `invited_at`,
        if its record is still here."""
        call = self._by_call_id.get(call_id)
        if call is not None and invited_at is not None and not is_within(call.invited_at, invited_at):
            others = (each for each in self._calls.values() if each.call_id == call_id)
            call = next((each for each in others if is_within(each.invited_at, invited_at)), None)
        return call if call is not None and (call.live or call in self._traces) else None

    def live(self) -> list[Call]:
        return list(self._live.values())

    def has_live(self) -> bool:
        return bool(self._live)

    def find_live(self, call_id: str, caller_tag: str) -> Call | None:
        """The live call that an INVITE with this Call-ID and From tag has begun."""
        return self._live.get((call_id, caller_tag))

    def __len__(self) -> int:
        """Calls that can be found, lingering ones included."""
        return len(self._calls)

    # -------------------------------------------------------------------------------------------- changing

    def follow(self, number: str, before: Flow, flow: Flow, now_at: float) -> None:
        """The phone of that number which was reached by `before` is reached by `flow` from now on."""
        for call in self._live.values():
            for party in call.parties():
                if party.number == number and party.flow == before != flow:
                    party.flow = flow
                    call.journal.decided(now_at, f"{number} is reached at {flow} from now on")

    def new_journal(self) -> Journal:
        """For a call that begins."""
        return Journal(self._live_budget)

    def limit_met(self, host: str) -> Details | None:
        """Why that address may not begin one more call (`Fact.NO_ROOM`); None: it may."""
        if self.is_closed:
            return {"limit": "ending"}
        if len(self._live) >= MAX_CALLS:
            return {"limit": "calls", "most": MAX_CALLS}
        if self._unanswered[host] >= MAX_UNANSWERED_PER_SOURCE:
            return {"limit": "ringing", "most": MAX_UNANSWERED_PER_SOURCE}
        return None

    def settled(self, call: Call) -> None:
        """A call is answered or over: it no longer rings."""
        host, call.ringing_for = call.ringing_for, ""
        if host:
            self._unanswered[host] -= 1
            if not self._unanswered[host]:
                del self._unanswered[host]

    def add(self, call: Call) -> None:
        call.ringing_for = call.caller.flow.remote_host
        self._unanswered[call.ringing_for] += 1
        self._calls[call.key] = self._live[call.key] = call
        self._by_call_id[call.call_id] = call
        snapshot = call.snapshot()
        call.ticket = self._keeper(call).put_call(snapshot)
        self._events.emit(EventType.CALL_STARTED, call.invited_at, snapshot)

    def rename(self, call: Call, caller_tag: str) -> None:
        """The phone that becomes the caller of a call has chosen its tag."""
        del self._calls[call.key], self._live[call.key]
        call.caller.tag = caller_tag
        self._calls[call.key] = self._live[call.key] = call

    def answered(self, call: Call) -> None:
        """A phone has answered it."""
        self.settled(call)
        snapshot = call.snapshot()
        self._keeper(call).put_call(snapshot)
        answered_at = call.answered_at or call.invited_at
        self._events.emit(EventType.CALL_ANSWERED, answered_at, snapshot)
        took_s = max(0.0, answered_at - call.invited_at)
        self._setup_counts[bisect_left(SETUP_BOUNDS_S, took_s)] += 1
        self._setup_sum_s += took_s

    def _keeper(self, call: Call) -> CallRecorder:
        return _ELSEWHERE if call.forwarded else self._recorder

    def note_refused(self, call: Call, reason: TerminationReason, status: int, text: str, now_at: float) -> None:
        """An attempt that was not let in: a line of the history, and nothing else."""
        self._end(call, reason, status, text, "server", now_at)
        self._remember(call)
        self._traces.write(call)
        call.journal.clear()

    def finish(
        self, call: Call, reason: TerminationReason, status: int, text: str, ended_by: str, now: float, now_at: float
    ) -> None:
        """End a live call: free its ports, stop its timers, write it to the history.  A second call does nothing."""
        if not call.live:
            return
        self._end(call, reason, status, text, ended_by, now_at)
        details: Details = {"reason": str(reason), "by": ended_by, "status": status}
        call.journal.decided(now_at, f"call ended: {reason}: {text}", Fact.ENDED, details)
        for timer in (call.setup_timer, call.session_timer, call.media_timer):
            if timer is not None:
                timer.cancel()
        call.setup_timer = call.session_timer = call.media_timer = None
        if call.local is not None:
            call.local.stop_timers()
        if call.first_leg is not None:
            call.first_leg.end()
        call.close_media()
        call.context = None
        self.settled(call)
        self._remember(call)
        self._traces.take(call, now)
        self._lingering.append(call, now)
        if len(self._lingering) > MAX_LINGERING:
            self._lingering.expire_oldest(now)

    @staticmethod
    def _end(call: Call, reason: TerminationReason, status: int, text: str, ended_by: str, now_at: float) -> None:
        call.state = CallState.TERMINATED
        call.ended_at = now_at
        call.termination_reason = reason
        call.status = status
        call.reason_text = text
        call.ended_by = ended_by

    def _remember(self, call: Call) -> None:
        key = call.key
        if self._live.get(key) is call:
            del self._live[key]
        reason = call.termination_reason or TerminationReason.ERROR
        name = str(reason)
        self._by_reason[name] = self._by_reason.get(name, 0) + 1
        snapshot = call.snapshot()
        ended_at = call.ended_at or call.invited_at
        if call.answered_at is not None and reason in (TerminationReason.NORMAL, TerminationReason.ADMIN):
            self._completed += 1
            self._talk_s += ended_at - call.answered_at
            self._events.emit(EventType.CALL_ENDED, ended_at, snapshot)
        else:
            self._failed += 1
            self._events.emit(EventType.CALL_FAILED, ended_at, snapshot)
        call.ticket = self._keeper(call).end_call(snapshot, call.streams)

    def _put_trace(self, call: Call) -> int:
        return self._keeper(call).put_trace(call.snapshot(), call.trace_source())

    def put_traces(self) -> None:
        """Nothing more will come: have everything written that is not."""
        self._traces.write_all()

    def _forget(self, call: Call, _now: float) -> None:
        """Late messages of this call are strangers from now on."""
        self._traces.let_go(call)
        if self._calls.get(call.key) is call:
            del self._calls[call.key]
        if self._by_call_id.get(call.call_id) is call:
            del self._by_call_id[call.call_id]
        call.legs.clear()
        call.first_leg = None

    # -------------------------------------------------------------------------------------------- views

    def snapshot(self) -> tuple[CallSnapshot, ...]:
        return tuple(call.snapshot() for call in self._live.values())

    def setup_times(self) -> tuple[tuple[int, ...], float]:
        """Answered calls by `SETUP_BOUNDS_S`, and the sum of their seconds."""
        return tuple(self._setup_counts), self._setup_sum_s

    def totals(self) -> CallTotals:
        ended = self._completed + self._failed
        return CallTotals(
            total=ended + len(self._live),
            completed=self._completed,
            failed=self._failed,
            talk_s=self._talk_s,
            by_reason=dict(self._by_reason),
        )
