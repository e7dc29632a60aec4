"""TLS for tests: certificates made by the project's own authority, and the client's side of a connection."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from commands import authority


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """`certificate` and `key` of a server called localhost, and the certificate of its authority."""

    certificate: Path
    key: Path
    ca: Path

    @classmethod
    def make(cls, directory: Path) -> TlsFiles:
        now = datetime.now(UTC)
        files = cls(directory / "server.pem", directory / "server.key", directory / "ca.pem")
        ca = authority.make_authority(now, "the tests")
        authority.write(ca, files.ca, directory / "ca.key")
        authority.write(authority.make_server(ca, ["localhost", "127.0.0.1"], now, 2), files.certificate, files.key)
        return files


def client_context(ca: Path) -> ssl.SSLContext:
    """Trusts that authority and nobody else."""
    return ssl.create_default_context(cafile=str(ca))


class TlsSocket:
    """A connected TLS client that one thread may read while others write, which `ssl.SSLSocket` doesn't promise.

    Selectors may watch it: no decrypted bytes are kept back.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Shakes hands; `ssl.SSLError` when the server's certificate is not to be trusted."""
        self._socket = sock
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=sock.getpeername()[0])
        self._lock = threading.Lock()
        while not self._shake_hands():
            data = sock.recv(65_536)
            if not data:
                raise ConnectionError("closed during the handshake")
            self._received.write(data)

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._socket.sendall(self._to_send.read())
        return True

    def fileno(self) -> int:
        return self._socket.fileno()

    def getsockname(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()[:2]
        return host, port

    def sendall(self, data: bytes) -> None:
        with self._lock:
            self._tls.write(data)
            self._socket.sendall(self._to_send.read())

    def read(self) -> bytes | None:
        """What has come: b"" at the end, None when it was nothing but TLS's own business."""
        data = self._socket.recv(65_536)
        with self._lock:
            self._received.write(data)
            pieces = []
            try:
                while piece := self._tls.read(65_536):
                    pieces.append(piece)
            except ssl.SSLWantReadError:
                return b"".join(pieces) or (None if data else b"")
            except ssl.SSLError:
                return b"".join(pieces)
            return b"".join(pieces)

    def shutdown(self, how: int) -> None:
        self._socket.shutdown(how)

    def close(self) -> None:
        self._socket.close()
