"""rtp/sounds.py and rtp/program.py: what is played when."""

from __future__ import annotations

import math

import pytest

from rtp.g711 import from_a_law, from_mu_law, silence
from rtp.keys import EVENT_KEYS
from rtp.program import Program
from rtp.sounds import BEEP, BEEPS, KEYS, MELODY, VERDICTS, Note, duration_s, piece, rest, said


def sound(note: Note, *, is_a_law: bool) -> bytes:
    """All of a note."""
    return b"".join(piece(note, number, is_a_law=is_a_law) for number in range(note.pieces))


def power_share(samples: list[int], frequency_hz: float) -> float:
    """How much of the power lies at one frequency (a Fourier coefficient)."""
    step = 2 * math.pi * frequency_hz / 8000
    real = sum(value * math.cos(step * index) for index, value in enumerate(samples))
    imaginary = sum(value * math.sin(step * index) for index, value in enumerate(samples))
    total = sum(value * value for value in samples)
    return 2 * (real * real + imaginary * imaginary) / len(samples) / total


@pytest.mark.parametrize("is_a_law", [False, True])
def test_a_note_is_a_sine_of_its_length(is_a_law: bool) -> None:
    decode = from_a_law if is_a_law else from_mu_law
    samples = [decode(code) for code in sound(Note((440.0,), 100), is_a_law=is_a_law)]
    assert len(samples) == 800
    assert power_share(samples, 440.0) > 0.95
    assert max(map(abs, samples)) < 8_500


def test_q23_keys_sound_as_one_low_and_one_high_frequency() -> None:
    assert KEYS["1"].frequencies_hz == (697.0, 1209.0)
    assert KEYS["#"].frequencies_hz == (941.0, 1477.0)
    assert KEYS["D"].frequencies_hz == (941.0, 1633.0)
    assert sorted(KEYS) == sorted(EVENT_KEYS)
    samples = [from_mu_law(code) for code in sound(KEYS["5"], is_a_law=False)]
    assert power_share(samples, 770.0) == pytest.approx(0.48, abs=0.05)
    assert power_share(samples, 1336.0) == pytest.approx(0.48, abs=0.05)


def test_a_rest_is_silence() -> None:
    assert sound(rest(100), is_a_law=True) == silence(800, is_a_law=True)


def test_verdicts_tell_apart_by_ear() -> None:
    rising = [note.frequencies_hz[0] for note in VERDICTS["good"] if note.frequencies_hz]
    assert rising == sorted(rising) and len(rising) == 3
    alike = [note for note in VERDICTS["fair"] if note.frequencies_hz]
    assert len(alike) == 2 and len(set(alike)) == 1
    (low,) = VERDICTS["poor"]
    assert low.frequencies_hz[0] < min(rising)


# ------------------------------------------------------------------------------------------------ programs


def played(program: Program, milliseconds: int) -> bytes:
    """In packets of 20 ms, with the mu-law."""
    return b"".join(program.read(160, is_a_law=False) for _ in range(milliseconds // 20))


def notes(*which: Note) -> bytes:
    return b"".join(sound(note, is_a_law=False) for note in which)


def test_echo_beeps_and_then_sends_back() -> None:
    program = Program("echo")
    assert program.is_playing and not program.echoes
    assert played(program, 200) == notes(BEEP)
    assert program.echoes and not program.is_playing


def test_the_tone_is_a_melody_without_end() -> None:
    program = Program("tone")
    length_ms = sum(note.duration_ms for note in MELODY)
    first = played(program, 2 * length_ms)
    assert first == notes(*MELODY, *MELODY)
    assert not program.echoes


def test_a_key_is_heard_at_once_and_the_melody_goes_on() -> None:
    program = Program("tone")
    played(program, 100)
    program.press("5")
    program.press("?")
    assert played(program, 240) == notes(KEYS["5"])[: 240 * 8]
    rest_of_key = notes(KEYS["5"])[240 * 8 :]
    assert played(program, 100) == (rest_of_key + notes(MELODY[1]))[: 100 * 8]


def test_keys_say_nothing_elsewhere() -> None:
    program = Program("quality")
    program.press("5")
    assert played(program, 1000) == notes(*BEEPS)


def test_verdicts_are_said_instead_and_then_there_is_silence() -> None:
    program = Program("quality")
    played(program, 460)
    verdicts = ("good", "unknown")
    length_s = program.announce(verdicts)
    assert length_s == duration_s(said(verdicts))
    expected = notes(*said(verdicts))
    assert played(program, round(length_s * 1000)) == expected[: round(length_s * 1000) // 20 * 160]
    assert program.is_playing


def test_the_law_may_change_in_the_middle_of_a_note() -> None:
    program = Program("quality")
    assert program.read(160, is_a_law=False) == sound(BEEP, is_a_law=False)[:160]
    assert program.read(160, is_a_law=True) == sound(BEEP, is_a_law=True)[160:320]
