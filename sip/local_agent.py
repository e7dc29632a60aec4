"""The server as the phone that is called: a user agent server for numbers of its own (RFC 3261 8.2, 12.1.1, 13.3, 14.2,
15.1.2; RFC 3264; RFC 3311; RFC 4028; RFC 6086).

Pure; guarded by the core lock.  Calls are the same `Call`s as those between phones and end by the same ways; what is
heard in them is the business of the `Line` they were made to.
"""

from __future__ import annotations

import logging
import secrets
from functools import partial
from typing import Protocol

from sip.call import Call, Dialog, Leg, Party
from sip.call_control import CallControl, remote_target
from sip.endpoint import EndpointRelay
from sip.errors import ParseError
from sip.events import DigitWay
from sip.exchange import Exchange
from sip.facts import Fact
from sip.flow import Flow
from sip.forwarding import Answerable, ResponseContext
from sip.journal import Details
from sip.key_info import KEY_TYPES, pressed_key
from sip.local_dialog import LocalDialog, OpenAnswer
from sip.local_media import SDP, LocalMedia
from sip.local_request import Headers, RequestRefused, check_request, not_acceptable, offer_in, own_uri
from sip.media_relay import CALLER
from sip.message import Request, Response, make_response
from sip.session_timer import MIN_INTERVAL_S, IntervalTooSmall, SessionTimer, negotiate
from sip.snapshots import TerminationReason
from sip.transaction_server import InviteServerTransaction, ServerTransaction

log = logging.getLogger(__name__)

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK"

_IN_REQUESTS = frozenset({"Contact", "Allow", "Supported"})
"""Of the headers of our responses, those that our requests carry too."""

RINGING_S = 0.5
"""How long it rings: whoever dialled hears that, and can think better of it."""

_RETRY_AFTER_S = 1


class Line(Protocol):
    """What stands behind the numbers."""

    def program(self, number: str) -> str | None:
        """What the endpoint of a call to that number does; None: it is no number of ours."""

    def refusal(self, call: Call) -> str:
        """Why that call can't be taken, in plain words; "" when it can."""

    def begin(self, call: Call, now: float) -> None:
        """The call is up: the phone has acknowledged the answer."""


class DialogRequest:
    """Transaction context of a request inside a dialog of the server, from either side; `is_refresh`: its success keeps
    the session alive."""

    __slots__ = ("call", "is_refresh")

    def __init__(self, call: Call, *, is_refresh: bool = False) -> None:
        self.call = call
        self.is_refresh = is_refresh


