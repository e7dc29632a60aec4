"""The life of a call: answered, refreshed, watched, ended (RFC 3261 13-15, RFC 4028).

Pure; guarded by the core lock.  A call ends because a phone says BYE, because the INVITE got a final response, or
because the server ends it: the API, shutdown, a timer.  In the last case both phones are told as the protocol asks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sip.call import MAX_LEGS, Call, Leg, Party
from sip.constants import MAX_FORWARDS
from sip.errors import ParseError
from sip.events import Digit, DigitWay, EventType, Held, Sound
from sip.exchange import Exchange
from sip.facts import Fact
from sip.flow import Flow
from sip.forwarding import Branch, ResponseContext
from sip.headers import Headers, delta_seconds
from sip.media_relay import CALLEE, CALLER, CallMedia, Watched
from sip.media_watch import Finding, MediaWatch
from sip.message import Message, Request, Response, make_response
from sip.routing import prepare_strict_route, route_sets
from sip.snapshots import CallState, TerminationReason
from sip.transaction_client import InviteClientTransaction
from sip.uri import Uri

log = logging.getLogger(__name__)

MEDIA_CHECK_S = 2.0
"""How often the media of an answered call are looked at."""

HOLD_LIMIT_S = 3600.0
"""A call on hold sends nothing; so long it is left alone all the same."""

SESSION_GRACE_S = 32.0
"""A session that was not refreshed ends so long after its expiry (RFC 4028 10: the phones end it before that)."""


_QUOTED = dict.fromkeys((*range(32), 127), " ") | {ord('"'): '\\"', ord("\\"): "\\\\"}


def quoted(text: str) -> str:
    """A quoted-string (RFC 3261 25.1); the text may repeat what a phone has sent."""
    return f'"{text.translate(_QUOTED)}"'


def reason_value(cause: int, text: str) -> str:
    """A Reason header value (RFC 3326)."""
    return f"SIP;cause={cause};text={quoted(text)}"


def remote_target(message: Message) -> Uri | None:
    """The Contact a dialog is made or refreshed with (12.1); None when there is none or it can't be read."""
    try:
        contact = message.contact
    except ParseError:
        return None
    return contact.uri if contact is not None else None


def _event_of(found: Finding) -> EventType:
    """What a change of the sound is called."""
    if found.fact is Fact.AUDIO_STARTED:
        return EventType.MEDIA_STARTED
    if found.fact in (Fact.AUDIO_POOR, Fact.AUDIO_GOOD):
        return EventType.MEDIA_QUALITY
    return EventType.MEDIA_TIMEOUT if found.side is None else EventType.MEDIA_ONE_WAY


class ServerRequest:
    """Transaction context of a request the server made itself; nothing waits for its response."""

    __slots__ = ("call",)

    def __init__(self, call: Call | None) -> None:
        self.call = call


