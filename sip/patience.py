"""How long one TCP or TLS connection may be silent, and how long it may take for one message.

Pure.  The thread that reads the connection calls `heard`, the one that looks for overdue connections calls the rest;
each writes attributes of its own, so that no lock is needed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What peers may ask of us over TCP and TLS together.  `idle_s` is longer than the 120 s between the keep-alives
    of RFC 5626 4.4.1."""

    connections: int = 500
    connections_per_source: int = 100
    first_message_s: float = 20.0
    """From the connection to its first whole message, the TLS handshake included."""
    message_s: float = 30.0
    """From the first byte of a message to its last."""
    idle_s: float = 180.0
    """Without a message or a keep-alive; a phone that is registered or in a call may be silent for longer."""
    queued_messages: int = 2000
    queued_bytes: int = 1 << 20
    """What waits for a peer that does not read."""
    messages_per_s: float = 0.0
    """Of one connection, on average; 0: no limit.  What comes faster is read later."""


class Patience:
    """Invariant: bytes that complete nothing never move the deadline, so a peer that sends slowly gains no time.

    `now` is monotonic seconds.
    """

    __slots__ = ("_deadline", "_excused_until", "_limits", "_opening", "is_idle")

    def __init__(self, limits: StreamLimits, now: float, is_stranger: bool = True) -> None:
        """`is_stranger`: the peer has come to us, and has yet to show what it wants."""
        self._limits = limits
        self._deadline = now + (limits.first_message_s if is_stranger else limits.idle_s)
        self._excused_until = now
        self._opening = is_stranger
        self.is_idle = not is_stranger
        """Between messages: silence is all that it can be blamed for."""

    def heard(self, now: float, messages: int, pings: int, unfinished: bool) -> None:
        """What arrived completed so many messages and keep-alives; `unfinished`: another message has begun.

        A keep-alive counts once there was a message: a stranger who sends nothing else is no phone.
        """
        if messages:
            self._opening = False
        if self._opening:
            return
        completed = messages or pings
        if unfinished:
            if completed or self.is_idle:
                self._deadline = now + self._limits.message_s
                self.is_idle = False
        elif completed:
            self._deadline = now + self._limits.idle_s
            self.is_idle = True

    def is_overdue(self, now: float) -> bool:
        return now >= self._deadline and not (self.is_idle and now < self._excused_until)

    def excuse(self, now: float) -> None:
        """Its silence is fine for another while."""
        self._excused_until = now + self._limits.idle_s
