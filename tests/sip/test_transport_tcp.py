"""sip/transport_tcp.py and sip/tcp_connection.py: no peer takes more than its share of time, memory and connections.

The clock stands still; a test sets it and has the transport look for overdue connections, as its thread does by itself.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from sip.addresses import AddressBook
from sip.errors import ParseError
from sip.flow import Flow
from sip.message import Request, Response
from sip.patience import StreamLimits
from sip.quota import ConnectionQuota
from sip.tls import Certificate
from sip.transport import ConnectionUser
from sip.transport_tcp import TcpTransport
from sip.transport_tls import TlsTransport
from tests.support.office import eventually
from tests.support.tls import TlsFiles, client_context

OPTIONS = b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n"
WAIT_S = 5.0
LIMITS = StreamLimits(connections=4, first_message_s=20, message_s=30, idle_s=180, queued_bytes=100_000)


class Receiver:
    """Whom the transport tells; `in_use` are the phones that it must not close for silence."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Flow] = queue.Queue()
        self.malformed: queue.Queue[ParseError] = queue.Queue()
        self.closed: queue.Queue[Flow] = queue.Queue()
        self.failed: queue.Queue[tuple[object, str]] = queue.Queue()
        self.in_use: set[str] = set()
        self.banned: set[str] = set()

    def on_message(self, message: Request | Response, data: bytes, flow: Flow) -> None:
        self.messages.put(flow)

    def user(self) -> ConnectionUser:
        return ConnectionUser(
            self.on_message,
            lambda error, flow: self.malformed.put(error),
            self.closed.put,
            lambda token, reason: self.failed.put((token, reason)),
            lambda: frozenset(self.in_use),
            self.banned.__contains__,
        )


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Dial(Protocol):
    """A connection to the transport, encrypted if it is to be."""

    def __call__(self) -> socket.socket: ...


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["TCP", "TLS"])
def transport(
    request: pytest.FixtureRequest, receiver: Receiver, clock: Clock, tls_files: TlsFiles
) -> Iterator[TcpTransport]:
    quota = ConnectionQuota(LIMITS.connections, LIMITS.connections_per_source)
    made: TcpTransport
    if request.param == "TCP":
        made = TcpTransport("127.0.0.1", 0, AddressBook(), receiver.user(), LIMITS, quota, clock)
    else:
        certificate = Certificate(tls_files.certificate, tls_files.key)
        made = TlsTransport("127.0.0.1", 0, AddressBook(), receiver.user(), LIMITS, quota, certificate, clock)
    made.start()
    yield made
    made.stop()
    assert quota._by_source == {}


@pytest.fixture
def dial_plain(transport: TcpTransport) -> Iterator[Dial]:
    made: list[socket.socket] = []

    def connect() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", transport.port), WAIT_S))
        return made[-1]

    yield connect
    for sock in made:
        sock.close()


@pytest.fixture
def dial(transport: TcpTransport, dial_plain: Dial, tls_files: TlsFiles) -> Iterator[Dial]:
    if transport.name == "TCP":
        yield dial_plain
        return
    made: list[socket.socket] = []
    context = client_context(tls_files.ca)

    def connect() -> socket.socket:
        made.append(context.wrap_socket(dial_plain(), server_hostname="127.0.0.1"))
        return made[-1]

    yield connect
    for sock in made:
        sock.close()


def register(sock: socket.socket, receiver: Receiver) -> Flow:
    """Send a message; the flow it came by."""
    sock.sendall(OPTIONS)
    return receiver.messages.get(timeout=WAIT_S)


def ping(sock: socket.socket) -> None:
    """RFC 5626 3.5.1; whatever was sent before has been read when this returns."""
    sock.sendall(b"\r\n\r\n")
    assert sock.recv(10) == b"\r\n"


def assert_open(sock: socket.socket) -> None:
    ping(sock)


def assert_closed(sock: socket.socket) -> None:
    """The server ends the connection; TimeoutError when it does not."""
    try:
        while sock.recv(65_536):
            pass
    except ConnectionError:
        pass


