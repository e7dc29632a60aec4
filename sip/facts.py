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
    SERVER_AWAY = "server-away"
    """number, server: its phones are registered at another server, which is out of service."""
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
    SERVER_FAULT = "server-fault"
    """A fault of the server has ended the call."""
    ANSWER_NOT_ACKNOWLEDGED = "answer-not-acknowledged"
    """A phone that called the server itself has never acknowledged the answer."""
    TEST_RESULT = "test-result"
    """toServerVerdict, toServerPackets, toServerLost, toServerJitter (ms), toServerMos, and the same for toPhone."""
    ENDED = "ended"
    """reason, by, status: as in the history."""

    HOLD = "hold"
    """side: who has asked for it, 0 the caller, 1 the callee; held (0, 1): 0 when the call was taken off hold."""

    KEY_PRESSED = "key-pressed"
    """side: 0 the caller, 1 the callee; way ("rfc4733", "info"): the first key that was told this way."""

    # what is heard of the media while the call lasts (`sip.media_watch`).  since; side: whose sound it is, 0 the
    # caller's, 1 the callee's; seconds: how long it had been silent; of that side: packets, rejected (from sources that
    # may not send), relayPort (where it sends to); otherPackets of the other side
    AUDIO_STARTED = "audio-started"
    """codec; again (0, 1): 1 when it had been missed."""
    ONE_WAY_AUDIO = "one-way-audio"
    """Nothing has come from one side since both were to send, the other is heard."""
    NO_AUDIO = "no-audio"
    """Nothing has come from either: no side, but callerPackets, calleePackets, callerRejected, calleeRejected."""
    AUDIO_STOPPED = "audio-stopped"
    """A side that had been heard is not any more; both, when there is no side: with the details of `NO_AUDIO`."""
    AUDIO_POOR = "audio-poor"
    """mos, lossPercent, jitter (ms), codec: of the last seconds."""
    AUDIO_GOOD = "audio-good"
    """As `AUDIO_POOR`: it is good again."""


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
    MOVED = "moved"
    """The phone has registered at another server on the same database."""
    ADMINISTRATOR = "administrator"
    CREDENTIALS_CHANGED = "credentials-changed"
    RESTART = "restart"
    """It did not outlive the time without a server."""


class Denial(StrEnum):
    """Why a request was not let in, or a registration not taken, as `Fact.CALLER_REFUSED` and the diary name it."""

    NOT_A_NUMBER = "not-a-number"
    """It is none of this office."""
    UNPROTECTED = "unprotected"
    """The number needs a password here and has none."""
    FOREIGN_NETWORK = "foreign-network"
    """It came from outside TRUSTED_NETWORKS, and no number has a password."""
    NOT_REGISTERED_THERE = "not-registered-there"
    """The caller's number is not registered from where it calls."""
    NOT_SHOWN = "not-shown"
    """The phone was asked for its password and has shown none."""
    UNREADABLE = "unreadable"
    """The phone's answer to the question for its password can't be used."""
    WRONG = "wrong"
    """Another password than that of the number."""
    UNKNOWN_USER = "unknown-user"
    """The user name that goes with the password is no number of this office."""
    OTHER_NUMBER = "other-number"
    """It has shown the password of another number."""
    TOO_LATE = "too-late"
    """The phone keeps answering questions for its password that are too old or were answered before."""
    NO_CALL = "no-call"
    """It belongs to no call here."""
    CONTACT = "contact"
    """Its Contact can't be used."""
    MALFORMED = "malformed"
    """The registration breaks a rule of SIP."""
