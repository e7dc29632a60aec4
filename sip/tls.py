"""TLS without sockets: the server's certificate, and a codec for the bytes of one connection (RFC 3261 26.3.1).

`Certificate` is shared by all connections of a transport; a leaf lock guards it, under which files are read, so nobody
asks it under another lock.  A `TlsCodec` is used by the two threads of its connection; OpenSSL allows one of them at a
time, which its lock sees to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import threading
from pathlib import Path

from config import Config, wrong_value

log = logging.getLogger(__name__)

DIRECTORY = "tls"
"""Where in DATA_DIR `python sipserver.py cert` keeps what it makes."""
CERTIFICATE_FILE = "server.pem"
KEY_FILE = "server.key"

_READ_SIZE = 65_536


def certificate_files(config: Config) -> tuple[Path, Path] | None:
    """Certificate and key: those of the settings, else those in DATA_DIR; None when there are none, and no TLS."""
    if config.tls_cert is not None:
        return config.tls_cert, config.tls_key or config.tls_cert
    certificate, key = config.data_dir / DIRECTORY / CERTIFICATE_FILE, config.data_dir / DIRECTORY / KEY_FILE
    return (certificate, key) if certificate.exists() else None


def load_certificate(config: Config) -> Certificate | None:
    """The certificate in use; None without one.  Raises `ConfigError`, one line, when it can't be used."""
    if config.tls_key is not None and config.tls_cert is None:
        raise wrong_value("TLS_KEY", config.tls_key, "empty, unless TLS_CERT names the certificate it belongs to")
    files = certificate_files(config)
    if files is None:
        return None
    try:
        return Certificate(*files)
    except OSError as error:
        # OpenSSL puts the name of its own source file at the end.
        reason = (error.strerror or str(error)).partition(" (_ssl.c")[0]
        name = "TLS_KEY" if config.tls_key is not None and not _is_readable(config.tls_key) else "TLS_CERT"
        allowed = f"a PEM certificate with its key ({reason}); `python sipserver.py cert` makes both"
        raise wrong_value(name, files[name == "TLS_KEY"], allowed) from error


def _is_readable(path: Path) -> bool:
    return os.access(path, os.R_OK)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and later.  Raises `OSError` (`ssl.SSLError` is one) when the files can't be read or don't fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client that renegotiates again and again would have the server work for nothing.
    context.options |= ssl.OP_NO_RENEGOTIATION

    def no_passphrase() -> str:
        # Without this OpenSSL would ask at the terminal, and the server would wait for an answer for ever.
        raise OSError(f"{key} is protected by a passphrase")

    context.load_cert_chain(certificate, key, no_passphrase)
    return context


class Certificate:
    """The certificate in force.  Files that change are read again, so a renewal needs no restart; while the new ones
    can't be used the old ones stay."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises `OSError`."""
        self._files = certificate, key
        self._seen = self._stamps()
        self._context = server_context(certificate, key)
        self._lock = threading.Lock()

    def new_codec(self) -> TlsCodec:
        return TlsCodec(self._current())

    def _current(self) -> ssl.SSLContext:
        with self._lock:
            stamps = self._stamps()
            if stamps != self._seen:
                self._seen = stamps
                try:
                    self._context = server_context(*self._files)
                    log.info("%s has changed and is in force", self._files[0])
                except OSError as error:
                    log.warning("%s has changed but can't be used (%s); the old one stays", self._files[0], error)
            return self._context

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        stamps = []
        for file in self._files:
            with contextlib.suppress(OSError):
                status = file.stat()
                stamps.append((status.st_mtime_ns, status.st_ino))
        return tuple(stamps)


class TlsCodec:
    """The server's side of one TLS connection, in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._received = ssl.MemoryBIO()
        self._to_send = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        self._lock = threading.Lock()
        self._is_open = False
        self.is_ended = False

    @property
    def has_output(self) -> bool:
        return self._to_send.pending > 0

    def decode(self, data: bytes) -> bytes:
        with self._lock:
            self._received.write(data)
            pieces: list[bytes] = []
            try:
                if not self._is_open:
                    self._tls.do_handshake()
                    self._is_open = True
                while piece := self._tls.read(_READ_SIZE):
                    pieces.append(piece)
                self.is_ended = True
            except ssl.SSLWantReadError:
                pass
            return b"".join(pieces)

    def encode(self, data: bytes) -> bytes:
        with self._lock:
            if data:
                self._tls.write(data)
            return self._to_send.read()

    def farewell(self) -> bytes:
        with self._lock:
            if self._is_open:
                # Says that we close; the peer's own word for that is not waited for.
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()
            return self._to_send.read()
