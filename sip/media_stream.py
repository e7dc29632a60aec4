"""What one side of a call says of one media stream: where it wants the packets, where its own may come from, and the
frozen description that is kept for people (RFC 3264 5.1, 8.4, RFC 3605).  Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from sip.sdp import MediaDescription
from sip.sdp_values import AddressKind, Connection, Direction, SdpError
from sip.uri import bracket


class SideDescription(NamedTuple):
    """What one side said of one stream.  `address` is host:port of its c= and m= lines, "" without them; `codecs` are
    encoding names in its order of preference; `rejected` is port 0."""

    address: str
    codecs: tuple[str, ...]
    direction: Direction
    secure: bool
    rejected: bool


class StreamDescription(NamedTuple):
    """One m= line of a call, the one at that `place`, as its two sides last described it (None: not yet).
    `relay_ports` are the RTP ports facing caller and callee, None when the stream is not anchored."""

    place: int
    kind: str
    protocol: str
    caller: SideDescription | None
    callee: SideDescription | None
    relay_ports: tuple[int, int] | None


class Peer(NamedTuple):
    """What the relay must know of a side: where it wants RTP and RTCP, the hosts its packets may come from, its payload
    types.  A tuple because it is the argument list of `RelaySession.set_peer`."""

    rtp: tuple[str, int] | None
    rtcp: tuple[str, int] | None
    hosts: frozenset[str]
    codecs: Mapping[int, tuple[str, int]]


NOBODY: Final = Peer(None, None, frozenset(), {})
"""A side that takes no part in a stream: nothing is sent to it, nothing taken from it."""


class Announcement(NamedTuple):
    """One m= line as one side sent it.  `live`: RTP that the side did not reject."""

    media: MediaDescription
    live: bool
    peer: Peer

    @property
    def held(self) -> bool:
        """Not meant to carry media both ways."""
        connection = self.media.connection
        return self.media.direction is not Direction.SENDRECV or (
            connection is not None and connection.kind is AddressKind.UNSPECIFIED
        )

    def describe(self) -> SideDescription:
        media = self.media
        connection = media.connection
        address = f"{bracket(connection.address)}:{media.port}" if connection is not None else ""
        return SideDescription(address, media.codecs, media.direction, media.secure, media.is_rejected)


def announce(media: MediaDescription, sender_host: str, *, offered: bool) -> Announcement:
    """Read one m= line of the side whose signalling comes from `sender_host`.

    `offered` is False in an answer when the offer had rejected the stream: accepting it then is no acceptance
    (RFC 3264 8.2).  Raises `SdpError`: 400 without an address, 488 for what the relay can't carry.
    """
    port, connection = media.port, media.connection
    if not (offered and media.is_rtp) or not (port or media.bundle_only):
        return Announcement(media, False, NOBODY)
    if not port:  # bundle-only: its packets come and go with another stream
        return Announcement(media, True, _nowhere(media, sender_host))
    if connection is None:
        raise SdpError(f"{media.kind} stream without c= line")
    if not connection.is_ip:
        raise SdpError(f"{media.kind} stream in a network other than IP4 and IP6", 488)
    if media.port_count != 1:
        raise SdpError(f"{media.kind} stream on {media.port_count} ports", 488)
    host = _host(connection, sender_host)
    if host is None:
        return Announcement(media, True, _nowhere(media, sender_host))
    # RTCP goes where a=rtcp says (RFC 3605 2.1), else to the port above RTP.
    rtcp_port = media.rtcp_port if media.rtcp_port is not None else port + 1
    rtcp_host = host if media.rtcp_address is None else _host(media.rtcp_address, sender_host)
    rtcp = (rtcp_host, rtcp_port) if rtcp_host is not None and rtcp_port < 65536 else None
    return Announcement(media, True, Peer((host, port), rtcp, frozenset((host, sender_host)), media.rtpmap))


def _nowhere(media: MediaDescription, sender_host: str) -> Peer:
    """A side that takes part and is sent nothing."""
    return Peer(None, None, frozenset({sender_host}), media.rtpmap)


def _host(connection: Connection, sender_host: str) -> str | None:
    """IP address to send to; None on hold and for multicast, which the relay never sends to.  A host name is not
    looked up, which would block: the address its signalling came from is the best guess, and the latch corrects it."""
    if connection.kind is AddressKind.UNICAST:
        return connection.address
    return sender_host if connection.kind is AddressKind.NAME else None


Describe = Callable[[], tuple[StreamDescription, ...]]
"""Gives descriptions that were true when it was made.  Any thread."""


def describe_streams(
    sides: Sequence[Sequence[Announcement] | None], relay_ports: Sequence[tuple[int, int] | None]
) -> tuple[StreamDescription, ...]:
    """What caller and callee have said of each stream.  Last ones without `relay_ports` may be absent there."""
    found = []
    for place, (caller, callee) in enumerate(zip_longest(*(side or () for side in sides))):
        media = (caller or callee).media
        ports = relay_ports[place] if place < len(relay_ports) else None
        offered = None if caller is None else caller.describe()
        answered = None if callee is None else callee.describe()
        found.append(StreamDescription(place, media.kind, media.protocol, offered, answered, ports))
    return tuple(found)
