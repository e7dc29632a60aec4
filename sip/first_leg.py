"""The way to the phone that is rung first in a call that the server begins (`sip.click_to_dial`): the server is its
user agent client, and calls every phone of the number at once.

Pure; guarded by the core lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from sip.call import Call, Leg, Party
from sip.call_control import CallControl, remote_target
from sip.errors import ParseError
from sip.exchange import Exchange
from sip.flow import Flow
from sip.local_media import SDP, find_description
from sip.local_request import own_uri
from sip.location import Binding
from sip.media_relay import CALLER
from sip.message import Request, Response, make_response
from sip.outcome import outcome
from sip.ringback import Ringback
from sip.routing import route_sets
from sip.sips import target_uri
from sip.snapshots import TerminationReason
from sip.timers import Timer
from sip.transaction_client import ClientTransaction, InviteClientTransaction
from sip.uri import Uri

RING_S: Final = 60.0
"""So long the first number rings: whoever has asked for the call is about to sit at its phone."""

ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK"


class Owner(Protocol):
    """Who has begun the call."""

    def abandon(self, leg: FirstLeg, text: str, now: float) -> None:
        """The server ends it."""


@dataclass(slots=True, eq=False)
class FirstCall:
    """Transaction context of the INVITE to one phone of the first number."""

    call: Call
    binding: Binding
    client: ClientTransaction | None = None
    final: Response | None = None
    rang: bool = False
    silent: bool = False


@dataclass(slots=True, eq=False)
class Rejoin:
    """Transaction context of the re-INVITE that joins the first phone; `body` is the offer of the second one, which
    waits for the ACK to its INVITE of number `cseq`."""

    call: Call
    leg: Leg
    cseq: int
    body: bytes
    glares: int = 0


@dataclass(slots=True, eq=False)
class FirstLeg:
    """The server's half of the dialog with the phone that picks up, and what leads to it (`Call.first_leg`).

    `winner` is the INVITE that was answered first, `ack_body` what its 200 is acknowledged with, also when it comes
    again; `second_ack` is the ACK of the second phone."""

    owner: Owner
    call: Call
    ringback: Ringback
    calls: list[FirstCall] = field(default_factory=list)
    timer: Timer | None = None
    cancel_cause: str = ""
    winner: FirstCall | None = None
    ack_body: bytes = b""
    rejoin: Rejoin | None = None
    second_ack: Request | None = None

    @property
    def is_up(self) -> bool:
        """A phone of the first number has picked up."""
        return self.winner is not None

    def abandon(self, text: str, now: float) -> None:
        """The call ends before both phones have answered."""
        self.owner.abandon(self, text, now)

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def end(self) -> None:
        """The call is over: stop its timer, free its ports."""
        self.stop_timer()
        self.ringback.close()


class FirstPhones:
    """Rings them; `on_picked_up(call, now)` is told when the call has a caller."""

    def __init__(self, exchange: Exchange, control: CallControl, on_picked_up: Callable[[Call, float], None]) -> None:
        self._x = exchange
        self._control = control
        self._on_picked_up = on_picked_up

    def ring(self, leg: FirstLeg, bindings: list[Binding], now: float, *, auto_answer: bool) -> None:
        """INVITE every phone of the number."""
        joined = leg.call.joined
        assert joined is not None
        cseq = joined.next_cseq(CALLER)
        leg.calls += [FirstCall(leg.call, binding) for binding in bindings]
        leg.timer = self._x.timers.start(now + RING_S, partial(self._rung_in_vain, leg))
        for first in list(leg.calls):
            self._invite(first, leg, joined.callee, cseq, now, auto_answer=auto_answer)

    def _invite(
        self, first: FirstCall, leg: FirstLeg, callee: str, cseq: int, now: float, *, auto_answer: bool
    ) -> None:
        binding, call = first.binding, leg.call
        flow = binding.flow
        address = Uri.parse(f"sip:{binding.number}@{flow.sent_by}")
        to = Party(binding.number, "", f"<{address.text}>", flow, contact=target_uri(address, binding.contact))
        headers = [("Contact", f"<{own_contact(call.to_number, flow)}>"), ("Allow", ALLOW)]
        if auto_answer:
            # No RFC says how; these two are what most desk phones understand.
            headers += [
                ("Call-Info", f"<sip:{flow.sent_by}>;answer-after=0"),
                ("Alert-Info", f"<http://{flow.sent_by}>;info=alert-autoanswer"),
            ]
        request = self._control.request_to(to, "INVITE", callee, call.call_id, cseq, headers)
        first.client = self._x.layer.send_request(request, flow, now, first)

    def on_response(self, first: FirstCall, response: Response, now: float) -> None:
        """From a phone of the first number."""
        leg = first.call.first_leg
        if not isinstance(leg, FirstLeg):
            return
        if response.status < 200:
            first.rang = first.rang or response.status >= 180
        elif response.status < 300:
            self._picked_up(first, leg, response, now)
        else:
            self._first_failed(first, leg, response, now)

    def on_silence(self, first: FirstCall, now: float) -> None:
        """A phone of the first number has not answered, or could not be reached."""
        leg = first.call.first_leg
        if isinstance(leg, FirstLeg) and first.final is None and first.client is not None:
            first.silent = not first.rang
            status = 487 if leg.cancel_cause else 408
            self._first_failed(first, leg, make_response(first.client.request, status), now)

    def _rung_in_vain(self, leg: FirstLeg, now: float) -> None:
        leg.timer = None
        self.cancel(leg, "setup timeout", now)

    def cancel(self, leg: FirstLeg, cause: str, now: float, reason: str = "") -> None:
        leg.cancel_cause = leg.cancel_cause or cause
        headers = [("Reason", reason)] if reason else []
        for first in leg.calls:
            if first.final is None and isinstance(first.client, InviteClientTransaction):
                first.client.cancel(now, headers)

    def _first_failed(self, first: FirstCall, leg: FirstLeg, response: Response, now: float) -> None:
        if first.final is not None:
            return
        first.final = response
        call = leg.call
        if leg.is_up or not call.live or any(each.final is None for each in leg.calls):
            return
        best = min((each.final for each in leg.calls if each.final is not None), key=lambda final: final.status)
        reason, text = outcome(
            best,
            call.caller.number,
            rang=any(each.rang for each in leg.calls),
            cancel_cause=leg.cancel_cause,
            unreachable=all(each.silent for each in leg.calls),
        )
        self._control.finish(call, reason, best.status, text, "caller", now)

    def _picked_up(self, first: FirstCall, leg: FirstLeg, response: Response, now: float) -> None:
        call = leg.call
        party = self._party(first.binding.number, first.binding.flow, response)
        if first is leg.winner and party.tag == call.caller.tag:
            self.acknowledge(call, call.caller, response.cseq.number, leg.ack_body)
            return
        is_first = first.final is None
        first.final = response
        if leg.is_up or not call.live or leg.cancel_cause:
            self._decline(call, party, response, now, is_first=is_first)
            return
        try:
            offer = find_description(response.headers.get("content-type") or "", response.body)
            leg.ack_body = leg.ringback.answer(offer, call.call_id, party.flow)
        except ParseError as error:
            self._decline(call, party, response, now, is_first=True)
            text = f"the phone of {call.caller.number} offers no sound that can be used: {error}"
            self._control.finish(call, TerminationReason.ERROR, 488, text, "server", now)
            return
        leg.winner = first
        leg.stop_timer()
        self._x.calls.rename(call, party.tag)
        call.caller = party
        assert call.joined is not None
        call.joined.contact = f"<{own_contact(call.to_number, party.flow)}>"
        seen = Party(call.to_number, call.joined.tag, call.joined.callee, party.flow)
        call.legs[call.joined.tag] = Leg(seen, None)
        self.acknowledge(call, party, response.cseq.number, leg.ack_body)
        self.cancel(leg, "", now, 'SIP;cause=200;text="Call completed elsewhere"')
        call.journal.decided(self._x.wall(now), f"{party.number} has picked up; {call.to_number} is called")
        self._on_picked_up(call, now)

    def _party(self, number: str, flow: Flow, response: Response) -> Party:
        return Party(
            number,
            response.to.tag or "",
            response.headers.get("to") or "",
            flow,
            contact=remote_target(response),
            route_set=route_sets(response, self._x.identity)[0],
        )

    def acknowledge(self, call: Call, party: Party, cseq: int, body: bytes = b"") -> None:
        """ACK a 2xx of the first phone."""
        assert call.joined is not None
        ack = self._control.request_to(party, "ACK", call.joined.callee, call.call_id, cseq)
        if body:
            ack.set_body(body, SDP)
        self._x.send(party.flow, ack, call)

    def _decline(self, call: Call, party: Party, response: Response, now: float, *, is_first: bool) -> None:
        """One more phone has picked up, or too late: accept, and hang up there (RFC 3261 13.2.2.4)."""
        assert call.joined is not None
        self.acknowledge(call, party, response.cseq.number)
        if is_first:
            cseq = response.cseq.number + 1
            self._control.send_bye_to(call, party, call.joined.callee, cseq, "answered elsewhere", now)


def own_contact(number: str, flow: Flow) -> str:
    """Where that number is reached at the server, by the way of that phone."""
    return own_uri("sip", Uri.parse(f"sip:{number}@{flow.sent_by}"), flow)
