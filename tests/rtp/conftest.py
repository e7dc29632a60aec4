"""Packets made by hand, phones that are plain sockets, and a relay on ports nobody else uses."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rtp import leg as leg_module
from rtp.crew import CAN_LEND
from rtp.line import Line
from rtp.relay import RelaySession, RtpRelay

TIMEOUT_S = 10.0
"""How long a blocking receive may take before a test fails; never how long it does take."""

SAMPLES_PER_PACKET = 160


class Phone:
    """Two sockets of one host, RTP and RTCP. Media are sent to `relay_port`, RTCP to the port above it."""

    def __init__(self, host: str) -> None:
        self.rtp = _bound(host)
        self.rtcp = _bound(host)
        self.address: tuple[str, int] = self.rtp.getsockname()
        self.rtcp_address: tuple[str, int] = self.rtcp.getsockname()
        self.hosts = frozenset({host})
        self.relay_port = 0

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.rtp.sendto(packet, ("127.0.0.1", self.relay_port))

    def send_rtcp(self, *packets: bytes) -> None:
        for packet in packets:
            self.rtcp.sendto(packet, ("127.0.0.1", self.relay_port + 1))

    def receive(self) -> bytes:
        """The next packet from the relay. Others may be meant for whoever had this port before."""
        while True:
            packet, source = self.rtp.recvfrom(65536)
            if source[1] == self.relay_port:
                return packet

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(TIMEOUT_S)
    sock.bind((host, 0))
    return sock


class Call:
    """An open audio session with both phones announced at the addresses they really have."""

    def __init__(self, relay: RtpRelay, caller: Phone, callee: Phone) -> None:
        self.relay = relay
        self.caller, self.callee = caller, callee
        session = relay.open("call-1", "audio")
        assert session is not None
        self.session: RelaySession = session
        for phone, port in zip((caller, callee), session.ports, strict=True):
            phone.relay_port = port

    def announce(self) -> None:
        for side, phone in enumerate((self.caller, self.callee)):
            self.say(side, phone.address, phone.rtcp_address, phone.hosts, {})

    def say(self, side: int, *description: Any) -> None:
        """A session description of `side`. What is sent afterwards meets it, which takes a moment with a worker."""
        self.session.set_peer(side, *description)
        if self.relay.workers_running() and line_of(self.session) is not None:
            self.settle()

    def talk(self) -> None:
        """One packet each way, so that both sides are learnt."""
        for sender, receiver in ((self.caller, self.callee), (self.callee, self.caller)):
            sender.send(rtp_packet(0))
            assert receiver.receive() == rtp_packet(0)

    def settle(self, packets: int = 1) -> None:
        """Wait until the relay has dealt with up to `packets` datagrams that wait at any one of its sockets."""
        settle(self.relay, packets)


def settle(relay: RtpRelay, packets: int = 1) -> None:
    """See `Call.settle`. What a worker has not read when its line is taken back, the relay reads itself."""
    pass_rounds(relay, packets)
    for session in list(relay._sessions):
        line = line_of(session)
        if line is not None:
            is_here = threading.Event()
            post(relay, lambda line=line, is_here=is_here: line.withdraw(is_here.set))
            assert is_here.wait(TIMEOUT_S)
            pass_rounds(relay, packets)
            post(relay, line.offer)
    pass_rounds(relay, 0)


def pass_rounds(relay: RtpRelay, packets: int) -> None:
    # A round of the loop runs commands, then reads one packet of each ready socket. The first command may run in a
    # round that began before the packet came, the last in one that has not read yet, and a session's first packet is
    # read in the round after the one it has woken the session in.
    for _ in range(packets + 3):
        done = threading.Event()
        post(relay, done.set)
        assert done.wait(TIMEOUT_S)


def post(relay: RtpRelay, command: Callable[[], object]) -> None:
    assert relay._place is not None
    relay._place.loop.post(command)  # type: ignore[arg-type]


def line_of(session: RelaySession) -> Line | None:
    """Its line, once a packet has come."""
    return None if session._legs is None else session._legs._line


def await_workers(relay: RtpRelay, count: int) -> None:
    """Wait until so many worker processes are up."""
    deadline = time.monotonic() + TIMEOUT_S
    while relay.workers_running() != count:
        assert time.monotonic() < deadline, f"{relay.workers_running()} workers are up, not {count}"
        time.sleep(0.002)


class PortSlots:
    """Ranges of ports below the system's ephemeral ones that nobody holds. A TCP socket bound to the first port of a
    range claims it, so that tests running side by side keep apart."""

    SIZE = 40

    def __init__(self) -> None:
        self._claims: list[socket.socket] = []

    def take(self, size: int) -> int:
        assert size <= self.SIZE
        for first in range(20000, 30000, self.SIZE):
            claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._claims.append(claim)
            try:
                claim.bind(("127.0.0.1", first))
            except OSError:
                continue
            if all(_is_free(port) for port in range(first, first + size)):
                return first
        raise AssertionError("no free range of ports")

    def close(self) -> None:
        for claim in self._claims:
            claim.close()


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def rtp_packet(
    sequence_number: int,
    *,
    payload_type: int = 0,
    marker: bool = False,
    rtp_timestamp: int | None = None,
    ssrc: int = 0x1234,
    payload: bytes = b"\xd5" * SAMPLES_PER_PACKET,
) -> bytes:
    timestamp = sequence_number * SAMPLES_PER_PACKET if rtp_timestamp is None else rtp_timestamp
    header = struct.pack(
        "!BBHII", 0x80, marker << 7 | payload_type, sequence_number & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc
    )
    return header + payload


def sender_report(ssrc: int, ntp_middle: int = 0, blocks: bytes = b"", packet_type: int = 200) -> bytes:
    info = struct.pack("!QIII", ntp_middle << 16, 0, 0, 0) if packet_type == 200 else b""
    body = struct.pack("!I", ssrc) + info + blocks
    return struct.pack("!BBH", 0x80 | len(blocks) // 24, packet_type, len(body) // 4) + body


def report_block(ssrc: int, lost: int = 0, jitter: int = 0, last_sr: int = 0, delay: int = 0) -> bytes:
    return struct.pack("!IIIIII", ssrc, lost & 0xFFFFFF, 0, jitter, last_sr, delay)


@pytest.fixture
def rtp() -> Callable[..., bytes]:
    return rtp_packet


@pytest.fixture
def report() -> Callable[..., bytes]:
    return sender_report


@pytest.fixture
def block() -> Callable[..., bytes]:
    return report_block


@pytest.fixture
def ports() -> Iterator[Callable[[int], int]]:
    """Gives the first of so many free ports."""
    slots = PortSlots()
    yield slots.take
    slots.close()


@pytest.fixture
def workers(request: pytest.FixtureRequest) -> int:
    """How many worker processes the test's relay has."""
    return int("twins" in request.fixturenames and request.getfixturevalue("twins") == "worker")


