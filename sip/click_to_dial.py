"""Calls that the server begins: it rings the phones of one number and, when one is picked up, calls the other number in
its name (RFC 3725 4.3, flow III: what the two phones agree on is one offer and one answer, so formats and keys fit).

Pure; guarded by the core lock.  The call is one `Call` from the start. To the first phone the server is a user agent
client; towards the second number the call goes through the proxy like any other, its upstream being this module instead
of a phone; once both have answered they are joined (`sip.joined`).

    server -> 100   INVITE without an offer; 200 with an offer; ACK with an answer that leads to the ringing tone
    proxy  -> 101   INVITE without an offer; 200 with 101's offer
    server -> 100   re-INVITE with 101's offer; 200 with 100's answer; ACK
    server -> 101   ACK with 100's answer
"""

from __future__ import annotations

from functools import partial
from typing import Final

from sip.black_hole import black_hole_answer
from sip.call import Call, Dialog, Leg, Party
from sip.call_control import CallControl
from sip.endpoint import EndpointRelay
from sip.errors import ParseError
from sip.exchange import Exchange
from sip.first_leg import ALLOW, FirstLeg, FirstPhones, Rejoin, own_contact
from sip.flow import Flow, address_text
from sip.forwarding import ResponseContext
from sip.joined import Joined
from sip.local_media import SDP
from sip.location import Binding
from sip.media import NoMediaPorts
from sip.media_relay import CALLER
from sip.message import Request, Response, make_response
from sip.proxy import Proxy
from sip.ringback import Ringback
from sip.sdp_values import SdpError
from sip.snapshots import TerminationReason
from sip.targets import targets
from sip.transaction_server import ServerTransaction
from sip.uri import Uri

GLARE_S: Final = 2.1
"""After a re-INVITE that has crossed one of the phone (RFC 3261 14.1: more than 2 seconds for its owner's side)."""

_MAX_GLARES: Final = 3


class DialRefused(Exception):
    """`status` is the HTTP status that says it best, the text a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


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
        elif response.status >= 180:
            self._dialler.second_rings(self._call, now)


class Dialler:
    """Begins calls between two numbers."""

    def __init__(self, exchange: Exchange, relay: EndpointRelay, control: CallControl, proxy: Proxy) -> None:
        self._x = exchange
        self._relay = relay
        self._control = control
        self._proxy = proxy
        self.first = FirstPhones(exchange, control, self._call_second)

    # -------------------------------------------------------------------------------------------- the first phone

    def dial(self, from_number: str, to_number: str, now: float, *, auto_answer: bool) -> Call:
        """Ring the phones of `from_number`.  Raises `DialRefused`; nothing has happened then."""
        x = self._x
        bindings = self._check(from_number, to_number)
        flow, identity = bindings[0].flow, x.identity
        tag, contact = identity.new_tag(), own_contact(to_number, flow)
        callee = f'"{to_number}" <sip:{to_number}@{flow.sent_by}>;tag={tag}'
        caller = Party(from_number, "", f"<sip:{from_number}@{flow.sent_by}>", flow, contact=bindings[0].contact)
        call = Call(identity.new_call_id(), caller, to_number, x.wall(now), x.calls.new_journal())
        call.joined = Joined(tag, callee, f"<{contact}>")
        call.first_leg = leg = FirstLeg(self, call, Ringback(self._relay, x.timers))
        x.calls.add(call)
        text = f"asked to connect {from_number} with {to_number}: {from_number} is rung first"
        call.journal.decided(x.wall(now), text)
        self.first.ring(leg, bindings, now, auto_answer=auto_answer)
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

    # -------------------------------------------------------------------------------------------- the second number

    def _call_second(self, call: Call, now: float) -> None:
        """As if the first phone had sent an INVITE itself, one without an offer."""
        x, caller = self._x, call.caller
        assert call.joined is not None
        dialled = Uri.parse(f"sip:{call.to_number}@{caller.flow.sent_by}")
        called = Party(call.to_number, "", f"<{dialled.text}>", caller.flow, contact=dialled)
        cseq = call.joined.next_cseq(1 - CALLER)
        contact = caller.contact.text if caller.contact is not None else own_contact(caller.number, caller.flow)
        headers = (("Contact", f"<{contact}>"), ("Allow", ALLOW))
        request = self._control.request_to(called, "INVITE", caller.address, call.call_id, cseq, headers)
        upstream = Upstream(self, call, caller.flow)
        # The upstream is no transaction that could end; the branches go when theirs have.
        context = ResponseContext(upstream, request, caller.flow, call, ended=True)
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

    def second_rings(self, call: Call, now: float) -> None:
        if isinstance(call.first_leg, FirstLeg):
            call.first_leg.ringback.ring(now)

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
            first_leg.ringback.fall_silent()
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
        headers = (("Contact", call.joined.contact), ("Allow", ALLOW))
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
            self.first.acknowledge(call, call.caller, response.cseq.number)
            if isinstance(first_leg, FirstLeg):
                first_leg.ringback.close()
                if call.live and first_leg.second_ack is None:
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
            self.first.cancel(leg, "server", now)

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


def _quiet_answer(offer: bytes) -> bytes:
    """For a phone that is about to be hung up on."""
    try:
        return black_hole_answer(offer)
    except SdpError:
        return b""
