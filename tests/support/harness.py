"""The signalling core on a bench: a fake clock, a fake relay, and a wire that is scripted.

`inject` is what arrives, `expect` what must have been sent, `advance` lets time pass and fires every timer at its very
deadline.  `tests/support/bench_phone.py` has phones to put on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from ipaddress import ip_network

from config import Config
from rtp.pulse import NO_PULSE, Pulse
from sip.core import SipCore
from sip.endpoint import Terms
from sip.errors import ParseError
from sip.flow import Flow
from sip.message import parse_datagram
from sip.snapshots import TerminationReason
from sip.timers import TimerSettings
from sip.transaction_user import Send
from tests.support.events import FakeEvents
from tests.support.recorder import EndedCall, FakeRecorder
from tests.support.sip_text import SipText

Address = tuple[str, int]

EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))

STARTED_AT = 1_700_000_000.0
"""Wall clock when the fake monotonic clock says `STARTED`."""
STARTED = 1_000.0

LONG_S = 5_000.0
"""Longer than any timer of a call, the hour of a call on hold included."""


# ------------------------------------------------------------------------------------------------ the relay


@dataclass(frozen=True)
class FakeEvent:
    at: float
    side: int
    text: str
    key: str = ""


@dataclass(frozen=True)
class FakeFigures:
    """As much of a stream's figures as the core's tests look at."""

    call_id: str
    kind: str
    side: int
    relay_port: int


class FakeSession:
    """One stream.  `packet_at` is when the last packet was relayed, monotonic seconds; `heard` is what of each side."""

    def __init__(self, relay: FakeRelay, call_id: str, kind: str, ports: tuple[int, int]) -> None:
        self.relay = relay
        self.call_id = call_id
        self.kind = kind
        self.ports = ports
        self.peers: dict[int, Address | None] = {}
        self.hosts: dict[int, frozenset[str]] = {}
        self.events: list[FakeEvent] = []
        self.packet_at: float | None = None
        self.heard = [NO_PULSE, NO_PULSE]

    def set_peer(
        self,
        side: int,
        rtp: Address | None,
        rtcp: Address | None,
        hosts: frozenset[str],
        codecs: Mapping[int, tuple[str, int]],
    ) -> None:
        assert self in self.relay.open_sessions, "set_peer on a closed session"
        self.peers[side] = rtp
        self.hosts[side] = hosts

    def pulses(self) -> tuple[Pulse, Pulse]:
        caller, callee = self.heard
        return caller._replace(heard_at=self.packet_at), callee

    def drain_events(self) -> list[FakeEvent]:
        events, self.events = self.events, []
        return events

    def close(self) -> tuple[FakeFigures, FakeFigures]:
        self.relay.open_sessions.remove(self)
        return self.figures()

    def quality(self) -> tuple[()]:
        return ()

    def headers(self) -> tuple[()]:
        return ()

    def figures(self) -> tuple[FakeFigures, FakeFigures]:
        caller, callee = self.ports
        return FakeFigures(self.call_id, self.kind, 0, caller), FakeFigures(self.call_id, self.kind, 1, callee)


@dataclass(frozen=True)
class FakeDirection:
    """Figures of a stream between a phone and the server."""

    call_id: str = ""
    kind: str = "audio"
    side: int = 0
    packets: int = 500
    lost: int = 0
    duplicates: int = 0
    jitter_ms: float = 2.0
    mos: float | None = 4.4
    remote_lost: int | None = None
    remote_jitter_ms: float | None = None
    rtt_ms: float | None = None
    peak_dbm0: float | None = -12.0


class FakeEndpoint:
    """A stream that ends in the server; it remembers what it was told, in order."""

    def __init__(self, relay: FakeRelay, program: str, address: str, port: int) -> None:
        self.relay = relay
        self.program = program
        self.address = address
        self.port = port
        self.terms: list[Terms] = []
        self.told: list[str] = []
        self.packet_at: float | None = None
        self.counted = (FakeDirection(), FakeDirection(side=1))

    def agree(self, *terms: object) -> None:
        assert self in self.relay.open_endpoints, "agree on a closed endpoint"
        self.terms.append(Terms(*terms))  # type: ignore[arg-type]

    def start(self) -> None:
        self.told.append("start")

    def press(self, digit: str) -> None:
        self.told.append(f"press {digit}")

    def pulses(self) -> tuple[Pulse, Pulse]:
        return NO_PULSE, NO_PULSE

    def announce(self, verdicts: Sequence[str]) -> float:
        self.told.append(f"announce {' '.join(verdicts)}")
        return 3.0

    def last_packet_at(self) -> float | None:
        return self.packet_at

    def drain_events(self) -> list[FakeEvent]:
        return []

    def quality(self) -> tuple[()]:
        return ()

    def figures(self) -> tuple[FakeDirection, FakeDirection]:
        return self.counted

    def close(self) -> tuple[FakeDirection, FakeDirection]:
        self.relay.open_endpoints.remove(self)
        return self.counted


class FakeRelay:
    """Gives out even ports, `free` streams at once (None: any number)."""

    def __init__(self) -> None:
        self.open_sessions: list[FakeSession] = []
        self.open_endpoints: list[FakeEndpoint] = []
        self.opened = 0
        self.free: int | None = None

    def open(self, call_id: str, kind: str) -> FakeSession | None:
        if self.free is not None and len(self.open_sessions) >= self.free:
            return None
        port = 10_000 + 4 * self.opened
        self.opened += 1
        session = FakeSession(self, call_id, kind, (port, port + 2))
        self.open_sessions.append(session)
        return session

    def open_endpoint(self, call_id: str, program: str, address: str) -> FakeEndpoint | None:
        if self.free is not None and len(self.open_sessions) + len(self.open_endpoints) >= self.free:
            return None
        self.opened += 1
        endpoint = FakeEndpoint(self, program, address, 10_000 + 4 * self.opened)
        self.open_endpoints.append(endpoint)
        return endpoint


# ------------------------------------------------------------------------------------------------ the wire


@dataclass(frozen=True)
class Sent:
    """One message that the core has sent.  `at` is seconds since the start."""

    at: float
    flow: Flow
    data: bytes
    effect: Send

    @property
    def message(self) -> SipText:
        return SipText.parse(self.data)

    def __str__(self) -> str:
        return f"{self.at:8.3f} {self.message.what} to {self.flow}"


def is_own_address(host: str, port: int) -> bool:
    """The server stands in two networks."""
    return (host, port) in (("192.0.2.1", 5060), ("198.51.100.1", 5060))


def local_host(remote_host: str) -> str:
    """Our address as that peer reaches it."""
    return "198.51.100.1" if remote_host.startswith("198.51.100.") else "192.0.2.1"


class CoreHarness:
    """A core, its clock and its wire.  Settings are fields of `Config`; all networks are trusted unless they say
    otherwise."""

    def __init__(self, timers: TimerSettings | None = None, **settings: object) -> None:
        self.config = replace(Config(trusted_networks=EVERYWHERE), **settings)  # type: ignore[arg-type]
        self.relay = FakeRelay()
        self.now = STARTED
        self.recorder = FakeRecorder()
        self.events = FakeEvents()
        self.core = SipCore(
            self.config,
            self.relay,  # type: ignore[arg-type]
            self.recorder,
            self.events,
            is_own_address,
            timers,
            STARTED_AT - STARTED,
        )
        self.sent: list[Sent] = []
        self._unread: list[Sent] = []
        self.unreachable: set[str] = set()
        """Remote hosts to which sending fails."""

    @property
    def elapsed(self) -> float:
        return self.now - STARTED

    @property
    def now_at(self) -> float:
        return STARTED_AT + self.elapsed

    # -------------------------------------------------------------------------------------------- in

    def inject(
        self, data: bytes | str, source: Address = ("192.0.2.10", 5060), transport: str = "UDP", connection: int = 0
    ) -> None:
        """One message arrives; in a text, LF stands for CRLF."""
        if isinstance(data, str):
            data = data.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "surrogateescape")
        flow = Flow(transport, local_host(source[0]), 5060, *source, connection)
        try:
            message = parse_datagram(data)
        except ParseError as error:
            self.core.reject(error, flow, self.now)
        else:
            self.core.receive(message, data, flow, self.now)
        self.collect()

    def close_connection(self, source: Address, connection: int) -> None:
        flow = Flow("TCP", local_host(source[0]), 5060, *source, connection)
        self.core.connection_closed(flow, self.now)
        self.collect()

    def advance(self, seconds: float) -> None:
        """Let time pass; each timer fires at its deadline."""
        end = self.now + seconds
        while (deadline := self.core.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.core.handle_timeout(self.now)
            self.collect()
        self.now = end

    # -------------------------------------------------------------------------------------------- out

    def collect(self) -> None:
        """Take what the core wants sent, after anything that was done to it."""
        while effects := self.core.take_effects():
            for effect in effects:
                if effect.flow.remote_host in self.unreachable:
                    if effect.transaction is not None:
                        self.core.transport_error(effect.transaction, "Connection refused", self.now)
                    continue
                sent = Sent(self.elapsed, effect.flow, effect.data, effect)
                self.sent.append(sent)
                self._unread.append(sent)

    def expect(self, pattern: str, to: Address | int) -> Sent:
        """The next unread message to that address (UDP) or connection, which must be `METHOD` or `STATUS METHOD`."""
        for sent in self._unread:
            if _is_to(sent, to):
                assert fnmatchcase(sent.message.what, pattern), f"{pattern} expected, but {sent}; {self._left(to)}"
                self._unread.remove(sent)
                return sent
        raise AssertionError(f"{pattern} expected, but nothing was sent to {to}; unread: {self._left()}")

    def unread(self, to: Address | int | None = None) -> list[str]:
        """What was sent and not expected yet, in short."""
        return [sent.message.what for sent in self._unread if to is None or _is_to(sent, to)]

    def forget(self) -> None:
        """What was sent until now is of no interest."""
        self._unread.clear()

    def _left(self, to: Address | int | None = None) -> str:
        return "; ".join(str(sent) for sent in self._unread if to is None or _is_to(sent, to))

    # -------------------------------------------------------------------------------------------- the end

    def end_calls(self) -> None:
        """As at shutdown."""
        self.core.end_calls(TerminationReason.ADMIN, "the server is shutting down", self.now)
        self.collect()

    def ended_calls(self) -> list[EndedCall]:
        """What was written of each ended call, oldest first."""
        return self.recorder.rows()

    def journal(self) -> list[str]:
        """The record of the only call, line by line: messages as `> what` (received), `< what` (sent)."""
        x = self.core._exchange
        calls = list(x.calls._calls.values())
        assert len(calls) == 1
        marks = {"received": "> ", "sent": "< ", "decision": "", "media": ""}
        return [
            marks[entry.kind.value] + (SipText.parse(entry.data).what if entry.data else entry.text)
            for entry in calls[0].journal.entries()
        ]

    def assert_clean(self) -> None:
        """Once the bindings are gone and the clock ran on, nothing is left of anything."""
        x = self.core._exchange
        self.core.clear_registrations(self.now)
        self.advance(LONG_S)
        assert self.core.calls() == ()
        left = {
            "server transactions": x.layer.server_count,
            "client transactions": x.layer.client_count,
            "timers": len(x.timers),
            "calls": len(x.calls),
            "calls by Call-ID": len(x.calls._by_call_id),
            "relay sessions": len(self.relay.open_sessions),
            "endpoints": len(self.relay.open_endpoints),
            "keep-alives": len(self.core._keepalive),
            "silent phones": len(self.core._keepalive._silent),
            "numbers": len(x.location.numbers()),
        }
        assert not any(left.values()), left


def _is_to(sent: Sent, to: Address | int) -> bool:
    flow = sent.flow
    return flow.connection == to if isinstance(to, int) else flow.transport == "UDP" and flow.remote == to
