"""The proxy: requests from phones to phones (RFC 3261 16.3 to 16.6, 16.10).

Pure; guarded by the core lock.  Transaction-stateful and record-routing; requests inside the dialog of a call go to the
flow of the other party, which is also what reaches a phone behind NAT.
"""

from __future__ import annotations

import logging

from sip.asserted_identity import our_word
from sip.call import Call, Dialog, Party
from sip.call_control import CallControl, remote_target
from sip.errors import ParseError
from sip.events import DigitWay
from sip.exchange import Exchange
from sip.facts import Fact
from sip.flow import Flow, address_text
from sip.forwarding import Branch, ResponseContext
from sip.headers import Field
from sip.house_rules import Refusal, refusal_of, unreachable
from sip.journal import NO_DETAILS, Details
from sip.key_info import pressed_key
from sip.local_agent import LocalAgent
from sip.media import MediaAnchor, NoMediaPorts
from sip.media_relay import CALLER
from sip.message import Request, make_response
from sip.responses import ResponseProcessor
from sip.routing import (
    breadth_shares,
    loop_hash,
    max_breadth,
    passed_on,
    record_route,
    remove_own_routes,
)
from sip.sips import is_downgrade, not_allowed
from sip.snapshots import TerminationReason
from sip.targets import Target, targets
from sip.transaction_server import InviteServerTransaction, ServerTransaction
from sip.uri import Uri

log = logging.getLogger(__name__)

_RECORD_ROUTED = frozenset({"INVITE", "SUBSCRIBE", "REFER"})
_CALL_METHODS = frozenset({"INVITE", "BYE", "UPDATE", "PRACK", "INFO"})
_BODY_METHODS = frozenset({"INVITE", "ACK", "UPDATE", "PRACK"})


