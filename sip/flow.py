"""Where bytes came from and go to: flows, Via stamping (RFC 3261 18.2.1, RFC 3581 4), and the destination of
responses (18.2.2).  Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from sip.constants import SIP_PORT
from sip.headers import Via
from sip.inet import parse_ip
from sip.message import Request
from sip.uri import bracket, unbracket


class Flow(NamedTuple):
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
    def secure(self) -> bool:
        return self.transport == "TLS"

    @property
    def local(self) -> tuple[str, int]:
        return self.local_host, self.local_port

    @property
    def remote(self) -> tuple[str, int]:
        return self.remote_host, self.remote_port

    @property
    def sent_by(self) -> str:
        """Our own host and port as written into Via and Record-Route for this peer."""
        return f"{bracket(self.local_host)}:{self.local_port}"

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{bracket(self.remote_host)}:{self.remote_port}"


def address_text(flow: Flow) -> str:
    """host:port of the peer, as people see it."""
    host = flow.remote_host
    return f"{bracket(host) if ':' in host else host}:{flow.remote_port}"


_PARAMETER_ENDS = "; \t"
_RPORT = re.compile(r";[ \t]*rport[ \t]*(?:=[^;]*)?(?=;|$)", re.IGNORECASE | re.ASCII)
_RECEIVED = re.compile(r";[ \t]*received[ \t]*(?:=[^;]*)?(?=;|$)", re.IGNORECASE | re.ASCII)
_QUOTED = re.compile(r"\"(?:[^\"\\]++|\\.)*+\"", re.DOTALL)


def stamp_via(request: Request, flow: Flow) -> None:
    """Note in the topmost Via where the request really came from.

    `received` is added when the sent-by host differs from the source (18.2.1) and always together with `rport`
    (RFC 3581 4).  What the peer itself wrote into `received` is not believed.
    """
    via = request.via
    parameters = via.parameters
    source = flow.remote_host
    wants_rport = "rport" in parameters
    has_received = "received" in parameters
    is_source = via.host == source or _same_host(via.host, source)
    if is_source and not (wants_rport or has_received):
        return
    text = request.headers.first_value("via") or ""
    stamped = parameters.copy()
    if has_received:
        text = _replace(_RECEIVED, "", text)
        del stamped["received"]
    if wants_rport:
        stamped["rport"] = rport = str(flow.remote_port)
        if parameters["rport"] is None and text.count("rport") == 1 and ";rport" in text:
            text = text.replace(";rport", f";rport={rport}")
        else:
            text = _replace(_RPORT, f";rport={rport}", text)
    if wants_rport or not is_source:
        text = f"{text.rstrip(_PARAMETER_ENDS)};received={source}"
        stamped["received"] = source
    request.replace_top_via(text, via.with_parameters(stamped))


def _replace(parameter: re.Pattern[str], replacement: str, text: str) -> str:
    """Every such parameter, but nothing that only looks like one inside a quoted string."""
    if '"' not in text:
        return parameter.sub(replacement, text)
    masked = _QUOTED.sub(lambda quoted: "x" * len(quoted[0]), text)
    pieces, position = [], 0
    for found in parameter.finditer(masked):
        pieces += [text[position : found.start()], replacement]
        position = found.end()
    return "".join([*pieces, text[position:]])


def behind_nat(via: Via, flow: Flow) -> bool:
    """The phone names an IP address in its Via that is not the one its packets come from."""
    return is_other_address(via.host, flow)


def is_other_address(host: str, flow: Flow) -> bool:
    """An IP address, and not the one that the packets of this flow come from."""
    return host != flow.remote_host and not _same_host(host, flow.remote_host) and is_ip_address(host)


def is_ip_address(host: str) -> bool:
    """Not a name; IPv6 with or without brackets."""
    return parse_ip(host) is not None


def _same_host(sent_by_host: str, source: str) -> bool:
    if sent_by_host == source:
        return True
    host = unbracket(sent_by_host)
    if host == source or host.lower() == source.lower():
        return True
    # One IPv6 address can be written in many ways.
    return (":" in host or ":" in source) and parse_ip(source) is not None and parse_ip(host) == parse_ip(source)


def response_flow(via: Via, flow: Flow) -> Flow:
    """The flow a response to a request with this (stamped) topmost Via goes to; `flow` is the one it came by.

    18.2.2 in its order: the same connection on a reliable transport; `maddr`; source address and port when `rport` was
    asked for (RFC 3581 4) or NAT is seen; else the source address and the sent-by port.
    """
    port = via.port or SIP_PORT
    has_maddr = "maddr" in via.parameters
    if flow.reliable or (port == flow.remote_port and not has_maddr):
        return flow
    if has_maddr:
        maddr, source = parse_ip(via.parameters["maddr"] or ""), parse_ip(flow.remote_host)
        # An address of the other family can't be reached through the socket the request came by.
        if maddr is not None and source is not None and maddr.version == source.version:
            return flow._replace(remote_host=str(maddr), remote_port=port)
    if via.rport is not None or behind_nat(via, flow):
        return flow
    return flow._replace(remote_port=port)
