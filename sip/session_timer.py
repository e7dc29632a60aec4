"""The session timer of a call that the server takes itself (RFC 4028 9).  Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from sip.headers import delta_seconds, parse_parameters
from sip.message import Request

MIN_INTERVAL_S: Final = 90
"""RFC 4028 5: no shorter one need be taken."""


class IntervalTooSmall(Exception):
    """The phone wants the session refreshed more often than `MIN_INTERVAL_S`: 422."""


class SessionTimer(NamedTuple):
    """Who refreshes ("uac" or "uas") the session, which lasts `interval_s` without it."""

    interval_s: int
    refresher: str
    is_supported: bool
    """By the phone, so that it can be required of it."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Those of a 2xx; a phone that is to refresh must know that it has to (RFC 4028 9)."""
        expires = ("Session-Expires", f"{self.interval_s};refresher={self.refresher}")
        return (expires, ("Require", "timer")) if self.is_supported else (expires,)


def negotiate(request: Request) -> SessionTimer | None:
    """What the answer to this INVITE or UPDATE says; None: the session lasts until somebody hangs up.

    The phone refreshes, if it can.  Where the server has to, it does so by UPDATE (RFC 3311), which leaves the media
    alone: a phone that takes none gets no session timer.  Raises `IntervalTooSmall`.
    """
    value = request.headers.get("session-expires")
    interval_s = delta_seconds(value)
    if value is None or interval_s is None:
        return None
    is_supported = "timer" in request.option_tags("supported") or "timer" in request.option_tags("require")
    if interval_s < MIN_INTERVAL_S:
        if is_supported:
            raise IntervalTooSmall
        return None
    wanted = parse_parameters(value.partition(";")[2]).get("refresher")
    refresher = wanted if wanted in ("uac", "uas") else "uac"
    if not is_supported:
        refresher = "uas"
    if refresher == "uas" and "update" not in request.option_tags("allow"):
        return None
    return SessionTimer(interval_s, refresher, is_supported)
