"""What the server plays: notes, made piece by piece when they are first heard. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from rtp.g711 import encode, silence

SAMPLE_RATE_HZ = 8000

PIECE_SAMPLES = 80
"""Ten milliseconds: what every length of a packet and of a note is a multiple of."""

_PEAK = 8_000
"""About -9 dBm0: as loud as people speak, and far from clipping."""
_FADE_SAMPLES = 40
"""Five milliseconds at both ends, so that notes do not click."""


class Note(NamedTuple):
    """Sines that sound together; none: a rest. `duration_ms` is a multiple of ten."""

    frequencies_hz: tuple[float, ...]
    duration_ms: int

    @property
    def pieces(self) -> int:
        return self.duration_ms * SAMPLE_RATE_HZ // 1000 // PIECE_SAMPLES


def rest(duration_ms: int) -> Note:
    return Note((), duration_ms)


BEEP = Note((880.0,), 200)

MELODY = (
    Note((523.25,), 300),
    Note((659.26,), 300),
    Note((783.99,), 300),
    Note((1046.50,), 600),
    Note((783.99,), 300),
    Note((659.26,), 300),
    Note((523.25,), 600),
    rest(900),
)
"""A broken chord, up and down."""

BEEPS = (BEEP, rest(800))

RINGING = (Note((425.0,), 1000), rest(4000))
"""What a caller hears while the other telephone rings, as in most countries of Europe (ITU-T E.180, supplement 2)."""

_ROWS_HZ = (697.0, 770.0, 852.0, 941.0)
_COLUMNS_HZ = (1209.0, 1336.0, 1477.0, 1633.0)
_KEYPAD = ("123A", "456B", "789C", "*0#D")

KEYS = {
    key: Note((row, column), 250)
    for keys, row in zip(_KEYPAD, _ROWS_HZ, strict=True)
    for key, column in zip(keys, _COLUMNS_HZ, strict=True)
}
"""Tones of the keys (ITU-T Q.23)."""

_PAUSE = rest(60)

VERDICTS: dict[str, tuple[Note, ...]] = {
    "good": (Note((523.25,), 200), _PAUSE, Note((659.26,), 200), _PAUSE, Note((783.99,), 300)),
    "fair": (Note((440.0,), 250), _PAUSE, Note((440.0,), 250)),
    "poor": (Note((220.0,), 700),),
    "unknown": (Note((880.0,), 70), Note((660.0,), 70)) * 3,
}
"""Three rising tones, two alike, one low one, a trill."""


def said(verdicts: Iterable[str]) -> tuple[Note, ...]:
    """The tones of these verdicts, apart from what was before and from one another."""
    return tuple(note for verdict in verdicts for note in (rest(800), *VERDICTS[verdict]))


def duration_s(notes: Iterable[Note]) -> float:
    return sum(note.duration_ms for note in notes) / 1000


@lru_cache(maxsize=2048)
def piece(note: Note, number: int, *, is_a_law: bool) -> bytes:
    """Ten milliseconds of a note as G.711, counted from 0. Making one takes a fraction of a millisecond, so that nobody
    else's packets wait; all that there is to play fits the cache."""
    if not note.frequencies_hz:
        return silence(PIECE_SAMPLES, is_a_law=is_a_law)
    count = note.pieces * PIECE_SAMPLES
    steps = [2 * math.pi * frequency / SAMPLE_RATE_HZ for frequency in note.frequencies_hz]
    peak = _PEAK / len(steps)
    first = number * PIECE_SAMPLES
    samples = [
        round(peak * _fade(index, count) * sum(math.sin(step * index) for step in steps))
        for index in range(first, first + PIECE_SAMPLES)
    ]
    return encode(samples, is_a_law=is_a_law)


def _fade(index: int, count: int) -> float:
    return min(1.0, index / _FADE_SAMPLES, (count - 1 - index) / _FADE_SAMPLES)
