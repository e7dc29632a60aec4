"""RTP fixed header (RFC 3550 5.1) and the kinds of packet that share a media port (RFC 7983 7, RFC 5761 4). Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Self

Buffer = bytes | bytearray | memoryview

# V, P, X, CC, M and PT as one number; sequence number; timestamp; SSRC.
FIXED_HEADER = struct.Struct("!HHII")
FIXED_HEADER_LENGTH = 12
MARKER_BIT = 0x0080
PAYLOAD_TYPE_MASK = 0x007F

_EXTENSION_HEADER = struct.Struct("!HH")
_STUN_HEADER_LENGTH = 20  # RFC 8489 5
_ZRTP_HEADER_LENGTH = 12  # RFC 6189 5
_DTLS_HEADER_LENGTH = 13  # RFC 6347 4.1
_RTCP_HEADER_LENGTH = 8  # RFC 3550 6.4.2: the empty receiver report is the shortest that carries an SSRC


class RtpError(ValueError):
    """The bytes are not a well-formed RTP packet."""


class PacketKind(Enum):
    """What a datagram on a media port is, told by its first two bytes."""

    RTP = "RTP"
    RTCP = "RTCP"
    STUN = "STUN"
    ZRTP = "ZRTP"
    DTLS = "DTLS"
    UNKNOWN = "unknown"


def classify(data: Buffer) -> PacketKind:
    """Kind by the first byte (RFC 7983 7), RTCP by the second (RFC 5761 4); too short for its kind is UNKNOWN."""
    length = len(data)
    if length < _RTCP_HEADER_LENGTH:
        return PacketKind.UNKNOWN
    first = data[0]
    if 128 <= first <= 191:
        if 192 <= data[1] <= 223:
            return PacketKind.RTCP
        return PacketKind.RTP if length >= FIXED_HEADER_LENGTH else PacketKind.UNKNOWN
    if first <= 3 and length >= _STUN_HEADER_LENGTH:
        return PacketKind.STUN
    if 16 <= first <= 19 and length >= _ZRTP_HEADER_LENGTH:
        return PacketKind.ZRTP
    if 20 <= first <= 63 and length >= _DTLS_HEADER_LENGTH:
        return PacketKind.DTLS
    return PacketKind.UNKNOWN


@dataclass(frozen=True, slots=True)
class RtpHeader:
    """The header fields of a packet whose CSRC list and extension fit into it."""

    marker: bool
    payload_type: int
    sequence_number: int
    rtp_timestamp: int
    ssrc: int
    length: int

    @classmethod
    def parse(cls, data: Buffer) -> Self:
        """Header with CSRC list and extension, `length` bytes (RFC 3550 5.1, 5.3.1); RtpError when it is none.

        The padding count is not looked at: with SRTP (RFC 3711 3.1) it is encrypted.
        """
        if len(data) < FIXED_HEADER_LENGTH:
            raise RtpError(f"{len(data)} bytes are too few for an RTP header")
        prefix, sequence_number, rtp_timestamp, ssrc = FIXED_HEADER.unpack_from(data)
        if prefix >> 14 != 2:
            raise RtpError(f"RTP version {prefix >> 14}")
        length = FIXED_HEADER_LENGTH + 4 * (prefix >> 8 & 0x0F)
        if prefix & 0x1000:
            if len(data) < length + 4:
                raise RtpError("the header extension is cut off")
            length += 4 + 4 * _EXTENSION_HEADER.unpack_from(data, length)[1]
        if len(data) < length:
            raise RtpError("the CSRC list or the header extension is cut off")
        return cls(
            marker=bool(prefix & MARKER_BIT),
            payload_type=prefix & PAYLOAD_TYPE_MASK,
            sequence_number=sequence_number,
            rtp_timestamp=rtp_timestamp,
            ssrc=ssrc,
            length=length,
        )