class Proxy:
    """Where each request goes."""

    def __init__(
        self, exchange: Exchange, control: CallControl, responses: ResponseProcessor, agent: LocalAgent
    ) -> None:
        """`agent` takes what is for numbers of the server itself."""
        self._x = exchange
        self._control = control
        self._responses = responses
        self._agent = agent

    # -------------------------------------------------------------------------------------------- outside a dialog

    def initial(self, transaction: ServerTransaction, request: Request, now: float, *, forwarded: bool) -> None:
        """A request outside a dialog, for one of our numbers; `forwarded` by another server, it is for phones that are
        registered here."""
        x, number = self._x, request.uri.number
        flow = transaction.flow
        if request.method == "INVITE" and self._is_merged(transaction, request, now):
            return
        routed_by = loop_hash(request)
        served_here = self._agent.serves(number)
        refusal = refusal_of(x, request, flow, routed_by, served_here=served_here, forwarded=forwarded)
        is_call = request.method == "INVITE"
        call = self._control.start(request, flow, now, forwarded=forwarded) if is_call else None
        if refusal is None and served_here:
            self._agent.initial(transaction, request, call, now)
            return
        goals: list[Target] = []
        if refusal is None:
            bindings = x.location.local(number) if forwarded else x.location.bindings(number)
            goals = targets(request.uri, bindings, x.neighbours)
            if not goals:
                refusal = unreachable(x, request, flow, bindings)
        if refusal is not None:
            self._refuse(transaction, request, call, refusal, now)
            return
        context = ResponseContext(transaction, request, flow, call, loop_hash=routed_by)
        transaction.context = context
        if isinstance(transaction, InviteServerTransaction):
            transaction.respond(make_response(request, 100), now)
        if call is not None:
            call.context = context
            call.to_address = address_text(goals[0].flow)
            self._control.watch_setup(call, now)
        self.fork(context, goals, now)

    def _is_merged(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """An INVITE whose call is live already has come back in a loop or over two ways (8.2.2.2): answered with 482.

        Also one that comes back for another number: a call has one pair of phones here.
        """
        call = self._x.calls.find_live(request.call_id, request.from_.tag or "")
        if call is None:
            return False
        text = "the INVITE came to this server a second time, and was refused"
        call.journal.decided(self._x.wall(now), text, Fact.LOOP)
        transaction.context = ResponseContext(transaction, request, transaction.flow, call, decided=True)
        transaction.respond(make_response(request, 482, to_tag=self._x.identity.new_tag()), now)
        return True

    def _refuse(
        self, transaction: ServerTransaction, request: Request, call: Call | None, refusal: Refusal, now: float
    ) -> None:
        if call is not None:
            transaction.context = ResponseContext(transaction, request, transaction.flow, call, decided=True)
            call.journal.decided(self._x.wall(now), refusal.text, refusal.fact, refusal.details)
        status, phrase, headers = refusal.status, refusal.phrase, refusal.headers
        response = make_response(request, status, phrase, to_tag=self._x.identity.new_tag(), headers=headers)
        transaction.respond(response, now)
        if call is not None:
            self._control.finish(call, refusal.reason, status, refusal.text, "server", now)

    def fork(self, context: ResponseContext, goals: list[Target], now: float) -> None:
        """16.6 for every target at once."""
        request, call, now_at = context.request, context.call, self._x.wall(now)
        shares = breadth_shares(request, len(goals))
        if len(shares) < len(goals):
            text = "the request may not be split among so many phones"
            fact, details = Fact.TOO_MANY_BRANCHES, {"phones": len(goals)}
            self._abandon(context, 440, "Max-Breadth Exceeded", text, now, fact, details)
            return
        prepared: list[tuple[Branch, Target, bytes, int]] = []
        for goal, share in zip(goals, shares, strict=True):
            branch = Branch(context, goal.number, goal.flow)
            context.branches.append(branch)
            if call is not None:
                text = f"calling {goal.number} at {goal.server or goal.flow}"
                call.journal.decided(now_at, text, Fact.CALLED, goal.details)
                branch.media = MediaAnchor(self._x.relay, call.call_id)
                branch.offer_pending = True
            body = self._rewrite(branch, request, CALLER, now)
            if body is None:
                return
            prepared.append((branch, goal, body, share))
        sender, is_recorded = request.from_.uri.number, request.method in _RECORD_ROUTED
        for branch, goal, body, share in prepared:
            recorded = record_route(goal.uri, context.sender_flow, branch.flow) if is_recorded else ()
            outgoing = request
            if goal.server:
                outgoing = request.copy()
                outgoing.set_uri(goal.uri)
                self._x.neighbours.address(outgoing, branch.flow, now_at)
            self._send(branch, outgoing, goal.uri, body, recorded, sender, share, now)

    def _rewrite(self, branch: Branch, request: Request, side: int, now: float) -> bytes | None:
        """The body that leads the media through the relay; None when the request was answered with an error instead."""
        media = branch.media
        if media is None or not request.body or request.method not in _BODY_METHODS:
            return request.body
        context = branch.context
        try:
            return media.rewrite(
                side,
                request.headers.get("content-type") or "",
                request.body,
                context.sender_flow.remote_host,
                branch.flow.local_host,
            )
        except NoMediaPorts:
            text = "all media ports of the server are in use"
            self._abandon(context, 503, "No Free Media Ports", text, now, Fact.NO_MEDIA_PORTS)
        except ParseError as error:
            text, details = f"the phone's audio offer is broken: {error}", {"fault": str(error)}
            self._abandon(context, error.status, error.reason, text, now, Fact.BAD_OFFER, details)
        return None

    def _abandon(
        self,
        context: ResponseContext,
        status: int,
        phrase: str,
        text: str,
        now: float,
        fact: Fact,
        details: Details = NO_DETAILS,
    ) -> None:
        """A request that can't be forwarded after all."""
        context.decided = True
        response = make_response(context.request, status, phrase, to_tag=self._x.identity.new_tag())
        context.server.respond(response, now)
        call = context.call
        if call is not None:
            call.journal.decided(self._x.wall(now), text, fact, details)
        if call is not None and call.context is context:
            self._control.finish(call, TerminationReason.ERROR, status, text, "server", now)
        for branch in context.branches:
            if branch.offer_pending and branch.media is not None:
                branch.media.rollback()
                branch.offer_pending = False

    def _send(
        self,
        branch: Branch,
        request: Request,
        uri: Uri,
        body: bytes,
        recorded: tuple[Field, ...],
        sender: str,
        breadth: int,
        now: float,
    ) -> None:
        """16.6 steps 8 to 11: a copy to the phone of that branch; `sender` is the number that it comes from."""
        x, flow = self._x, branch.flow
        via = x.identity.via(flow, x.identity.new_branch(branch.context.loop_hash))
        word = our_word(request.headers, sender, flow.local_host)
        copy = passed_on(request, uri, body, (via, *recorded), breadth, word)
        if request.method == "INVITE":
            self._responses.start_timer_c(branch, now)
        branch.client = x.layer.send_request(copy, flow, now, branch)

    # -------------------------------------------------------------------------------------------- inside a dialog

    def in_dialog(self, transaction: ServerTransaction, request: Request, dialog: Dialog, now: float) -> None:
        """A request inside a call."""
        call, side, leg = dialog
        if call.local is not None:
            self._agent.in_dialog(transaction, request, dialog, now)
            return
        sender, receiver = dialog.sender, dialog.receiver
        self._note_sender(sender, request, transaction.flow)
        context = ResponseContext(transaction, request, transaction.flow, call)
        transaction.context = context
        branch = Branch(context, receiver.number, self._reach(receiver), leg.media, side, leg)
        if is_downgrade(request.uri, branch.flow):
            context.decided = True
            headers = [not_allowed(transaction.flow)]
            transaction.respond(make_response(request, 480, "SIPS Not Allowed", headers=headers), now)
            return
        context.branches.append(branch)
        if isinstance(transaction, InviteServerTransaction):
            transaction.respond(make_response(request, 100), now)
        begins_offer = request.method == "INVITE" or (request.method == "UPDATE" and request.body)
        if begins_offer and leg.media is not None and call.live:
            leg.media.begin()
            branch.offer_pending = True
        body = self._rewrite(branch, request, side, now)
        if body is None:
            return
        if request.method == "BYE":
            self._control.hang_up(call, leg, side, now)
            transaction.ticket = call.ticket
        elif request.method == "INFO" and (key := pressed_key(request)) is not None:
            self._control.note_key(call, side, key, DigitWay.INFO, self._x.wall(now))
        breadth = max_breadth(request)
        if call.joined is not None:
            request = call.joined.adapted(request, call, leg, side)
        # Inside a dialog the From may say anything; its tag alone is looked at.
        self._send(branch, request, request.uri, body, (), sender.number, breadth, now)

    def _note_sender(self, sender: Party, request: Request, flow: Flow) -> None:
        """Follow a phone whose port or address changed; that it is the phone was seen before (`Admission`, `ack`)."""
        sender.cseq = max(sender.cseq, request.cseq.number)
        sender.flow = flow
        if request.method in ("INVITE", "UPDATE"):
            sender.contact = remote_target(request) or sender.contact

    def _reach(self, party: Party) -> Flow:
        """The flow to a party; a phone whose TCP connection is gone may have come back on another."""
        if party.flow.reliable and party.flow.connection == 0:
            binding = self._x.location.find_device(party.number, party.contact)
            if binding is not None and not binding.server:
                party.flow = binding.flow
        return party.flow

    def outside_calls(self, transaction: ServerTransaction, request: Request, now: float, *, forwarded: bool) -> None:
        """A request with a To tag that is inside no call, but in a subscription, or comes after its call was forgotten:
        the Request-URI is the contact of a phone of ours, or of one at another server, which it has not come from."""
        x = self._x
        binding = x.location.find_device(request.to.uri.number, request.uri)
        is_elsewhere = binding is not None and binding.server != ""
        flow = binding.flow if binding is not None else None
        if binding is not None and is_elsewhere:
            flow = None if forwarded else x.neighbours.flow(binding.server)
        if request.method in _CALL_METHODS or binding is None or flow is None:
            response = make_response(request, 481, to_tag=x.identity.new_tag())
            transaction.respond(response, now)
            return
        context = ResponseContext(transaction, request, transaction.flow, loop_hash=loop_hash(request))
        transaction.context = context
        branch = Branch(context, binding.number, flow)
        context.branches.append(branch)
        sender, breadth = request.from_.uri.number, max_breadth(request)
        if is_elsewhere:
            request = request.copy()
            x.neighbours.address(request, flow, x.wall(now))
        self._send(branch, request, request.uri, request.body, (), sender, breadth, now)

    # -------------------------------------------------------------------------------------------- ACK, CANCEL

    def ack(self, ack: Request, flow: Flow, now: float) -> None:
        """ACK to a 2xx: travels like any request of the dialog, without a transaction (13.2.2.4, 17)."""
        remove_own_routes(ack, self._x.identity)
        dialog = self._x.calls.dialog_of(ack)
        if dialog is None or ack.max_forwards == 0:
            log.debug("ACK of %s belongs to no call here", ack.call_id)
            return
        call, side, leg = dialog
        sender, receiver = dialog.sender, dialog.receiver
        if not self._x.may_be(sender, flow):
            log.debug("ACK of %s is not from its phone", ack.call_id)
            text = f"an ACK from {flow} was dropped: it is not from the phone of the call"
            details = {"address": address_text(flow)}
            call.journal.decided(self._x.wall(now), text, Fact.ACK_FROM_ELSEWHERE, details)
            return
        if call.local is not None:
            self._agent.ack(ack, dialog, flow, now)
            return
        self._note_sender(sender, ack, flow)
        target = self._reach(receiver)
        if is_downgrade(ack.uri, target):
            log.debug("ACK of %s must not leave over %s", ack.call_id, target.transport)
            return
        body = ack.body
        if body and leg.media is not None:
            try:
                content_type = ack.headers.get("content-type") or ""
                body = leg.media.rewrite(side, content_type, body, flow.remote_host, target.local_host)
            except (ParseError, NoMediaPorts) as error:
                self._control.end(call, TerminationReason.ERROR, f"the answer in the ACK can't be used: {error}", now)
                return
        request = ack if call.joined is None else call.joined.adapted(ack, call, leg, side)
        identity = self._x.identity
        via = identity.via(target, identity.branch_of_copy(ack))
        word = our_word(request.headers, sender.number, target.local_host)
        self._x.send(target, passed_on(request, request.uri, body, (via,), max_breadth(ack), word), call)

    def cancel(
        self, transaction: ServerTransaction, invite: InviteServerTransaction | None, request: Request, now: float
    ) -> None:
        """16.10: answer the CANCEL, cancel the branches, let their 487 answer the INVITE."""
        context = transaction.context = invite.context if invite is not None else None
        status = 200 if invite is not None else 481
        transaction.respond(make_response(request, status, to_tag=self._x.identity.new_tag()), now)
        if not isinstance(context, ResponseContext) or context.decided:
            return
        if context.call is not None:
            details = {"reason": reason} if (reason := request.headers.get("reason")) else NO_DETAILS
            context.call.journal.decided(self._x.wall(now), "the caller cancelled", Fact.CANCELLED, details)
        if context.call is not None and context.call.local is not None:
            self._agent.cancel(context, context.call, now)
            return
        self._control.cancel_branches(context, "caller", now, request.headers.get("reason"))
