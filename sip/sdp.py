"""Session descriptions: read what a relay must know, change what it must change (RFC 8866, RFC 3605, RFC 8839).  Pure.

The lines are kept as they came, bytes and line ends included; typed values stand beside them with the index of the line
they were read from.  Nothing is ever written again from the typed values, so whatever was not changed on purpose leaves
as it arrived, known to this module or not.

Reading is tolerant where phones differ (LF line ends, blank lines, unknown lines, missing optional lines, any bytes)
and refuses what would make two readers see two different sessions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from sip.errors import ParseError
from sip.uri import unbracket

MAX_SDP_SIZE: Final = 32_768
"""Largest description taken, in bytes; real ones have 200 to 8,000."""

MAX_MEDIA: Final = 32
"""Most m= lines in one description; each costs four sockets."""

_MAX_ADDRESS = 255
_CACHEABLE_LENGTH = 96


class SdpError(ParseError):
    """The description can't be used.  `status`: 400 malformed, 413 too large, 488 well-formed but not to be served."""


class Direction(StrEnum):
    """Who sends, seen from the side that wrote it (RFC 8866 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


class AddressKind(StrEnum):
    """What an address is good for."""

    UNICAST = "unicast"
    UNSPECIFIED = "unspecified"
    """0.0.0.0 or ::, "send me nothing" (RFC 3264 8.4)."""
    MULTICAST = "multicast"
    NAME = "name"
    """A host name, or anything else that is no IP address."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A c= line (RFC 8866 5.7).  `address` is canonical when it is an IP address, without the TTL of a multicast."""

    network_type: str
    address_type: str
    address: str
    kind: AddressKind

    @property
    def is_ip(self) -> bool:
        return self.network_type == "IN" and self.address_type in ("IP4", "IP6")


class _Section:
    """What the session and each of its media have in common."""

    __slots__ = ("connection", "connection_lines", "direction", "secure")

    def __init__(self, connection: Connection | None, direction: Direction, secure: bool) -> None:
        self.connection = connection
        self.connection_lines: list[tuple[int, Connection]] = []
        """Every c= line of this section itself; a multicast stream may have several."""
        self.direction = direction
        self.secure = secure
        """Keys are offered: SDES (RFC 4568), DTLS (RFC 5763) or MIKEY (RFC 4567)."""


class MediaDescription(_Section):
    """One m= section.  Values of the session level hold where the section says nothing itself: `connection` and
    `direction` are the effective ones, `connection_lines` only its own.  Filled by the parser, read-only afterwards."""

    __slots__ = (
        "bundle_only",
        "formats",
        "is_rtp",
        "kind",
        "line",
        "port",
        "port_count",
        "port_span",
        "protocol",
        "rtcp_address",
        "rtcp_lines",
        "rtcp_mux",
        "rtcp_port",
        "rtpmap",
    )

    def __init__(self, line: int, match: re.Match[bytes], session: _Section) -> None:
        super().__init__(session.connection, session.direction, session.secure)
        kind, port, count, protocol, formats = match.groups()
        self.line = line
        self.kind = kind.decode("latin-1")
        self.port = int(port)
        self.port_count = int(count) if count is not None else 1
        self.port_span = match.span(2)
        """Where the port stands in its line, without the count."""
        self.protocol = protocol.decode("latin-1")
        self.is_rtp = b"RTP/" in protocol.upper()
        self.formats: tuple[str, ...] = tuple(formats.decode("latin-1").split())
        self.rtpmap: dict[int, tuple[str, int]] = {}
        """Payload type to encoding name and clock rate in Hz, as far as a=rtpmap says."""
        self.rtcp_port: int | None = None
        """Port of a=rtcp (RFC 3605); None when absent or malformed."""
        self.rtcp_address: Connection | None = None
        self.rtcp_lines: list[tuple[int, Connection | None]] = []
        self.rtcp_mux = False
        """RFC 5761."""
        self.bundle_only = False
        """Port 0 does not reject: the packets travel with another stream (RFC 8843 6)."""

    @property
    def is_rejected(self) -> bool:
        """Port 0 (RFC 3264 6, 8.2), unless it is there only for the bundle."""
        return self.port == 0 and not self.bundle_only

    @property
    def codecs(self) -> tuple[str, ...]:
        """Encoding names in order of preference; a format nobody named stays a number."""
        return tuple(self._codec(text) for text in self.formats)

    def _codec(self, text: str) -> str:
        if not text.isdecimal():
            return text
        mapped = self.rtpmap.get(int(text)) if len(text) < 4 else None
        return mapped[0] if mapped is not None else _STATIC_ENCODINGS.get(text, text)


