"""SIP over TCP (RFC 3261 18, RFC 5626 3.5.1): accepted connections, and connections we open to a phone's Contact.

Threads: `sip-tcp-accept`; for each connection `sip-tcp-N-rx`, which parses outside the core lock, and `sip-tcp-N-tx`,
which alone writes to the socket.  `send` is called under the core lock and only puts into a bounded queue: a peer that
does not read is dropped, never waited for.  The table of connections is guarded by a leaf lock.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import socket
import threading
import time

from sip.addresses import AddressBook, family_of, is_wildcard, normalise
from sip.errors import ParseError
from sip.flow import Flow
from sip.message import MalformedMessage, Request
from sip.stream import StreamParser
from sip.transport import OnClosed, OnFailed, OnMalformed, OnMessage

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 500
"""Open connections; one more is closed as soon as it is accepted."""
MAX_CONNECTIONS_PER_HOST = 50

_QUEUE_LENGTH = 200
_CONNECT_TIMEOUT_S = 5.0
_WRITE_TIMEOUT_S = 10.0
_READ_SIZE = 65_536
_ACCEPT_POLL_S = 0.5
_LAST_WORDS_S = 0.75


class TcpTransport:
    """The listening socket and its connections."""

    name = "TCP"

    def __init__(
        self,
        host: str,
        port: int,
        addresses: AddressBook,
        on_message: OnMessage,
        on_malformed: OnMalformed,
        on_closed: OnClosed,
        on_failed: OnFailed,
    ) -> None:
        """Binds at once; raises `OSError`."""
        self.addresses = addresses
        self.on_message = on_message
        self.on_malformed = on_malformed
        self.on_closed = on_closed
        self.on_failed = on_failed
        self._listener = _listening_socket(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._connections: dict[int, TcpConnection] = {}
        self._leaving: list[TcpConnection] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="sip-tcp-accept", daemon=True)

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
        deadline = time.monotonic() + _LAST_WORDS_S
        for connection in connections:
            connection.join(max(0.0, deadline - time.monotonic()))

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def send(self, flow: Flow, data: bytes, token: object) -> str | None:
        with self._lock:
            connection = self._connections.get(flow.connection) if flow.connection else self._open_to(flow)
        if connection is None:
            return "the connection is closed" if not self._stopping.is_set() else "the server is stopping"
        return connection.put(data, token)

    def _open_to(self, flow: Flow) -> TcpConnection | None:
        """The connection to that address, opened now if there is none.  Lock held."""
        for connection in self._connections.values():
            if connection.flow.remote == flow.remote:
                return connection
        if self._stopping.is_set():
            return None
        return self._add(None, flow.remote_host, flow.remote_port)

    def _add(self, sock: socket.socket | None, host: str, port: int) -> TcpConnection:
        number = next(self._numbers)
        flow = Flow("TCP", self.addresses.local_host(host), self.port, host, port, number)
        connection = self._connections[number] = TcpConnection(self, sock, flow)
        connection.start()
        return connection

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, source = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if self._stopping.is_set():
                    return
                # EMFILE and the like: the backlog waits until there is room again.
                log.warning("accept: %s", error)
                self._stopping.wait(_ACCEPT_POLL_S)
                continue
            host = normalise(source[0])
            with self._lock:
                from_host = sum(1 for item in self._connections.values() if item.flow.remote_host == host)
                full = len(self._connections) >= MAX_CONNECTIONS or from_host >= MAX_CONNECTIONS_PER_HOST
                if not full:
                    self._add(sock, host, source[1])
            if full:
                log.warning("too many TCP connections; %s was turned away", host)
                sock.close()

    def remove(self, connection: TcpConnection) -> None:
        """It takes no more messages; `stop` still waits for its threads."""
        with self._lock:
            self._connections.pop(connection.flow.connection, None)
            self._leaving = [*(each for each in self._leaving if each.is_alive()), connection]


class TcpConnection:
    """One connection.  Invariant: only the tx thread writes, and it closes the socket when it ends; what it could not
    deliver is reported to `on_failed`."""

    def __init__(self, transport: TcpTransport, sock: socket.socket | None, flow: Flow) -> None:
        self._transport = transport
        self._socket = sock
        if sock is not None:
            sock.settimeout(_WRITE_TIMEOUT_S)
        self.flow = flow
        self._queue: queue.Queue[tuple[bytes, object] | None] = queue.Queue(_QUEUE_LENGTH)
        self._closed = threading.Event()
        self._tx = threading.Thread(target=self._write, name=f"sip-tcp-{flow.connection}-tx", daemon=True)
        self._rx = threading.Thread(target=self._read, name=f"sip-tcp-{flow.connection}-rx", daemon=True)

    def start(self) -> None:
        is_accepted = self._socket is not None
        self._tx.start()
        if is_accepted:
            self._rx.start()

    def join(self, patience_s: float) -> None:
        """Wait so long for what is queued to be sent, then close, and wait for both threads."""
        self._tx.join(patience_s)
        self._abort()
        for thread in (self._tx, self._rx):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join()

    def is_alive(self) -> bool:
        """One of its threads runs."""
        return self._tx.is_alive() or self._rx.is_alive()

    def put(self, data: bytes, token: object) -> str | None:
        """Queue bytes; a full queue means the peer does not read, and ends the connection."""
        if self._closed.is_set():
            return "the connection is closed"
        try:
            self._queue.put_nowait((data, token))
        except queue.Full:
            log.warning("%s does not read what it is sent; its connection is closed", self.flow)
            self._abort()
            return "the peer does not read"
        return None

    def finish(self) -> None:
        """Send what is queued, then close."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)

    def _abort(self) -> None:
        """Close now; safe from any thread, wakes both of ours."""
        self._closed.set()
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)

    # -------------------------------------------------------------------------------------------- tx thread

    def _write(self) -> None:
        reason = "the connection is closed"
        try:
            if self._socket is None:
                self._connect()
            self._write_queue()
        except OSError as error:
            reason = str(error)
            log.debug("%s: %s", self.flow, error)
        except Exception:
            log.exception("%s: writing failed", self.flow)
        finally:
            self._transport.remove(self)
            self._abort()
            self._report_undelivered(reason)
            if self._rx.is_alive():
                self._rx.join()
            if self._socket is not None:
                self._socket.close()
            self._transport.on_closed(self.flow)

    def _connect(self) -> None:
        # Known before it is connected, so that `_abort` can end the wait for a phone that is switched off.
        sock = self._socket = socket.socket(family_of(self.flow.remote_host), socket.SOCK_STREAM)
        sock.settimeout(_CONNECT_TIMEOUT_S)
        if not self._closed.is_set():
            sock.connect(self.flow.remote)
        sock.settimeout(_WRITE_TIMEOUT_S)
        if not self._closed.is_set():
            self._rx.start()

    def _write_queue(self) -> None:
        sock = self._socket
        assert sock is not None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        while not self._closed.is_set():
            item = self._queue.get()
            if item is None:
                return
            data, token = item
            try:
                sock.sendall(data)
            except OSError as error:
                self._transport.on_failed(token, str(error))
                raise

    def _report_undelivered(self, reason: str) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                self._transport.on_failed(item[1], reason)

    # -------------------------------------------------------------------------------------------- rx thread

    def _read(self) -> None:
        try:
            self._read_messages()
        except OSError as error:
            log.debug("%s: %s", self.flow, error)
        except Exception:
            log.exception("%s: reading failed", self.flow)
        finally:
            self._abort()

    def _read_messages(self) -> None:
        sock = self._socket
        assert sock is not None
        parser = StreamParser()
        while not self._closed.is_set():
            try:
                data = sock.recv(_READ_SIZE)
            except TimeoutError:
                # The limit on writing holds for both directions; a phone may be silent for as long as it likes.
                continue
            if not data:
                return
            try:
                messages = parser.feed(data)
            except ParseError as error:
                self._refuse(error)
                return
            for message, raw in messages:
                self._handle(message, raw)
            if parser.keepalives:
                # RFC 5626 3.5.1: one CRLF answers each double CRLF.
                self.put(b"\r\n" * min(parser.keepalives, 10), None)
                parser.keepalives = 0

    def _handle(self, message: object, raw: bytes) -> None:
        try:
            self._transport.on_message(message, raw, self.flow)  # type: ignore[arg-type]
        except Exception:
            log.exception("a message from %s caused a fault", self.flow)

    def _refuse(self, error: ParseError) -> None:
        """Where the next message begins is unknown, so the connection ends, after an answer where one is possible."""
        log.info("%s sent what is no SIP (%s); its connection is closed", self.flow, error)
        if isinstance(error, MalformedMessage) and isinstance(error.message, Request):
            self._transport.on_malformed(error, self.flow)
        self.finish()
        self._closed.wait(_LAST_WORDS_S)


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
