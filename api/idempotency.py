"""Requests that may come twice: what was done for an Idempotency-Key is not done again (IETF draft
httpapi-idempotency-key-header).

Waitress workers; `KeyBook._lock` is a leaf lock, and is not held while anything is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from typing import Final, NamedTuple

from werkzeug.wrappers import Request

from api.errors import Problem
from api.query import bad_parameter

HEADER: Final = "Idempotency-Key"
KEPT_S: Final = 24 * 3600
MAX_KEYS: Final = 1_000
"""One more forgets the oldest."""

_KEY = re.compile(r'"?([!#-~]{1,255})"?')


class _Done(NamedTuple):
    """`answer` None: it is being done."""

    digest: bytes
    at: float
    answer: str | None


class Once:
    """One request with a key; `answer` is what was answered the first time, None when this is the first time."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer

    def done(self, answer: str) -> None:
        """From now on this is what is answered. A request that ends without has done nothing, and may come again."""
        self.answer = answer


class KeyBook:
    """Invariant: `_done` holds at most MAX_KEYS, the oldest first."""

    def __init__(self) -> None:
        self._done: dict[str, _Done] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def once(self, request: Request, now: float) -> Iterator[Once]:
        """Around what must not be done twice; `now` is monotonic seconds. 422 for a key that came with another request,
        409 for one whose first request is not answered yet, 400 for what is no key."""
        given = request.headers.get(HEADER)
        if given is None:
            yield Once(None)
            return
        match = _KEY.fullmatch(given)
        if match is None:
            raise bad_parameter(HEADER, f"{HEADER} must be 1 to 255 printable characters without spaces.")
        key, digest = match[1], hashlib.sha256(request.path.encode() + b"\0" + request.get_data()).digest()
        once = Once(self._begin(key, digest, now))
        if once.answer is not None:
            yield once
            return
        try:
            yield once
        finally:
            self._end(key, digest, now, once.answer)

    def _begin(self, key: str, digest: bytes, now: float) -> str | None:
        with self._lock:
            known = self._done.get(key)
            if known is None or now - known.at > KEPT_S:
                self._done.pop(key, None)
                self._done[key] = _Done(digest, now, None)
                while len(self._done) > MAX_KEYS:
                    del self._done[next(iter(self._done))]
                return None
        if known.digest != digest:
            raise Problem(
                422,
                "This key belongs to another request.",
                f"The same {HEADER} came with other contents before. A new request needs a new key.",
            )
        if known.answer is None:
            raise Problem(
                409,
                "This request is being dealt with.",
                f"One with the same {HEADER} is not answered yet.",
                headers={"Retry-After": "1"},
            )
        return known.answer

    def _end(self, key: str, digest: bytes, now: float, answer: str | None) -> None:
        with self._lock:
            if answer is None:
                self._done.pop(key, None)
            elif key in self._done:
                self._done[key] = _Done(digest, now, answer)
