"""The audit log: a line for every request that was to change something, whether it was let in or not.

Logged as `api.audit`, which `log_setup` writes into a file of its own. Fields beside those of every log line:

- `client`: address that the request came from
- `who`: `token` (showed the token), `session` (a browser that has shown it before), `loopback` (the API is open
  there), `nobody` (was let in by none of them)
- `method`, `path`: what was asked for, without query and body, which may hold secrets
- `status`, `outcome`: the HTTP status of the answer, and its message in words
- `leftOut`: how many requests that were refused at the door got no line since the one before; only where there are any

Waitress workers; `AuditTrail._lock` is a leaf lock.
"""

from __future__ import annotations

import logging
import threading

from api.rate_limit import RateLimiter

log = logging.getLogger(__name__)

MAX_REFUSED_PER_CLIENT = 10
MAX_REFUSED = 60
"""Lines a minute about requests refused at the door, so that a stranger can't fill the disk or rotate the past away."""

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_PATH = 200


class AuditTrail:
    """Every admitted write gets a line; of the refused ones, those without a line are counted in the next one."""

    def __init__(self) -> None:
        self._per_client = RateLimiter(MAX_REFUSED_PER_CLIENT)
        self._overall = RateLimiter(MAX_REFUSED)
        self._left_out = 0
        self._lock = threading.Lock()

    def admitted(self, client: str, who: str, method: str, path: str, status: int, outcome: str) -> None:
        self._write(client, who, method, path, status, outcome)

    def refused(self, client: str, method: str, path: str, status: int, outcome: str, now: float) -> None:
        """A request that never reached its route; `now` monotonic seconds."""
        if self._per_client.take(client, now).allowed and self._overall.take("", now).allowed:
            self._write(client, "nobody", method, path, status, outcome)
            return
        with self._lock:
            self._left_out += 1
            first = self._left_out == 1
        if first:
            log.warning("audit: too many refused requests, last from %s: more are counted, not listed", client)

    def _write(self, client: str, who: str, method: str, path: str, status: int, outcome: str) -> None:
        shown = path if len(path) <= _MAX_PATH else path[:_MAX_PATH] + "..."
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        fields: dict[str, object] = {
            "client": client,
            "who": who,
            "method": method,
            "path": shown,
            "status": status,
            "outcome": outcome,
        }
        if left_out:
            fields["leftOut"] = left_out
        log.info("audit: %s asked for %s %s: %d %s", client, method, shown, status, outcome, extra=fields)
