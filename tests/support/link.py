"""The test phone's way to the server: a UDP, TCP or TLS socket, a thread, and a script of what gets lost or repeated.

The thread receives, hands messages up and repeats what waits for an answer (RFC 3261 17: T1 doubling up to T2).  The
condition that the phone passes in guards everything here; it is notified after each message.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.sip_text import SipText, read_stream
from tests.support.tls import TlsSocket, client_context

Address = tuple[str, int]

T2_S = 4.0


@dataclass(frozen=True, slots=True)
class Passed:
    """One message that was sent, received or, by the script, lost on the way."""

    direction: str
    lost: bool
    message: SipText
    address: Address

    def __str__(self) -> str:
        arrow = "->" if self.direction == "sent" else "<-"
        return f"{arrow} {self.message.start_line}{'  (lost)' if self.lost else ''}"


@dataclass(slots=True)
class _Fault:
    """What befalls the next `times` messages that match."""

    direction: str
    pattern: str
    times: int
    copies: int


@dataclass(slots=True)
class _Repeat:
    data: bytes
    address: Address | None
    interval_s: float
    deadline: float


class Link:
    """Open from construction to `close`.  Invariant: only its thread reads the socket."""

    def __init__(
        self,
        name: str,
        transport: str,
        host: str,
        server: Address,
        changed: threading.Condition,
        on_message: Callable[[SipText, Address], None],
        t1_s: float,
        ca_file: Path | None = None,
    ) -> None:
        """`ca_file`: the authority that a TLS phone trusts."""
        self.transport = transport
        self._ca_file = ca_file
        self.server = server
        self.log: list[Passed] = []
        self.closed_by_server = False
        self.fault: Exception | None = None
        self._changed = changed
        self._on_message = on_message
        self._t1_s = t1_s
        self._faults: list[_Fault] = []
        self._repeats: dict[Hashable, _Repeat] = {}
        self._buffer = bytearray()
        self._open = True
        self._socket = self._connect(host)
        self.local: Address = self._socket.getsockname()[:2]
        self._wake_rx, self._wake_tx = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"phone-{name}", daemon=True)
        self._thread.start()

    def _connect(self, host: str) -> socket.socket | TlsSocket:
        if self.transport != "UDP":
            sock = socket.create_connection(self.server, source_address=(host, 0))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.transport == "TCP":
                return sock
            assert self._ca_file is not None
            return TlsSocket(sock, client_context(self._ca_file))
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        return sock

    def close(self) -> None:
        """Leave without a word, as when the power fails.  Idempotent."""
        with self._changed:
            if not self._open:
                return
            self._open = False
        self._wake()
        self._thread.join()
        for sock in (self._socket, self._wake_rx, self._wake_tx):
            sock.close()

    def leave(self) -> None:
        """End the connection in order; `closed_by_server` tells when the server has done its part."""
        self._socket.shutdown(socket.SHUT_WR)

    # -------------------------------------------------------------------------------------------- the script

    def lose(self, direction: str, pattern: str, times: int = 1) -> None:
        """The next `times` messages like `pattern`, "sent" or "received", never arrive."""
        self._script(direction, pattern, times, 0)

    def double(self, direction: str, pattern: str, times: int = 1) -> None:
        """The next `times` messages like `pattern` arrive twice."""
        self._script(direction, pattern, times, 2)

    @property
    def unmet(self) -> list[str]:
        """Patterns of the script that no, or too few, messages have met."""
        with self._changed:
            return [fault.pattern for fault in self._faults if fault.times]

    def _script(self, direction: str, pattern: str, times: int, copies: int) -> None:
        with self._changed:
            self._faults.append(_Fault(direction, pattern, times, copies))

    def _copies(self, direction: str, message: SipText, address: Address) -> int:
        """How often the message passes; it is noted on the way."""
        copies = 1
        for fault in self._faults:
            if fault.times and fault.direction == direction and message.matches(fault.pattern):
                fault.times -= 1
                copies = fault.copies
                break
        self.log += [Passed(direction, not copies, message, address)] * max(1, copies)
        return copies

    # -------------------------------------------------------------------------------------------- sending

    def send(self, message: SipText, address: Address | None = None) -> bytes:
        """Send as the script allows; the bytes of the message."""
        data = message.to_bytes()
        self.resend(data, address)
        return data

    def resend(self, data: bytes, address: Address | None = None) -> None:
        with self._changed:
            for _ in range(self._copies("sent", SipText.parse(data), address or self.server)):
                self.send_bytes(data, address)

    def send_bytes(self, data: bytes, address: Address | None = None) -> None:
        """Anything at all, past the script."""
        if self.transport != "UDP":
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                self._socket.sendall(data)
        else:
            assert isinstance(self._socket, socket.socket)
            self._socket.sendto(data, address or self.server)

    def repeat(self, key: Hashable, data: bytes, address: Address | None = None) -> None:
        """Send `data` again after T1, 2*T1, ... until `stop_repeating` with the same key."""
        with self._changed:
            self._repeats[key] = _Repeat(data, address, self._t1_s, time.monotonic() + self._t1_s)
        self._wake()

    def stop_repeating(self, key: Hashable) -> None:
        with self._changed:
            self._repeats.pop(key, None)

    # -------------------------------------------------------------------------------------------- the thread

    def _wake(self) -> None:
        self._wake_tx.send(b"\0")

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - whoever waits for this phone gets it
            with self._changed:
                self.fault = error
                self._changed.notify_all()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_rx, selectors.EVENT_READ)
            selector.register(self._socket, selectors.EVENT_READ)
            while self._open:
                ready = [key.fileobj for key, _ in selector.select(self._sleep_s())]
                if self._wake_rx in ready:
                    self._wake_rx.recv(4096)
                if self._socket in ready and not self._receive():
                    selector.unregister(self._socket)
                self._send_repeats()

    def _sleep_s(self) -> float | None:
        with self._changed:
            deadline = min((repeat.deadline for repeat in self._repeats.values()), default=None)
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _send_repeats(self) -> None:
        now = time.monotonic()
        with self._changed:
            for repeat in [each for each in self._repeats.values() if each.deadline <= now]:
                repeat.interval_s = min(2 * repeat.interval_s, T2_S)
                repeat.deadline = now + repeat.interval_s
                self.resend(repeat.data, repeat.address)

    def _receive(self) -> bool:
        """False when the server has closed the connection."""
        address = None
        data: bytes | None = b""
        with contextlib.suppress(OSError):
            if isinstance(self._socket, TlsSocket):
                data = self._socket.read()
            else:
                data, address = self._socket.recvfrom(65_535)
        if data is None:
            return True
        if not data and self.transport != "UDP":
            with self._changed:
                self.closed_by_server = True
                self._changed.notify_all()
            return False
        for each in self._messages(data):
            message = SipText.parse(each)
            source = address or self.server
            with self._changed:
                for _ in range(self._copies("received", message, source)):
                    self._on_message(message, source)
                self._changed.notify_all()
        return True

    def _messages(self, data: bytes) -> Iterable[bytes]:
        if self.transport == "UDP":
            return [data] if data.strip(b"\r\n") else []
        self._buffer += data
        return read_stream(self._buffer)
