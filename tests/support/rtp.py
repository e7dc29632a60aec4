"""Media of the test phone: a pair of RTP and RTCP sockets, packets made by hand, and session descriptions.

Sequence numbers and timestamps count on by themselves (RFC 3550 5.1), so a test can compare what arrives byte by byte.
"""

from __future__ import annotations

import itertools
import random
import re
import socket
import struct
from dataclasses import dataclass

Address = tuple[str, int]

TIMEOUT_S = 5.0
"""How long a packet is waited for before the test fails; never how long it takes."""

PCMU = 0
SAMPLES_PER_PACKET = 160
_HEADER = struct.Struct("!BBHII")
_TRIES = 50


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """The fixed header and the payload."""

    payload_type: int
    sequence_number: int
    rtp_timestamp: int
    ssrc: int
    payload: bytes

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        _, kind, sequence_number, rtp_timestamp, ssrc = _HEADER.unpack_from(data)
        return cls(kind & 0x7F, sequence_number, rtp_timestamp, ssrc, data[_HEADER.size :])

    def to_bytes(self) -> bytes:
        head = _HEADER.pack(0x80, self.payload_type, self.sequence_number, self.rtp_timestamp, self.ssrc)
        return head + self.payload


def receiver_report(ssrc: int) -> bytes:
    """The shortest RTCP packet with an SSRC: a receiver report without blocks (RFC 3550 6.4.2)."""
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


class MediaPort:
    """An even RTP port and the RTCP port above it, on one address of this machine.

    `remote` and `remote_rtcp` are where the other side wants its packets; the phone keeps them as the last session
    description says.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._rtp, self._rtcp = _bound_pair(host)
        self.host = host
        self.remote: Address | None = None
        self.remote_rtcp: Address | None = None
        seed = random.getrandbits(32)
        self.ssrc = seed
        self._numbers = itertools.count(seed & 0x7FFF)

    @property
    def port(self) -> int:
        return int(self._rtp.getsockname()[1])

    def make_packets(self, count: int) -> list[bytes]:
        """The next `count` packets of this stream, each with a payload of its own."""
        return [
            RtpPacket(
                PCMU, number, number * SAMPLES_PER_PACKET, self.ssrc, random.randbytes(SAMPLES_PER_PACKET)
            ).to_bytes()
            for number in itertools.islice(self._numbers, count)
        ]

    def send(self, *packets: bytes) -> None:
        assert self.remote is not None, "no session description has said where to"
        for packet in packets:
            self._rtp.sendto(packet, self.remote)

    def send_rtcp(self, packet: bytes) -> None:
        assert self.remote_rtcp is not None, "no session description has said where to"
        self._rtcp.sendto(packet, self.remote_rtcp)

    def receive(self) -> bytes:
        return self._rtp.recv(65_535)

    def receive_rtcp(self) -> bytes:
        return self._rtcp.recv(65_535)

    def follow(self, sdp: bytes) -> None:
        """Send from now on where this description of the other side says."""
        self.remote, self.remote_rtcp = media_addresses(sdp)

    def close(self) -> None:
        self._rtp.close()
        self._rtcp.close()


def _bound_pair(host: str) -> tuple[socket.socket, socket.socket]:
    for _ in range(_TRIES):
        rtp = _bound(host, 0)
        port = rtp.getsockname()[1]
        if port % 2 == 0:
            try:
                return rtp, _bound(host, port + 1)
            except OSError:
                pass
        rtp.close()
    raise OSError("no free pair of ports")


def _bound(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(TIMEOUT_S)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


# ------------------------------------------------------------------------------------------------ descriptions


def session_description(host: str, port: int, direction: str = "sendrecv", version: int = 1) -> bytes:
    """One audio stream (RFC 8866) of two codecs and DTMF."""
    lines = [
        "v=0",
        f"o=phone 1 {version} IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        f"a={direction}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n"


_RTCP = re.compile(r"^a=rtcp:(\d+)(?: IN IP[46] (\S+))?", re.MULTILINE)


def media_addresses(sdp: bytes) -> tuple[Address, Address]:
    """RTP and RTCP address of the first stream (RFC 8866 5.7, 5.14; RFC 3605)."""
    text = sdp.decode()
    media = text[text.index("m=") :]
    host = _search(r"^c=IN IP[46] (\S+)", media) or _search(r"^c=IN IP[46] (\S+)", text)
    port = int(_search(r"^m=\w+ (\d+)", media))
    rtcp = _RTCP.search(media)
    return (host, port), (rtcp[2] or host, int(rtcp[1])) if rtcp else (host, port + 1)


def media_direction(sdp: bytes) -> str:
    """`sendrecv` unless another direction is given (RFC 8866 6.7)."""
    return _search(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", sdp.decode()) or "sendrecv"


def _search(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""


def free_media_range(size: int) -> int:
    """First of `size` ports in a row, an even one, that nobody on this machine holds now."""
    for _ in range(_TRIES):
        first = random.randrange(20_000, 29_900, 2)
        held: list[socket.socket] = []
        try:
            held += [_bound("127.0.0.1", port) for port in range(first, first + size)]
        except OSError:
            continue
        finally:
            for sock in held:
                sock.close()
        return first
    raise OSError("no free range of ports")