@pytest.fixture
def relay(ports: Callable[[int], int], workers: int) -> Iterator[RtpRelay]:
    first = ports(40)
    relay = RtpRelay("0.0.0.0", first, first + 39, workers)
    relay.start()
    await_workers(relay, workers)
    yield relay
    relay.stop()


@pytest.fixture
def phone() -> Iterator[Callable[..., Phone]]:
    """Makes phones; every one has an address of its own."""
    made: list[Phone] = []

    def make(host: str = "127.0.0.1") -> Phone:
        made.append(Phone(host))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def unannounced_call(relay: RtpRelay, phone: Callable[..., Phone]) -> Call:
    return Call(relay, phone(), phone())


@pytest.fixture
def call(unannounced_call: Call) -> Call:
    unannounced_call.announce()
    return unannounced_call


@pytest.fixture
def wait() -> Callable[[RtpRelay, int], None]:
    return settle


@pytest.fixture(name="await_workers")
def await_workers_fixture() -> Callable[[RtpRelay, int], None]:
    return await_workers


@pytest.fixture
def rounds() -> Callable[[RtpRelay, int], None]:
    """Waits like `wait`, and leaves lines where they are."""
    return pass_rounds


@pytest.fixture
def new_call(phone: Callable[..., Phone]) -> Callable[[RtpRelay], Call]:
    """Makes announced calls through any relay."""

    def make(relay: RtpRelay) -> Call:
        call = Call(relay, phone(), phone())
        call.announce()
        return call

    return make


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """A socket on a host that is none of the phones'."""
    sock = _bound("127.0.0.66")
    yield sock
    sock.close()


@pytest.fixture
def is_silent() -> Callable[[socket.socket], bool]:
    """Whether nothing waits to be read."""

    def look(sock: socket.socket) -> bool:
        sock.setblocking(False)
        try:
            sock.recv(65536)
        except BlockingIOError:
            return True
        finally:
            sock.settimeout(TIMEOUT_S)
        return False

    return look


WAYS = ["plain", "twin", "worker"] if CAN_LEND else ["plain", "twin"]


@pytest.fixture(params=WAYS)
def twins(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test without and with connected sockets, and with those in the hands of a worker process."""
    if request.param == "plain":
        monkeypatch.setattr(leg_module, "CAN_TWIN", False)
    return str(request.param)
