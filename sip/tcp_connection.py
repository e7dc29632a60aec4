"""One TCP or TLS connection (RFC 3261 18, RFC 5626 3.5.1).

Threads: `sip-tcp-N-rx` parses outside the core lock; `sip-tcp-N-tx` alone writes to the socket.  `put` is called under
the core lock and only puts into a bounded outbox: a peer that does not read is dropped, never waited for.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from sip.addresses import family_of, is_wildcard, normalise
from sip.codec import Codec
from sip.errors import ParseError
from sip.flood import TokenBucket
from sip.flow import Flow
from sip.message import MalformedMessage, Request, Response
from sip.outbox import Outbox
from sip.patience import Patience, StreamLimits
from sip.stream import StreamParser
from sip.transport import ConnectionUser
from sip.uri import bracket

log = logging.getLogger(__name__)

LAST_WORDS_S = 0.75
"""How long a connection that ends may take to send what is queued."""

_CONNECT_TIMEOUT_S = 5.0
_WRITE_TIMEOUT_S = 10.0
_READ_SIZE = 65_536
_PINGS_ANSWERED = 10

_KEEPALIVE = {"TCP_KEEPIDLE": 120, "TCP_KEEPINTVL": 30, "TCP_KEEPCNT": 4}
"""Seconds, seconds, probes: a phone that lost its power is noticed after four minutes, not after two hours."""


class Owner(Protocol):
    """The transport, as its connections see it."""

    name: str
    user: ConnectionUser
    limits: StreamLimits
    clock: Callable[[], float]

    def remove(self, connection: TcpConnection) -> None: ...

    def note_fault(self, error: Exception, text: str, *arguments: object) -> None: ...


class TcpConnection:
    """Invariant: only the tx thread writes, and it closes the socket when it ends; what it could not deliver is
    reported to `on_failed`."""

    def __init__(self, owner: Owner, sock: socket.socket | None, flow: Flow, codec: Codec) -> None:
        """An accepted socket, or None: one is connected to the remote address of `flow`."""
        self._owner = owner
        self._user = owner.user
        self._socket = sock
        self._codec = codec
        if sock is not None:
            sock.settimeout(_WRITE_TIMEOUT_S)
        self.flow = flow
        self.patience = Patience(owner.limits, owner.clock(), is_stranger=sock is not None)
        self._outbox = Outbox(owner.limits.queued_messages, owner.limits.queued_bytes)
        rate = owner.limits.messages_per_s
        self._bucket = TokenBucket(rate) if rate else None
        self._closed = threading.Event()
        name = f"sip-{owner.name.lower()}-{flow.connection}"
        self._tx = threading.Thread(target=self._write, name=f"{name}-tx", daemon=True)
        self._rx = threading.Thread(target=self._read, name=f"{name}-rx", daemon=True)

    @property
    def peer(self) -> str:
        """host:port of the other side."""
        return f"{bracket(self.flow.remote_host)}:{self.flow.remote_port}"

    def start(self) -> None:
        """Raises `RuntimeError` when there are no threads to be had; then none runs."""
        is_accepted = self._socket is not None
        self._tx.start()
        if is_accepted:
            try:
                self._rx.start()
            except RuntimeError:
                # The tx thread sees to the rest, as whenever a connection ends.
                self.abort()

    def join(self, patience_s: float) -> None:
        """Wait so long for what is queued to be sent, then close, and wait for both threads."""
        self._tx.join(patience_s)
        self.abort()
        for thread in (self._tx, self._rx):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join()

    def local_host(self) -> str:
        """The address of ours that the connection leads to; "" while there is none, or it can't be told."""
        sock = self._socket
        if sock is None:
            return ""
        try:
            host = normalise(sock.getsockname()[0])
        except OSError:
            return ""
        # Link-local ones exist on each interface anew, and 0.0.0.0 is that of a socket before it is connected.
        return "" if is_wildcard(host) or host.startswith("fe80:") else host

    @property
    def queued_messages(self) -> int:
        """Messages that wait to be written."""
        return len(self._outbox)

    def is_alive(self) -> bool:
        """One of its threads runs."""
        return self._tx.is_alive() or self._rx.is_alive()

    def put(self, data: bytes, token: object) -> str | None:
        """Queue bytes; a full queue means the peer does not read, and ends the connection."""
        if self._closed.is_set():
            return "the connection is closed"
        if not self._outbox.put(data, token):
            log.warning("%s does not read what it is sent; its connection is closed", self.flow)
            self.abort()
            return "the peer does not read"
        return None

    def finish(self) -> None:
        """Send what is queued, then close."""
        self._outbox.finish()

    def abort(self) -> None:
        """Close now; safe from any thread, wakes both of ours."""
        self._closed.set()
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._outbox.abort()

    # -------------------------------------------------------------------------------------------- tx thread

    def _write(self) -> None:
        reason = "the connection is closed"
        try:
            if self._socket is None:
                self._connect()
            self._write_outbox()
        except OSError as error:
            reason = str(error)
            log.debug("%s: %s", self.flow, error)
        except Exception as error:  # noqa: BLE001 - logged by the owner
            self._owner.note_fault(error, "%s: writing failed", self.flow)
        finally:
            self._owner.remove(self)
            self.abort()
            for _, token in self._outbox.rest():
                self._user.on_failed(token, reason)
            if self._rx.is_alive():
                self._rx.join()
            if self._socket is not None:
                self._socket.close()
            self._user.on_closed(self.flow)

    def _connect(self) -> None:
        # Known before it is connected, so that `abort` can end the wait for a phone that is switched off.
        sock = self._socket = socket.socket(family_of(self.flow.remote_host), socket.SOCK_STREAM)
        sock.settimeout(_CONNECT_TIMEOUT_S)
        if not self._closed.is_set():
            sock.connect(self.flow.remote)
        sock.settimeout(_WRITE_TIMEOUT_S)
        if not self._closed.is_set():
            self._rx.start()

    def _write_outbox(self) -> None:
        sock = self._socket
        assert sock is not None
        _tune(sock)
        while (item := self._outbox.take()) is not None:
            data, token = item
            try:
                sock.sendall(self._codec.encode(data))
            except OSError as error:
                self._user.on_failed(token, str(error))
                raise
        if not self._closed.is_set():
            sock.sendall(self._codec.farewell())

    # -------------------------------------------------------------------------------------------- rx thread

    def _read(self) -> None:
        try:
            self._read_messages()
        except OSError as error:
            log.debug("%s: %s", self.flow, error)
        except Exception as error:  # noqa: BLE001 - logged by the owner
            self._owner.note_fault(error, "%s: reading failed", self.flow)
        finally:
            self.abort()

    def _read_messages(self) -> None:
        sock, codec = self._socket, self._codec
        assert sock is not None
        parser = StreamParser()
        while not self._closed.is_set() and not codec.is_ended:
            try:
                data = sock.recv(_READ_SIZE)
            except TimeoutError:
                # The limit on writing holds for both directions; for how long a peer may be silent `patience` knows.
                continue
            if not data:
                return
            try:
                data = codec.decode(data)
            except OSError as error:
                log.info("%s does not speak %s as it should: %s", self.flow, self._owner.name, error)
                self._take_leave()
                return
            if codec.has_output:
                self.put(b"", None)
            try:
                messages = parser.feed(data)
            except ParseError as error:
                self._refuse(error)
                return
            self._take(messages, parser)

    def _take(self, messages: list[tuple[Request | Response, bytes]], parser: StreamParser) -> None:
        for message, raw in messages:
            self._wait_for_turn()
            if self._user.is_banned(self.flow.remote_host):
                self.abort()
                return
            try:
                self._user.on_message(message, raw, self.flow)
            except Exception as error:  # noqa: BLE001 - logged by the owner
                self._owner.note_fault(error, "a message from %s caused a fault", self.flow)
        pings, parser.keepalives = parser.keepalives, 0
        self.patience.heard(self._owner.clock(), len(messages), pings, unfinished=parser.buffered > 0)
        if pings:
            # RFC 5626 3.5.1: one CRLF answers each double CRLF.
            self.put(b"\r\n" * min(pings, _PINGS_ANSWERED), None)

    def _wait_for_turn(self) -> None:
        """A message dropped here would not be repeated, so a peer that sends too fast is read more slowly."""
        bucket = self._bucket
        if bucket is None:
            return
        while (delay_s := bucket.delay_s(self._owner.clock())) > 0 and not self._closed.wait(delay_s):
            pass
        bucket.take(self._owner.clock())

    def _refuse(self, error: ParseError) -> None:
        """Where the next message begins is unknown, so the connection ends, after an answer where one is possible."""
        log.info("%s sent what is no SIP (%s); its connection is closed", self.flow, error)
        if isinstance(error, MalformedMessage) and isinstance(error.message, Request):
            self._user.on_malformed(error, self.flow)
        self._take_leave()

    def _take_leave(self) -> None:
        self.finish()
        self._closed.wait(LAST_WORDS_S)


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
