"""Responses on their way back through the proxy (RFC 3261 16.7, 16.8, 16.9).

Pure; guarded by the core lock.
"""

from __future__ import annotations

import logging

from sip.asserted_identity import assert_identity
from sip.call_control import CallControl, reason_value, remote_target
from sip.errors import ParseError
from sip.exchange import Exchange
from sip.facts import Fact
from sip.flow import Flow, address_text
from sip.forwarding import Branch, ResponseContext, best_response
from sip.journal import Details
from sip.media import NoMediaPorts
from sip.media_relay import CALLER
from sip.message import Response, make_response
from sip.outcome import outcome
from sip.snapshots import TerminationReason

log = logging.getLogger(__name__)

_OFFER_METHODS = frozenset({"INVITE", "UPDATE", "PRACK"})


class ResponseProcessor:
    """What happens to each response of a branch, and to a branch that gives none."""

    def __init__(self, exchange: Exchange, control: CallControl) -> None:
        self._x = exchange
        self._control = control

    # -------------------------------------------------------------------------------------------- inputs

    def on_response(self, branch: Branch, response: Response, flow: Flow, now: float) -> None:
        """A response that matched the branch's client transaction."""
        response.pop_via()
        if branch.leg is not None and branch.call is not None and branch.call.joined is not None:
            branch.call.joined.restore(response, branch.context.request, branch.sender_side)
        assert_identity(response.headers, branch.number, branch.context.sender_flow.local_host)
        if "via" not in response.headers:
            self._unforwardable(branch, response, now)
            return
        if response.status < 200:
            self._provisional(branch, response, flow, now)
        elif response.status < 300:
            self._success(branch, response, flow, now)
        else:
            self._note_declined(branch, response, now)
            self._failure(branch, response, now)

    def _unforwardable(self, branch: Branch, response: Response, now: float) -> None:
        """Without a Via for the sender it can't go upstream (16.7 step 3).  A final one has ended its transaction all
        the same, so the branch has failed."""
        log.debug("response without a Via for the sender dropped")
        if response.status < 200:
            return
        context = branch.context
        if response.status < 300 and context.request.method == "INVITE":
            if branch.leg is None:
                self._control.refuse_answer(context.call, branch, response, "answered without a Via", now)
            elif context.call is not None:
                self._control.accept_refresh(context.call, branch, response)
        self._failure(branch, make_response(context.request, 502, to_tag=self._x.identity.new_tag()), now)

    def on_timeout(self, branch: Branch, now: float) -> None:
        """Timer B, F or C, or a cancelled INVITE that never ended: as if 408 had come (16.8)."""
        if branch.final is None:
            branch.silent = not branch.provisional
            details = _details(branch) | {"rang": int(branch.provisional)}
            if why := self._x.returned.why(branch.flow.remote, now - 64 * self._x.settings.t1_s):
                details["why"] = why
            self._note(branch, f"no final response from {branch.flow}", now, Fact.UNANSWERED, details)
            status = 487 if branch.context.cancel_cause else 408
            self._failure(branch, make_response(branch.context.request, status, to_tag=self._x.identity.new_tag()), now)

    def on_unreachable(self, branch: Branch, reason: str, now: float) -> None:
        """The transport could not deliver the request (16.9).

        As if the phone had answered 480: a 503, which the RFC suggests, would make the caller's phone believe that
        this server is out of order.
        """
        details = _details(branch) | {"why": reason}
        self._note(branch, f"{branch.flow} is unreachable: {reason}", now, Fact.UNREACHABLE, details)
        if branch.final is None:
            branch.silent = True
            self._failure(branch, make_response(branch.context.request, 480, to_tag=self._x.identity.new_tag()), now)

    # -------------------------------------------------------------------------------------------- 1xx

    def _provisional(self, branch: Branch, response: Response, flow: Flow, now: float) -> None:
        context, call = branch.context, branch.context.call
        branch.provisional = True
        if response.status > 100:
            branch.heard_at = now
        if response.status == 100 or context.decided or context.request.method != "INVITE":
            return
        if call is not None and branch.leg is None:
            self._control.early_leg(call, branch, response)
            self._control.ringing(call, now)
        if self._rewrite(branch, response, flow, now):
            context.server.respond(response, now)

    def start_timer_c(self, branch: Branch, now: float) -> None:
        """Timer C, counted anew with every provisional but 100 (16.6 step 11, 16.7 step 2)."""
        branch.heard_at = now
        self._await_timer_c(branch)

    def _await_timer_c(self, branch: Branch) -> None:
        due = branch.heard_at + self._x.settings.timer_c_s
        branch.timer_c = self._x.timers.start(due, self._timer_c_fired, branch)

    def _timer_c_fired(self, branch: Branch, now: float) -> None:
        branch.timer_c = None
        if branch.final is not None or branch.client is None:
            return
        if branch.heard_at + self._x.settings.timer_c_s > now:
            self._await_timer_c(branch)
            return
        text = f"no final response from {branch.flow} within {self._x.settings.timer_c_s:g} seconds"
        self._note(branch, text, now, Fact.RINGING_EXPIRED, _details(branch))
        if branch.provisional:
            branch.context.cancel_cause = branch.context.cancel_cause or "setup timeout"
            self._control.cancel_branch(branch, now)
        else:
            self.on_timeout(branch, now)

    # -------------------------------------------------------------------------------------------- 2xx

    def _success(self, branch: Branch, response: Response, flow: Flow, now: float) -> None:
        context, call = branch.context, branch.context.call
        first = branch.final is None
        branch.final = response
        branch.stop_timer()
        if context.decided and not context.answered:
            # Another final response went upstream already: nobody there can take this answer any more.
            if context.request.method == "INVITE":
                self._refuse_answer(branch, response, "answered too late", now)
            return
        if not self._rewrite(branch, response, flow, now):
            return
        self._commit_offer(branch)
        if context.request.method in _OFFER_METHODS:
            self._note_hold(branch, now)
        context.decided = context.answered = True
        if context.request.method == "INVITE" and call is not None:
            self._answered(branch, response, now)
        elif call is not None and context.request.method == "UPDATE":
            self._control.session_refreshed(call, response, now)
        context.server.respond(response, now)
        if first and context.pending:
            self._control.cancel_branches(
                context, "answered elsewhere", now, reason_value(200, "Call completed elsewhere")
            )

    def _note_hold(self, branch: Branch, now: float) -> None:
        """An offer inside the dialog of the call has been answered: it may put the call on hold, or end that."""
        call, leg = branch.context.call, branch.leg
        if call is not None and leg is not None and leg is call.answered and branch.media is not None:
            self._control.note_hold(call, branch.media, now)

    def _answered(self, branch: Branch, response: Response, now: float) -> None:
        call = branch.context.call
        assert call is not None
        if branch.leg is not None:
            self._refresh_target(branch, response)
            self._control.session_refreshed(call, response, now)
            return
        leg = self._control.early_leg(call, branch, response)
        if leg is not None:
            self._control.answered(call, leg, response, now)
        branch.context.server.ticket = call.ticket

    @staticmethod
    def _refresh_target(branch: Branch, response: Response) -> None:
        """12.2.1.2: a 2xx to a re-INVITE may carry a new remote target."""
        call, leg = branch.context.call, branch.leg
        if call is not None and leg is not None:
            party = leg.party if branch.sender_side == CALLER else call.caller
            party.contact = remote_target(response) or party.contact

    # -------------------------------------------------------------------------------------------- 3xx to 6xx

    def _failure(self, branch: Branch, response: Response, now: float) -> None:
        context = branch.context
        if branch.final is not None:
            return
        branch.final = response
        branch.stop_timer()
        self._rollback_offer(branch)
        if branch.leg is None and branch.media is not None and context.call is not None:
            self._close_media(branch, now)
        if context.decided:
            return
        if response.status >= 600:
            self._control.cancel_branches(context, context.cancel_cause or "declined", now)
        if not context.pending:
            self._decide(context, now)

    def _close_media(self, branch: Branch, now: float) -> None:
        """A fork that failed gives its ports back at once, and its early dialogs are over."""
        call = branch.context.call
        assert call is not None
        self._control.note_media(call, now)
        assert branch.media is not None
        branch.media.close()
        for tag in [tag for tag, leg in call.legs.items() if leg.media is branch.media]:
            del call.legs[tag]

    def _decide(self, context: ResponseContext, now: float) -> None:
        """Every branch has failed: send the best response upstream (16.7 steps 6 to 9)."""
        context.decided = True
        finals = [branch.final for branch in context.branches if branch.final is not None]
        best = best_response(finals)
        if context.cancel_cause == "setup timeout" and best.status == 487:
            best = make_response(context.request, 408, to_tag=self._x.identity.new_tag())
        elif best.status == 503:
            # 16.7 step 6: one phone that is overloaded does not mean that this server is.
            best = best.copy()
            best.status, best.reason = 500, "Server Internal Error"
        call = context.call
        context.server.respond(best, now)
        if call is not None and call.context is context and call.answered is None:
            rang = call.ringing_at is not None
            silent = all(branch.silent for branch in context.branches)
            cause = context.cancel_cause
            reason, text = outcome(best, call.to_number, rang=rang, cancel_cause=cause, unreachable=silent)
            ended_by = "caller" if cause == "caller" else "callee"
            self._control.finish(call, reason, best.status, text, ended_by, now)

    # -------------------------------------------------------------------------------------------- bodies

    def _rewrite(self, branch: Branch, response: Response, flow: Flow, now: float) -> bool:
        """Lead the media of the response through the relay; False when that failed and the call was ended."""
        media = branch.media
        if media is None or not response.body or response.cseq.method not in _OFFER_METHODS:
            return True
        try:
            body = media.rewrite(
                1 - branch.sender_side,
                response.headers.get("content-type") or "",
                response.body,
                flow.remote_host,
                branch.context.sender_flow.local_host,
            )
        except (ParseError, NoMediaPorts) as error:
            status = 503 if isinstance(error, NoMediaPorts) else 500
            self._reject_body(branch, response, status, str(error), now)
            return False
        if body is not response.body:
            response.set_body(body)
        return True

    def _reject_body(self, branch: Branch, response: Response, status: int, text: str, now: float) -> None:
        """The description in a response can't be served: end what it belongs to, on both sides."""
        context, call = branch.context, branch.context.call
        fact = Fact.NO_MEDIA_PORTS if status == 503 else Fact.BAD_ANSWER
        sentence = f"the session description of the response can't be used: {text}"
        self._note(branch, sentence, now, fact, _details(branch) | {"fault": text})
        if response.status < 200 or call is None:
            return
        if branch.leg is None:
            self._refuse_answer(branch, response, text, now)
        elif context.request.method == "INVITE":
            self._control.accept_refresh(call, branch, response)
        if not context.decided:
            context.decided = True
            phrase = "No Free Media Ports" if status == 503 else None
            context.server.respond(
                make_response(context.request, status, phrase, to_tag=self._x.identity.new_tag()), now
            )
            if branch.leg is None:
                self._control.cancel_branches(context, "error", now)
                self._control.finish(call, TerminationReason.ERROR, status, text, "server", now)
        if branch.leg is not None:
            self._control.end(call, TerminationReason.ERROR, text, now)

    def _refuse_answer(self, branch: Branch, response: Response, text: str, now: float) -> None:
        """Hang up on a phone whose 2xx the caller will never see; its media are over, unless another phone behind the
        same contact has answered and uses them."""
        call = branch.context.call
        self._control.refuse_answer(call, branch, response, text, now)
        if call is None or branch.leg is not None or branch.media is None:
            return
        if not any(leg.answered and leg.media is branch.media for leg in call.legs.values()):
            self._close_media(branch, now)

    def _commit_offer(self, branch: Branch) -> None:
        if branch.offer_pending and branch.media is not None:
            branch.media.commit()
            branch.offer_pending = False

    def _rollback_offer(self, branch: Branch) -> None:
        """14.1: a rejected re-INVITE leaves the session as it was."""
        if branch.offer_pending and branch.media is not None:
            branch.media.rollback()
            branch.offer_pending = False

    def _note_declined(self, branch: Branch, response: Response, now: float) -> None:
        """How a phone has refused the call, for those who want to know why."""
        if branch.final is not None or branch.leg is not None:
            return
        details = _details(branch) | {"status": response.status, "phrase": response.reason}
        details |= {name: value for name in ("warning", "reason") if (value := response.headers.get(name))}
        text = f"{branch.flow} declined: {response.status} {response.reason}"
        self._note(branch, text, now, Fact.DECLINED, details)

    def _note(self, branch: Branch, text: str, now: float, fact: Fact, details: Details) -> None:
        if branch.context.call is not None:
            branch.context.call.journal.decided(self._x.wall(now), text, fact, details)


def _details(branch: Branch) -> dict[str, str | int | float]:
    """Which phone it was."""
    flow = branch.flow
    return {"number": branch.number, "address": address_text(flow), "transport": flow.transport}
