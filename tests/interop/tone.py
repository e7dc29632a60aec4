"""Tones: made as samples, A-law RTP and capture files, and found again in recordings.

A-law is ITU-T G.711; its RTP payload type 8 and 20 ms packets of 160 samples are RFC 3551 4.5.14. The capture file is
the classic libpcap format with Ethernet frames, what SIPp plays.
"""

from __future__ import annotations

import array
import functools
import math
import struct
import sys
import wave
from collections.abc import Sequence
from pathlib import Path

SAMPLE_RATE_HZ = 8000
SAMPLES_PER_PACKET = 160
PCMA = 8

_AMPLITUDE = 12_000
_BLOCK = SAMPLE_RATE_HZ // 10
_PURE_SHARE = 0.9
_LOUD = 1_000


@functools.cache
def tone(frequency_hz: float, duration_s: float) -> Sequence[int]:
    """Samples of 16 bits at 8 kHz.  Many phones speak the same ones."""
    step = 2 * math.pi * frequency_hz / SAMPLE_RATE_HZ
    return tuple(round(_AMPLITUDE * math.sin(step * index)) for index in range(round(duration_s * SAMPLE_RATE_HZ)))


def write_wav(path: Path, samples: Sequence[int]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def read_wav(path: Path) -> list[int]:
    """The samples of a recording, which must be telephone audio: 8 kHz, 16 bits, one channel."""
    with wave.open(str(path), "rb") as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (SAMPLE_RATE_HZ, 2, 1)
        samples = array.array("h", file.readframes(file.getnframes()))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tolist()


def seconds_of_tone(samples: Sequence[int], frequency_hz: float) -> float:
    """For how long the recording is this tone and next to nothing else, in steps of 0.1 s."""
    blocks = (samples[start : start + _BLOCK] for start in range(0, len(samples) - _BLOCK + 1, _BLOCK))
    return sum(_is_tone(block, frequency_hz) for block in blocks) * _BLOCK / SAMPLE_RATE_HZ


def seconds_of_key(samples: Sequence[int], low_hz: float, high_hz: float) -> float:
    """For how long the recording is the two tones of a key, and next to nothing else, in steps of 0.05 s."""
    size = _BLOCK // 2
    blocks = (samples[start : start + size] for start in range(0, len(samples) - size + 1, size))
    return sum(_is_key(block, low_hz, high_hz) for block in blocks) * size / SAMPLE_RATE_HZ


def _is_tone(block: Sequence[int], frequency_hz: float) -> bool:
    return _is_loud(block) and _share(block, frequency_hz) > _PURE_SHARE


def _is_key(block: Sequence[int], low_hz: float, high_hz: float) -> bool:
    return _is_loud(block) and min(_share(block, low_hz), _share(block, high_hz)) > _PURE_SHARE / 2 - 0.1


def _is_loud(block: Sequence[int]) -> bool:
    return sum(sample * sample for sample in block) > len(block) * _LOUD**2


def _share(block: Sequence[int], frequency_hz: float) -> float:
    """By the Goertzel algorithm: the power at one frequency, as a share of the power of the block."""
    coefficient = 2 * math.cos(2 * math.pi * frequency_hz / SAMPLE_RATE_HZ)
    last = before_last = 0.0
    for sample in block:
        last, before_last = sample + coefficient * last - before_last, last
    at_frequency = last * last + before_last * before_last - coefficient * last * before_last
    return at_frequency * 2 / len(block) / sum(sample * sample for sample in block)


def a_law(sample: int) -> int:
    """One sample as G.711 A-law: sign, three bits of segment, four bits within it, every other bit inverted."""
    magnitude = (sample if sample >= 0 else -sample - 1) >> 3
    segment = max(0, magnitude.bit_length() - 5)
    within = (magnitude >> max(segment, 1)) & 0x0F
    return ((segment << 4) | within | (0x80 if sample >= 0 else 0)) ^ 0x55


def rtp_packets(samples: Sequence[int], ssrc: int = 0x0A1B2C3D) -> list[bytes]:
    """The samples as A-law in RTP (RFC 3550 5.1), the marker bit on the first packet."""
    packets = []
    for number, start in enumerate(range(0, len(samples), SAMPLES_PER_PACKET)):
        marker = 0x80 if number == 0 else 0
        header = struct.pack("!BBHII", 0x80, PCMA | marker, 1000 + number, start, ssrc)
        packets.append(header + bytes(map(a_law, samples[start : start + SAMPLES_PER_PACKET])))
    return packets


def write_pcap(path: Path, packets: Sequence[bytes]) -> None:
    """A capture of the packets, one each 20 ms, as UDP over IPv4 over Ethernet."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, packet in enumerate(packets):
            frame = _ethernet_frame(packet)
            seconds, milliseconds = divmod(number * 20, 1000)
            file.write(struct.pack("<IIII", seconds, milliseconds * 1000, len(frame), len(frame)))
            file.write(frame)


def _ethernet_frame(payload: bytes) -> bytes:
    udp = struct.pack("!HHHH", 6000, 6000, 8 + len(payload), 0)
    localhost = b"\x7f\x00\x00\x01"
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, localhost, localhost)
    return bytes(12) + b"\x08\x00" + ip + udp + payload