def await_begun(transport: TcpTransport, flow: Flow) -> None:
    """Return when the beginning of a message, not its first, has been read."""
    # A message can be here before the connection that it came by is in the table.
    with transport._lock:
        patience = transport._connections[flow.connection].patience
    first_is_over = 1000.0 + LIMITS.first_message_s
    eventually(lambda: not patience.is_idle and not patience.is_overdue(first_is_over), "the beginning of a message")


Advance = Callable[[float], None]


@pytest.fixture
def advance(transport: TcpTransport, clock: Clock) -> Advance:
    def to(seconds: float) -> None:
        clock.now = 1000.0 + seconds
        transport.close_overdue(clock.now)

    return to


# ------------------------------------------------------------------------------------------------ time


def test_who_says_nothing_is_dropped(transport: TcpTransport, dial_plain: Dial, dial: Dial, advance: Advance) -> None:
    """With TLS also who never finishes, or never begins, the handshake."""
    silent = dial_plain()
    half = dial_plain()
    half.sendall(b"\x16\x03\x01\x02\x00" if transport.name == "TLS" else b"INVITE")
    ready = dial()
    ping(ready)  # those before it have been accepted, too

    advance(20)

    for sock in (silent, half, ready):
        assert_closed(sock)


def test_a_message_that_comes_byte_by_byte_is_cut_off(
    transport: TcpTransport, receiver: Receiver, dial: Dial, advance: Advance
) -> None:
    slow, other = dial(), dial()
    flow = register(slow, receiver)
    register(other, receiver)
    slow.sendall(b"O")
    await_begun(transport, flow)
    for second, byte in enumerate(b"PTIONS sip:"):
        advance(second)
        slow.sendall(bytes([byte]))
    advance(29)
    slow.sendall(b"1")

    advance(30)

    assert_closed(slow)
    assert_open(other)


def test_silence_ends_a_connection_that_nobody_needs(
    receiver: Receiver, dial: Dial, advance: Advance, transport: TcpTransport
) -> None:
    sock = dial()
    flow = register(sock, receiver)
    ping(sock)
    advance(179)
    ping(sock)
    advance(179 + 179)
    assert_open(sock)

    advance(179 + 179 + 180)

    assert_closed(sock)
    assert receiver.closed.get(timeout=WAIT_S) == flow
    assert transport.send(flow, b"x", None) == "the connection is closed"


def test_a_phone_that_is_registered_may_be_silent(receiver: Receiver, dial: Dial, advance: Advance) -> None:
    sock = dial()
    flow = register(sock, receiver)
    ping(sock)
    receiver.in_use.add(f"127.0.0.1:{flow.remote_port}")

    advance(180)
    advance(359)
    advance(360)
    assert_open(sock)
    receiver.in_use.clear()
    advance(360 + 179)
    assert_open(sock)
    advance(360 + 179 + 180)

    assert_closed(sock)


def test_also_a_registered_phone_must_finish_its_message(
    transport: TcpTransport, receiver: Receiver, dial: Dial, advance: Advance
) -> None:
    sock = dial()
    flow = register(sock, receiver)
    receiver.in_use.add(f"127.0.0.1:{flow.remote_port}")
    sock.sendall(OPTIONS + b"OPT")
    await_begun(transport, flow)

    advance(30)

    assert_closed(sock)


# ------------------------------------------------------------------------------------------------ memory


def test_a_peer_that_does_not_read_is_dropped_and_what_it_missed_is_told(
    transport: TcpTransport, receiver: Receiver, dial: Dial
) -> None:
    sock = dial()
    flow = register(sock, receiver)
    # More than the sockets' own buffers take.
    assert transport.send(flow, bytes(32 << 20), 0) is None
    sent = 1
    while (refused := transport.send(flow, bytes(50_000), sent)) is None:
        sent += 1

    assert refused == "the peer does not read"
    assert receiver.closed.get(timeout=WAIT_S) == flow
    assert [receiver.failed.get_nowait()[0] for _ in range(sent)] == list(range(sent))
    assert receiver.failed.empty()


def test_an_endless_message_is_cut_off(receiver: Receiver, dial: Dial) -> None:
    sock = dial()
    with pytest.raises((ConnectionError, ssl.SSLEOFError)):
        while True:
            sock.sendall(b"X" * 10_000)
    receiver.closed.get(timeout=WAIT_S)


# ------------------------------------------------------------------------------------------------ number


