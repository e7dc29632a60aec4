"""A ladder diagram as text for a terminal, and as a Mermaid sequence diagram.  Pure.

A diagram is at most `MAX_WIDTH` characters wide, whatever the number of phones: those for which there is no room share
the last column, and their arrows say whose they are.
"""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime

from sip.journal import MAX_ENTRIES
from sip.snapshots import CallSnapshot
from tracing.ladder import Ladder, Participant, Step

MAX_WIDTH = 132
MAX_COLUMNS = 5
_TIME_WIDTH = 10
_MARGIN = 11
_WIDEST_COLUMN = 36
_NOTE_SIGN = "* "


# ------------------------------------------------------------------------------------------------ text


def as_text(diagram: Ladder) -> str:
    """Lines that end with LF."""
    sheet = _Sheet(diagram)
    lines = [*_title(diagram.trace.call), "", *sheet.heads(), sheet.empty()]
    for place, step in enumerate(diagram.steps):
        lines += sheet.arrow(step) if step.source else sheet.note(step)
        if diagram.dropped and place + 1 == _first_part(diagram):
            lines.append(f"{'':{_TIME_WIDTH}}... {diagram.dropped} entries were not kept ...")
    if not diagram.steps:
        lines.append(f"{'':{_TIME_WIDTH}}nothing was kept")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _first_part(diagram: Ladder) -> int:
    """How many steps there are before those that were dropped."""
    return min(MAX_ENTRIES, len(diagram.steps))


def _title(call: CallSnapshot) -> list[str]:
    began = datetime.fromtimestamp(call.invited_at, UTC)
    reason = f": {call.reason_text}" if call.reason_text else ""
    state = f"{call.termination_reason.value}{reason}" if call.termination_reason else call.state.value.lower()
    return [
        f"Call {_one_line(call.call_id)}",
        f"from {_one_line(call.from_number)} to {_one_line(call.to_number)}, "
        f"{began:%Y-%m-%d %H:%M:%S}.{began.microsecond // 1000:03} UTC",
        _one_line(state),
    ]


class _Sheet:
    """Where everything stands: `_at[i]` is where the line of column i is drawn."""

    def __init__(self, diagram: Ladder) -> None:
        participants = diagram.participants
        self._crowd = participants[MAX_COLUMNS - 1 :] if len(participants) > MAX_COLUMNS else ()
        self._shown = participants[: MAX_COLUMNS - 1] if self._crowd else participants
        columns = len(self._shown) + bool(self._crowd)
        room = MAX_WIDTH - _TIME_WIDTH - 2 * _MARGIN
        self._column = min(_WIDEST_COLUMN, room // max(1, columns - 1))
        self._at = [_TIME_WIDTH + _MARGIN + place * self._column for place in range(columns)]
        self._place = {each.id: min(place, columns - 1) for place, each in enumerate(participants)}
        self._address = {each.id: each.address for each in self._crowd}

    def heads(self) -> list[str]:
        names = [_name(each) for each in self._shown]
        places = [each.address for each in self._shown]
        if self._crowd:
            names.append(f"{len(self._crowd)} more")
            places.append("")
        return [self._row(names), self._row(places)]

    def _row(self, texts: list[str]) -> str:
        line = ""
        for at, text in zip(self._at, texts, strict=True):
            shown = _cut(_one_line(text), self._column - 1)
            line = line.ljust(max(len(line), at - len(shown) // 2)) + shown
        return line

    def empty(self, time: str = "") -> str:
        """The lines of all participants."""
        line = time.ljust(_TIME_WIDTH)
        for at in self._at:
            line = line.ljust(at) + "|"
        return line

    def arrow(self, step: Step) -> list[str]:
        source, target = self._place[step.source], self._place[step.target]
        left, right = sorted((self._at[source], self._at[target]))
        label = _one_line(step.long_label)
        if whose := self._address.get(step.source) or self._address.get(step.target):
            label = f"{whose} {label}"
        room = right - left - 2
        body = _cut(f" {label} ", room - 2).center(room, "-")
        drawn = f"{body}>" if source < target else f"<{body}"
        line = self.empty(_time(step))
        return [line[: left + 1] + drawn + line[right:]]

    def note(self, step: Step) -> list[str]:
        width = max(self._at[-1] + _MARGIN, 80) - _TIME_WIDTH - len(_NOTE_SIGN)
        first, *others = textwrap.wrap(_one_line(step.label), width) or [""]
        indent = " " * (_TIME_WIDTH + len(_NOTE_SIGN))
        return [f"{_time(step):{_TIME_WIDTH}}{_NOTE_SIGN}{first}", *(indent + text for text in others)]


def _name(participant: Participant) -> str:
    return f"{participant.name} ({participant.transport})" if participant.transport else participant.name


def _time(step: Step) -> str:
    return f"{step.offset_s:9.3f}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 2)]}.."


def _one_line(text: str) -> str:
    return " ".join(text.split())


# ------------------------------------------------------------------------------------------------ Mermaid

# What ends a statement, begins a comment or an entity, or would be taken for HTML; "#35;" is Mermaid's own form.
_ENTITIES = {ord(sign): f"#{ord(sign)};" for sign in ';#<>&%"{}`'} | {ord("\\"): "#92;"}


def as_mermaid(diagram: Ladder) -> str:
    """A `sequenceDiagram`, one statement a line."""
    lines = ["sequenceDiagram"]
    for each in diagram.participants:
        place = f"<br/>{_escaped(each.address)}" if each.address else ""
        lines.append(f"    participant {each.id} as {_escaped(_name(each))}{place}")
    first, last = diagram.participants[0].id, diagram.participants[-1].id
    for step in diagram.steps:
        offset = f"+{step.offset_s:.3f} s"
        if step.source:
            arrow = "-->>" if step.is_response else "->>"
            lines.append(f"    {step.source}{arrow}{step.target}: {_escaped(step.long_label)} {offset}")
        else:
            over = first if first == last else f"{first},{last}"
            lines.append(f"    Note over {over}: {_escaped(step.label)} {offset}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return _one_line(text).translate(_ENTITIES)
