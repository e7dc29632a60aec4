"""From a final SIP status to what people read: a termination reason and a sentence.  Pure."""

from __future__ import annotations

from sip.message import Response
from sip.snapshots import TerminationReason

_BUSY = frozenset({486, 600})
_REFUSED_BY_PERSON = frozenset({403, 603})
_MEDIA = frozenset({415, 488, 606})


def outcome(
    response: Response, callee: str, *, rang: bool, cancel_cause: str, unreachable: bool
) -> tuple[TerminationReason, str]:
    """How an INVITE ended that a phone, or its silence, answered with this final response.

    `rang` says whether the phone had been ringing, `cancel_cause` whether the server or the caller gave up first,
    `unreachable` that no phone has answered at all.
    """
    status = response.status
    if cancel_cause == "caller":
        return TerminationReason.CANCELLED, "the caller hung up before anybody answered"
    if rang and (cancel_cause == "setup timeout" or status in (408, 480)):
        return TerminationReason.NO_ANSWER, f"{callee} rang, but nobody answered"
    if cancel_cause == "setup timeout":
        return TerminationReason.TIMEOUT, f"the phone of {callee} neither rang nor answered in time"
    if unreachable or status == 408:
        return TerminationReason.UNREACHABLE, f"the phone of {callee} does not answer; it may be off or unreachable"
    if status in _BUSY:
        return TerminationReason.BUSY, f"{callee} is busy"
    if status == 480:
        return TerminationReason.REJECTED, f"{callee} does not take calls now (do not disturb, or logged off)"
    if status in _REFUSED_BY_PERSON:
        return TerminationReason.REJECTED, f"{callee} refused the call"
    if status == 487:
        return TerminationReason.CANCELLED, "the call was cancelled"
    if status in _MEDIA:
        return TerminationReason.REJECTED, f"the phones have no audio format in common ({status} {response.reason})"
    if 300 <= status < 400:
        return TerminationReason.REJECTED, f"the phone of {callee} wants the call redirected, which is not supported"
    if status >= 500 and status < 600:
        return TerminationReason.ERROR, f"the phone of {callee} reported a fault ({status} {response.reason})"
    return TerminationReason.REJECTED, f"the phone of {callee} refused the call ({status} {response.reason})"
