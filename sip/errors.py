"""The exception tree of the SIP package: who is at fault, and what to answer.

    SipError
    ├── ParseError            the peer's fault; `status` says what to answer (400, 416, 505, 513, ...)
    │   ├── HeaderError       one header field; `header` names it
    │   └── MessageTooLarge   513
    └── LocalProtocolError    our own code tried something the protocol forbids

A new instance is raised each time: a shared one would collect tracebacks from every thread.
"""

from __future__ import annotations


class SipError(Exception):
    """Root of everything this package raises on purpose."""


class ParseError(SipError):
    """What the peer sent can't be understood.  `status` is the response code that says so."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class HeaderError(ParseError):
    """One header field is missing, repeated or malformed."""

    def __init__(self, header: str, reason: str, status: int = 400) -> None:
        super().__init__(f"{header}: {reason}", status)
        self.header = header


class MessageTooLarge(ParseError):
    """A limit of ours on size or count was passed (RFC 3261 21.5.7: 513)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, 513)


class LocalProtocolError(SipError):
    """Our own code asked for something the protocol forbids."""
