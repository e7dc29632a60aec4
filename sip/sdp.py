"""Session descriptions: read what a relay must know, change what it must change (RFC 8866, RFC 3605, RFC 8839).  Pure.

A description is cut into what differs from call to call, the values of o=, c= and a=rtcp and the ports of m=, and the
text between them, its form.  A phone sends the same form all day, so what was read in one is kept.  Nothing is ever
written again from what was read: values are replaced in their places, and whatever was not changed on purpose leaves
as it arrived, bytes and line ends included, known to this module or not.

Reading is tolerant where phones differ (LF line ends, blank lines, unknown lines, missing optional lines, any bytes)
and refuses what would make two readers see two different sessions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from sip.sdp_values import AddressKind, Connection, Direction, SdpError, parse_connection, parse_rtcp, parse_rtpmap

MAX_SDP_SIZE: Final = 32_768
"""Largest description taken, in bytes; real ones have 200 to 8,000."""

MAX_MEDIA: Final = 32
"""Most m= lines in one description; each costs four sockets."""


class MediaDescription(NamedTuple):
    """One m= section.  Values of the session level hold where the section says nothing itself: `connection` and
    `direction` are the effective ones, `connection_lines` only its own: places and what stands there."""

    port: int
    connection: Connection | None
    connection_lines: list[tuple[int, Connection]]
    """A multicast stream may have several."""
    rtcp_port: int | None
    """Port of a=rtcp (RFC 3605); None when absent or malformed."""
    rtcp_address: Connection | None
    rtcp_lines: list[tuple[int, Connection | None]]

    # From here on it is the same in all sections of one form.
    line: int
    """Number of the m= line in the description."""
    port_place: int
    connection_places: tuple[int, ...]
    rtcp_places: tuple[int, ...]
    kind: str
    port_count: int
    protocol: str
    is_rtp: bool
    formats: tuple[str, ...]
    rtpmap: Mapping[int, tuple[str, int]]
    """Payload type to encoding name and clock rate in Hz, as far as a=rtpmap says."""
    codecs: tuple[str, ...]
    """Encoding names in order of preference; a format nobody named stays a number."""
    direction: Direction
    secure: bool
    """Keys are offered: SDES (RFC 4568), DTLS (RFC 5763) or MIKEY (RFC 4567)."""
    rtcp_mux: bool
    """RFC 5761."""
    bundle_only: bool
    """Port 0 does not reject: the packets travel with another stream (RFC 8843 6)."""

    @property
    def is_rejected(self) -> bool:
        """Port 0 (RFC 3264 6, 8.2), unless it is there only for the bundle."""
        return self.port == 0 and not self.bundle_only


_OF_THE_FORM: Final = 6
"""The first field of a section that is the same in all of one form."""

_NO_LINES: list[tuple[int, Connection]] = []
_NO_RTCP: list[tuple[int, Connection | None]] = []
"""Of all sections without any."""


class SessionDescription:
    """A whole description.  Invariant: `b"".join(pieces)` is the body that was parsed, until a value is replaced; a
    place is an index into `pieces`."""

    __slots__ = ("_form", "connection", "connection_lines", "media", "pieces")

    def __init__(self, pieces: list[bytes], form: _Form) -> None:
        """Raises `SdpError`."""
        self._form = form
        self.pieces = pieces
        self.connection_lines = [(place, parse_connection(pieces[place])) for place in form.connection_places]
        """Every c= line of the session level."""
        connection = self.connection = self.connection_lines[0][1] if self.connection_lines else None
        self.media = [_read_section(section, pieces, connection) for section in form.sections]

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """Raises `SdpError`."""
        if len(body) > MAX_SDP_SIZE:
            raise SdpError(f"session description of more than {MAX_SDP_SIZE} bytes", 413)
        pieces = _VALUES.split(body)
        between = pieces.copy()
        del between[2::3]
        text = tuple(between)
        return cls(pieces, _KEPT.get(text) or _read_form(text))

    @property
    def lines(self) -> list[bytes]:
        """With their ends, as they are now."""
        return _lines(self.to_bytes())

    @property
    def carries_rtp(self) -> bool:
        """At least one of its streams is RTP."""
        return self._form.carries_rtp

    @property
    def ice_lines(self) -> list[int]:
        """Numbers of the lines of ICE attributes (RFC 8839 5), of both levels, as it came."""
        return self._form.ice_lines

    @property
    def connection_line(self) -> bytes:
        """The first c= line of the session level, as it is now, without its end; there must be one."""
        return b"c=" + self.pieces[self.connection_lines[0][0]]

    # -------------------------------------------------------------------------------------------- changing

    def remove_ice(self) -> None:
        """Candidates would lead media around the relay, and half an ICE is worse than none."""
        if self._form.ice_lines:
            self.pieces[::3] = self._form.without_ice

    def set_connection(self, section: MediaDescription | SessionDescription, address: bytes) -> None:
        """New value of every c= line of `section`; an unspecified address stays, because it means hold."""
        for place, connection in section.connection_lines:
            if connection.kind is not AddressKind.UNSPECIFIED:
                self.pieces[place] = address

    def insert_connection(self, media: MediaDescription, connection_line: bytes) -> None:
        """Give a section a c= line of its own, where RFC 8866 5 wants it: after m= and i=."""
        rest, *lines = _lines(self.pieces[media.port_place + 1])
        head = [rest, lines.pop(0)] if lines and lines[0].startswith(b"i=") else [rest]
        line_end = _line_end(rest) or b"\r\n"
        if not _line_end(head[-1]):
            head.append(line_end)
        self.pieces[media.port_place + 1] = b"".join([*head, connection_line.rstrip(), line_end, *lines])

    def set_port(self, media: MediaDescription, port: int) -> None:
        """New RTP port; a count after it stays."""
        self.pieces[media.port_place] = b"%d" % port

    def set_rtcp(self, media: MediaDescription, port: int, address: bytes) -> None:
        """New port on every a=rtcp line, and address where there is one (an unspecified one stays)."""
        for place, old in media.rtcp_lines:
            if old is None:
                tail = b""
            elif old.kind is AddressKind.UNSPECIFIED:
                tail = b" " + self.pieces[place].partition(b":")[2].split(None, 1)[1].rstrip()
            else:
                tail = b" " + address
            self.pieces[place] = b":%d%b" % (port, tail)

    def to_bytes(self) -> bytes:
        return b"".join(self.pieces)


def _read_section(section: MediaDescription, pieces: list[bytes], inherited: Connection | None) -> MediaDescription:
    """A section of a form with the values of one description."""
    port = int(pieces[section.port_place])
    if port > 65535:
        raise SdpError(f"media port {port} is outside 0 to 65535")
    if port and not section.formats:
        raise SdpError("m= line without formats")
    lines, connection = _NO_LINES, inherited
    if section.connection_places:
        lines = [(place, parse_connection(pieces[place])) for place in section.connection_places]
        connection = lines[0][1]
    rtcp_lines, rtcp_port, rtcp_address = _NO_RTCP, None, None
    if section.rtcp_places:
        read = [(place, *parse_rtcp(pieces[place].partition(b":")[2])) for place in section.rtcp_places]
        rtcp_lines = [(place, address) for place, _, address in read]
        _, rtcp_port, rtcp_address = read[0]
    values = (port, connection, lines, rtcp_port, rtcp_address, rtcp_lines)
    return tuple.__new__(MediaDescription, values + section[_OF_THE_FORM:])


# ------------------------------------------------------------------------------------------------ forms


class _Form(NamedTuple):
    """What was read in the text between the values of a description; shared by all that have this text.  The values of
    `sections` are not set."""

    connection_places: tuple[int, ...]
    sections: tuple[MediaDescription, ...]
    carries_rtp: bool
    ice_lines: list[int]
    without_ice: list[bytes]
    """The text before, between and after the values, less the lines of ICE."""


# Of bytes, a line ends with CR, LF or CRLF.  A lone CR must count: a phone might take it for a line end too, and would
# then see a c= line that was never looked at here.
_VALUES = re.compile(
    rb"""
    ([ocam]=(?<![^\r\n].=)  # a line begins
        (?: (?<=[oc]=) | (?<=a=)rtcp(?=[ \t\v\f]*+(?:[:\r\n]|\Z)) | (?<=m=)[!-~]{1,32}[ \t]++ ))
    ((?<=[=p])[^\r\n]*+ | [0-9]{1,5}+(?![0-9]))  # of m= the port alone
    """,
    re.VERBOSE | re.DOTALL,
)
"""Splits a description into text, what a line begins with, its value, text and so on to the last text."""

_KEPT: dict[tuple[bytes, ...], _Form] = {}
_MAX_KEPT = 256
_MAX_KEPT_SIZE = 4_096
"""Bytes; real forms have 100 to 1,500."""


def _read_form(text: tuple[bytes, ...]) -> _Form:
    """What is read in a form that is not among `_KEPT`, where it is from now on, unless there are keys or ICE in it,
    which never come again.  Any thread.  Raises `SdpError`."""
    reader = _FormReader()
    reader.read_lines(_lines(text[0]))
    for number in range(1, len(text), 2):
        reader.read_value(place=3 * (number // 2) + 2, prefix=text[number], following=text[number + 1])
    form = reader.form()
    if not (form.ice_lines or reader.has_keys) and sum(map(len, text)) <= _MAX_KEPT_SIZE:
        if len(_KEPT) >= _MAX_KEPT:
            _KEPT.clear()
        _KEPT[text] = form
    return form


class _Section:
    """What is known of the session or of one of its media while it is read."""

    def __init__(self, session: _Section | None = None) -> None:
        self.direction: Direction = session.direction if session is not None else Direction.SENDRECV
        self.secure: bool = session is not None and session.secure
        self.connection_places: list[int] = []


class _Media(_Section):
    def __init__(self, session: _Section, line: int, place: int, match: re.Match[bytes]) -> None:
        super().__init__(session)
        self.line = line
        self.place = place
        self.match = match
        self.rtpmap: dict[int, tuple[str, int]] = {}
        self.rtcp_places: list[int] = []
        self.rtcp_mux = False
        self.bundle_only = False

    def section(self) -> MediaDescription:
        kind, count, protocol, listed = self.match.groups()
        formats = tuple(listed.decode("latin-1").split())
        return MediaDescription(
            port=0,
            connection=None,
            connection_lines=[],
            rtcp_port=None,
            rtcp_address=None,
            rtcp_lines=[],
            line=self.line,
            port_place=self.place,
            connection_places=tuple(self.connection_places),
            rtcp_places=tuple(self.rtcp_places),
            kind=kind.decode("latin-1"),
            port_count=int(count) if count is not None else 1,
            protocol=protocol.decode("latin-1"),
            is_rtp=b"RTP/" in protocol.upper(),
            formats=formats,
            rtpmap=self.rtpmap,
            codecs=tuple([self._codec(text) for text in formats]),
            direction=self.direction,
            secure=self.secure,
            rtcp_mux=self.rtcp_mux,
            bundle_only=self.bundle_only,
        )

    def _codec(self, text: str) -> str:
        if not text.isdecimal():
            return text
        mapped = self.rtpmap.get(int(text)) if len(text) < 4 else None
        return mapped[0] if mapped is not None else _STATIC_ENCODINGS.get(text, text)


class _FormReader:
    """Reads a form line by line."""

    def __init__(self) -> None:
        self.has_keys = False
        self._session = self._section = _Section()
        self._media: list[_Media] = []
        self._line = 0
        self._begun = False
        self._ice_lines: list[int] = []
        self._without_ice: list[bytes] = []

    def form(self) -> _Form:
        if not self._begun:
            raise SdpError("session description without v= line")
        sections = tuple(media.section() for media in self._media)
        carries_rtp = any(section.is_rtp for section in sections)
        places = tuple(self._session.connection_places)
        return _Form(places, sections, carries_rtp, self._ice_lines, self._without_ice)

    def read_value(self, place: int, prefix: bytes, following: bytes) -> None:
        """A line with a value at `place`, and the text that follows the value."""
        lines = _lines(following)
        rest = lines.pop(0) if lines else b""
        self._note_begin(prefix)
        if prefix == b"c=":
            self._section.connection_places.append(place)
        elif prefix == b"a=rtcp":
            if self._media:
                self._media[-1].rtcp_places.append(place)
        elif prefix != b"o=":
            self._read_media(place, prefix + b"0" + rest)
        self._line += 1
        self.read_lines(lines, rest)

    def read_lines(self, lines: list[bytes], before: bytes = b"") -> None:
        """Whole lines, none of which has a value, and what stands `before` them."""
        kept = [before]
        for line in lines:
            if line.strip():
                self._note_begin(line)
            if line.startswith(b"m="):
                raise SdpError("malformed m= line")
            name, _, value = line[2:].partition(b":")
            name = name.rstrip()
            if not line.startswith(b"a="):
                kept.append(line)
            elif name in _ICE:
                self._ice_lines.append(self._line)
            else:
                kept.append(line)
                self._read_attribute(name, value)
            self._line += 1
        self._without_ice.append(b"".join(kept))

    def _note_begin(self, line: bytes) -> None:
        if not self._begun and not line.startswith(b"v="):
            raise SdpError("session description without v= line")
        self._begun = True

    def _read_media(self, place: int, line: bytes) -> None:
        if len(self._media) >= MAX_MEDIA:
            raise SdpError(f"more than {MAX_MEDIA} media streams", 488)
        match = _MEDIA_LINE.fullmatch(line)
        if match is None:
            raise SdpError("malformed m= line")
        self._section = media = _Media(self._session, self._line, place, match)
        self._media.append(media)

    def _read_attribute(self, name: bytes, value: bytes) -> None:
        direction, media = _DIRECTIONS.get(name), self._media[-1] if self._media else None
        if direction is not None:
            self._section.direction = direction
        elif name in _KEYING:
            self._section.secure = self.has_keys = True
        elif media is None:
            return
        elif name == b"rtpmap":
            entry = parse_rtpmap(value)
            if entry is not None:
                media.rtpmap[entry[0]] = entry[1]
        elif name == b"rtcp-mux":
            media.rtcp_mux = True
        elif name == b"bundle-only":
            media.bundle_only = True


# Media type and protocol are bounded because they are shown to people and stand in reason phrases.
_MEDIA_LINE = re.compile(
    rb"m=([!-~]{1,32})[ \t]+0(?:/([0-9]{1,4}))?[ \t]+([!-~]{1,64})((?:[ \t]+[!-~]+)*)[ \t]*[\r\n]*"
)
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


def _lines(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)


def _line_end(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]
