"""A recorder that remembers what it was told, in order (`sip.recorder.Recorder`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sip.media import StreamFigures
from sip.snapshots import CallSnapshot, StoredBinding


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
    tickets: int = 0

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

    def _next(self) -> int:
        self.tickets += 1
        return self.tickets