class SessionDescription(_Section):
    """A whole description.  Invariant: `b"".join(lines)` is the body that was parsed, until a line is replaced."""

    __slots__ = ("ice_lines", "lines", "media")

    def __init__(self, lines: list[bytes]) -> None:
        super().__init__(None, Direction.SENDRECV, False)
        self.lines = lines
        self.media: list[MediaDescription] = []
        self.ice_lines: list[int] = []
        """Lines of every ICE attribute (RFC 8839 5) of both levels."""

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """Raises `SdpError`."""
        if len(body) > MAX_SDP_SIZE:
            raise SdpError(f"session description of more than {MAX_SDP_SIZE} bytes", 413)
        # Of bytes, splitlines takes CR, LF and CRLF.  A lone CR must count: a phone might take it for a line end too,
        # and would then see a c= line that was never looked at here.
        lines = body.splitlines(keepends=True)
        if not next((line for line in lines if line.strip()), b"").startswith(b"v="):
            raise SdpError("session description without v= line")
        description = cls(lines)
        description._read()
        return description

    def _read(self) -> None:
        section: _Section = self
        media: MediaDescription | None = None
        for index, line in enumerate(self.lines):
            prefix = line[:2]
            if prefix == b"a=":
                name, _, value = line[2:].partition(b":")
                if name == b"rtpmap":
                    if media is not None:
                        self._read_rtpmap(media, value)
                elif name.rstrip() in _ATTRIBUTES:
                    self._read_attribute(section, media, index, name.rstrip(), value)
            elif prefix == b"m=":
                section = media = self._read_media(index, line)
            elif prefix == b"c=":
                connection = parse_connection(line[2:])
                if not section.connection_lines:
                    section.connection = connection
                section.connection_lines.append((index, connection))

    def _read_media(self, index: int, line: bytes) -> MediaDescription:
        if len(self.media) >= MAX_MEDIA:
            raise SdpError(f"more than {MAX_MEDIA} media streams", 488)
        match = _MEDIA_LINE.fullmatch(line)
        if match is None:
            raise SdpError("malformed m= line")
        media = MediaDescription(index, match, self)
        if media.port > 65535:
            raise SdpError(f"media port {media.port} is outside 0 to 65535")
        if media.port and not media.formats:
            raise SdpError("m= line without formats")
        self.media.append(media)
        return media

    @staticmethod
    def _read_rtpmap(media: MediaDescription, value: bytes) -> None:
        entry = _rtpmap(value) if len(value) <= _CACHEABLE_LENGTH else None
        if entry is not None:
            media.rtpmap[entry[0]] = entry[1]

    def _read_attribute(
        self, section: _Section, media: MediaDescription | None, index: int, name: bytes, value: bytes
    ) -> None:
        direction = _DIRECTIONS.get(name)
        if direction is not None:
            section.direction = direction
        elif name in _ICE:
            self.ice_lines.append(index)
        elif name in _KEYING:
            section.secure = True
        elif media is None:
            return
        elif name == b"rtcp":
            port, address = _parse_rtcp(value)
            if not media.rtcp_lines:
                media.rtcp_port, media.rtcp_address = port, address
            media.rtcp_lines.append((index, address))
        elif name == b"rtcp-mux":
            media.rtcp_mux = True
        else:
            media.bundle_only = True

    # -------------------------------------------------------------------------------------------- changing

    def remove_ice(self) -> None:
        """Candidates would lead media around the relay, and half an ICE is worse than none."""
        for index in self.ice_lines:
            self.lines[index] = b""

    def set_connection(self, section: _Section, address: bytes) -> None:
        """New value of every c= line of `section`; an unspecified address stays, because it means hold."""
        for index, connection in section.connection_lines:
            if connection.kind is not AddressKind.UNSPECIFIED:
                self.lines[index] = b"c=" + address + _line_end(self.lines[index])

    def insert_connection(self, media: MediaDescription, connection_line: bytes) -> None:
        """Give a section a c= line of its own, where RFC 8866 5 wants it: after m= and i=."""
        index = media.line
        if self.lines[index + 1 : index + 2] and self.lines[index + 1].startswith(b"i="):
            index += 1
        line_end = _line_end(self.lines[media.line]) or b"\r\n"
        kept = self.lines[index]
        self.lines[index] = (kept if _line_end(kept) else kept + line_end) + connection_line.rstrip() + line_end

    def set_port(self, media: MediaDescription, port: int) -> None:
        """New RTP port; a count after it stays."""
        start, end = media.port_span
        line = self.lines[media.line]
        self.lines[media.line] = b"%b%d%b" % (line[:start], port, line[end:])

    def set_rtcp(self, media: MediaDescription, port: int, address: bytes) -> None:
        """New port on every a=rtcp line, and address where there is one (an unspecified one stays)."""
        for index, old in media.rtcp_lines:
            line = self.lines[index]
            if old is None:
                tail = b""
            elif old.kind is AddressKind.UNSPECIFIED:
                tail = b" " + line[_RTCP_VALUE:].split(None, 1)[1].rstrip()
            else:
                tail = b" " + address
            self.lines[index] = b"a=rtcp:%d%b%b" % (port, tail, _line_end(line))

    def to_bytes(self) -> bytes:
        return b"".join(self.lines)


