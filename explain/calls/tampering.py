"""Signs that something on the way rewrites the messages of a phone: a router with a SIP ALG, or a phone that is broken
the same way.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from explain.calls.case import Case, Heard
from explain.finding import Confidence, Found, Word
from explain.networks import is_private
from sip.errors import ParseError
from sip.message import Request, Response
from sip.uri import Uri, bracket, unbracket


def sip_alg(case: Case) -> Iterator[Found]:
    """A phone did not give back what it was sent (Record-Route in its response, the Contact of its peer as Request-URI
    of its ACK), or sent more body than it had announced (Content-Length), or a public address of its own in Via beside
    a private one in Contact."""
    for look, variant, confidence in (
        (_record_route_changed, "record-route", Confidence.LIKELY),
        (_target_changed, "target", Confidence.LIKELY),
        (_length_wrong, "length", Confidence.LIKELY),
        (_via_and_contact_differ, "via", Confidence.POSSIBLE),
    ):
        for heard, others, words in look(case):
            evidence = tuple(case.cite(each.spot) for each in (*others, heard))
            yield Found(confidence, evidence, words | {"address": _peer(heard)}, variant)
            return


RULES: Final = (sip_alg,)

_Sign = tuple[Heard, tuple[Heard, ...], dict[str, Word]]
"""The message that gives it away, those beside which it does, and words for it."""


def _record_route_changed(case: Case) -> Iterator[_Sign]:
    """A response has to carry the Record-Route of its request unchanged (RFC 3261 12.1.1, 16.6)."""
    sent = {heard.entry.remote: heard for heard in reversed(case.requests("INVITE", received=False))}
    for heard in case.responses("INVITE", 101, 300, received=True):
        request = sent.get(heard.entry.remote)
        if request is None or request.message is None or heard.message is None:
            continue
        before = request.message.headers.values("record-route")
        after = heard.message.headers.values("record-route")
        if after and before and [_place(value) for value in before] != [_place(value) for value in after]:
            yield heard, (request,), {"before": ", ".join(before), "after": ", ".join(after)}


def _target_changed(case: Case) -> Iterator[_Sign]:
    """The Request-URI of an ACK is the Contact of the answer (12.1.2, 12.2.1.1)."""
    answers = case.responses("INVITE", 200, 300, received=False)
    for heard in case.requests("ACK", received=True):
        answer = next((each for each in answers if _is_answered_by(each, heard)), None)
        if answer is None or answer.message is None or not isinstance(heard.message, Request):
            continue
        before, after = _contact(answer.message), heard.message.uri_text
        if before is not None and _place(before.text) != _place(after):
            yield heard, (answer,), {"before": before.text, "after": after}


def _length_wrong(case: Case) -> Iterator[_Sign]:
    """A datagram has as much body as Content-Length says; what rewrites addresses in it makes it longer or shorter, and
    a shorter one is not even let in (18.3)."""
    for heard in case.messages():
        if not heard.is_received or heard.entry.transport != "UDP" or heard.message is None:
            continue
        body = heard.entry.data.lstrip(b"\r\n").partition(b"\r\n\r\n")[2]
        if body[len(heard.message.body) :].strip(b"\r\n\0 "):
            yield heard, (), {"before": len(heard.message.body), "after": len(body)}


def _via_and_contact_differ(case: Case) -> Iterator[_Sign]:
    """A phone that knows its public address well enough to write it into Via writes it into Contact too."""
    for heard in case.requests("INVITE", received=True):
        if heard.message is None or heard.entry.remote is None:
            continue
        contact, source = _contact(heard.message), heard.entry.remote[0]
        try:
            via = unbracket(heard.message.via.host)
        except ParseError:
            continue
        if contact is not None and via == source and not is_private(source) and is_private(contact.host):
            yield heard, (), {"before": contact.host, "after": via}


def _is_answered_by(answer: Heard, ack: Heard) -> bool:
    """The answer was sent to where the ACK comes from, and both are of the same INVITE."""
    if answer.message is None or ack.message is None or answer.place > ack.place:
        return False
    try:
        same = answer.message.cseq.number == ack.message.cseq.number and answer.message.to.tag == ack.message.to.tag
    except ParseError:
        return False
    return same and answer.entry.remote == ack.entry.remote


def _contact(message: Request | Response) -> Uri | None:
    try:
        contact = message.contact
    except ParseError:
        return None
    return contact.uri if contact is not None else None


def _place(value: str) -> str:
    """Host and port of an address, whatever stands around them."""
    text = value.strip()
    text = text.partition("<")[2].partition(">")[0] if "<" in text else text
    try:
        uri = Uri.parse(text)
    except ParseError:
        return text
    return f"{uri.host.lower()}:{uri.effective_port}"


def _peer(heard: Heard) -> str:
    remote = heard.entry.remote
    return "?" if remote is None else f"{bracket(remote[0])}:{remote[1]}"
