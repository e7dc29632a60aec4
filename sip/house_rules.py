"""Which requests outside a dialog go nowhere, and what is answered instead (RFC 3261 16.3, and the rules of the house).

Pure; guarded by the core lock.
"""

from __future__ import annotations

from typing import NamedTuple

from sip.call_control import remote_target
from sip.exchange import Exchange
from sip.facts import Fact
from sip.flow import Flow
from sip.journal import NO_DETAILS, Details
from sip.location import Binding
from sip.message import Request
from sip.sips import is_downgrade, not_allowed
from sip.snapshots import TerminationReason


class Refusal(NamedTuple):
    """How a request outside a dialog is answered that goes nowhere; `text`, `fact` and `details` are for the journal of
    its call."""

    status: int
    phrase: str
    reason: TerminationReason
    text: str
    fact: Fact
    details: Details = NO_DETAILS
    headers: tuple[tuple[str, str], ...] = ()


def refusal_of(
    x: Exchange, request: Request, flow: Flow, routed_by: int, *, served_here: bool, forwarded: bool
) -> Refusal | None:
    """16.3 and the house rules; `served_here`: the server itself answers that number; `forwarded`: another server has
    let the sender in."""
    rejected, failed = TerminationReason.REJECTED, TerminationReason.ERROR
    if is_downgrade(request.uri, flow):
        text = "a sips address was called without TLS"
        return Refusal(416, "SIPS Is For TLS Only", rejected, text, Fact.SIPS_WITHOUT_TLS)
    if x.identity.is_loop(request, routed_by):
        return Refusal(482, "Loop Detected", failed, "the call came back to this server in a loop", Fact.LOOP)
    if request.method == "INVITE" and (limit := x.calls.limit_met(flow.remote_host)) is not None:
        text = "the server has as many calls as it can carry, or is about to end"
        return Refusal(503, "No More Calls", failed, text, Fact.NO_ROOM, limit)
    # The server that has let the sender in has judged its Contact, by where the sender is.
    contact = None if forwarded else remote_target(request)
    fault = x.contact_fault(contact, flow) if contact is not None else None
    if fault is not None:
        text = f"the Contact of the phone {fault}"
        return Refusal(403, f"Contact {fault}", rejected, text, Fact.BAD_CONTACT, {"fault": fault})
    if "route" in request.headers:
        text = "the phone asked to relay to another server"
        return Refusal(403, "Relaying Not Allowed", rejected, text, Fact.RELAYING)
    number = request.uri.number
    if number not in x.plan and not served_here:
        text = f"{number or 'the dialled address'} is no number of this office ({x.plan})"
        details = {"number": number, "numbers": str(x.plan)}
        return Refusal(404, f"Number Not In Range {x.plan}", rejected, text, Fact.UNKNOWN_NUMBER, details)
    return None


def unreachable(x: Exchange, request: Request, flow: Flow, bindings: list[Binding]) -> Refusal:
    """No phone of the number can be called now, or none by this kind of address (RFC 5630)."""
    number, reason = request.uri.number, TerminationReason.UNREACHABLE
    away = [each.server for each in bindings if each.server and x.neighbours.flow(each.server) is None]
    if len(away) < len(bindings):
        text = f"{number} was called by a sips address, and none of its phones is registered with one"
        headers = (not_allowed(flow),)
        return Refusal(480, "SIPS Not Allowed", reason, text, Fact.SIPS_ONLY, {"number": number}, headers)
    if away:
        text = f"{number} is registered at the server {away[0]}, which is out of service; its phone has to come back"
        details = {"number": number, "server": away[0]}
        return Refusal(480, "Server Of Number Out Of Service", reason, text, Fact.SERVER_AWAY, details)
    text = f"{number} is not registered: its phone is off, offline or not set up"
    return Refusal(
        status=480,
        phrase="Number Not Registered",
        reason=reason,
        text=text,
        fact=Fact.NOT_REGISTERED,
        details=x.location.absence(number),
    )
