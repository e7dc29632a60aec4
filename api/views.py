"""Frozen snapshots to JSON objects: field names, ISO times, seconds. Pure.

The field names are a promise to clients: one may be added, none changed or removed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from rtp.figures import StreamSnapshot
from sip.snapshots import (
    BanSnapshot,
    CallRecord,
    CallSnapshot,
    ContactSnapshot,
    DirectionResult,
    MediaFigures,
    PeriodFigures,
    QualityResult,
    RegistrationFailure,
    RegistrationSnapshot,
    TimelinePoint,
)

Json = dict[str, object]

SENDERS = ("caller", "callee")
"""By the side of a stream."""

# What stands at the top of a user, of its newest contact.
_NEWEST = (
    "uri",
    "address",
    "port",
    "transport",
    "expires",
    "expiresAt",
    "registeredAt",
    "lastSeen",
    "userAgent",
)
# Controls of both sets, line separators, marks that turn or hide the text around them, halves of surrogate pairs (bytes
# that were no UTF-8). Joiners stay: some scripts and many pictures are written with them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def iso_time(at: float | None) -> str | None:
    """ISO 8601, UTC, milliseconds, `Z`; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(text: str) -> str:
    """Text off the network with U+FFFD for whatever could break a line, a page or a terminal, or hide what it says."""
    return _UNSAFE.sub("\ufffd", text)


def contact_view(contact: ContactSnapshot) -> Json:
    """`server` is there when another server on the same database holds it."""
    elsewhere = {"server": contact.server} if contact.server else {}
    return {
        "uri": clean(contact.uri),
        "address": contact.address,
        "port": contact.port,
        "transport": contact.transport,
        "expires": contact.expires_s,
        "expiresAt": iso_time(contact.expires_at),
        "registeredAt": iso_time(contact.registered_at),
        "lastSeen": iso_time(contact.last_seen_at),
        "userAgent": clean(contact.user_agent),
        "behindNat": contact.behind_nat,
        **elsewhere,
    }


def user_view(registration: RegistrationSnapshot) -> Json:
    """One extension, with its newest contact's values at the top and all of them in `contacts`."""
    contacts = [contact_view(contact) for contact in registration.contacts]
    return {
        "number": registration.number,
        **{name: contacts[0][name] for name in _NEWEST},
        "status": "REGISTERED",
        "registrationCount": registration.count,
        "firstSeen": iso_time(registration.first_seen_at),
        "contacts": contacts,
    }


def expiring_view(number: str, contact: ContactSnapshot, now_at: float) -> Json:
    return {
        "number": number,
        "uri": clean(contact.uri),
        "address": contact.address,
        "port": contact.port,
        "expiresAt": iso_time(contact.expires_at),
        "minutesUntilExpiry": round(max(0.0, contact.expires_at - now_at) / 60, 2),
    }


def call_view(call: CallSnapshot, now_at: float) -> Json:
    """One call, live or ended; what has not happened yet is null."""
    return {
        "callId": clean(call.call_id),
        "fromNumber": clean(call.from_number),
        "toNumber": clean(call.to_number),
        "state": call.state.value,
        "inviteTime": iso_time(call.invited_at),
        "ringTime": iso_time(call.ringing_at),
        "answerTime": iso_time(call.answered_at),
        "endTime": iso_time(call.ended_at),
        "duration": round(call.duration_s(now_at), 3),
        "fromAddress": call.from_address,
        "toAddress": call.to_address,
        "terminationReason": call.termination_reason.value if call.termination_reason else None,
        "statusCode": call.status or None,
        "reasonText": clean(call.reason_text),
        "endedBy": clean(call.ended_by),
    }


def record_view(record: CallRecord, now_at: float) -> Json:
    """One ended call with the figures of its media, one entry for each direction of each stream."""
    return call_view(record.call, now_at) | {"media": [media_view(figures) for figures in record.media]}


def media_view(figures: MediaFigures) -> Json:
    """The fields are those of `stream_view`."""
    return {
        "kind": figures.kind,
        "sender": SENDERS[figures.side],
        "packets": figures.packets,
        "bytes": figures.bytes,
        "lost": figures.lost,
        "outOfOrder": figures.out_of_order,
        "duplicates": figures.duplicates,
        "rejected": figures.rejected,
        "dropped": figures.dropped,
        "jitter": round(figures.jitter_ms, 3),
        "codec": None if figures.codec is None else clean(figures.codec),
        "mos": None if figures.mos is None else round(figures.mos, 2),
        "firstPacketAt": iso_time(figures.first_packet_at),
        "lastPacketAt": iso_time(figures.last_packet_at),
    }


