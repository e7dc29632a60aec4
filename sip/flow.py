"""Where bytes came from and go to: flows, Via stamping (RFC 3261 18.2.1, RFC 3581 4), and the destination of
responses (18.2.2).  Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sip.constants import SIP_PORT
from sip.headers import Via
from sip.message import Request
from sip.uri import bracket, unbracket


@dataclass(frozen=True, slots=True)
class Flow:
    """One way to one peer: a remote address over UDP, or one TCP connection.

    `local_host` and `local_port` are what this peer should be told to reach us at (Via, Record-Route, SDP), which is
    not what our socket is bound to.  `connection` is 0 for UDP, else the number of the TCP connection; 0 with TCP means
    "open a connection".
    """

    transport: str
    local_host: str
    local_port: int
    remote_host: str
    remote_port: int
    connection: int = 0

    @property
    def reliable(self) -> bool:
        return self.transport != "UDP"

    @property
    def remote(self) -> tuple[str, int]:
        return self.remote_host, self.remote_port

    @property
    def sent_by(self) -> str:
        """Our own host and port as written into Via and Record-Route for this peer."""
        return f"{bracket(self.local_host)}:{self.local_port}"

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{bracket(self.remote_host)}:{self.remote_port}"


_RPORT = re.compile(r";[ \t]*rport[ \t]*(?==|;|$)(?:=[ \t]*[0-9]*[ \t]*)?", re.IGNORECASE)
_RECEIVED = re.compile(r";[ \t]*received[ \t]*=[^;]*", re.IGNORECASE)


def stamp_via(request: Request, flow: Flow) -> None:
    """Note in the topmost Via where the request really came from.

    `received` is added when the sent-by host differs from the source (18.2.1) and always together with `rport`
    (RFC 3581 4).  What the peer itself wrote into `received` is not believed.
    """
    via = request.via
    differs = unbracket(via.host).lower() != flow.remote_host.lower()
    wants_rport = "rport" in via.parameters
    if not (differs or wants_rport or via.received is not None):
        return
    text = request.headers.first_value("via") or ""
    if via.received is not None:
        text = _RECEIVED.sub("", text)
    if wants_rport:
        text = _RPORT.sub("", text) + f";rport={flow.remote_port}"
    if differs or wants_rport:
        text += f";received={flow.remote_host}"
    request.replace_top_via(text)


def behind_nat(via: Via, flow: Flow) -> bool:
    """The phone names an IP address in its Via that is not the one its packets come from."""
    host = unbracket(via.host).lower()
    return host != flow.remote_host.lower() and _is_ip(host)


def _is_ip(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def response_flow(via: Via, flow: Flow) -> Flow:
    """The flow a response to a request with this (stamped) topmost Via goes to; `flow` is the one it came by.

    18.2.2 in its order: the same connection on a reliable transport; `maddr`; source address and port when `rport` was
    asked for (RFC 3581 4) or NAT is seen; else the source address and the sent-by port.
    """
    if flow.reliable:
        return flow
    maddr = via.parameters.get("maddr")
    if maddr and _is_ip(unbracket(maddr)):
        return replace(flow, remote_host=unbracket(maddr), remote_port=via.port or SIP_PORT)
    if via.rport is not None or behind_nat(via, flow):
        return flow
    port = via.port or SIP_PORT
    return flow if port == flow.remote_port else replace(flow, remote_port=port)
