"""What the core has told of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sip.events import Content, EventType


class Told(NamedTuple):
    kind: EventType
    at: float
    content: Any


@dataclass
class FakeEvents:
    """Keeps every event (`sip.events.EventSink`)."""

    told: list[Told] = field(default_factory=list)

    def emit(self, kind: EventType, at: float, content: Content) -> None:
        self.told.append(Told(kind, at, content))

    def kinds(self) -> list[str]:
        return [each.kind.value for each in self.told]

    def of(self, *kinds: str) -> list[Told]:
        return [each for each in self.told if each.kind.value in kinds]

    def forget(self) -> None:
        """What was told until now is of no interest."""
        self.told.clear()