def period_view(period: PeriodFigures) -> Json:
    """`talkTime` and `averageDuration` in seconds, over answered calls; `answerRate` from 0 to 1; null where there is
    nothing to take the average of."""
    return {
        "since": iso_time(period.since_at),
        "totalCalls": period.calls,
        "answeredCalls": period.answered,
        "completedCalls": period.completed,
        "failedCalls": period.failed,
        "talkTime": round(period.talk_s, 3),
        "averageDuration": round(period.talk_s / period.answered, 3) if period.answered else None,
        "answerRate": None if period.answer_rate is None else round(period.answer_rate, 4),
        "averageMos": None if period.average_mos is None else round(period.average_mos, 2),
        "reasons": period.by_reason,
    }


def timeline_view(point: TimelinePoint) -> Json:
    return {
        "since": iso_time(point.since_at),
        "totalCalls": point.calls,
        "answeredCalls": point.answered,
        "averageMos": None if point.average_mos is None else round(point.average_mos, 2),
    }


def stream_view(stream: StreamSnapshot) -> Json:
    """One direction of a media stream; `jitter` and `remoteJitter` in milliseconds, `roundTrip` in seconds."""
    return {
        "callId": clean(stream.call_id),
        "kind": stream.kind,
        "sender": SENDERS[stream.side],
        "fromAddress": stream.from_address,
        "fromPort": stream.from_port,
        "toAddress": stream.to_address,
        "toPort": stream.to_port,
        "relayPort": stream.relay_port,
        "packets": stream.packets,
        "bytes": stream.bytes,
        "lost": stream.lost,
        "outOfOrder": stream.out_of_order,
        "duplicates": stream.duplicates,
        "rejected": stream.rejected,
        "dropped": stream.dropped,
        "jitter": round(stream.jitter_ms, 3),
        "codec": None if stream.codec is None else clean(stream.codec),
        "firstPacketAt": iso_time(stream.first_packet_at),
        "lastPacketAt": iso_time(stream.last_packet_at),
        "remoteLost": stream.remote_lost,
        "remoteJitter": None if stream.remote_jitter_ms is None else round(stream.remote_jitter_ms, 3),
        "roundTrip": None if stream.rtt_ms is None else round(stream.rtt_ms / 1000, 4),
        "mos": None if stream.mos is None else round(stream.mos, 2),
        "active": stream.active,
    }


def ban_view(ban: BanSnapshot) -> Json:
    """`expiresAt` null: until it is lifted."""
    return {
        "address": ban.address,
        "bannedAt": iso_time(ban.since_at),
        "expiresAt": iso_time(ban.until_at),
        "reason": clean(ban.reason),
        "failures": ban.failures,
    }


def failure_view(failure: RegistrationFailure) -> Json:
    """Refused registrations of one kind; `number` is what was asked for, which need not be one of ours."""
    return {
        "number": clean(failure.number),
        "address": failure.address,
        "transport": failure.transport,
        "userAgent": clean(failure.user_agent),
        "statusCode": failure.status,
        "reason": clean(failure.reason),
        "firstAt": iso_time(failure.first_at),
        "lastAt": iso_time(failure.last_at),
        "count": failure.count,
    }


def extension_view(number: str, has_password: bool, contact_count: int) -> Json:
    return {
        "number": number,
        "hasPassword": has_password,
        "registered": contact_count > 0,
        "contactCount": contact_count,
    }


def quality_view(result: QualityResult) -> Json:
    """One quality test; `toServer` is what the phone has sent, `toPhone` what the server has."""
    return {
        "callId": clean(result.call_id),
        "number": result.number,
        "fromNumber": clean(result.from_number),
        "time": iso_time(result.at),
        "toServer": _direction_view(result.to_server),
        "toPhone": _direction_view(result.to_phone),
    }


def _direction_view(direction: DirectionResult) -> Json:
    """`lostPercent` of the packets expected, `jitter` in milliseconds, `roundTrip` in seconds, `loudest` in dBm0; null
    where nobody knows."""
    round_trip_ms = direction.round_trip_ms
    return {
        "verdict": direction.verdict.value,
        "text": direction.text,
        "packets": direction.packets,
        "lost": direction.lost,
        "lostPercent": _rounded(direction.lost_percent, 2),
        "jitter": _rounded(direction.jitter_ms, 3),
        "mos": _rounded(direction.mos, 2),
        "roundTrip": None if round_trip_ms is None else round(round_trip_ms / 1000, 4),
        "loudest": _rounded(direction.peak_dbm0, 1),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
