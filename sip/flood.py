"""Floods: how many SIP messages a source may send, looked at before a message is parsed.

Three bounds, all from SIP_RATE_LIMIT (messages a second):

- a source without a registered phone may send that many,
- a source with one may send `REGISTERED_FACTOR` times as many: it may be an office of many phones behind one NAT, and
  its address can be forged too, so it is not without bound,
- all sources without a registered phone together may send `STRANGERS_FACTOR` times as many, because over UDP a
  stranger can be anybody and as many as it likes.  Registered phones are not counted there: they still call.

Each may come in a burst of `BURST_S` seconds' worth, so that an office whose power is back can register all its phones
at once; the first that succeeds lifts its source to the higher bound.  Networks that may register without a password
get no more than others, since their addresses are forged as easily as any.  Only this machine itself is not limited.

Pure and without a lock: a guard belongs to the one thread that receives datagrams, a bucket to the thread of its TCP
connection.  `now` is monotonic seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from sip.sources import is_loopback_source, source_of

log = logging.getLogger(__name__)

BURST_S: Final = 10.0
REGISTERED_FACTOR: Final = 10
STRANGERS_FACTOR: Final = 10

MAX_SOURCES: Final = 8192
"""Sources remembered.  One that is forgotten begins with a full burst, so forgetting is never to a phone's harm."""

MAX_DROPPED_SOURCES: Final = 256
"""Sources remembered of which something was dropped."""

REPORT_INTERVAL_S: Final = 60.0
"""A flood of messages is no flood of log lines."""


class TokenBucket:
    """At most `rate` messages a second, and BURST_S seconds' worth at once.

    Kept as one number (the virtual scheduling of ITU-T I.371): `_due`, the moment at which the bucket is full again.
    """

    __slots__ = ("_due", "_interval_s")

    def __init__(self, rate: float) -> None:
        self._interval_s = 1.0 / rate
        self._due = 0.0

    def take(self, now: float) -> bool:
        """Count one message, unless it comes too soon."""
        due = (self._due if self._due > now else now) + self._interval_s
        if due - now > BURST_S:
            return False
        self._due = due
        return True

    def delay_s(self, now: float) -> float:
        """Seconds after which one message may come; 0.0 when it may at once.  A stream is read no further until then,
        because a message dropped there would not be repeated (RFC 3261 17.1.1.1)."""
        return max(0.0, self._due + self._interval_s - now - BURST_S)


class SourceGuard:
    """Lets messages in, or not.

    Invariant: `_recent` and `_older` hold at most half of `max_sources` each.  A source moves to `_recent` when it
    sends, and is forgotten with `_older` when that many others were let in since: no search, for any newcomer.
    """

    def __init__(
        self, rate: int, is_registered: Callable[[str], bool], max_sources: int = MAX_SOURCES, dropped: int = 0
    ) -> None:
        """`rate` is SIP_RATE_LIMIT, 0 for no limits; `is_registered(source)` says whether a live registration came from
        there."""
        self.dropped = dropped
        """Messages not let in since the start."""
        self._off = rate == 0
        self._interval_s = 1.0 / rate if rate else 0.0
        self._registered_interval_s = self._interval_s / REGISTERED_FACTOR
        self._strangers = TokenBucket(rate * STRANGERS_FACTOR or 1)
        self._is_registered = is_registered
        self._half = max(1, max_sources // 2)
        # source -> when its bucket is full again; see TokenBucket.
        self._recent: dict[str, float] = {}
        self._older: dict[str, float] = {}
        self._next_report = 0.0
        # source -> when something of it was dropped last, the newest at the end.
        self._dropped_at: dict[str, float] = {}

    def recently_dropped(self) -> list[tuple[str, float]]:
        """Sources of which messages were dropped, and when the last was (monotonic seconds), oldest first.  Any thread:
        the copy is made in one step of the interpreter."""
        return list(self._dropped_at.items())

    def __len__(self) -> int:
        """Sources remembered."""
        return len(self._recent) + len(self._older)

    def allow(self, host: str, now: float) -> bool:
        """Count one message from that address; False when it is to be dropped unread."""
        if self._off:
            return True
        source = host if ":" not in host else source_of(host)
        if is_loopback_source(source):
            return True
        due = self._recent.get(source)
        if due is None:
            due = self._recall(source)
        if due < now:
            due = now
        if self._is_registered(source):
            due += self._registered_interval_s
            allowed = due - now <= BURST_S
        else:
            due += self._interval_s
            allowed = due - now <= BURST_S and self._strangers.take(now)
        if not allowed:
            self._note_dropped(source, now)
            return False
        self._remember(source, due)
        return True

    def _recall(self, source: str) -> float:
        """What is known of a source not in `_recent`.  One that is not let in leaves no trace, unless it had one."""
        due = self._older.pop(source, 0.0)
        if due:
            self._remember(source, due)
        return due

    def _remember(self, source: str, due: float) -> None:
        recent = self._recent
        recent[source] = due
        if len(recent) >= self._half:
            self._older, self._recent = recent, {}

    def _note_dropped(self, source: str, now: float) -> None:
        self.dropped += 1
        self._dropped_at.pop(source, None)
        self._dropped_at[source] = now
        if len(self._dropped_at) > MAX_DROPPED_SOURCES:
            del self._dropped_at[next(iter(self._dropped_at))]
        if now >= self._next_report:
            self._next_report = now + REPORT_INTERVAL_S
            log.warning(
                "too many SIP messages, the last from %s; what is beyond SIP_RATE_LIMIT is dropped (%d so far)",
                source,
                self.dropped,
            )