# Media type and protocol are bounded because they are shown to people and stand in reason phrases.
_MEDIA_LINE = re.compile(
    rb"m=([!-~]{1,32})[ \t]+([0-9]{1,5})(?:/([0-9]{1,4}))?[ \t]+([!-~]{1,64})((?:[ \t]+[!-~]+)*)[ \t]*[\r\n]*"
)
_RTPMAP = re.compile(rb"[ \t]*([0-9]{1,3})[ \t]+([!-.0-~]+)/([0-9]{1,9})(?:/[!-~]*)?\s*")
_RTCP = re.compile(rb"[ \t]*([0-9]{1,5})(?:[ \t]+(.*))?[ \t]*[\r\n]*", re.DOTALL)

_RTCP_VALUE: Final = len(b"a=rtcp:")

_DIRECTIONS: Final = {direction.value.encode(): direction for direction in Direction}
_KEYING: Final = frozenset({b"crypto", b"fingerprint", b"key-mgmt"})
_ICE: Final = frozenset(
    {
        b"candidate",
        b"end-of-candidates",
        b"ice-lite",
        b"ice-mismatch",
        b"ice-options",
        b"ice-pacing",
        b"ice-pwd",
        b"ice-ufrag",
        b"remote-candidates",
    }
)
_ATTRIBUTES: Final = frozenset({*_DIRECTIONS, *_KEYING, *_ICE, b"rtcp", b"rtcp-mux", b"bundle-only"})

_STATIC_ENCODINGS: Final = {
    "0": "PCMU",
    "3": "GSM",
    "4": "G723",
    "5": "DVI4",
    "6": "DVI4",
    "7": "LPC",
    "8": "PCMA",
    "9": "G722",
    "10": "L16",
    "11": "L16",
    "12": "QCELP",
    "13": "CN",
    "14": "MPA",
    "15": "G728",
    "16": "DVI4",
    "17": "DVI4",
    "18": "G729",
    "25": "CelB",
    "26": "JPEG",
    "28": "nv",
    "31": "H261",
    "32": "MPV",
    "33": "MP2T",
    "34": "H263",
}
"""Names of the static payload types (RFC 3551 6)."""


def _line_end(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]


@lru_cache(maxsize=1024)
def _rtpmap(value: bytes) -> tuple[int, tuple[str, int]] | None:
    """Payload type, encoding name and clock rate in Hz (RFC 8866 6.6); None when malformed.  Phones repeat the same few
    lines all day."""
    match = _RTPMAP.fullmatch(value)
    if match is None or int(match[1]) > 127:
        return None
    return int(match[1]), (match[2].decode("latin-1"), int(match[3]))


def parse_connection(value: bytes) -> Connection:
    """Network type, address type and address.  Raises `SdpError` (400)."""
    if len(value) > _MAX_ADDRESS:
        raise SdpError("overlong c= line")
    return _parse_connection(value)


@lru_cache(maxsize=1024)
def _parse_connection(value: bytes) -> Connection:
    words = value.decode("latin-1").split()
    if len(words) != 3:
        raise SdpError("malformed c= line")
    kind, address = classify_address(words[2].partition("/")[0])
    return Connection(words[0].upper(), words[1].upper(), address, kind)


def _parse_rtcp(value: bytes) -> tuple[int | None, Connection | None]:
    match = _RTCP.fullmatch(value)
    if match is None or not 0 < int(match[1]) < 65536:
        return None, None
    try:
        return int(match[1]), parse_connection(match[2]) if match[2] and match[2].strip() else None
    except SdpError:
        return int(match[1]), None


def classify_address(text: str) -> tuple[AddressKind, str]:
    """What `text` is, and its canonical form when it is an IP address, the one sockets give."""
    try:
        address = ip_address(text)
    except ValueError:
        return AddressKind.NAME, text
    if "%" in text:
        # A zone means something on the sender's machine only.
        return AddressKind.NAME, text
    if address.is_unspecified:
        return AddressKind.UNSPECIFIED, str(address)
    if address.is_multicast or text == "255.255.255.255":
        return AddressKind.MULTICAST, str(address)
    return AddressKind.UNICAST, str(address)


@lru_cache(maxsize=256)
def connection_value(host: str) -> bytes:
    """Host as it stands in c= and a=rtcp: `IN IP4 192.0.2.1`, `IN IP6 2001:db8::1`; a name counts as IP4."""
    host = unbracket(host)
    return f"IN {'IP6' if ':' in host else 'IP4'} {host}".encode()
