"""The messages of a trace, read: what each of them is, and whether it was sent before.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sip.errors import ParseError
from sip.journal import EntryKind
from sip.message import MalformedMessage, Message, Request, Response, parse_datagram
from sip.trace import TraceEntry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One message; `index` is its place among all entries of the trace.

    `method` is that of the request, in a response that of the request it answers; `status` is 0 in a request, where
    `phrase` is "".  Of a message whose text was not kept, or makes no sense, they are empty, and `sip` is None.
    `is_repeated`: the same bytes went the same way before.
    """

    index: int
    entry: TraceEntry
    sip: Request | Response | None
    method: str = ""
    status: int = 0
    phrase: str = ""
    cseq: str = ""
    is_repeated: bool = False

    @property
    def is_received(self) -> bool:
        return self.entry.kind is EntryKind.RECEIVED

    @property
    def is_response(self) -> bool:
        return isinstance(self.sip, Response)

    @property
    def has_sdp(self) -> bool:
        sip = self.sip
        return sip is not None and bool(sip.body) and "sdp" in sip.content_type.lower()

    @property
    def name(self) -> str:
        """The method, or status and phrase."""
        if self.sip is None:
            return "a message" if self.entry.data else "a message whose text was not kept"
        return f"{self.status} {self.phrase}".rstrip() if self.is_response else self.method

    @property
    def summary(self) -> str:
        return f"{self.name} (SDP)" if self.has_sdp else self.name

    @property
    def remote(self) -> tuple[str, int]:
        assert self.entry.remote is not None
        return self.entry.remote


def read_messages(entries: Sequence[TraceEntry]) -> tuple[TracedMessage, ...]:
    """In their order."""
    seen: set[tuple[EntryKind, tuple[str, int] | None, bytes]] = set()
    found = []
    for index, entry in enumerate(entries):
        if entry.is_message:
            key = (entry.kind, entry.remote, entry.data)
            found.append(_read(index, entry, is_repeated=bool(entry.data) and key in seen))
            seen.add(key)
    return tuple(found)


def _read(index: int, entry: TraceEntry, *, is_repeated: bool) -> TracedMessage:
    sip = _parsed(entry.data)
    if sip is None:
        return TracedMessage(index, entry, None, is_repeated=is_repeated)
    cseq = or_none(lambda: sip.cseq)
    if isinstance(sip, Request):
        what = (sip.method, 0, "")
    else:
        what = (cseq.method if cseq is not None else "", sip.status, " ".join(sip.reason.split()))
    number = f"{cseq.number} {cseq.method}" if cseq is not None else ""
    return TracedMessage(index, entry, sip, *what, cseq=number, is_repeated=is_repeated)


def _parsed(data: bytes) -> Request | Response | None:
    try:
        return parse_datagram(data) if data else None
    except MalformedMessage as error:
        return error.message
    except ParseError:
        return None


def or_none(read: Callable[[], T]) -> T | None:
    """A header's value, unless it is missing or makes no sense."""
    try:
        return read()
    except ParseError:
        return None


def tag_of(sip: Message) -> str:
    """The tag of the To header, "" while there is none."""
    to = or_none(lambda: sip.to)
    return (to.tag or "") if to is not None else ""


def branch_of(sip: Message) -> str:
    """The branch of the topmost Via: which transaction a message belongs to (RFC 3261 17.1.3)."""
    via = or_none(lambda: sip.via)
    return (via.parameters.get("branch") or "") if via is not None else ""
