"""The driver of the signalling core: threads, sockets and time.

Owns the core lock `_lock` and the condition `_wake` on it.  Threads: `sip-udp` and the TCP threads bring messages,
`sip-timer` brings time.  Effects are carried out before the lock is released, so the order on the wire is the order of
the states; nothing under the lock blocks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from itertools import chain
from math import inf

from config import Config, wrong_value
from faults import FaultLog
from lasting_thread import LastingThread
from sip.address_watch import AddressWatch
from sip.addresses import AddressBook, is_wildcard
from sip.core import SipCore
from sip.endpoint import EndpointRelay
from sip.errors import ParseError
from sip.events import EventSink
from sip.flood import REGISTERED_FACTOR, SourceGuard, TokenBucket
from sip.flow import Flow
from sip.icmp import Undelivered
from sip.message import Request, Response
from sip.patience import StreamLimits
from sip.quota import ConnectionQuota
from sip.recorder import Recorder
from sip.snapshots import (
    TerminationReason,
)
from sip.timers import TimerSettings
from sip.tls import Certificate, load_certificate
from sip.transaction_client import ClientTransaction
from sip.transaction_server import InviteServerTransaction, NonInviteServerTransaction
from sip.transaction_user import Send
from sip.transport import ConnectionUser, TransportTable
from sip.transport_tcp import TcpTransport
from sip.transport_tls import TlsTransport
from sip.transport_udp import UdpTransport
from sip.uri import bracket

log = logging.getLogger(__name__)

_LONGEST_SLEEP_S = 1.0
"""The timer thread looks at the wall clock at least so often."""

_TIMER_SLACK_S = 0.02
"""How late a timer may fire, so that those of many calls share a wake-up; SIP knows none below half a second."""

_GATHER_S = 0.25
"""What nobody waits for may be so late: then the timer thread wakes up four times a second for all of it."""

_FAULT_PAUSE_S = 0.1
"""After a fault on the way to the timers; a fault of one timer delays no other."""

_UNDELIVERED_PER_S = 100.0
"""Datagrams that came back, looked at on average: they can be forged.  Timers notice the phones of the others."""

_PORT_TRIES = 20

_LAST_ANSWERS_S = 0.75
"""How long a stop waits for the phones to confirm that their calls are over; one repetition of a BYE fits in."""

_ANSWER_POLL_S = 0.01

_LONGEST_HOLD_S = 0.3
"""An answer waits no longer for the recorder: a disk that hangs must not make phones repeat themselves (T1, RFC 3261
17.1.1.1), nor people wait for the first word."""

_MAX_MEDIA_NEWS = 1_000

_Transaction = ClientTransaction | InviteServerTransaction | NonInviteServerTransaction


class Driver:
    """Start it, stop it.  Every method may be called from any thread."""

    def __init__(
        self,
        config: Config,
        relay: EndpointRelay,
        recorder: Recorder,
        events: EventSink,
        settings: TimerSettings | None = None,
    ) -> None:
        self._config = config
        fixed = config.server_address or ("" if is_wildcard(config.sip_host) else config.sip_host)
        self._addresses = AddressBook(fixed)
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        wall_offset = time.time() - time.monotonic()
        settings = settings or TimerSettings(gather_s=_GATHER_S)
        self._core = SipCore(config, relay, recorder, events, self._addresses.is_own, settings, wall_offset)
        self._held: deque[tuple[float, Send]] = deque()
        """Answers that wait for the recorder, and since when, the oldest first."""
        self._recorder = recorder
        self._media_news: deque[str] = deque(maxlen=_MAX_MEDIA_NEWS)
        """Calls whose media have something to tell; filled without the core lock."""
        self._settled_ticket = 0
        self._guard = SourceGuard(config.sip_rate_limit, self._core.admission.live.__contains__)
        self._undelivered = TokenBucket(_UNDELIVERED_PER_S)
        self._faults = FaultLog(log, "sip")
        self._transports = TransportTable()
        self._udp: UdpTransport | None = None
        self._streams: list[TcpTransport] = []
        self._stopping = False
        self._sleeps_until = 0.0
        self._address_watch: AddressWatch | None = None
        self._timer_thread = LastingThread("sip-timer", self._run_timers, lambda: self._stopping)
        self.port = 0
        self.tls_port = 0
        """Of SIP over TLS; 0 without a certificate."""

    # -------------------------------------------------------------------------------------------- life

    def bind(self) -> None:
        """Bind UDP and TCP to the same port, and TLS if there is a certificate.  Raises `OSError`, or `ConfigError` for
        what TLS needs; nothing stays bound then."""
        host, port = self._config.sip_host, self._config.sip_port
        certificate = load_certificate(self._config)
        limits = StreamLimits(
            self._config.sip_max_connections,
            self._config.sip_max_connections_per_source,
            messages_per_s=self._config.sip_rate_limit * REGISTERED_FACTOR,
        )
        quota = ConnectionQuota(limits.connections, limits.connections_per_source)
        user = ConnectionUser(
            self._on_message,
            self._on_malformed,
            self._on_closed,
            self._on_failed,
            self._peers_in_use,
            self._is_banned,
        )
        for attempt in range(_PORT_TRIES):
            udp = UdpTransport(
                host,
                port,
                self._addresses,
                self._lets_in,
                self._on_message,
                self._on_malformed,
                self._on_undelivered,
            )
            try:
                tcp = TcpTransport(host, udp.port, self._addresses, user, limits, quota)
            except OSError:
                udp.stop()
                # Any free UDP port was asked for, and the same TCP port happened to be taken.
                if port == 0 and attempt < _PORT_TRIES - 1:
                    continue
                raise
            self._udp = udp
            self._transports.add(udp)
            self._transports.add(tcp)
            self._streams.append(tcp)
            self._addresses.add_port(udp.port)
            self.port = udp.port
            break
        if certificate is not None:
            self._bind_tls(user, limits, quota, certificate)

    def _bind_tls(
        self, user: ConnectionUser, limits: StreamLimits, quota: ConnectionQuota, certificate: Certificate
    ) -> None:
        host, port = self._config.sip_host, self._config.sip_tls_port
        try:
            tls = TlsTransport(host, port, self._addresses, user, limits, quota, certificate)
        except OSError as error:
            self._transports.stop()
            raise wrong_value("SIP_TLS_PORT", port, f"a port that can be opened ({error.strerror})") from error
        self._transports.add(tls)
        self._streams.append(tls)
        self._addresses.add_port(tls.port)
        self.tls_port = tls.port

    def start(self) -> None:
        """Begin to receive; `bind` came before."""
        self._address_watch = AddressWatch(time.monotonic())
        self._transports.start()
        self._timer_thread.start()

    def stop(self) -> None:
        """Hang up every call on both phones, then close the sockets and join the threads."""
        with self._lock:
            if self._stopping:
                return
            ended = self._core.end_calls(TerminationReason.ADMIN, "the server is shutting down", time.monotonic())
            self._carry_out()
            if ended and self._timer_thread.is_alive():
                self._await_answers(time.monotonic() + _LAST_ANSWERS_S)
            self._core.put_traces()
            self._stopping = True
            self._wake.notify_all()
        if self._timer_thread.is_alive():
            self._timer_thread.join()
        self._transports.stop()
        if self._address_watch is not None:
            self._address_watch.close()

    def _await_answers(self, deadline: float) -> None:
        """Stay until the phones have confirmed that they hung up, so that a BYE that got lost is sent again.  Core lock
        held, but let go while waiting."""
        while self._core.unanswered_requests() and time.monotonic() < deadline:
            self._wake.wait(_ANSWER_POLL_S)

    # -------------------------------------------------------------------------------------------- input

    def _lets_in(self, host: str) -> bool:
        """Whether a datagram from there is looked at.  Thread `sip-udp`, which owns the guard; no core lock."""
        now = time.monotonic()
        return not self._core.admission.bans.is_banned(host, now) and self._guard.allow(host, now)

    def _is_banned(self, host: str) -> bool:
        """Any thread, without the core lock."""
        return self._core.admission.bans.is_banned(host, time.monotonic())

    def _on_message(self, message: Request | Response, data: bytes, flow: Flow) -> None:
        with self._lock:
            self._core.receive(message, data, flow, time.monotonic())
            self._carry_out()

    def _on_malformed(self, error: ParseError, flow: Flow) -> None:
        with self._lock:
            self._core.reject(error, flow, time.monotonic())
            self._carry_out()

    def _on_closed(self, flow: Flow) -> None:
        with self._lock:
            self._core.connection_closed(flow, time.monotonic())
            self._carry_out()

    def _on_failed(self, token: object, reason: str) -> None:
        """A TCP connection could not deliver what it had accepted."""
        if not isinstance(token, _Transaction):
            return
        with self._lock:
            self._core.transport_error(token, reason, time.monotonic())
            self._carry_out()

    def _on_undelivered(self, undelivered: Undelivered) -> None:
        """A datagram has come back: the phone is not there.  Thread `sip-udp`."""
        now = time.monotonic()
        if self._undelivered.take(now):
            with self._lock:
                self._core.undelivered(*undelivered, now)
                self._carry_out()

    def on_media_news(self, call_id: str) -> None:
        """The media of a call have something to tell.  Thread `rtp-relay`, which never waits: when the core lock is
        taken, whoever has it sees to it before it lets go, or the timer thread a little later."""
        self._media_news.append(call_id)
        if self._lock.acquire(blocking=False):
            try:
                self._carry_out()
            finally:
                self._lock.release()

    def _peers_in_use(self) -> frozenset[str]:
        """Phones that need the connection they have, by host:port."""
        with self._lock:
            registrations = self._core.registrations(time.monotonic())
            calls = self._core.calls()
        registered = (
            f"{bracket(contact.address)}:{contact.port}" for each in registrations for contact in each.contacts
        )
        return frozenset(chain(registered, *((call.from_address, call.to_address) for call in calls)))

    def _run_timers(self) -> None:
        with self._lock:
            while not self._stopping:
                now = time.monotonic()
                try:
                    self._core.set_wall_offset(time.time() - now)
                    self._core.handle_timeout(now)
                    for each in self._udp.take_undelivered() if self._udp is not None else ():
                        self._core.undelivered(*each, now)
                    self._release(now - _LONGEST_HOLD_S)
                    self._carry_out()
                except Exception as error:  # noqa: BLE001 - logged, once for each kind
                    self._faults.note(error, now, "a timer caused a fault")
                    # What is due may still be: a loop that only meets the same fault again would keep the lock.
                    wake_at = now + _FAULT_PAUSE_S
                else:
                    wake_at = self._wake_at()
                self._sleeps_until = min(wake_at, now + _LONGEST_SLEEP_S)
                self._wake.wait(max(0.0, self._sleeps_until - time.monotonic()))

    def watch_addresses(self) -> None:
        """Have new calls use the addresses that this machine has now, when they may have changed.  For one thread that
        asks once a second and may wait for the system."""
        now, watch = time.monotonic(), self._address_watch
        if watch is None or not watch.has_news(now):
            return
        with self._lock:
            peers = self._core.peers()
        by_peer = self._addresses.refresh(peers)
        if self._udp is not None:
            self._udp.forget_flows()
        with self._lock:
            moved = self._core.use_addresses(by_peer)
        for (before, after), count in sorted(moved.items()):
            log.warning(
                "this machine's address changed: %d phones that reached the server at %s find it at %s now; "
                "those that are set up with the old one must be told",
                count,
                before,
                after,
            )
        for stream in self._streams:
            stream.close_lost()

    # -------------------------------------------------------------------------------------------- output

    def _carry_out(self) -> None:
        """Send what the core wants sent; wake the timer thread if it would sleep too long.  Core lock held."""
        core = self._core
        while effects := core.take_effects():
            for effect in effects:
                if effect.ticket > self._settled_ticket:
                    self._held.append((time.monotonic(), effect))
                    self._recorder.hurry()
                else:
                    self._send(effect)
        while self._media_news:
            core.media_changed(self._media_news.popleft(), time.monotonic())
        if (wake_at := self._wake_at()) < self._sleeps_until:
            self._sleeps_until = wake_at
            self._wake.notify_all()

    def _send(self, effect: Send) -> None:
        """A fault costs this message alone: what else the core wants sent goes out."""
        try:
            reason = self._transports.send(effect.flow, effect.data, effect.transaction)
            if reason is not None:
                log.debug("sending to %s failed: %s", effect.flow, reason)
                if effect.transaction is not None:
                    self._core.transport_error(effect.transaction, reason, time.monotonic())
        except Exception as error:  # noqa: BLE001 - logged, at a rate that packets cannot drive
            self._faults.note(error, time.monotonic(), "sending to %s caused a fault", effect.flow)

    def _wake_at(self) -> float:
        """When the timer thread has something to do.  Core lock held."""
        deadline = self._core.next_deadline()
        due = inf if deadline is None else deadline + _TIMER_SLACK_S
        return min(due, self._held[0][0] + _LONGEST_HOLD_S) if self._held else due

    def _release(self, before: float) -> None:
        """Send what has been held since then or longer.  Core lock held."""
        while self._held and self._held[0][0] <= before:
            self._send(self._held.popleft()[1])

    def on_settled(self, ticket: int, _stored: bool) -> None:
        """The recorder has written all up to that ticket, or can't: what was promised by it may be said.  Thread
        `store-writer`."""
        with self._lock:
            self._settled_ticket = ticket
            held, self._held = self._held, deque()
            for since, effect in held:
                if effect.ticket <= ticket:
                    self._send(effect)
                else:
                    self._held.append((since, effect))
            self._carry_out()

    # -------------------------------------------------------------------------------------------- how it fares

    def is_running(self) -> bool:
        """Every thread of the engine lives."""
        return self._timer_thread.is_alive() and self._transports.is_running()

    def problems(self) -> tuple[str, ...]:
        """What hinders phones now though every thread lives, in plain words."""
        return (*self._transports.problems(), *self._timer_thread.problems())
