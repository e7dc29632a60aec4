"""The HTTP server: one Flask (or other WSGI) app on waitress, in threads of its own.

Thread `http` owns all connections; threads `waitress-N` run the app. Waitress guards what they share. What waitress
itself refuses (malformed, too large) is answered as problem details too. Slow clients cost no worker: a request is
handed to one when it has arrived whole, and the answer is sent by `http`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from waitress import create_server, wasyncore  # type: ignore[import-untyped]
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.task import ErrorTask, WSGITask  # type: ignore[import-untyped]

from api import limits
from api.connection import ENVIRON_KEY
from api.errors import MEDIA_TYPE, Problem, fault_problem, new_fault_id, problem, sentences
from api.headers import SECURITY_HEADERS
from lasting_thread import LastingThread

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

WORKERS = 4
"""Answers are short work on memory; more workers would only fight the media relay for the interpreter."""

# Larger than what the app takes, so that a client which sends somewhat too much is heard out and gets its 431 or 413. A
# connection that is closed while data still arrive may be reset before the client reads the answer.
MAX_HEADER_BYTES = 4 * limits.MAX_HEADER_BYTES
MAX_BODY_BYTES = 8 * limits.MAX_BODY_BYTES

MAX_CONNECTIONS = 200
IDLE_TIMEOUT_S = 30
BACKLOG = 128

_STOP_TIMEOUT_S = 1.0
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_DESCRIPTOR_PAUSE_S = 0.1

# Waitress warns whenever all workers are busy for a moment, which a browser's burst of requests is enough for.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)


class Codec(Protocol):
    """What makes HTTPS of HTTP, for one connection; safe from two threads.  Methods raise `OSError` when the other
    side does not keep to TLS."""

    @property
    def is_ended(self) -> bool:
        """The other side sends no more."""

    @property
    def has_output(self) -> bool:
        """`encode` has something to give even for no bytes."""

    def decode(self, data: bytes) -> bytes: ...
    def encode(self, data: bytes) -> bytes: ...

    def farewell(self) -> bytes:
        """The last bytes to be written."""


class HttpServer:
    """Listens between `start` and `stop`, which one thread calls; each instance is started once."""

    def __init__(
        self,
        app: WSGIApplication,
        host: str,
        port: int,
        new_codec: Callable[[], Codec] | None = None,
        long_answers: int = 0,
    ) -> None:
        """Nothing is bound yet; `host` is an IP literal, `port` 0 means any free one.  With `new_codec`, which is asked
        for one codec for each connection, the server speaks HTTPS.  `long_answers` at once may take as long as they
        like: there are so many workers more."""
        self._app = app
        self._host = host
        self._port = port
        self._new_codec = new_codec
        self._workers = WORKERS + long_answers
        self._server: Any = None
        self._thread: LastingThread | None = None

    @property
    def host(self) -> str:
        return self._host

    @property
    def port(self) -> int:
        """The port asked for; after `start` the one that is bound."""
        return self._port

    def start(self) -> None:
        """Bind and serve; OSError when the address can't be had."""
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._server = create_server(
            self._app,
            map={},  # several servers in one process must not share waitress's table of sockets
            sockets=[listener],
            threads=self._workers,
            ident="",  # no Server header
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=MAX_BODY_BYTES,
            connection_limit=MAX_CONNECTIONS,
            backlog=BACKLOG,
            channel_timeout=IDLE_TIMEOUT_S,
            cleanup_interval=IDLE_TIMEOUT_S // 6,
            asyncore_loop_timeout=IDLE_TIMEOUT_S // 6,  # all else wakes the loop by itself
            asyncore_use_poll=True,  # select() fails for descriptors above 1023, which media sockets can take up
            log_socket_errors=False,  # a client that hangs up is no event
            clear_untrusted_proxy_headers=False,  # nothing believes them, and the open API refuses who sends them
            url_scheme="http" if self._new_codec is None else "https",
        )
        self._server.channel_class = _Channel if self._new_codec is None else partial(_TlsChannel, self._new_codec)
        self._server.accept = _patient(self._server.accept)
        self._thread = LastingThread("http", partial(_serve, self._server), lambda: self._server is None)
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests that are being answered (one second at most), close all connections, join the thread."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._server = self._thread = None
        server.trigger.pull_trigger(lambda: wasyncore.dispatcher.close(server))
        server.task_dispatcher.shutdown(timeout=_STOP_TIMEOUT_S)
        server.trigger.pull_trigger(lambda: _close_connections(server))
        thread.join(_STOP_TIMEOUT_S)
        # Only now: whoever pulls the trigger of a server that still runs must find it open, or the byte goes to
        # whatever has that descriptor by then. A worker that is not done yet keeps it.
        if not thread.is_alive() and not server.task_dispatcher.threads:
            server.trigger.close()

    def problems(self) -> tuple[str, ...]:
        """What its thread has met, as clauses without capital and full stop."""
        return () if self._thread is None else self._thread.problems()


