"""A recorder that remembers what it was told, in order (`sip.recorder.Recorder`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sip.journal import Entry
from sip.media_relay import StreamFigures
from sip.snapshots import CallSnapshot, StoredBinding
from sip.trace import TraceSource


class EndedCall(NamedTuple):
    snapshot: CallSnapshot
    streams: Sequence[StreamFigures]
    entries: tuple[Entry, ...]


@dataclass
class FakeRecorder:
    """Each note gets the next ticket."""

    bindings: dict[str, StoredBinding] = field(default_factory=dict)
    """As they would be found after a restart."""
    registrations: dict[str, int] = field(default_factory=dict)
    calls: list[CallSnapshot] = field(default_factory=list)
    """Every form of every call that was put."""
    ended: list[CallSnapshot] = field(default_factory=list)
    streams: list[Sequence[StreamFigures]] = field(default_factory=list)
    traces: dict[tuple[str, float], TraceSource] = field(default_factory=dict)
    """The last one of each call, by Call-ID and the time of its INVITE."""
    puts: int = 0
    """How often a trace was put."""
    tickets: int = 0
    hurries: int = 0

    def put_binding(self, binding: StoredBinding, registrations: int) -> int:
        self.bindings[binding.binding_id] = binding
        self.registrations[binding.number] = registrations
        return self._next()

    def remove_binding(self, binding_id: str, server: str = "") -> int:
        self.bindings.pop(binding_id, None)
        return self._next()

    def put_call(self, call: CallSnapshot) -> int:
        self.calls.append(call)
        return self._next()

    def end_call(self, call: CallSnapshot, streams: Sequence[StreamFigures]) -> int:
        self.ended.append(call)
        self.streams.append(streams)
        return self._next()

    def put_trace(self, call: CallSnapshot, source: TraceSource) -> int:
        self.traces[call.call_id, call.invited_at] = source
        self.puts += 1
        return self._next()

    def hurry(self) -> None:
        self.hurries += 1

    def forget(self) -> None:
        """Everything but what would be found after a restart."""
        for notes in (self.registrations, self.calls, self.ended, self.streams, self.traces):
            notes.clear()

    def rows(self) -> list[EndedCall]:
        """What was written of each ended call, oldest first."""
        none = TraceSource()
        return [
            EndedCall(call, streams, self.traces.get((call.call_id, call.invited_at), none).entries)
            for call, streams in zip(self.ended, self.streams, strict=True)
        ]

    def _next(self) -> int:
        self.tickets += 1
        return self.tickets
