"""SIP over TLS (RFC 3261 26.3.1, RFC 5626): connections that phones open to us.

Threads and locks are those of TCP.  We never open a TLS connection to a phone: phones have no certificate that could
be checked, and whoever answers at a phone's address would be taken for it.  RFC 5630 5.3 recommends the same: a phone
is reached over the connection it registered by, and not at all once that is gone, until it comes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sip.addresses import AddressBook
from sip.codec import Codec
from sip.flow import Flow
from sip.patience import StreamLimits
from sip.quota import ConnectionQuota
from sip.tcp_connection import TcpConnection
from sip.tls import Certificate
from sip.transport import ConnectionUser
from sip.transport_tcp import TcpTransport


class TlsTransport(TcpTransport):
    """The listening socket for TLS and its connections."""

    name = "TLS"

    def __init__(
        self,
        host: str,
        port: int,
        addresses: AddressBook,
        user: ConnectionUser,
        limits: StreamLimits,
        quota: ConnectionQuota,
        certificate: Certificate,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Binds at once; raises `OSError`."""
        super().__init__(host, port, addresses, user, limits, quota, clock)
        self._certificate = certificate

    def _new_codec(self) -> Codec:
        return self._certificate.new_codec()

    def _open_to(self, flow: Flow) -> TcpConnection | None:
        return None
