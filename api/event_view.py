"""Events as the world sees them: one envelope, whatever they are about.  Pure.

`{id, type, time, source, subject, data}`; the fields of `data` have the names that the API gives the same things
elsewhere.  What an event of each type carries stands in docs/events.md.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Set

from api.views import SENDERS, Json, ban_view, call_view, clean, failure_view, iso_time
from config import Config
from sip.events import BanEnd, Bound, CallName, Digit, Event, EventFeed, EventType, Held, Sound
from sip.snapshots import BanSnapshot, CallSnapshot, DepartureSnapshot, RegistrationFailure

GAP = "stream.gap"
"""Type of the event that stands for those that were missed."""

TYPES = tuple(kind.value for kind in EventType)
_PATTERN = re.compile(r"\*|[a-z]+\.(?:\*|[a-z_]+)")


def source_of(config: Config) -> str:
    """Which server an event is from."""
    return f"sipserver@{config.server_address or socket.gethostname()}"


def envelope(event: Event, feed: EventFeed, source: str) -> Json:
    subject, data = _content(event)
    return {
        "id": feed.id_of(event.number),
        "type": event.kind.value,
        "time": iso_time(event.at),
        "source": source,
        "subject": subject,
        "data": data,
    }


def gap(after: int, missed: int | None, at: float, feed: EventFeed, source: str) -> Json:
    """In place of events that can't be had any more: `missed` of this run, or (None) those since an earlier run.  Its
    id is that of the last one that is missing."""
    return {
        "id": feed.id_of(after + (missed or 0)),
        "type": GAP,
        "time": iso_time(at),
        "source": source,
        "subject": None,
        "data": {"missed": missed, "reason": "forgotten" if missed is not None else "restarted"},
    }


def wanted_types(text: str) -> frozenset[EventType]:
    """The types that a list such as `call.*,dtmf.received` names.  Raises `ValueError` with a part that names none."""
    found: set[EventType] = set()
    for part in text.split(","):
        pattern = part.strip()
        named = _named(pattern)
        if not named:
            raise ValueError(pattern)
        found |= named
    return frozenset(found)


def _named(pattern: str) -> Set[EventType]:
    if not _PATTERN.fullmatch(pattern):
        return frozenset()
    if pattern.endswith("*"):
        return {kind for kind in EventType if kind.value.startswith(pattern[:-1])}
    return {kind for kind in EventType if kind.value == pattern}


def _content(event: Event) -> tuple[str | None, Json]:
    """What it is about, and its data."""
    content = event.content
    if isinstance(content, CallSnapshot):
        return clean(content.call_id), call_view(content, event.at)
    if isinstance(content, Held):
        data = call_view(content.call, event.at) | {"held": content.held, "by": SENDERS[content.by]}
        return clean(content.call.call_id), data
    if isinstance(content, Mapping):
        return None, {name: clean(value) if isinstance(value, str) else value for name, value in content.items()}
    view = _VIEWS[type(content)]
    return view(content)


def _bound(content: Bound) -> tuple[str, Json]:
    return content.number, {
        "number": content.number,
        "uri": clean(content.contact.shown),
        "address": content.flow.remote_host,
        "port": content.flow.remote_port,
        "transport": content.flow.transport,
        "expires": round(content.expires_s),
        "registeredAt": iso_time(content.registered_at),
        "userAgent": clean(content.user_agent),
        "behindNat": content.behind_nat,
    }


def _departure(content: DepartureSnapshot) -> tuple[str, Json]:
    host, _, port = content.address.rpartition(":")
    return content.number, {
        "number": content.number,
        "address": host.strip("[]"),
        "port": int(port) if port else None,
        "transport": content.transport,
        "userAgent": clean(content.user_agent),
        "reason": content.why.value,
        "by": content.by or None,
    }


def _failure(content: RegistrationFailure) -> tuple[str, Json]:
    return clean(content.number), failure_view(content)


def _sound(content: Sound) -> tuple[str, Json]:
    figures = {name: clean(value) if isinstance(value, str) else value for name, value in content.figures.items()}
    if "again" in figures:
        figures["again"] = bool(figures["again"])
    return clean(content.call.call_id), {
        **_name(content.call),
        "sender": None if content.side is None else SENDERS[content.side],
        "since": iso_time(content.since_at),
        "reason": content.fact.value,
        "reasonText": clean(content.text),
        **figures,
    }


def _digit(content: Digit) -> tuple[str, Json]:
    data = {**_name(content.call), "sender": SENDERS[content.side], "digit": content.digit, "method": content.way.value}
    return clean(content.call.call_id), data


def _name(call: CallName) -> Json:
    return {
        "callId": clean(call.call_id),
        "fromNumber": clean(call.from_number),
        "toNumber": clean(call.to_number),
    }


def _ban(content: BanSnapshot) -> tuple[str, Json]:
    return content.address, ban_view(content)


def _ban_end(content: BanEnd) -> tuple[str, Json]:
    return content.address, {"address": content.address, "reason": "lifted" if content.by_person else "expired"}


_VIEWS: Mapping[type, Callable[..., tuple[str, Json]]] = {
    Bound: _bound,
    DepartureSnapshot: _departure,
    RegistrationFailure: _failure,
    Sound: _sound,
    Digit: _digit,
    BanSnapshot: _ban,
    BanEnd: _ban_end,
}
