"""SIP over UDP (RFC 3261 18): one socket, one blocking receive thread, sends that never wait.

Thread `sip-udp` runs the receive loop and parses outside the core lock; `send` is called by whoever holds that lock.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable

from faults import FaultLog
from lasting_thread import LastingThread
from sip.addresses import AddressBook, family_of, is_wildcard, normalise
from sip.errors import ParseError
from sip.flow import Flow
from sip.icmp import Undelivered, ask_for_errors, read_errors
from sip.message import parse_datagram
from sip.transport import OnMalformed, OnMessage, OnUndelivered

log = logging.getLogger(__name__)

_RECEIVE_BUFFER = 1 << 20
_MAX_DATAGRAM = 65_535
_MAX_FLOWS = 4096
_NO_BUFFER = frozenset({errno.EAGAIN, errno.EINTR, errno.ENOBUFS, errno.ENOMEM})
_RECEIVE_PAUSE_S = 0.1
"""After a fault of the socket itself: a loop that only meets it again would take the interpreter from the calls."""

_OF_A_PEER = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH})
"""ICMP errors of an earlier send: they say nothing about this socket, and a phone that is off is no event."""
_SEND_TRIES = 3
"""An error of an earlier message keeps this one from being sent; the next try is without it."""

_MSG_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)


class UdpTransport:
    """Invariant: `_flows` holds at most `_MAX_FLOWS` flows, each equal to what `_flow` would make anew until the
    address book is refreshed."""

    name = "UDP"

    def __init__(
        self,
        host: str,
        port: int,
        addresses: AddressBook,
        lets_in: Callable[[str], bool],
        on_message: OnMessage,
        on_malformed: OnMalformed,
        on_undelivered: OnUndelivered,
    ) -> None:
        """Binds at once; raises `OSError`.  `lets_in(host)`: a datagram from there is looked at."""
        self._addresses = addresses
        self._lets_in = lets_in
        self._on_message = on_message
        self._on_malformed = on_malformed
        self._on_undelivered = on_undelivered
        self._dual_stack = family_of(host) == socket.AF_INET6
        self._socket = bound_udp_socket(host, port)
        self._tells_errors = ask_for_errors(self._socket)
        self._has_errors = False
        """`send` has met an error of an earlier message, of which the receiving thread may not have heard."""
        self.port: int = self._socket.getsockname()[1]
        self._wake_host = ("::1" if self._dual_stack else "127.0.0.1") if is_wildcard(host) else host
        self._flows: dict[tuple[str, int], Flow] = {}
        self._faults = FaultLog(log, "sip-udp")
        self._is_deaf = False
        self._stopping = threading.Event()
        self._thread = LastingThread("sip-udp", self._run, self._stopping.is_set)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        # Closing does not wake a blocked recvfrom; shutdown does on Linux, a datagram to ourselves does everywhere.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError), socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"\r\n", (self._wake_host, self.port))
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def forget_flows(self) -> None:
        """Our own addresses may have changed: make every flow anew."""
        self._flows.clear()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def problems(self) -> tuple[str, ...]:
        deaf = ("SIP over UDP can't be received at the moment",) if self._is_deaf else ()
        return (*deaf, *self._thread.problems())

    def send(self, flow: Flow, data: bytes, token: object) -> str | None:
        host = flow.remote_host
        if self._dual_stack and ":" not in host:
            host = f"::ffff:{host}"
        try:
            self._socket.sendto(data, _MSG_DONTWAIT, (host, flow.remote_port))
        except OSError as error:
            last = self._send_again(flow, data, (host, flow.remote_port), error)
            if last is None or last.errno in _NO_BUFFER:
                # A full buffer is packet loss; the transaction's timer repeats the message.
                return None
            return str(last)
        except (OverflowError, ValueError) as error:
            return str(error)
        return None

    def _send_again(self, flow: Flow, data: bytes, address: tuple[str, int], error: OSError) -> OSError | None:
        """The first try has met `error`; what the last one did."""
        left = _SEND_TRIES - 1 if self._tells_errors else 0
        while error.errno in _OF_A_PEER:
            self._has_errors = True
            if not left:
                return error
            left -= 1
            try:
                self._socket.sendto(data, _MSG_DONTWAIT, address)
            except OSError as next_error:
                error = next_error
            else:
                return None
        if error.errno != errno.EAGAIN:
            self._faults.warn(error, time.monotonic(), "a message to %s can't be sent", flow)
        return error

    def take_undelivered(self) -> list[Undelivered]:
        """What `send` has noticed of earlier messages, and the receiving thread perhaps has not.  Core lock."""
        if not (self._has_errors and self._tells_errors):
            return []
        self._has_errors = False
        return read_errors(self._socket)[1]

    def flow_to(self, host: str, port: int) -> Flow:
        return Flow("UDP", self._addresses.local_host(host), self.port, host, port)

    def _run(self) -> None:
        receive: Callable[[int], tuple[bytes, tuple[str, int]]] = self._socket.recvfrom
        flows, lets_in = self._flows, self._lets_in
        while not self._stopping.is_set():
            try:
                data, source = receive(_MAX_DATAGRAM)
            except OSError as error:
                if self._heard_of_peers() or error.errno in _OF_A_PEER:
                    continue
                if not self._stopping.is_set():
                    self._is_deaf = True
                    self._faults.warn(error, time.monotonic(), "receiving failed")
                    self._stopping.wait(_RECEIVE_PAUSE_S)
                continue
            self._is_deaf = False
            try:
                # SIP begins with a letter, perhaps after line ends: keep-alives, STUN and junk end here.
                if len(data) < 16 or not (data[:1].isalpha() or data[:1] in b"\r\n"):
                    continue
                if not lets_in(source[0]):
                    continue
                flow = flows.get(source[:2]) or self._flow(source)
                try:
                    message = parse_datagram(data)
                except ParseError as error:
                    self._on_malformed(error, flow)
                    continue
                self._on_message(message, data, flow)
            except Exception as error:  # noqa: BLE001 - logged, at a rate that packets cannot drive
                self._faults.note(error, time.monotonic(), "a datagram from %s caused a fault", source)

    def _heard_of_peers(self) -> bool:
        """The socket has failed: pass on what it has to say of messages that came back; whether there was any."""
        if not self._tells_errors:
            return False
        count, undelivered = read_errors(self._socket)
        for each in undelivered:
            try:
                self._on_undelivered(each)
            except Exception as error:  # noqa: BLE001 - logged, at a rate that packets cannot drive
                self._faults.note(error, time.monotonic(), "an undelivered message to %s caused a fault", each.host)
        return count > 0

    def _flow(self, source: tuple[str, int]) -> Flow:
        if len(self._flows) >= _MAX_FLOWS:
            self._flows.clear()
        # Bindings keep it: the same text as in their Contact, and as here.
        host, port = sys.intern(source[0]), source[1]
        flow = self._flows[host, port] = self.flow_to(sys.intern(normalise(host)), port)
        return flow


def bound_udp_socket(host: str, port: int) -> socket.socket:
    """A UDP socket for a listening address; `::` takes IPv4 too."""
    sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if is_wildcard(host) else 1)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
