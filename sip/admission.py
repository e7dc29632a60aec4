"""What is let in: every request that would begin a transaction is judged here first (RFC 3261 22, 26.1.5).

Pure; guarded by the core lock.  What is not let in is answered without a transaction, so that a flood stores nothing,
whatever its method and however many its sources.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping

from config import Config
from sip.attempts import Attempts
from sip.bans import BanList, BanPolicy, ban_source
from sip.call import Call, Dialog, Party
from sip.constants import REASON_PHRASES
from sip.credentials import Credentials
from sip.diary import RegistrationDiary
from sip.events import BanEnd, EventType
from sip.exchange import Exchange
from sip.facts import Denial, Fact
from sip.flood import TokenBucket
from sip.flow import Flow, response_flow
from sip.gatekeeper import KNOWN_SOURCE, Admitted, Cause, Gatekeeper, Refused
from sip.journal import Details
from sip.location import Binding
from sip.message import Request
from sip.snapshots import BanSnapshot, TerminationReason
from sip.sources import LiveSources

log = logging.getLogger(__name__)

_RETRY_AFTER_S = 10
_RECORDED_PER_S = 2.0
"""Refused callers that get a line in the history and the log, on average."""

_NO_FAILURE_YET = {Cause.CHALLENGED: 4, Cause.STALE: 3}
"""Where they are no failure yet, the time at which they are, with nothing better in between."""


class Admission:
    """Asks the gatekeeper, and remembers what came of it.

    `authenticated` and `forwarded` hold for the request that was judged last: whether its sender has shown the password
    of its number, and whether another server has let it in, which forwards it to phones that are registered here;
    `dialog` is the one that it belongs to.
    `live` holds the sources of all bindings, for the guards of the transports; like `bans.is_banned` it may be asked
    without the core lock.
    """

    def __init__(self, exchange: Exchange) -> None:
        x, config = exchange, exchange.config
        self.authenticated = False
        self.forwarded = False
        self.dialog: Dialog | None = None
        self.live = LiveSources()
        self._x = x
        self._gatekeeper = Gatekeeper(
            config, x.plan, Credentials(config.auth_realm), x.location.has_binding_from, secrets.token_bytes(32)
        )
        self._proven = LiveSources()
        policy = BanPolicy(config.ban_after, config.ban_window, config.ban_time)
        self.bans = BanList(policy, self._gatekeeper.is_trusted, self._proven.__contains__)
        self.diary = RegistrationDiary()
        self.refused = dict.fromkeys(Cause, 0)
        """Requests not let in since the start."""
        self._attempts = Attempts()
        self._records = TokenBucket(_RECORDED_PER_S)
        self._neighbours: dict[str, str] = {}
        """Hosts of the other servers, by their names."""

    def configure(self, config: Config) -> None:
        """Go by these settings from now on."""
        self._gatekeeper.configure(config)
        self.bans.policy = BanPolicy(config.ban_after, config.ban_window, config.ban_time)

    def may_stay(self, binding: Binding) -> bool:
        """The rules in force would let its phone register, with what it showed when it did."""
        is_welcome = binding.authenticated or self._gatekeeper.needs_no_password(binding.flow.remote_host)
        return binding.number in self._x.plan and is_welcome

    @property
    def credentials(self) -> Credentials:
        return self._gatekeeper.credentials

    @credentials.setter
    def credentials(self, credentials: Credentials) -> None:
        self._gatekeeper.credentials = credentials

    def bound(self, binding: Binding) -> None:
        """A binding was made or refreshed."""
        host, proven = binding.flow.remote_host, binding.authenticated
        if binding.counted_host != host or binding.counted_proven is not proven:
            self._count(binding, host, proven=proven)

    def unbound(self, binding: Binding) -> None:
        """A binding is gone."""
        self._count(binding, "", proven=False)

    def _count(self, binding: Binding, host: str, *, proven: bool) -> None:
        before = binding.counted_host
        self.live.move(before, host)
        self._proven.move(before if binding.counted_proven else "", host if proven else "")
        binding.counted_host, binding.counted_proven = host, proven

    def admits(self, request: Request, flow: Flow, now: float) -> bool:
        """Whether it may begin a transaction; else it has been answered."""
        self.authenticated = self.forwarded = False
        self.dialog = None
        x = self._x
        if request.method == "CANCEL":
            # 22.1: it can't be challenged, so it has to come from the hop that sent the INVITE.
            invite = x.layer.find_server(request, "INVITE")
            is_from_caller = invite is not None and invite.flow.remote_host == flow.remote_host
            return is_from_caller or self._refuse(request, flow, 481)
        if x.layer.is_full:
            return self._refuse(request, flow, 503, ("Retry-After", str(_RETRY_AFTER_S)))
        if request.method != "REGISTER":
            self.dialog = dialog = x.calls.dialog_of(request)
            if dialog is not None:
                # It must come from the phone whose dialog it names (12.2.2).
                return x.may_be(dialog.sender, flow) or self._refuse(request, flow, 481)
        self.forwarded = x.neighbours.is_forwarded(request)
        verdict = (
            self._admit_forwarded(request, flow, now) if self.forwarded else self._gatekeeper.admit(request, flow, now)
        )
        if isinstance(verdict, Admitted):
            self.authenticated = verdict.authenticated
            if request.method == "REGISTER":
                self._attempts.forget(flow.remote_host, request.to.uri.number)
            return True
        call = self._remember(request, flow, verdict, now)
        self._answer(request, flow, verdict, call)
        if call is not None:
            x.calls.note_refused(call, TerminationReason.REJECTED, verdict.status, verdict.words, x.wall(now))
        return False

    def _admit_forwarded(self, request: Request, flow: Flow, now: float) -> Admitted | Refused:
        """By the word of the server that has let its sender in (`sip.neighbours`)."""
        fault = self._x.neighbours.fault(request, flow, self._x.wall(now))
        if fault is None:
            return KNOWN_SOURCE
        words = f"a request from {flow} says that another server has let it in, but its pass {fault}"
        if self._records.take(now):
            log.warning("%s", words)
        return Refused(403, "Not Forwarded By A Server", Cause.FORBIDDEN, "", words, Denial.NO_CALL)

    def note_neighbours(self, flows: Mapping[str, Flow]) -> None:
        """What comes from these servers comes from many phones: the guards know that."""
        hosts = {name: flow.remote_host for name, flow in flows.items()}
        for name in self._neighbours | hosts:
            before, after = self._neighbours.get(name, ""), hosts.get(name, "")
            self.live.move(before, after)
            self._proven.move(before, after)
        self._neighbours = hosts

    def _refuse(self, request: Request, flow: Flow, status: int, *headers: tuple[str, str]) -> bool:
        return self._answer(request, flow, Refused(status, None, Cause.FORBIDDEN, "", "", Denial.NO_CALL, headers))

    def _answer(self, request: Request, flow: Flow, refused: Refused, call: Call | None = None) -> bool:
        self.refused[refused.cause] += 1
        x = self._x
        received = len(x.current[1]) if x.current is not None else 0
        x.send(response_flow(request.via, flow), self._gatekeeper.answer(request, flow, refused, received), call)
        return False

    # -------------------------------------------------------------------------------------------- records

    def _remember(self, request: Request, flow: Flow, refused: Refused, now: float) -> Call | None:
        """The call that is to stand in the history as refused, if any."""
        if refused.cause is Cause.WRONG:
            # Wrong credentials for a nonce given to this very address: whoever sent them receives what is sent there.
            self._note_wrong_password(flow.remote_host, now)
        if request.method == "REGISTER":
            if self._has_failed(flow, refused):
                self.note_failure(request, flow, refused.number, refused.status, refused.words, refused.denial, now)
        elif self._gatekeeper.is_trusted(flow.remote_host) and refused.cause is Cause.FORBIDDEN:
            return self._record_call(request, flow, refused, now)
        return None

    def _note_wrong_password(self, host: str, now: float) -> None:
        if self.bans.record_failure(host, now, proven=True):
            now_at = self._x.wall(now)
            ban = self.bans.find(host, now, now_at)
            if ban is not None:
                self._x.events.emit(EventType.SECURITY_BANNED, now_at, ban)

    def _has_failed(self, flow: Flow, refused: Refused) -> bool:
        """Whether it is a failure: a phone that is asked for its password, or to try again, answers and is let in; one
        that is asked again and again is not."""
        host, number = flow.remote_host, refused.number
        if refused.cause not in _NO_FAILURE_YET:
            self._attempts.forget(host, number)
            return True
        return self._attempts.count(host, number, refused.denial) >= _NO_FAILURE_YET[refused.cause]

    def note_failure(
        self, request: Request, flow: Flow, number: str, status: int, words: str, denial: Denial, now: float
    ) -> None:
        """A REGISTER was refused: into the diary, and told as often as the log may grow."""
        source, agent = (flow.remote_host, flow.transport), request.user_agent
        now_at = self._x.wall(now)
        failure = self.diary.note(number, *source, agent, status, words, now_at, denial)
        if self._records.take(now):
            log.warning("registration of %s from %s refused: %s", number, flow, words)
            self._x.events.emit(EventType.REGISTRATION_FAILED, now_at, failure)

    # -------------------------------------------------------------------------------------------- bans

    def add_ban(self, address: str, duration_s: float | None, reason: str, now: float) -> BanSnapshot:
        """A person bans a source.  Raises `ValueError`: no address, or no more room."""
        now_at = self._x.wall(now)
        ban = self.bans.add(address, duration_s, reason, now, now_at)
        self._x.events.emit(EventType.SECURITY_BANNED, now_at, ban)
        return ban

    def lift_ban(self, address: str, now: float) -> bool:
        """A person lifts a ban; whether there was one.  Raises `ValueError`: no address."""
        lifted = self.bans.lift(address)
        if lifted:
            self._x.events.emit(EventType.SECURITY_UNBANNED, self._x.wall(now), BanEnd(ban_source(address), True))
        return lifted

    def expire_bans(self, now: float) -> None:
        """Drop those that are over."""
        for source in self.bans.expire(now):
            self._x.events.emit(EventType.SECURITY_UNBANNED, self._x.wall(now), BanEnd(source, False))

    def _record_call(self, request: Request, flow: Flow, refused: Refused, now: float) -> Call | None:
        """A phone of our own network may not call: its owner finds the reason in the history, unless there are many."""
        if request.method != "INVITE" or request.to.tag is not None or not self._records.take(now):
            return None
        now_at = self._x.wall(now)
        phrase = refused.phrase or REASON_PHRASES.get(refused.status, "")
        log.warning("call from %s refused: %s", flow, refused.words)
        caller = Party(refused.number, request.from_.tag or "", request.headers.get("from") or "", flow)
        call = Call(request.call_id, caller, request.uri.number, now_at, self._x.calls.new_journal())
        if self._x.current is not None:
            call.journal.received(now_at, *self._x.current)
        details: Details = {"number": refused.number, "status": refused.status, "denial": refused.denial}
        call.journal.decided(now_at, f"refused with {refused.status} {phrase}", Fact.CALLER_REFUSED, details)
        return call
