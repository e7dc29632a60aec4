"""SIP over TCP (RFC 3261 18): accepted connections, and connections we open to a phone's Contact.

Threads: `sip-tcp-accept`, which also looks for connections whose patience has run out, and two for each connection
(`sip/tcp_connection.py`).  `send` is called under the core lock and never waits.  The table of connections is guarded
by a leaf lock.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable

from faults import FaultLog
from lasting_thread import LastingThread
from sip.addresses import AddressBook, family_of, is_here, is_wildcard, normalise
from sip.codec import Codec, Plain
from sip.flow import Flow
from sip.patience import StreamLimits
from sip.quota import ConnectionQuota
from sip.tcp_connection import LAST_WORDS_S, TcpConnection
from sip.transport import ConnectionUser

log = logging.getLogger(__name__)

_ACCEPT_POLL_S = 1.0

_NUMBERS = itertools.count(1)
"""A connection's number is its own also beside the connections of another transport."""


class TcpTransport:
    """The listening socket and its connections.  Invariant: every connection in the table has entered the quota."""

    name = "TCP"

    def __init__(
        self,
        host: str,
        port: int,
        addresses: AddressBook,
        user: ConnectionUser,
        limits: StreamLimits,
        quota: ConnectionQuota,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Binds at once; raises `OSError`."""
        self.addresses = addresses
        self.user = user
        self.limits = limits
        self.clock = clock
        self._quota = quota
        self._listener = _listening_socket(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: dict[int, TcpConnection] = {}
        self._leaving: list[TcpConnection] = []
        self._faults = FaultLog(log, f"sip-{self.name.lower()}")
        self._is_closed_to_new = False
        self._stopping = threading.Event()
        self._thread = LastingThread(f"sip-{self.name.lower()}-accept", self._run, self._stopping.is_set)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join()
        self._listener.close()
        with self._lock:
            connections = [*self._connections.values(), *self._leaving]
        for connection in connections:
            connection.finish()
        deadline = time.monotonic() + LAST_WORDS_S
        for connection in connections:
            connection.join(max(0.0, deadline - time.monotonic()))

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def problems(self) -> tuple[str, ...]:
        closed = (f"no new connections can be accepted on {self.name}",) if self._is_closed_to_new else ()
        return (*closed, *self._thread.problems())

    def note_fault(self, error: Exception, text: str, *arguments: object) -> None:
        """A connection's thread has met a fault: the program's, not the peer's."""
        self._faults.note(error, self.clock(), text, *arguments)

    def figures(self) -> tuple[int, int]:
        """Connections open, and messages that wait to be written to them."""
        with self._lock:
            connections = list(self._connections.values())
        return len(connections), sum(each.queued_messages for each in connections)

    def send(self, flow: Flow, data: bytes, token: object) -> str | None:
        if self._stopping.is_set():
            return "the server is stopping"
        if flow.connection:
            with self._lock:
                connection = self._connections.get(flow.connection)
        else:
            connection = self._open_to(flow)
        if connection is None:
            return "the connection is closed" if flow.connection else "no connection can be opened"
        return connection.put(data, token)

    def _new_codec(self) -> Codec:
        return Plain()

    def _open_to(self, flow: Flow) -> TcpConnection | None:
        """The connection to that address, opened now if there is none."""
        with self._lock:
            for connection in self._connections.values():
                if connection.flow.remote == flow.remote:
                    return connection
        return self._add(None, flow.remote_host, flow.remote_port)

    def _add(self, sock: socket.socket | None, host: str, port: int) -> TcpConnection | None:
        """A connection more; None when there are too many.  No other lock is taken under ours."""
        if not self._quota.enter(host):
            return None
        number = next(_NUMBERS)
        flow = Flow(self.name, self.addresses.local_host(host), self.port, host, port, number)
        try:
            connection = TcpConnection(self, sock, flow, self._new_codec())
            with self._lock:
                connection.start()
                self._connections[number] = connection
        except (OSError, RuntimeError) as error:
            # The system gives us no more threads, or the peer has gone already.
            log.warning("%s: %s", flow, error)
            self._quota.leave(host)
            return None
        except BaseException:
            self._quota.leave(host)
            raise
        return connection

    def remove(self, connection: TcpConnection) -> None:
        """It takes no more messages; `stop` still waits for its threads."""
        with self._lock:
            del self._connections[connection.flow.connection]
            self._leaving = [*(each for each in self._leaving if each.is_alive()), connection]
        self._quota.leave(connection.flow.remote_host)

    # -------------------------------------------------------------------------------------------- accept thread

    def _run(self) -> None:
        look_at = self.clock()
        while not self._stopping.is_set():
            try:
                self._accept_next()
                now = self.clock()
                if now >= look_at:
                    look_at = now + _ACCEPT_POLL_S
                    self.close_overdue(now)
            except Exception as error:  # noqa: BLE001 - logged, at a rate that peers cannot drive
                self.note_fault(error, "a connection caused a fault before it was accepted")

    def _accept_next(self) -> None:
        """Wait for a connection, but not for long."""
        try:
            sock, source = self._listener.accept()
        except TimeoutError:
            self._is_closed_to_new = False
        except ConnectionError:
            pass  # it was gone before we came to it
        except OSError as error:
            if not self._stopping.is_set():
                # EMFILE and the like: the backlog waits until there is room again.
                self._is_closed_to_new = True
                self._faults.warn(error, self.clock(), "no connection can be accepted on %s", self.name)
                self._stopping.wait(_ACCEPT_POLL_S)
        else:
            self._is_closed_to_new = False
            try:
                self._accept(sock, normalise(source[0]), source[1])
            except BaseException:
                sock.close()
                raise

    def _accept(self, sock: socket.socket, host: str, port: int) -> None:
        """Nothing here waits for the peer: also a TLS handshake is the business of the connection's own threads."""
        if self.user.is_banned(host):
            sock.close()
        elif self._add(sock, host, port) is None:
            log.warning("too many connections; %s was turned away from %s", host, self.name)
            sock.close()

    def close_lost(self) -> None:
        """End the connections to an address that this machine has no more: nothing will ever come over them, and what
        is sent finds nobody for as long as the system tries.  Any thread."""
        with self._lock:
            connections = list(self._connections.values())
        here: dict[str, bool] = {}
        for connection in connections:
            host = connection.local_host()
            if host and not here.setdefault(host, is_here(host)):
                log.info("%s led to %s, which is gone; its connection is closed", connection.flow, host)
                connection.abort()

    def close_overdue(self, now: float) -> None:
        """End the connections that take too long for a message, and those that are idle and of no use."""
        with self._lock:
            overdue = [each for each in self._connections.values() if each.patience.is_overdue(now)]
        in_use = self.user.peers_in_use() if any(each.patience.is_idle for each in overdue) else ()
        for connection in overdue:
            if connection.patience.is_idle and connection.peer in in_use:
                connection.patience.excuse(now)
            else:
                what = "is idle" if connection.patience.is_idle else "takes too long for a message"
                log.info("%s %s; its connection is closed", connection.flow, what)
                connection.abort()


def _listening_socket(host: str, port: int) -> socket.socket:
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if is_wildcard(host) else 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
        sock.settimeout(_ACCEPT_POLL_S)
    except OSError:
        sock.close()
        raise
    return sock