def test_no_more_than_so_many_connections(
    receiver: Receiver, dial: Dial, dial_plain: Dial, transport: TcpTransport
) -> None:
    phones = [dial() for _ in range(LIMITS.connections)]
    flows = [register(sock, receiver) for sock in phones]

    assert_closed(dial_plain())

    for sock in phones:
        assert_open(sock)
    phones[0].close()
    assert receiver.closed.get(timeout=WAIT_S) == flows[0]
    register(dial(), receiver)


@pytest.mark.parametrize("thread", ["tx", "rx"])
def test_without_threads_one_connection_is_lost_and_not_the_transport(
    receiver: Receiver,
    dial: Dial,
    dial_plain: Dial,
    transport: TcpTransport,
    monkeypatch: pytest.MonkeyPatch,
    thread: str,
) -> None:
    begin = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name.endswith(thread):
            raise RuntimeError("can't start new thread")
        begin(self)

    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        assert_closed(dial_plain())

    assert transport.is_running()
    register(dial(), receiver)


def test_connections_of_all_transports_have_numbers_of_their_own(
    transport: TcpTransport, receiver: Receiver, dial: Dial, clock: Clock
) -> None:
    first = register(dial(), receiver)
    quota = ConnectionQuota(10, 10)
    other = TcpTransport("127.0.0.1", 0, AddressBook(), receiver.user(), LIMITS, quota, clock)
    other.start()
    with socket.create_connection(("127.0.0.1", other.port), WAIT_S) as sock:
        second = register(sock, receiver)
    other.stop()
    assert first.connection != second.connection


# ------------------------------------------------------------------------------------------------ opening


def test_tcp_opens_a_connection_to_a_phone_and_tls_does_not(
    transport: TcpTransport, receiver: Receiver, tls_files: TlsFiles
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as phone:
        phone.settimeout(WAIT_S)
        flow = Flow(transport.name, "127.0.0.1", transport.port, *phone.getsockname())

        refused = transport.send(flow, OPTIONS, "token")

        if transport.name == "TLS":
            assert refused == "no connection can be opened"
            return
        assert refused is None
        sock, _ = phone.accept()
        with sock:
            assert sock.recv(1000) == OPTIONS


@pytest.mark.parametrize("transport", ["TCP"], indirect=True)
def test_a_phone_that_is_switched_off_is_told_to_the_sender(transport: TcpTransport, receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as phone:
        gone = phone.getsockname()
    assert transport.send(Flow("TCP", "127.0.0.1", transport.port, *gone), OPTIONS, "token") is None
    token, reason = receiver.failed.get(timeout=WAIT_S)
    assert token == "token"
    assert "refused" in reason


def test_who_is_banned_is_cut_off_at_the_door_and_at_its_next_message(
    receiver: Receiver, dial_plain: Dial, dial: Dial
) -> None:
    known = dial()
    known.sendall(OPTIONS)
    receiver.messages.get(timeout=WAIT_S)
    receiver.banned.add("127.0.0.1")
    assert dial_plain().recv(1) == b""
    known.sendall(OPTIONS)
    with contextlib.suppress(OSError):
        assert known.recv(1) == b""
    assert receiver.messages.empty()


def test_a_peer_that_sends_too_fast_is_read_later_and_loses_nothing(
    receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds' worth may come at once."""
    waits: list[float] = []
    limits = StreamLimits(messages_per_s=2.0)
    tcp = TcpTransport("127.0.0.1", 0, AddressBook(), receiver.user(), limits, ConnectionQuota(9, 9), clock)
    genuine_wait = threading.Event.wait

    def wait(self: threading.Event, timeout: float | None = None) -> bool:
        if timeout is None or not threading.current_thread().name.endswith("-rx"):
            return genuine_wait(self, timeout)
        waits.append(timeout)
        clock.now += timeout
        return self.is_set()

    monkeypatch.setattr(threading.Event, "wait", wait)
    tcp.start()
    try:
        with socket.create_connection(("127.0.0.1", tcp.port), WAIT_S) as phone:
            phone.sendall(OPTIONS * 30)
            for _ in range(30):
                receiver.messages.get(timeout=WAIT_S)
    finally:
        tcp.stop()
    assert sum(waits) == pytest.approx(5.0)
