"""Who took part in a call: the phone that called, and every phone that it was sent to with what came of it.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sip.facts import Fact
from sip.message import Message, Request
from sip.trace import CallTrace, TraceEntry
from sip.uri import bracket
from tracing.messages import TracedMessage, branch_of, or_none, read_messages, tag_of


@dataclass(frozen=True, slots=True)
class TracedParty:
    """One phone.  `address` is host:port of its signalling, `contact` the URI it wants to be reached by.

    `called_at` is when the INVITE came from it or was sent to it, `status` and `phrase` are the final response to that
    (0 and "" while there is none): the one it gave, or, for the caller, the one it got.
    """

    role: str
    number: str
    address: str
    transport: str
    user_agent: str
    contact: str
    called_at: float
    ringing_at: float | None = None
    answered_at: float | None = None
    status: int = 0
    phrase: str = ""


def parties(trace: CallTrace) -> tuple[TracedParty, ...]:
    """The caller first, then the phones it was sent to, in that order."""
    messages = read_messages(trace.entries)
    known = {str(entry.details.get("address", "")): entry for entry in trace.entries if entry.fact == Fact.CALLED}
    found: dict[tuple[bool, str], TracedParty] = {}
    for message in messages:
        sip = message.sip
        if sip is None or message.method != "INVITE":
            continue
        key = (message.is_received ^ message.is_response, branch_of(sip))
        if isinstance(sip, Request):
            if not message.is_repeated and not tag_of(sip) and (not message.is_received or not found):
                found[key] = _begun(
                    trace, message, sip, known, is_asked_for=not any(is_caller for is_caller, _ in found)
                )
        elif key in found:
            found[key] = _answered(found[key], message, is_caller=not message.is_received)
    return tuple(found.values())


def _begun(
    trace: CallTrace, message: TracedMessage, sip: Request, known: dict[str, TraceEntry], *, is_asked_for: bool
) -> TracedParty:
    """`is_asked_for`: no phone has called, so somebody has asked the server to connect two, and the caller is rung."""
    address = address_text(message.remote)
    if message.is_received:
        role, number, user_agent, contact = "caller", trace.call.from_number, sip.user_agent, contact_of(sip)
    else:
        details = known[address].details if address in known else {}
        uri = or_none(lambda: sip.uri)
        number = str(details.get("number") or (uri.number if uri is not None else trace.call.to_number))
        role = "caller" if is_asked_for and number == trace.call.from_number else "callee"
        user_agent, contact = str(details.get("userAgent", "")), sip.uri_text
    return TracedParty(role, number, address, message.entry.transport, user_agent, contact, message.entry.at)


def _answered(party: TracedParty, message: TracedMessage, *, is_caller: bool) -> TracedParty:
    """What a response changes."""
    sip, status, at = message.sip, message.status, message.entry.at
    assert sip is not None
    if status > 100 and status < 200 and party.ringing_at is None:
        party = replace(party, ringing_at=at)
    if status >= 200 and not party.status:
        party = replace(party, status=status, phrase=message.phrase, answered_at=at if status < 300 else None)
    if is_caller:
        return party
    agent = sip.headers.get("user-agent") or sip.headers.get("server") or party.user_agent
    return replace(party, user_agent=agent, contact=contact_of(sip) or party.contact)


def contact_of(sip: Message) -> str:
    """The URI of the Contact, "" without one."""
    contact = or_none(lambda: sip.contact)
    return contact.uri.text if contact is not None else ""


def address_text(endpoint: tuple[str, int]) -> str:
    host, port = endpoint
    return f"{bracket(host)}:{port}"


def numbers_by_address(found: Iterable[TracedParty]) -> dict[str, list[str]]:
    """Which numbers speak from an address."""
    numbers: dict[str, list[str]] = {}
    for party in found:
        names = numbers.setdefault(party.address, [])
        if party.number not in names:
            names.append(party.number)
    return numbers