def _serve(server: Any) -> None:
    """Until every socket is closed.  Not waitress's own `run`, which takes SystemExit for the end of the program."""
    wasyncore.loop(timeout=server.adj.asyncore_loop_timeout, map=server._map, use_poll=server.adj.asyncore_use_poll)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; bound here, because waitress would leave threads and pipes behind when it fails."""
    if ":" not in host:
        return socket.create_server((host, port), backlog=BACKLOG)
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=both)


def _close_connections(server: Any) -> None:
    """Thread `http`: close what is open, so that its loop ends."""
    for channel in list(server.active_channels.values()):
        channel.handle_close()
    server.trigger.del_channel()


def _patient(accept: Any) -> Any:
    """`accept` that waits when descriptors have run out: the listener stays readable, and the loop would spin."""

    def patient_accept() -> Any:
        try:
            return accept()
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                time.sleep(_DESCRIPTOR_PAUSE_S)
            raise

    return patient_accept


class _ProblemTask(ErrorTask):  # type: ignore[misc]
    """Answers what never reached the app, and closes the connection."""

    def execute(self) -> None:
        status = self.request.error.code
        body = json.dumps(_problem_of(status)).encode() + b"\n"
        self.status = f"{status} {self.request.error.reason}"
        self.response_headers += [("Content-Type", MEDIA_TYPE), *SECURITY_HEADERS.items()]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Task(WSGITask):  # type: ignore[misc]
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[ENVIRON_KEY] = self.channel
        return environ


class _Channel(HTTPChannel):  # type: ignore[misc]
    """Also an `api.connection.Connection`: waitress reads nothing while it answers, unless it is told to."""

    task_class = _Task
    error_task_class = _ProblemTask
    _expects_end = False

    @property
    def is_open(self) -> bool:
        return bool(self.connected) and not self.will_close

    @property
    def unsent(self) -> int:
        return int(self.total_outbufs_len)

    def expect_end(self) -> None:
        """Any worker."""
        self._expects_end = True
        self.server.pull_trigger()

    def readable(self) -> bool:
        if self._expects_end:
            # Once the end has been read there is nothing more to read, and the socket would seem to have news for ever.
            # What waits to be written comes first: waitress does not expect to read and to write in one round.
            return self.is_open and not self.close_when_flushed and not self.total_outbufs_len
        return bool(super().readable())

    def received(self, data: bytes) -> bool:
        """Behind a request that is answered until the connection ends, no other one is heard."""
        return False if self._expects_end else bool(super().received(data))


class _TlsChannel(_Channel):
    """A connection of HTTPS: TLS as a codec between the socket and what waitress reads and writes.

    Invariant: while `_accepted` is not 0, `_encoded` ends with what so many of the first bytes in waitress's buffer
    became.  Waitress is told that they are sent when the last of it has left: it closes a connection that has nothing
    left to send.  `_lock` guards both; no other lock is taken under it.
    """

    def __init__(self, new_codec: Callable[[], Codec], *arguments: Any, **options: Any) -> None:
        self._codec = new_codec()
        self._encoded = bytearray()
        self._accepted = 0
        self._lock = threading.Lock()
        super().__init__(*arguments, **options)

    def handle_read(self) -> None:
        """Thread `http`.  Only whole pieces of HTTP count as activity, so that the time of a handshake is limited."""
        try:
            received = self.recv(self.adj.recv_bytes)
            data = self._codec.decode(received)
        except OSError as error:
            # Also what is no TLS; the farewell of `handle_close` tells the other side what was wrong.
            log.debug("%s: %s", self.addr, error)
            self.handle_close()
            return
        if self._codec.has_output:
            with self._lock:
                self._encoded += self._codec.encode(b"")
                self._write()
        if data:
            self.last_activity = time.time()
            self.received(data)
        if not received or self._codec.is_ended:
            self.connected = False

    def send(self, data: bytes, do_close: bool = True) -> int:
        """How many bytes of waitress's buffer are done with; `do_close` is left to the next `handle_read`."""
        with self._lock:
            if not self._accepted:
                self._encoded += self._codec.encode(data)
                self._accepted = len(data)
            self._write()
            if self._encoded:
                return 0
            accepted, self._accepted = self._accepted, 0
            return accepted

    def writable(self) -> bool:
        return bool(self._encoded or super().writable())

    def handle_write(self) -> None:
        with self._lock:
            self._write()
        super().handle_write()

    def handle_close(self) -> None:
        if self.connected:
            with contextlib.suppress(OSError):
                self.socket.send(self._codec.farewell())
        super().handle_close()

    def _write(self) -> None:
        """Lock held."""
        while self._encoded and (sent := super().send(bytes(self._encoded), do_close=False)):
            del self._encoded[:sent]


def _problem_of(status: int) -> dict[str, object]:
    fault: Problem | None = None
    if status == 500:
        fault_id = new_fault_id()
        log.error("fault %s: the line before this one tells what happened", fault_id)
        fault = fault_problem(fault_id)
        return problem(500, fault.error, fault.detail, **fault.members)
    return problem(status, *sentences(status))
