"""G.711: 8 bits for a sample of 16, by the two laws of ITU-T G.711 (tables 1 and 2). Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

MAX_DBM0 = 3.17
"""Of a sine that just fits: its peak is the virtual decision value of table 2a, 8159 (ITU-T G.711 3)."""

_MU_BIAS = 0x84
_MU_CLIP = 32_635
_A_INVERSION = 0x55  # every other bit (table 1a, note 2)


def mu_law(sample: int) -> int:
    """One sample of 16 bits as mu-law: sign, three bits of segment, four within it, all of them inverted."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _MU_CLIP) + _MU_BIAS
    segment = magnitude.bit_length() - 8
    return ~(sign | segment << 4 | magnitude >> (segment + 3) & 0x0F) & 0xFF


def a_law(sample: int) -> int:
    """One sample of 16 bits as A-law."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(sample if sample >= 0 else -sample - 1, 32_767) >> 3
    segment = max(0, magnitude.bit_length() - 5)
    return (sign | segment << 4 | magnitude >> max(segment, 1) & 0x0F) ^ _A_INVERSION


def from_mu_law(code: int) -> int:
    """The sample that stands in the middle of what this code stands for."""
    code = ~code & 0xFF
    magnitude = ((code & 0x0F) << 3 | _MU_BIAS) << (code >> 4 & 0x07)
    return _MU_BIAS - magnitude if code & 0x80 else magnitude - _MU_BIAS


def from_a_law(code: int) -> int:
    code ^= _A_INVERSION
    segment, within = code >> 4 & 0x07, (code & 0x0F) << 4 | 0x08
    magnitude = within if segment == 0 else (within | 0x100) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


def encode(samples: Iterable[int], *, is_a_law: bool) -> bytes:
    return bytes(map(a_law if is_a_law else mu_law, samples))


def silence(count: int, *, is_a_law: bool) -> bytes:
    """So many samples of nothing."""
    return bytes([a_law(0) if is_a_law else mu_law(0)]) * count


_MU_SQUARES: Sequence[int] = tuple(from_mu_law(code) ** 2 for code in range(256))
_A_SQUARES: Sequence[int] = tuple(from_a_law(code) ** 2 for code in range(256))


def energy(payload: bytes, *, is_a_law: bool) -> float:
    """Mean square of the samples; 0 for none."""
    squares = _A_SQUARES if is_a_law else _MU_SQUARES
    return sum(map(squares.__getitem__, payload)) / len(payload) if payload else 0.0


def dbm0(mean_square: float) -> float:
    """Level of a signal by its energy; a sine as loud as can be has `MAX_DBM0`."""
    loudest = (4 * 8159) ** 2 / 2
    return MAX_DBM0 + 10 * math.log10(max(mean_square, 1.0) / loudest)