class LocalAgent:
    """Answers what comes to the numbers of `line`; admission and routing were before."""

    def __init__(self, exchange: Exchange, relay: EndpointRelay, control: CallControl, line: Line) -> None:
        self._x = exchange
        self._relay = relay
        self._control = control
        self._line = line
        name = exchange.config.server_header
        self._about: Headers = (("Allow", ALLOW), ("Supported", "timer"), *((("Server", name),) if name else ()))

    def serves(self, number: str) -> bool:
        return self._line.program(number) is not None

    # -------------------------------------------------------------------------------------------- outside a dialog

    def initial(self, transaction: ServerTransaction, request: Request, call: Call | None, now: float) -> None:
        """A request outside a dialog to one of the numbers; with an INVITE comes its call."""
        if call is not None and isinstance(transaction, InviteServerTransaction):
            self._invite(transaction, request, call, now)
        elif request.method == "OPTIONS":
            self._reply(transaction, request, 200, now, (*self._about, ("Accept", SDP)))
        else:
            self._reply(transaction, request, 405, now, (("Allow", ALLOW),))

    def _invite(self, transaction: InviteServerTransaction, request: Request, call: Call, now: float) -> None:
        x = self._x
        transaction.context = call.context = context = ResponseContext(transaction, request, transaction.flow, call)
        transaction.respond(make_response(request, 100), now)
        try:
            check_request(request)
            negotiate(request)
            local = self._open(request, call, transaction.flow)
        except RequestRefused as refused:
            self._decline(context, call, refused, now)
            return
        except IntervalTooSmall:
            text = f"the phone wants the session refreshed more often than every {MIN_INTERVAL_S} seconds"
            headers = (("Min-SE", str(MIN_INTERVAL_S)),)
            self._decline(context, call, RequestRefused(422, None, text, headers), now)
            return
        call.local = local
        flow = transaction.flow
        address = f"{request.headers.get('to') or ''};tag={local.tag}"
        own_flow = Flow(flow.transport, flow.local_host, flow.local_port, flow.local_host, flow.local_port)
        party = Party(call.to_number, local.tag, address, own_flow, cseq=secrets.randbelow(1 << 16))
        call.legs[local.tag] = Leg(party, None)
        call.to_address = flow.sent_by
        # 12.1.1: the route set of a callee is the Record-Route of the request, in its order.
        call.caller.route_set = partial(tuple, request.headers.values("record-route"))
        if "100rel" not in request.option_tags("require"):
            # RFC 3262 3: it would have to be sent reliably.  The answer comes soon anyway.
            self._control.ringing(call, now)
            transaction.respond(make_response(request, 180, to_tag=local.tag, headers=local.headers), now)
        local.start_timer(x.timers, "answer", now + RINGING_S, self._answer, call)

    def _open(self, request: Request, call: Call, flow: Flow) -> LocalDialog:
        """Media and dialog for a call, whose offer is answered already.  Raises `RequestRefused`."""
        offer = offer_in(request)
        if text := self._line.refusal(call):
            raise RequestRefused(486, "All Test Lines Busy", text)
        program = self._line.program(call.to_number)
        endpoint = self._relay.open_endpoint(call.call_id, program, flow.local_host) if program else None
        if endpoint is None:
            raise RequestRefused(503, "No Free Media Ports", "all media ports of the server are in use")
        media = LocalMedia(endpoint, flow.local_host)
        try:
            description = media.answer(offer, flow.remote_host) if offer else media.offer()
        except BaseException as error:
            media.close()
            if isinstance(error, ParseError):
                raise not_acceptable(error, flow) from error
            raise
        scheme = "sips" if request.uri.scheme == "sips" else "sip"
        headers = (
            *(("Record-Route", value) for value in request.headers.values("record-route")),
            ("Contact", f"<{own_uri(scheme, request.uri, flow)}>"),
            *self._about,
        )
        return LocalDialog(media, self._x.identity.new_tag(), headers, description)

    def _decline(self, context: ResponseContext, call: Call, refused: RequestRefused, now: float) -> None:
        context.decided = True
        self._reply(context.server, context.request, refused.status, now, refused.headers, refused.phrase)
        details: Details = {"number": call.to_number, "status": refused.status, "phrase": refused.phrase or ""}
        call.journal.decided(self._x.wall(now), refused.words, Fact.DECLINED, details)
        reason = TerminationReason.BUSY if refused.status == 486 else TerminationReason.REJECTED
        if refused.status >= 500:
            reason = TerminationReason.ERROR
        self._control.finish(call, reason, refused.status, refused.words, "server", now)

    def _answer(self, call: Call, now: float) -> None:
        """It has rung long enough."""
        context, local = call.context, call.local
        if context is None or local is None or not isinstance(context.server, InviteServerTransaction):
            return
        context.decided = context.answered = True
        timer = negotiate(context.request)
        response = self._accept(context.request, local, timer, local.description)
        self._control.answered(call, call.legs[local.tag], response, now)
        self._follow_session(call, timer, now)
        context.server.ticket = call.ticket
        self._send_answer(context.server, response, call, now)

    def cancel(self, context: ResponseContext, call: Call, now: float) -> None:
        """The caller gives up while it rings (9.2); the CANCEL itself was answered."""
        context.decided = True
        self._reply(context.server, context.request, 487, now)
        text = "the caller hung up before anybody answered"
        self._control.finish(call, TerminationReason.CANCELLED, 487, text, "caller", now)

    # -------------------------------------------------------------------------------------------- answers and ACKs

    @staticmethod
    def _accept(request: Request, local: LocalDialog, timer: SessionTimer | None, body: bytes) -> Response:
        """A 200 to INVITE or UPDATE."""
        more: Headers = (("Content-Type", SDP),) if body else ()
        headers = (*local.headers, *(timer.headers() if timer is not None else ()), *more)
        return make_response(request, 200, to_tag=local.tag, headers=headers, body=body)

    def _send_answer(self, transaction: InviteServerTransaction, response: Response, call: Call, now: float) -> None:
        """A 2xx to an INVITE, again and again until its ACK (13.3.1.4), over TCP too."""
        x, local = self._x, call.local
        assert local is not None
        settings = x.settings
        answer = OpenAnswer(transaction, response, settings.t1_s, now + 64 * settings.t1_s, local.media.awaits_answer)
        local.open_answers[response.cseq.number] = answer
        transaction.respond(response, now)
        self._time_copy(call, answer, now)

    def _time_copy(self, call: Call, answer: OpenAnswer, now: float) -> None:
        local, number = call.local, answer.response.cseq.number
        assert local is not None
        deadline = min(now + answer.interval_s, answer.until)
        local.start_timer(self._x.timers, f"ack {number}", deadline, self._not_acknowledged, call, number)

    def _not_acknowledged(self, call: Call, number: int, now: float) -> None:
        local = call.local
        answer = local.open_answers.get(number) if local is not None else None
        if answer is None:
            return
        if now >= answer.until:
            text = "the phone never acknowledged the answer (no ACK came)"
            call.journal.decided(self._x.wall(now), text, Fact.ANSWER_NOT_ACKNOWLEDGED)
            self._control.end(call, TerminationReason.TIMEOUT, text, now)
            return
        answer.transaction.respond(answer.response, now)
        answer.interval_s = min(2 * answer.interval_s, self._x.settings.t2_s)
        self._time_copy(call, answer, now)

    def ack(self, ack: Request, dialog: Dialog, flow: Flow, now: float) -> None:
        """The ACK to one of our 2xx."""
        call = dialog.call
        local = call.local if dialog.side == CALLER else None
        answer = local.open_answers.pop(ack.cseq.number, None) if local is not None else None
        if local is None or answer is None or not call.live:
            return
        local.stop_timer(f"ack {ack.cseq.number}")
        call.caller.flow = flow
        if answer.holds_offer:
            try:
                local.media.take_answer(ack.headers.get("content-type") or "", ack.body, flow.remote_host)
            except ParseError as error:
                text = f"the phone's answer in the ACK can't be used: {error.reason}"
                self._control.end(call, TerminationReason.ERROR, text, now)
                return
        if not local.is_confirmed:
            local.is_confirmed = True
            self._line.begin(call, now)

    # -------------------------------------------------------------------------------------------- inside the dialog

    def in_dialog(self, transaction: ServerTransaction, request: Request, dialog: Dialog, now: float) -> None:
        """A request of the phone in its call with the server."""
        call = dialog.call
        transaction.context = DialogRequest(call)
        if dialog.side != CALLER or (not call.live and request.method != "BYE"):
            self._reply(transaction, request, 481, now)
            return
        if request.cseq.number < dialog.sender.cseq:
            self._reply(transaction, request, 500, now)  # 12.2.2: out of order
            return
        self._note_sender(dialog.sender, request, transaction.flow)
        try:
            check_request(request)
            self._serve(transaction, request, call, dialog.leg, now)
        except RequestRefused as refused:
            self._reply(transaction, request, refused.status, now, refused.headers, refused.phrase)
        except IntervalTooSmall:
            self._reply(transaction, request, 422, now, (("Min-SE", str(MIN_INTERVAL_S)),))

    @staticmethod
    def _note_sender(sender: Party, request: Request, flow: Flow) -> None:
        sender.cseq = request.cseq.number
        sender.flow = flow
        if request.method in ("INVITE", "UPDATE"):
            sender.contact = remote_target(request) or sender.contact

    def _serve(self, transaction: ServerTransaction, request: Request, call: Call, leg: Leg, now: float) -> None:
        method = request.method
        if method == "BYE":
            self._bye(transaction, request, call, leg, now)
        elif method in ("INVITE", "UPDATE"):
            self._refresh(transaction, request, call, now)
        elif method == "INFO":
            self._info(transaction, request, call, now)
        elif method == "OPTIONS":
            self._reply(transaction, request, 200, now, (*self._about, ("Accept", SDP)))
        elif method == "PRACK":
            self._reply(transaction, request, 481, now)  # RFC 3262 3: no provisional of ours asks for one
        else:
            self._reply(transaction, request, 405, now, (("Allow", ALLOW),))

    def _bye(self, transaction: ServerTransaction, request: Request, call: Call, leg: Leg, now: float) -> None:
        context = call.context
        if context is not None and not context.decided:
            self.cancel(context, call, now)  # 15.1.2: what is still pending is answered 487
        elif call.live:
            self._control.hang_up(call, leg, CALLER, now)
        transaction.ticket = call.ticket
        self._reply(transaction, request, 200, now)

    def _refresh(self, transaction: ServerTransaction, request: Request, call: Call, now: float) -> None:
        """Re-INVITE or UPDATE: hold, resume, other addresses, a session timer (14.2, RFC 3311 5.2)."""
        local = call.local
        assert local is not None
        is_invite = request.method == "INVITE"
        offer = offer_in(request)
        if call.answered is None and (is_invite or offer):
            raise RequestRefused(500, None, "", (("Retry-After", str(_RETRY_AFTER_S)),))
        if (local.media.awaits_answer and offer) or (local.open_answers and is_invite):
            raise RequestRefused(491, None, "")
        timer = negotiate(request)
        body = b""
        try:
            if offer:
                body = local.media.answer(offer, transaction.flow.remote_host)
            elif is_invite:
                body = local.media.offer()
        except ParseError as error:
            raise not_acceptable(error, transaction.flow) from error
        response = self._accept(request, local, timer, body)
        if call.answered is not None:
            self._control.note_hold(call, local.media, now)
            self._control.session_refreshed(call, response, now)
            self._follow_session(call, timer, now)
        if isinstance(transaction, InviteServerTransaction):
            self._send_answer(transaction, response, call, now)
        else:
            transaction.respond(response, now)

    def _info(self, transaction: ServerTransaction, request: Request, call: Call, now: float) -> None:
        """A key that was pressed, as many phones tell it; an empty INFO asks whether the call still stands."""
        if request.body:
            if request.content_type not in KEY_TYPES:
                self._reply(transaction, request, 415, now, (("Accept", ", ".join(KEY_TYPES)),))
                return
            key = pressed_key(request)
            if key is None:
                self._reply(transaction, request, 400, now)
                return
            if call.local is not None and call.local.is_confirmed:
                call.local.media.press(key)
                self._control.note_key(call, CALLER, key, DigitWay.INFO, self._x.wall(now))
        self._reply(transaction, request, 200, now)

    # -------------------------------------------------------------------------------------------- session timer

    def _follow_session(self, call: Call, timer: SessionTimer | None, now: float) -> None:
        local = call.local
        assert local is not None
        local.stop_timer("refresh")
        if timer is not None and timer.refresher == "uas":
            deadline = now + timer.interval_s / 2
            local.start_timer(self._x.timers, "refresh", deadline, self._send_refresh, call, timer)

    def _send_refresh(self, call: Call, timer: SessionTimer, now: float) -> None:
        """RFC 4028 10: at half the interval, the media left alone."""
        local = call.local
        if local is None or not call.live:
            return
        party = call.legs[local.tag].party
        party.cseq += 1
        own = tuple(header for header in local.headers if header[0] in _IN_REQUESTS)
        headers = (*own, ("Session-Expires", f"{timer.interval_s};refresher=uac"))
        update = self._control.request_to(call.caller, "UPDATE", party.address, call.call_id, party.cseq, headers)
        self._x.layer.send_request(update, call.caller.flow, now, DialogRequest(call, is_refresh=True))
        self._follow_session(call, timer, now)

    def on_response(self, context: DialogRequest, response: Response, now: float) -> None:
        """To the refresh of a session."""
        if not context.is_refresh or response.status < 200 or not context.call.live:
            return
        if response.status < 300:
            self._control.session_refreshed(context.call, response, now)
        elif response.status in (408, 481):
            self.on_timeout(context, now)

    def on_timeout(self, context: DialogRequest, now: float) -> None:
        """12.2.1.2: the phone does not know the dialog any more, or is gone."""
        if context.is_refresh:
            text = "the phone is gone: it does not answer any more"
            self._control.end(context.call, TerminationReason.TIMEOUT, text, now)

    # -------------------------------------------------------------------------------------------- small things

    def _reply(
        self,
        transaction: Answerable,
        request: Request,
        status: int,
        now: float,
        headers: Headers = (),
        phrase: str | None = None,
    ) -> None:
        response = make_response(request, status, phrase, to_tag=self._x.identity.new_tag(), headers=headers)
        transaction.respond(response, now)
