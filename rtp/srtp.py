"""SRTP and SRTCP with AES in counter mode and HMAC-SHA1 (RFC 3711), as SDES names them (RFC 4568 6.2). Pure.

AES is that of the package `cryptography`, which the server has for its certificates; it is loaded with the first call
that needs it. No key derivation rate, no MKI: nobody offers them, and what does is not accepted.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from rtp.packet import Buffer, RtpError, RtpHeader

MASTER_KEY_LENGTH: Final = 16
RTCP_TAG_LENGTH: Final = 10
"""Also where RTP has the short one (RFC 4568 6.2.2)."""

MAX_SOURCES: Final = 8
"""SSRCs that one phone may use in turn."""

_WINDOW = 128
"""Packets that may be late; RFC 3711 3.3.2 wants at least 64."""
_ENCRYPTED = 0x80000000
_RTCP_INDEX_LENGTH = 4
_RTCP_CLEAR_LENGTH = 8

_RTP_LABELS = (0x00, 0x01, 0x02)
_RTCP_LABELS = (0x03, 0x04, 0x05)


class SrtpError(ValueError):
    """Forged, damaged or repeated; or no SRTP at all."""


def keystream(key: bytes, counter: int, length: int) -> bytes:
    """So many bytes of AES-CM from the counter block on (RFC 3711 4.1.1)."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.CTR(counter.to_bytes(16))).encryptor().update(bytes(length))


def load() -> None:
    """Have the first call not wait for what loads in some fifty milliseconds."""
    keystream(bytes(MASTER_KEY_LENGTH), 0, 0)


def derive(master_key: bytes, master_salt: bytes, label: int, length: int) -> bytes:
    """A session key (RFC 3711 4.3.1), with a derivation rate of zero."""
    return keystream(master_key, (int.from_bytes(master_salt) ^ label << 48) << 16, length)


class _Keys:
    """Session keys for RTP or for RTCP."""

    __slots__ = ("_auth", "_cipher", "_salt")

    def __init__(self, master_key: bytes, master_salt: bytes, labels: tuple[int, int, int]) -> None:
        cipher, auth, salt = labels
        self._cipher = derive(master_key, master_salt, cipher, 16)
        self._auth = derive(master_key, master_salt, auth, 20)
        self._salt = int.from_bytes(derive(master_key, master_salt, salt, 14)) << 16

    def crypt(self, data: bytes, ssrc: int, index: int) -> bytes:
        """Encrypt, or decrypt (RFC 3711 4.1.1)."""
        stream = keystream(self._cipher, self._salt ^ ssrc << 64 ^ index << 16, len(data))
        return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))

    def tag(self, data: bytes, length: int) -> bytes:
        return hmac.digest(self._auth, data, "sha1")[:length]


@dataclass(slots=True)
class _Source:
    """How far one SSRC has come: `highest` is the 48-bit index of RFC 3711 3.3.1, bit n of `seen` says that the packet
    n before it has come."""

    highest: int
    seen: int = 1

    def guess(self, sequence_number: int) -> int:
        """The index nearest to the highest that has this sequence number."""
        step = (sequence_number - self.highest + 0x8000) & 0xFFFF
        return self.highest + step - 0x8000

    def is_new(self, index: int) -> bool:
        behind = self.highest - index
        return behind < 0 or (behind < _WINDOW and not self.seen >> behind & 1)

    def note(self, index: int) -> None:
        ahead = index - self.highest
        if ahead > 0:
            self.seen = (self.seen << min(ahead, _WINDOW) | 1) & ((1 << _WINDOW) - 1)
            self.highest = index
        else:
            self.seen |= 1 << -ahead