class CallControl:
    """State changes of calls; the only place that ends them."""

    def __init__(self, exchange: Exchange) -> None:
        self._x = exchange

    # -------------------------------------------------------------------------------------------- set-up

    def start(self, request: Request, flow: Flow, now: float, *, forwarded: bool = False) -> Call:
        """A call for an INVITE outside a dialog; the INVITE opens its journal.  The history of one that another server
        has `forwarded` is that server's to write."""
        x = self._x
        caller = Party(
            number=request.from_.uri.number,
            tag=request.from_.tag or "",
            address=request.headers.get("from") or "",
            flow=flow,
            contact=remote_target(request),
            cseq=request.cseq.number,
        )
        now_at = x.wall(now)
        call = Call(request.call_id, caller, request.uri.number, now_at, x.calls.new_journal(), forwarded=forwarded)
        x.calls.add(call)
        if x.current is not None:
            call.journal.received(now_at, *x.current)
        return call

    def watch_setup(self, call: Call, now: float) -> None:
        limit = self._x.config.call_setup_timeout
        if limit > 0:
            call.setup_timer = self._x.timers.start(now + limit, self._setup_expired, call)

    def _setup_expired(self, call: Call, now: float) -> None:
        call.setup_timer = None
        if call.live and call.context is not None and not call.context.decided:
            text, details = (
                "nobody answered in time; the call is cancelled",
                {"limit": self._x.config.call_setup_timeout},
            )
            call.journal.decided(self._x.wall(now), text, Fact.SETUP_EXPIRED, details)
            self.cancel_branches(call.context, "setup timeout", now)

    def ringing(self, call: Call, now: float) -> None:
        if call.state is CallState.INITIATED:
            call.state = CallState.RINGING
            call.ringing_at = ringing_at = self._x.wall(now)
            self._x.events.emit(EventType.CALL_RINGING, ringing_at, call.snapshot())

    def cancel_branches(self, context: ResponseContext, cause: str, now: float, reason: str | None = None) -> None:
        """CANCEL every branch without a final response (16.10), with the Reason header given (RFC 3326)."""
        if not context.cancel_cause:
            context.cancel_cause = cause
        for branch in context.pending:
            self.cancel_branch(branch, now, reason)

    @staticmethod
    def cancel_branch(branch: Branch, now: float, reason: str | None = None) -> None:
        branch.stop_timer()
        if isinstance(branch.client, InviteClientTransaction):
            branch.client.cancel(now, [("Reason", reason)] if reason else [])

    # -------------------------------------------------------------------------------------------- answered

    def early_leg(self, call: Call, branch: Branch, response: Response) -> Leg | None:
        """The dialog a response makes or confirms (12.1); None for a provisional without a To tag, while in a 2xx a
        missing tag counts as an empty one (12.1.2: RFC 2543).  None too for one dialog more than a call may have."""
        tag = response.to.tag or ""
        if not tag and response.status < 200:
            return None
        leg = call.legs.get(tag)
        if leg is None:
            if len(call.legs) >= MAX_LEGS:
                return None
            leg = call.legs[tag] = Leg(
                Party(branch.number, tag, response.headers.get("to") or "", branch.flow), branch.media
            )
        party = leg.party
        party.contact = remote_target(response) or party.contact
        party.route_set, call.caller.route_set = route_sets(response, self._x.identity)
        return leg

    def answered(self, call: Call, leg: Leg, response: Response, now: float) -> None:
        """A 2xx to the INVITE of the call; the first one makes it established."""
        leg.answered = not leg.ended
        if call.answered is None and call.live:
            x = self._x
            call.answered = leg
            call.quiet_since = now
            call.state = CallState.ESTABLISHED
            call.answered_at = x.wall(now)
            call.status = response.status
            if call.setup_timer is not None:
                call.setup_timer.cancel()
                call.setup_timer = None
            x.calls.answered(call)
            call.media_watch = MediaWatch(now)
            media = call.media_of(leg)
            call.on_hold = media is not None and media.held()
            call.hold_told = call.on_hold and media is not None and media.asked_by() is not None
            self._watch_media(call, now)
            log.debug("call %s: %s answered %s", call.call_id, leg.party.number, call.caller.number)
        self.session_refreshed(call, response, now)

    def session_refreshed(self, call: Call, response: Response, now: float) -> None:
        """A 2xx to INVITE or UPDATE sets the session timer anew, or takes it away (RFC 4028 8.1)."""
        if call.session_timer is not None:
            call.session_timer.cancel()
            call.session_timer = None
        interval = delta_seconds(response.headers.get("session-expires"))
        if interval and call.live:
            call.session_timer = self._x.timers.start(now + interval + SESSION_GRACE_S, self._session_expired, call)

    def _session_expired(self, call: Call, now: float) -> None:
        call.session_timer = None
        text = "neither phone refreshed the session in time"
        call.journal.decided(self._x.wall(now), text, Fact.SESSION_EXPIRED)
        self.end(call, TerminationReason.TIMEOUT, text, now)

    # -------------------------------------------------------------------------------------------- media

    def _watch_media(self, call: Call, now: float) -> None:
        limit = self._x.config.media_timeout
        interval = min(MEDIA_CHECK_S, limit) if limit > 0 else MEDIA_CHECK_S
        call.media_timer = self._x.timers.start_gathered(now + interval, self._check_media, call)

    def _check_media(self, call: Call, now: float) -> None:
        call.media_timer = None
        leg = call.answered
        if not call.live or leg is None:
            return
        media = call.media_of(leg)
        if media is not None:
            self.note_media(call, now)
            look = media.look()
            self._note_findings(call, look.sound, now)
            limit = self._silence_limit(call, media, look.last_at, now)
            if limit and now - call.quiet_since >= limit:
                who = "the phone" if call.local is not None else "either phone"
                text = f"no sound from {who} for {limit:g} seconds"
                now_at, figures = self._x.wall(now), {"limit": limit}
                call.journal.media(now_at, text, Fact.MEDIA_TIMEOUT, figures)
                since_at = now_at - now + call.quiet_since
                content = Sound(call.name, Fact.MEDIA_TIMEOUT, None, since_at, text, figures)
                self._x.events.emit(EventType.MEDIA_TIMEOUT, now_at, content)
                self.end(call, TerminationReason.MEDIA_TIMEOUT, text, now)
                return
        self._watch_media(call, now)

    def _note_findings(self, call: Call, sound: Sequence[Watched], now: float) -> None:
        """Write down what has changed in what is heard."""
        if call.media_watch is None:
            return
        offset = self._x.wall(now) - now
        for found in call.media_watch.look(sound, now):
            details: dict[str, str | int | float] = {"since": found.since + offset, **found.figures}
            if found.side is not None:
                details["side"] = found.side
            call.journal.media(now + offset, found.text, found.fact, details)
            content = Sound(call.name, found.fact, found.side, found.since + offset, found.text, found.figures)
            self._x.events.emit(_event_of(found), now + offset, content)

    def _silence_limit(self, call: Call, media: CallMedia, last_at: float | None, now: float) -> float:
        """Seconds that the call may stay silent, 0 for ever; brings `quiet_since` up to date by its last packet."""
        held = self.note_hold(call, media, now)
        call.quiet_since = max(call.quiet_since, last_at or 0.0)
        limit = self._x.config.media_timeout
        return max(limit, HOLD_LIMIT_S) if held and limit else limit

    def note_hold(self, call: Call, media: CallMedia, now: float) -> bool:
        """Bring up to date whether the call is on hold: it is so, or not, since a moment ago."""
        held = media.held()
        if call.on_hold and not held:
            call.quiet_since = now
        call.on_hold = held
        if held != call.hold_told and (side := media.asked_by()) is not None:
            call.hold_told = held
            now_at = self._x.wall(now)
            who = "callee" if side == CALLEE else "caller"
            text = f"the {who} has " + ("put the call on hold" if held else "taken the call off hold")
            call.journal.media(now_at, text, Fact.HOLD, {"side": side, "held": int(held)})
            self._x.events.emit(EventType.CALL_HELD, now_at, Held(call.snapshot(), held, side))
        return held

    def note_media(self, call: Call, now: float) -> None:
        """Copy what the relay noticed into the journal."""
        offset = self._x.wall(now) - now
        for anchor in call.anchors():
            for event in anchor.drain_events():
                if event.key:
                    self.note_key(call, event.side, event.key, DigitWay.RTP, event.at + offset)
                    continue
                side = "caller" if event.side == CALLER else "callee"
                call.journal.media(event.at + offset, f"{side}: {event.text}")

    def note_key(self, call: Call, side: int, key: str, way: DigitWay, at: float) -> None:
        """A key was pressed; `at` is wall clock.  Which one may be a secret, so it stands in no record."""
        self._x.events.emit(EventType.DTMF_RECEIVED, at, Digit(call.name, side, key, way))
        if (side, way) not in call.key_ways:
            call.key_ways.add((side, way))
            who = "caller" if side == CALLER else "callee"
            text = f"the {who} has pressed a key, told by {'the sound' if way is DigitWay.RTP else 'INFO'}"
            call.journal.media(at, text, Fact.KEY_PRESSED, {"side": side, "way": way.value})

    # -------------------------------------------------------------------------------------------- the end

    def finish(self, call: Call, reason: TerminationReason, status: int, text: str, ended_by: str, now: float) -> None:
        """Close the books; nothing is sent."""
        if not call.live:
            return
        x = self._x
        self.note_media(call, now)
        x.calls.finish(call, reason, status, text, ended_by, now, x.wall(now))
        log.info("call %s: %s to %s ended: %s (%s)", call.call_id, call.caller.number, call.to_number, reason, text)

    def hang_up(self, call: Call, leg: Leg, side: int, now: float) -> None:
        """A BYE for one leg: what it belongs to is over when the BYE arrives, whatever the other phone makes of it
        (15.1.2).  The call goes on with another leg, if two phones had answered and the caller lets one go."""
        if call.first_leg is not None:
            call.first_leg.abandon("", now)
        leg.answered, leg.ended = False, True
        others = [other for other in call.legs.values() if other.answered]
        if others:
            if leg.media is not None and all(other.media is not leg.media for other in others):
                self.note_media(call, now)
                leg.media.close()
            if call.answered is leg:
                call.answered = others[0]
        elif call.answered is leg:
            who, party = ("caller", call.caller) if side == CALLER else ("callee", leg.party)
            self.finish(call, TerminationReason.NORMAL, call.status, f"{party.number} hung up", who, now)

    def end(self, call: Call, reason: TerminationReason, text: str, now: float) -> None:
        """End a live call from the server: BYE to each phone, or CANCEL and a final response while it rings."""
        if not call.live:
            return
        context = call.context
        if call.first_leg is not None:
            call.first_leg.abandon(text, now)
        if call.answered is not None:
            for leg in call.legs.values():
                if leg.answered:
                    if call.local is None:
                        self._send_bye(call, leg, CALLEE, text, now)
                    self._send_bye(call, leg, CALLER, text, now)
            self.finish(call, reason, call.status, text, "server", now)
            return
        status = 480
        if context is not None:
            self.cancel_branches(context, "server", now, reason_value(status, text))
            if not context.decided:
                context.decided = True
                context.server.respond(make_response(context.request, status, to_tag=self._x.identity.new_tag()), now)
        self.finish(call, reason, status, text, "server", now)

    def refuse_answer(self, call: Call | None, branch: Branch, response: Response, text: str, now: float) -> None:
        """A 2xx that can no longer go upstream: accept it ourselves and hang up, so that the phone does not wait for
        an ACK and then talk to nobody (13.2.2.4, 15).  Its repetitions are acknowledged only."""
        party = self._acknowledge(call, branch, response)
        if party.tag in branch.refused or len(branch.refused) >= MAX_LEGS:
            return
        branch.refused.add(party.tag)
        request = branch.context.request
        from_value = request.headers.get("from") or ""
        bye = self.request_to(party, "BYE", from_value, request.call_id, request.cseq.number + 1, _reason(text))
        self._x.layer.send_request(bye, party.flow, now, ServerRequest(call))

    def accept_refresh(self, call: Call, branch: Branch, response: Response) -> None:
        """A 2xx to a re-INVITE that can no longer go upstream, of a call that is about to be ended."""
        branch.refused.add(self._acknowledge(call, branch, response).tag)

    def _acknowledge(self, call: Call | None, branch: Branch, response: Response) -> Party:
        """ACK a 2xx in the name of the phone that sent the INVITE; the party that answered."""
        request = branch.context.request
        party = Party(
            branch.number,
            response.to.tag or "",
            response.headers.get("to") or "",
            branch.flow,
            contact=remote_target(response),
            route_set=route_sets(response, self._x.identity)[0],
        )
        from_value = request.headers.get("from") or ""
        ack = self.request_to(party, "ACK", from_value, request.call_id, request.cseq.number)
        self._x.send(party.flow, ack, call)
        return party

    def _send_bye(self, call: Call, leg: Leg, side: int, text: str, now: float) -> None:
        """BYE to one phone in the name of the other (15.1.1)."""
        receiver, sender = (leg.party, call.caller) if side == CALLEE else (call.caller, leg.party)
        address, cseq = sender.address, sender.cseq + 1
        if call.joined is not None:
            address = call.joined.callee if side == CALLER else address
            cseq = call.joined.next_cseq(side)
        self.send_bye_to(call, receiver, address, cseq, text, now)

    def send_bye_to(self, call: Call, receiver: Party, from_value: str, cseq: int, text: str, now: float) -> None:
        """BYE to one phone; nothing waits for its response."""
        bye = self.request_to(receiver, "BYE", from_value, call.call_id, cseq, _reason(text))
        self._x.layer.send_request(bye, receiver.flow, now, ServerRequest(call))

    def request_to(
        self,
        receiver: Party,
        method: str,
        from_value: str,
        call_id: str,
        cseq: int,
        more_headers: Sequence[tuple[str, str]] = (),
    ) -> Request:
        """A request inside a dialog (12.2.1.1): as the other phone would have sent it, or the server itself."""
        x = self._x
        flow = receiver.flow
        uri = receiver.contact or Uri.sip(receiver.number, flow.remote_host, flow.remote_port)
        headers = Headers()
        headers.append_field(x.identity.via(flow, x.identity.new_branch()))
        headers.append("Max-Forwards", str(MAX_FORWARDS))
        routes = receiver.route_set()
        if routes:
            headers.append("Route", ", ".join(routes))
        headers.append("From", from_value)
        headers.append("To", receiver.address)
        headers.append("Call-ID", call_id)
        headers.append("CSeq", f"{cseq} {method}")
        for name, value in more_headers:
            headers.append(name, value)
        headers.append("Content-Length", "0")
        request = Request(method, uri.text, headers)
        prepare_strict_route(request)
        return request


def _reason(text: str) -> Sequence[tuple[str, str]]:
    return [("Reason", reason_value(200, text))] if text else ()
