"""Calls that the server begins: it rings the phones of one number and, when one is picked up, calls the other number in
its name (RFC 3725 4.3, flow III: what the two phones agree on is one offer and one answer, so formats and keys fit).

Pure; guarded by the core lock.  The call is one `Call` from the start. To the first phone the server is a user agent
client; towards the second number the call goes through the proxy like any other, its upstream being this module instead
of a phone; once both have answered they are joined (`sip.joined`).

    server -> 100   INVITE without an offer; 200 with an offer; ACK with an answer that wants no sound yet
    proxy  -> 101   INVITE without an offer; 200 with 101's offer
    server -> 100   re-INVITE with 101's offer; 200 with 100's answer; ACK
    server -> 101   ACK with 100's answer
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

from sip.black_hole import black_hole_answer
from sip.call_control import CallControl, remote_target
from sip.calls import CALLER, Call, Dialog, Leg, Party
from sip.errors import ParseError
from sip.exchange import Exchange
from sip.flow import Flow, address_text
from sip.forwarding import ResponseContext
from sip.joined import Joined
from sip.local_media import SDP, find_description
from sip.local_request import own_uri
from sip.location import Binding
from sip.media import NoMediaPorts
from sip.message import Request, Response, make_response
from sip.outcome import outcome
from sip.proxy import Proxy
from sip.routing import split_record_route
from sip.sdp import SdpError
from sip.snapshots import TerminationReason
from sip.targets import targets
from sip.timers import Timer
from sip.transaction_client import ClientTransaction, InviteClientTransaction
from sip.transaction_server import ServerTransaction
from sip.uri import Uri

RING_S: Final = 60.0
"""So long the first number rings: whoever has asked for the call is about to sit at its phone."""

GLARE_S: Final = 2.1
"""After a re-INVITE that has crossed one of the phone (RFC 3261 14.1: more than 2 seconds for its owner's side)."""

_MAX_GLARES: Final = 3
_ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK"


class DialRefused(Exception):
    """`status` is the HTTP status that says it best, the text a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True, eq=False)
class FirstCall:
    """Transaction context of the INVITE to one phone of the first number."""

    call: Call
    binding: Binding
    client: ClientTransaction | None = None
    final: Response | None = None
    rang: bool = False
    silent: bool = False
    refused: bool = False


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

    dialler: Dialler
    call: Call
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
        self.dialler.abandon(self, text, now)

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Upstream:
    """Stands where the server transaction of the caller's INVITE would (`ResponseContext.server`): what the proxy sends
    upstream comes here."""

    def __init__(self, dialler: Dialler, call: Call, flow: Flow) -> None:
        self.flow = flow
        self.ticket = 0
        self._dialler = dialler
        self._call = call

    def respond(self, response: Response, now: float) -> None:
        if response.status >= 300:
            self._dialler.second_failed(self._call, now)
        elif response.status >= 200:
            self._dialler.second_answered(self._call, response, now)


class Dialler:
    """Begins calls between two numbers."""

    def __init__(self, exchange: Exchange, control: CallControl, proxy: Proxy) -> None:
        self._x = exchange
        self._control = control
        self._proxy = proxy

    # -------------------------------------------------------------------------------------------- the first phone

    def dial(self, from_number: str, to_number: str, now: float, *, auto_answer: bool) -> Call:
        """Ring the phones of `from_number`.  Raises `DialRefused`; nothing has happened then."""
        x = self._x
        bindings = self._check(from_number, to_number)
        flow, identity = bindings[0].flow, x.identity
        tag, contact = identity.new_tag(), _own_contact(to_number, flow)
        callee = f'"{to_number}" <sip:{to_number}@{flow.sent_by}>;tag={tag}'
        caller = Party(from_number, "", f"<sip:{from_number}@{flow.sent_by}>", flow, contact=bindings[0].contact)
        call = Call(identity.new_call_id(), caller, to_number, x.wall(now), x.calls.new_journal())
        call.joined = Joined(tag, callee, f"<{contact}>")
        call.first_leg = leg = FirstLeg(self, call)
        x.calls.add(call)
        text = f"asked to connect {from_number} with {to_number}: {from_number} is rung first"
        call.journal.decided(x.wall(now), text)
        cseq = call.joined.next_cseq(CALLER)
        for binding in bindings:
            leg.calls.append(FirstCall(call, binding))
        leg.timer = x.timers.start(now + RING_S, partial(self._rung_in_vain, leg))
        for first in list(leg.calls):
            self._invite(first, leg, callee, cseq, now, auto_answer=auto_answer)
        return call

    def _check(self, from_number: str, to_number: str) -> list[Binding]:
        x = self._x
        for number in (from_number, to_number):
            if number not in x.plan:
                raise DialRefused(404, f"{number} is no number of this office ({x.plan}).")
        if from_number == to_number:
            raise DialRefused(409, "A number can't be connected with itself.")
        bindings = x.location.local(from_number)
        if not bindings:
            raise DialRefused(409, f"{from_number} is not registered: its phone is off, offline or not set up.")
        if not x.location.bindings(to_number):
            raise DialRefused(409, f"{to_number} is not registered: its phone is off, offline or not set up.")
        if x.calls.limit_met(bindings[0].flow.remote_host) is not None:
            raise DialRefused(503, "The server has as many calls as it can carry, or is about to end.")
        return bindings

    def _invite(
        self, first: FirstCall, leg: FirstLeg, callee: str, cseq: int, now: float, *, auto_answer: bool
    ) -> None:
        binding, call = first.binding, leg.call
        flow = binding.flow
        number = binding.number
        to = Party(number, "", f"<sip:{number}@{flow.sent_by}>", flow, contact=binding.contact)
        headers = [("Contact", f"<{_own_contact(call.to_number, flow)}>"), ("Allow", _ALLOW)]
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
        self._cancel(leg, "setup timeout", now)

    def _cancel(self, leg: FirstLeg, cause: str, now: float, reason: str = "") -> None:
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
            self._acknowledge(call, call.caller, response.cseq.number, leg.ack_body)
            return
        is_first = first.final is None
        first.final = response
        if leg.is_up or not call.live or leg.cancel_cause:
            self._decline(call, party, response, now, is_first=is_first)
            return
        try:
            offer = find_description(response.headers.get("content-type") or "", response.body)
            leg.ack_body = black_hole_answer(offer)
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
        call.joined.contact = f"<{_own_contact(call.to_number, party.flow)}>"
        seen = Party(call.to_number, call.joined.tag, call.joined.callee, party.flow)
        call.legs[call.joined.tag] = Leg(seen, None)
        self._acknowledge(call, party, response.cseq.number, leg.ack_body)
        self._cancel(leg, "", now, 'SIP;cause=200;text="Call completed elsewhere"')
        call.journal.decided(self._x.wall(now), f"{party.number} has picked up; {call.to_number} is called")
        self._call_second(call, now)

    def _party(self, number: str, flow: Flow, response: Response) -> Party:
        route_set = split_record_route(response.headers.values("record-route"), self._x.identity)[0]
        return Party(
            number,
            response.to.tag or "",
            response.headers.get("to") or "",
            flow,
            contact=remote_target(response),
            route_set=route_set,
        )

    def _acknowledge(self, call: Call, party: Party, cseq: int, body: bytes = b"") -> None:
        """ACK a 2xx of the first phone."""
        assert call.joined is not None
        ack = self._control.request_to(party, "ACK", call.joined.callee, call.call_id, cseq)
        if body:
            ack.set_body(body, SDP)
        self._x.send(party.flow, ack, call)

    def _decline(self, call: Call, party: Party, response: Response, now: float, *, is_first: bool) -> None:
        """One more phone has picked up, or too late: accept, and hang up there (RFC 3261 13.2.2.4)."""
        assert call.joined is not None
        self._acknowledge(call, party, response.cseq.number)
        if is_first:
            cseq = response.cseq.number + 1
            self._control.send_bye_to(call, party, call.joined.callee, cseq, "answered elsewhere", now)

    # -------------------------------------------------------------------------------------------- the second number

    def _call_second(self, call: Call, now: float) -> None:
        """As if the first phone had sent an INVITE itself, one without an offer."""
        x, caller = self._x, call.caller
        assert call.joined is not None
        dialled = Uri.parse(f"sip:{call.to_number}@{caller.flow.sent_by}")
        called = Party(call.to_number, "", f"<{dialled.text}>", caller.flow, contact=dialled)
        cseq = call.joined.next_cseq(1 - CALLER)
        contact = caller.contact.text if caller.contact is not None else _own_contact(caller.number, caller.flow)
        headers = (("Contact", f"<{contact}>"), ("Allow", _ALLOW))
        request = self._control.request_to(called, "INVITE", caller.address, call.call_id, cseq, headers)
        upstream = Upstream(self, call, caller.flow)
        # The upstream is no transaction that could end; the branches go when theirs have.
        context = ResponseContext(_as_transaction(upstream), request, caller.flow, call, ended=True)
        goals = targets(dialled, x.location.bindings(call.to_number), x.neighbours)
        if not goals:
            text = f"{call.to_number} is no longer registered"
            self.second_failed(call, now)
            self._control.finish(call, TerminationReason.UNREACHABLE, 480, text, "server", now)
            return
        call.context = context
        call.to_address = address_text(goals[0].flow)
        self._control.watch_setup(call, now)
        self._proxy.fork(context, goals, now)

    def second_failed(self, call: Call, now: float) -> None:
        """Nobody there takes the call: hang up on the first phone."""
        leg = call.first_leg
        if isinstance(leg, FirstLeg) and leg.is_up and call.answered is None and call.live:
            self._hang_up_first(call, "the other side could not be reached", now)

    def second_answered(self, call: Call, response: Response, now: float) -> None:
        leg, first_leg = call.legs.get(response.to.tag or ""), call.first_leg
        if leg is None or call.joined is None or not isinstance(first_leg, FirstLeg):
            return
        cseq = response.cseq.number
        if leg is not call.answered:
            if leg.answered:
                leg.answered, leg.ended = False, True
                self._acknowledge_second(call, leg, cseq, _quiet_answer(response.body))
                cseq = call.joined.next_cseq(1 - CALLER)
                self._control.send_bye_to(call, leg.party, call.caller.address, cseq, "answered elsewhere", now)
        elif call.legs.pop(call.joined.tag, None) is not None:
            first_leg.rejoin = Rejoin(call, leg, cseq, response.body)
            if response.body:
                self._rejoin(first_leg.rejoin, now)
            else:
                text = f"the phone of {call.to_number} offers no sound"
                self._control.end(call, TerminationReason.ERROR, text, now)
        elif first_leg.second_ack is not None:
            self._x.send(leg.party.flow, first_leg.second_ack, call)

    def _acknowledge_second(self, call: Call, leg: Leg, cseq: int, body: bytes) -> Request:
        ack = self._control.request_to(leg.party, "ACK", call.caller.address, call.call_id, cseq)
        if body:
            ack.set_body(body, SDP)
        self._x.send(leg.party.flow, ack, call)
        return ack

    # -------------------------------------------------------------------------------------------- both

    def _rejoin(self, rejoin: Rejoin, now: float) -> None:
        """Give the first phone the sound of the second."""
        call = rejoin.call
        if not call.live or call.joined is None:
            return
        headers = (("Contact", call.joined.contact), ("Allow", _ALLOW))
        cseq = call.joined.next_cseq(CALLER)
        request = self._control.request_to(call.caller, "INVITE", call.joined.callee, call.call_id, cseq, headers)
        request.set_body(rejoin.body, SDP)
        self._x.layer.send_request(request, call.caller.flow, now, rejoin)

    def on_rejoin(self, rejoin: Rejoin, response: Response, now: float) -> None:
        """What the first phone says to that."""
        call, first_leg = rejoin.call, rejoin.call.first_leg
        if response.status < 200:
            return
        if response.status < 300:
            self._acknowledge(call, call.caller, response.cseq.number)
            if call.live and isinstance(first_leg, FirstLeg) and first_leg.second_ack is None:
                self._pass_on(rejoin, first_leg, response, now)
        elif response.status == 491 and rejoin.glares < _MAX_GLARES and call.live:
            rejoin.glares += 1
            self._x.timers.start(now + GLARE_S, partial(self._rejoin, rejoin))
        else:
            self.on_lost(rejoin, now)

    def _pass_on(self, rejoin: Rejoin, first_leg: FirstLeg, response: Response, now: float) -> None:
        """The answer of the first phone is that to the offer of the second."""
        call, leg = rejoin.call, rejoin.leg
        host, content_type = call.caller.flow.remote_host, response.headers.get("content-type") or ""
        try:
            if leg.media is None or not response.body:
                raise SdpError("it holds no session description")
            body = leg.media.rewrite(CALLER, content_type, response.body, host, leg.party.flow.local_host)
        except (ParseError, NoMediaPorts) as error:
            text = f"the answer of {call.caller.number} can't be used: {error}"
            self._control.end(call, TerminationReason.ERROR, text, now)
            return
        first_leg.second_ack = self._acknowledge_second(call, leg, rejoin.cseq, body)

    def on_lost(self, rejoin: Rejoin, now: float) -> None:
        """The first phone does not take the offer of the second, or is gone."""
        call = rejoin.call
        text = f"the phone of {call.caller.number} did not take the sound of {call.to_number}"
        self._control.end(call, TerminationReason.ERROR, text, now)

    def in_first_dialog(self, transaction: ServerTransaction, request: Request, dialog: Dialog, now: float) -> None:
        """The first phone speaks while the second rings: mostly to hang up."""
        call = dialog.call
        status = {"INVITE": 491, "UPDATE": 491, "PRACK": 481}.get(request.method, 200)
        transaction.respond(make_response(request, status, to_tag=self._x.identity.new_tag()), now)
        if request.method == "BYE" and call.live:
            number = call.caller.number
            if call.context is not None:
                self._control.cancel_branches(call.context, "caller", now)
                call.context.decided = True
            text = f"{number} hung up before {call.to_number} answered"
            self._control.finish(call, TerminationReason.CANCELLED, 487, text, "caller", now)

    def abandon(self, leg: FirstLeg, text: str, now: float) -> None:
        """The server ends the call; when both phones are in it already, it tells them by itself."""
        leg.stop_timer()
        if leg.rejoin is not None:
            self._settle_second(leg, leg.rejoin)
        elif leg.is_up:
            self._hang_up_first(leg.call, text, now)
        else:
            self._cancel(leg, "server", now)

    def _settle_second(self, leg: FirstLeg, rejoin: Rejoin) -> None:
        """The second phone waits for its ACK, and only then can be told that the call is over (RFC 3261 15)."""
        if leg.second_ack is None:
            body = _quiet_answer(rejoin.body)
            leg.second_ack = self._acknowledge_second(leg.call, rejoin.leg, rejoin.cseq, body)

    def _hang_up_first(self, call: Call, text: str, now: float) -> None:
        assert call.joined is not None
        if call.legs.pop(call.joined.tag, None) is not None:
            cseq = call.joined.next_cseq(CALLER)
            self._control.send_bye_to(call, call.caller, call.joined.callee, cseq, text, now)


def _as_transaction(upstream: Upstream) -> ServerTransaction:
    """It answers to the only thing that is asked of one here."""
    return cast(ServerTransaction, upstream)


def _quiet_answer(offer: bytes) -> bytes:
    """For a phone that is about to be hung up on."""
    try:
        return black_hole_answer(offer)
    except SdpError:
        return b""


def _own_contact(number: str, flow: Flow) -> str:
    return own_uri("sip", Uri.parse(f"sip:{number}@{flow.sent_by}"), flow)
