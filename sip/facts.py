"""The facts that a call's journal names beside its sentences: what explanations rest on.  Pure.

Each says what was decided or noticed; behind it stands what its details hold.  Times are wall clock, seconds since the
epoch; `address` is host:port of a phone.  A detail that is not known is left out.
"""

from __future__ import annotations

from enum import StrEnum


class Fact(StrEnum):
    """What a journal entry is about."""

    # before the call reaches a phone
    NOT_REGISTERED = "not-registered"
    """number, firstSeenAt; when and why its last phone left: departedAt, departure, address, userAgent."""
    SIPS_ONLY = "sips-only"
    """number: called by a sips address, and no phone of it is registered with one."""
    UNKNOWN_NUMBER = "unknown-number"
    """number, numbers (those that there are)."""
    CALLER_REFUSED = "caller-refused"
    """number, status: the gatekeeper has not let the caller in."""
    BAD_CONTACT = "bad-contact"
    """fault: what is wrong with the caller's Contact."""
    RELAYING = "relaying"
    """The caller asked to pass the call to another server."""
    SIPS_WITHOUT_TLS = "sips-without-tls"
    """A sips address was called without TLS."""
    LOOP = "loop"
    """The call has come back to this server."""
    NO_ROOM = "no-room"
    """limit ("calls", "ringing", "ending"), most: how many there may be."""
    TOO_MANY_BRANCHES = "too-many-branches"
    """phones: so many the call would have been split among."""
    NO_MEDIA_PORTS = "no-media-ports"
    """All ports of the media relay are in use."""
    BAD_OFFER = "bad-offer"
    """fault: what is wrong with the caller's session description."""

    # phones of the callee
    CALLED = "called"
    """number, address, transport, userAgent, behindNat (0, 1), registeredAt, lastSeenAt, connectionLostAt: a phone that
    the call was sent to."""
    UNREACHABLE = "unreachable"
    """number, address, transport, why: the network gave the request back, or the connection is gone."""
    UNANSWERED = "unanswered"
    """number, address, transport, rang (0, 1): no final response in time; why: what the network has said meanwhile."""
    DECLINED = "declined"
    """number, address, status, phrase; warning, reason: those headers' values, if any."""
    BAD_ANSWER = "bad-answer"
    """number, address, fault: what is wrong with a phone's session description."""

    # giving up
    CANCELLED = "cancelled"
    """The caller has given up; reason: that header's value, if any."""
    SETUP_EXPIRED = "setup-expired"
    """limit: seconds (CALL_SETUP_TIMEOUT)."""
    RINGING_EXPIRED = "ringing-expired"
    """number, address: Timer C has ended the ringing of a phone."""

    # the answered call
    RESPONSE_NOT_ACKNOWLEDGED = "response-not-acknowledged"
    """The caller's phone has never acknowledged the final response that refused the call."""
    RESPONSE_UNDELIVERED = "response-undelivered"
    """address, why: a response could not be sent to the caller's phone."""
    ACK_FROM_ELSEWHERE = "ack-from-elsewhere"
    """address: an ACK that did not come from the phone it is of."""
    SESSION_EXPIRED = "session-expired"
    """Neither phone has refreshed the session (RFC 4028)."""
    MEDIA_TIMEOUT = "media-timeout"
    """limit: seconds without a packet from either phone."""
    ENDED = "ended"
    """reason, by, status: as in the history."""

    # what is heard of the media while the call lasts; side: 0 the caller's sound, 1 the callee's; since
    ONE_WAY_AUDIO = "one-way-audio"
    NO_AUDIO = "no-audio"
    AUDIO_STOPPED = "audio-stopped"


class Departure(StrEnum):
    """Why a registration ended."""

    EXPIRED = "expired"
    """The phone has not registered again in time."""
    UNREGISTERED = "unregistered"
    """The phone has taken its leave."""
    REMOVED_BY_ANOTHER = "removed-by-another"
    """A phone at another address has removed it."""
    REPLACED = "replaced"
    """The same device came back with another contact."""
    CROWDED_OUT = "crowded-out"
    """It was the oldest of too many devices."""
    ADMINISTRATOR = "administrator"
    CREDENTIALS_CHANGED = "credentials-changed"
    RESTART = "restart"
    """It did not outlive the time without a server."""
