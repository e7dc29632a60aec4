"""Sessions of browsers: a token traded for a cookie, because a page can't send a token with a stream of events or with
a link, and must not keep one where a script could read it.

Waitress workers; `SessionBook._lock` is a leaf lock.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from typing import Final, cast

from flask import current_app

IDLE_S: Final = 12 * 3600
"""A session that is not used for so long is over."""

SESSIONS_KEY: Final = "sipserver.sessions"
"""Where the app keeps its book."""

MAX_SESSIONS: Final = 100
"""One more ends the one that was used longest ago."""


class SessionBook:
    """Invariant: `_used` holds at most `MAX_SESSIONS` by the digest of their name, the one used last at the end."""

    def __init__(self) -> None:
        self._used: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def open(self, now: float) -> str:
        """The name of a new session, which nobody can guess; `now` is monotonic seconds."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            self._used[_digest(name)] = now
            while len(self._used) > MAX_SESSIONS:
                del self._used[next(iter(self._used))]
        return name

    def use(self, name: str, now: float) -> bool:
        """Whether that session is open; it stays so for a while longer."""
        digest = _digest(name)
        with self._lock:
            used_at = self._used.pop(digest, None)
            if used_at is None or now - used_at > IDLE_S:
                return False
            self._used[digest] = now
        return True

    def has(self, name: str) -> bool:
        """Whether that session was opened and has not been closed; to ask is not to use it."""
        with self._lock:
            return _digest(name) in self._used

    def close(self, name: str) -> None:
        """That session is over, if there is one."""
        with self._lock:
            self._used.pop(_digest(name), None)


def sessions() -> SessionBook:
    """Of the app that serves this request."""
    return cast(SessionBook, current_app.extensions[SESSIONS_KEY])


def _digest(name: str) -> bytes:
    """So that looking one up tells nothing about another by the time it takes."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
