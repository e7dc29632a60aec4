"""What the engine needs of a transport, and the table that finds the right one for a flow (RFC 3261 18)."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Protocol

from sip.errors import ParseError
from sip.flow import Flow
from sip.icmp import Undelivered
from sip.message import Request, Response

OnMessage = Callable[[Request | Response, bytes, Flow], None]
OnMalformed = Callable[[ParseError, Flow], None]
OnUndelivered = Callable[[Undelivered], None]
OnClosed = Callable[[Flow], None]
OnFailed = Callable[[object, str], None]
IsBanned = Callable[[str], bool]
PeersInUse = Callable[[], Set[str]]
"""host:port of every phone that is registered or in a call: a connection to one of them is not closed for silence."""


@dataclass(frozen=True, slots=True)
class ConnectionUser:
    """Whom the connections of TCP and TLS tell what happens; every callable is called without a lock held."""

    on_message: OnMessage
    on_malformed: OnMalformed
    on_closed: OnClosed
    on_failed: OnFailed
    peers_in_use: PeersInUse
    is_banned: IsBanned


class Transport(Protocol):
    """One of UDP, TCP, TLS.  `send` never blocks and is called under the core lock."""

    name: str
    port: int

    def start(self) -> None:
        """Begin to receive; the socket is bound already."""

    def stop(self) -> None:
        """Close every socket and join every thread."""

    def is_running(self) -> bool:
        """Its receiving thread lives."""

    def problems(self) -> tuple[str, ...]:
        """What hinders it now, in plain words that name no phone."""

    def send(self, flow: Flow, data: bytes, token: object) -> str | None:
        """None when the bytes are on their way, else why they can't be sent.  When it turns out only later that
        they could not be delivered, `on_failed(token, reason)` is called instead."""


class TransportTable:
    """Transports by the name they have in Via."""

    def __init__(self) -> None:
        self._transports: dict[str, Transport] = {}

    def add(self, transport: Transport) -> None:
        self._transports[transport.name] = transport

    def send(self, flow: Flow, data: bytes, token: object) -> str | None:
        transport = self._transports.get(flow.transport)
        if transport is None:
            return f"no transport {flow.transport}"
        return transport.send(flow, data, token)

    def start(self) -> None:
        for transport in self._transports.values():
            transport.start()

    def is_running(self) -> bool:
        return all(transport.is_running() for transport in self._transports.values())

    def problems(self) -> tuple[str, ...]:
        return tuple(problem for transport in self._transports.values() for problem in transport.problems())

    def stop(self) -> None:
        for transport in self._transports.values():
            transport.stop()