class SrtpStream:
    """What one side sends under one master key: this object either protects it, or opens it. `tag_length` is that of
    RTP: 10 with AES_CM_128_HMAC_SHA1_80, 4 with ..._32."""

    def __init__(self, master: bytes, tag_length: int) -> None:
        """`master` is key and salt, as they stand in a=crypto."""
        key, salt = master[:MASTER_KEY_LENGTH], master[MASTER_KEY_LENGTH:]
        self.master = master
        self.tag_length = tag_length
        self._rtp = _Keys(key, salt, _RTP_LABELS)
        self._rtcp = _Keys(key, salt, _RTCP_LABELS)
        self._sources: OrderedDict[int, _Source] = OrderedDict()
        self._rtcp_sources: OrderedDict[int, _Source] = OrderedDict()
        self._rtcp_index = 0

    def protect(self, packet: bytes) -> bytes:
        """SRTP of an RTP packet of ours. SrtpError for a number that was used already: the same keystream for two
        packets would betray both (RFC 3711 9.1)."""
        header = RtpHeader.parse(packet)
        index = self._index(header)
        _take(self._sources, header.ssrc, index)
        sealed = packet[: header.length] + self._rtp.crypt(packet[header.length :], header.ssrc, index)
        return sealed + self._rtp.tag(sealed + (index >> 16).to_bytes(4), self.tag_length)

    def open(self, packet: Buffer) -> bytes:
        """The RTP packet in an SRTP packet; SrtpError."""
        sealed, tag = bytes(packet[: -self.tag_length]), bytes(packet[-self.tag_length :])
        try:
            header = RtpHeader.parse(sealed)
        except RtpError as error:
            raise SrtpError(str(error)) from error
        index = self._index(header)
        if not hmac.compare_digest(self._rtp.tag(sealed + (index >> 16).to_bytes(4), self.tag_length), tag):
            raise SrtpError("wrong authentication tag")
        _take(self._sources, header.ssrc, index)
        return sealed[: header.length] + self._rtp.crypt(sealed[header.length :], header.ssrc, index)

    def _index(self, header: RtpHeader) -> int:
        """48 bits: the sequence number with the rollover counter above it."""
        source = self._sources.get(header.ssrc)
        index = source.guess(header.sequence_number) if source is not None else header.sequence_number
        if index < 0:
            raise SrtpError("a packet of the time before the first one")
        return index

    def protect_rtcp(self, packet: bytes) -> bytes:
        """SRTCP of a compound packet of ours (RFC 3711 3.4)."""
        index, self._rtcp_index = self._rtcp_index, (self._rtcp_index + 1) & (_ENCRYPTED - 1)
        ssrc = int.from_bytes(packet[4:8])
        body = self._rtcp.crypt(packet[_RTCP_CLEAR_LENGTH:], ssrc, index)
        sealed = packet[:_RTCP_CLEAR_LENGTH] + body + (_ENCRYPTED | index).to_bytes(4)
        return sealed + self._rtcp.tag(sealed, RTCP_TAG_LENGTH)

    def open_rtcp(self, packet: Buffer) -> bytes:
        """The compound packet in an SRTCP packet; SrtpError."""
        sealed, tag = bytes(packet[:-RTCP_TAG_LENGTH]), bytes(packet[-RTCP_TAG_LENGTH:])
        if len(sealed) < _RTCP_CLEAR_LENGTH + _RTCP_INDEX_LENGTH:
            raise SrtpError("too short for SRTCP")
        if not hmac.compare_digest(self._rtcp.tag(sealed, RTCP_TAG_LENGTH), tag):
            raise SrtpError("wrong authentication tag")
        word = int.from_bytes(sealed[-_RTCP_INDEX_LENGTH:])
        index, ssrc = word & (_ENCRYPTED - 1), int.from_bytes(sealed[4:8])
        _take(self._rtcp_sources, ssrc, index)
        body = sealed[_RTCP_CLEAR_LENGTH:-_RTCP_INDEX_LENGTH]
        return sealed[:_RTCP_CLEAR_LENGTH] + (self._rtcp.crypt(body, ssrc, index) if word & _ENCRYPTED else body)


def _remember(sources: OrderedDict[int, _Source], ssrc: int, index: int) -> _Source:
    """One more source; the oldest is forgotten for it."""
    source = sources[ssrc] = _Source(index)
    if len(sources) > MAX_SOURCES:
        sources.popitem(last=False)
    return source


def _take(sources: OrderedDict[int, _Source], ssrc: int, index: int) -> None:
    """An authentic packet; SrtpError when it has come before, or too late to tell."""
    source = sources.get(ssrc)
    if source is None:
        _remember(sources, ssrc, index)
    elif source.is_new(index):
        source.note(index)
    else:
        raise SrtpError("a packet that has come before")
