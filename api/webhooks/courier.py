"""The courier: takes events off the bus and brings them to the webhooks that want them, one after the other.

The thread `webhooks` does the work; the leaf lock `_lock` guards what others look at too: queues, logs, counts. It is
never held while anything is sent. Events of one webhook keep their order: while one waits for its next try, those
behind it wait as well. A queue that is full loses its oldest.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Final, NamedTuple

from api.event_view import envelope
from api.views import Json, iso_time
from api.webhooks.book import Webhook, WebhookBook
from api.webhooks.target import TIMEOUT_S, Target, open_connection
from lasting_thread import LastingThread
from sip.events import Event, EventFeed

log = logging.getLogger(__name__)

MAX_QUEUED: Final = 1_000
MAX_LOGGED: Final = 100
"""Deliveries remembered of each webhook."""

RETRY_S: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Waits between the tries of one event; after the last it is given up."""

DEADLINE_S: Final = 10.0
"""A receiver that sends its answer drop by drop is cut off after so long."""

MAX_ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read; nobody looks at them."""

_WORTH_A_RETRY: Final = frozenset({408, 425, 429})
_POLL_S: Final = 1.0
_STOP_S: Final = 1.5

TEST = "webhook.test"
"""Type of the event that the test button sends."""


class Delivery(NamedTuple):
    """One try. `at` is wall clock; `status` 0: there was no answer, `error` says why. `outcome`: `delivered`, `retry`
    or `given up`."""

    event_id: str
    kind: str
    attempt: int
    at: float
    took_s: float
    status: int
    error: str
    outcome: str


class Standing(NamedTuple):
    """How a webhook fares."""

    queued: int
    lost: int
    last: Delivery | None


@dataclass(slots=True)
class _Round:
    """What one webhook is to get: `due`, monotonic seconds, is when its first event is tried (again); `attempts` of it
    were made."""

    queue: deque[Event] = field(default_factory=deque)
    due: float = 0.0
    attempts: int = 0
    lost: int = 0
    log: deque[Delivery] = field(default_factory=lambda: deque(maxlen=MAX_LOGGED))


class Courier:
    """Runs between `start` and `stop`; what is not delivered by then is lost."""

    def __init__(
        self,
        book: WebhookBook,
        feed: EventFeed,
        source: str,
        version: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`source` goes into the envelopes."""
        self.book = book
        self._feed = feed
        self._source = source
        self._agent = f"sipserver/{version}"
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._rounds: dict[str, _Round] = {}
        self._after = 0
        self._served: list[Webhook] = []
        """Those there were when events were last taken; thread `webhooks` alone."""
        self._give_up_at = math.inf
        self._stopping = threading.Event()
        self._woken = threading.Event()
        book.on_added = self._woken.set
        self._thread = LastingThread("webhooks", self._run, self._stopping.is_set)

    # -------------------------------------------------------------------------------------------- any thread

    def problems(self) -> tuple[str, ...]:
        """What its thread has met, as clauses without capital and full stop."""
        return self._thread.problems()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Bring what is there to whom takes it at once, then end. Idempotent."""
        self._give_up_at = self._clock() + _STOP_S
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def standing(self, hook_id: str) -> Standing:
        with self._lock:
            known = self._rounds.get(hook_id)
            if known is None:
                return Standing(0, 0, None)
            return Standing(len(known.queue), known.lost, known.log[-1] if known.log else None)

    def deliveries(self, hook_id: str) -> list[Delivery]:
        """Newest first."""
        with self._lock:
            known = self._rounds.get(hook_id)
            return list(known.log)[::-1] if known is not None else []

    def forget(self, hook_id: str) -> None:
        """A webhook was removed."""
        with self._lock:
            self._rounds.pop(hook_id, None)

    def test(self, hook: Webhook) -> Delivery:
        """Send an event that says nothing, now and once; the caller waits for what comes of it."""
        now_at = self._wall_clock()
        event_id = f"{self._feed.id_of(self._feed.newest)}-test"
        body: Json = {
            "id": event_id,
            "type": TEST,
            "time": iso_time(now_at),
            "source": self._source,
            "subject": None,
            "data": {"webhook": hook.hook_id},
        }
        status, error, took_s = self._post(hook, event_id, TEST, body)
        outcome = "delivered" if 200 <= status < 300 else "given up"
        delivery = Delivery(event_id, TEST, 1, now_at, took_s, status, error, outcome)
        self._note(hook.hook_id, delivery)
        return delivery

    # -------------------------------------------------------------------------------------------- thread `webhooks`

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            self.step()
            if not self.book.hooks():
                # Nobody is woken by the events of each call, nor by the clock.
                self._wait(None)
            elif self._feed.is_closed:
                self._wait(self._idle_s())
            else:
                self._feed.wait(self._after, self._idle_s())
        self.step()

    def _wait(self, timeout_s: float | None) -> None:
        """Until a webhook is added, or the end has come."""
        if not self._stopping.is_set():  # which is set before `_woken` is: one of the two is seen
            self._woken.wait(timeout_s)

    def step(self) -> None:
        """Take what is new, and try once for each webhook whose time has come, until none is left or it fails."""
        self._gather()
        for hook in self.book.hooks():
            while (event := self._next(hook.hook_id)) is not None:
                self._deliver(hook, event)

    def _gather(self) -> None:
        batch = self._feed.read(self._after)
        self._after += batch.missed + len(batch.events)
        hooks = self.book.hooks()
        for hook in hooks:
            wanted = [event for event in batch.events if event.kind in hook.kinds and event.at >= hook.created_at]
            with self._lock:
                known = self._rounds.setdefault(hook.hook_id, _Round())
                # What has come and gone before it was there is not lost to it.
                known.lost += batch.missed if hook in self._served else 0
                for event in wanted:
                    if len(known.queue) >= MAX_QUEUED:
                        known.queue.popleft()
                        known.lost += 1
                        known.attempts, known.due = 0, 0.0
                    known.queue.append(event)
        self._served = hooks

    def _next(self, hook_id: str) -> Event | None:
        """The event to be tried now, if its time has come."""
        with self._lock:
            known, now = self._rounds.get(hook_id), self._clock()
            if known is None or not known.queue or known.due > now or now >= self._give_up_at:
                return None
            return known.queue[0]

    def _idle_s(self) -> float:
        """Until the next try is due."""
        with self._lock:
            due = [known.due for known in self._rounds.values() if known.queue]
        return max(0.0, min([_POLL_S, *(each - self._clock() for each in due)]))

    def _deliver(self, hook: Webhook, event: Event) -> None:
        body = envelope(event, self._feed, self._source)
        event_id, kind = self._feed.id_of(event.number), event.kind.value
        at = self._wall_clock()
        status, error, took_s = self._post(hook, event_id, kind, body)
        with self._lock:
            known = self._rounds.get(hook.hook_id)
            if known is None or not known.queue or known.queue[0] is not event:
                return  # removed, or lost, meanwhile
            known.attempts += 1
            attempt, outcome = known.attempts, self._outcome(status, known.attempts)
            if outcome == "retry":
                known.due = self._clock() + RETRY_S[attempt - 1]
            else:
                known.queue.popleft()
                known.attempts, known.due = 0, 0.0
            known.log.append(Delivery(event_id, kind, attempt, at, took_s, status, error, outcome))
        if outcome == "given up":
            log.warning("webhook %s does not take %s: %s; it is given up", hook.hook_id, kind, error or status)

    def _outcome(self, status: int, attempts: int) -> str:
        if 200 <= status < 300:
            return "delivered"
        may_change = status == 0 or status >= 500 or status in _WORTH_A_RETRY
        return "retry" if may_change and attempts <= len(RETRY_S) and not self._stopping.is_set() else "given up"

    def _note(self, hook_id: str, delivery: Delivery) -> None:
        with self._lock:
            self._rounds.setdefault(hook_id, _Round()).log.append(delivery)

    # -------------------------------------------------------------------------------------------- sending

    def _post(self, hook: Webhook, event_id: str, kind: str, body: Json) -> tuple[int, str, float]:
        """Status (0: no answer), what went wrong, and how long it took."""
        data = json.dumps(body).encode()
        began = self._clock()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            "Sipserver-Event": kind,
            "Sipserver-Event-Id": event_id,
            "Sipserver-Signature": sign(hook.secret, int(self._wall_clock()), data),
        }
        try:
            status = send(hook.target, data, headers)
        except (OSError, HTTPException, UnicodeError) as error:
            return 0, _in_words(error), self._clock() - began
        trouble = "" if 200 <= status < 300 else f"it answered {status}"
        if 300 <= status < 400:
            trouble += ", and redirects are not followed"
        return status, trouble, self._clock() - began


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """`t=<seconds since the epoch>,v1=<HMAC-SHA-256 in hex>` of the timestamp, a full stop and the body: who has the
    secret can tell that the event is from this server, and not an old one sent again."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def send(target: Target, body: bytes, headers: dict[str, str]) -> int:
    """POST it; the status of the answer, which is not looked at further. Raises `OSError`, `HTTPException`."""
    connection = open_connection(target)
    sock = connection.sock
    assert sock is not None
    # A timeout of the socket is one for each piece that arrives.
    guard = threading.Timer(DEADLINE_S, _cut_off, (sock,))
    guard.name, guard.daemon = "webhooks-guard", True
    guard.start()
    try:
        connection.request("POST", target.path, body, {**headers, "Connection": "close"})
        response = connection.getresponse()
        response.read(MAX_ANSWER)
        return response.status
    finally:
        guard.cancel()
        connection.close()


def _cut_off(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} seconds"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
