"""What the figures of a quality test mean in a word.  Pure."""

from __future__ import annotations

from typing import Final

from sip.endpoint import EndpointFigures
from sip.snapshots import DirectionResult, Verdict

GOOD_MOS: Final = 4.0
FAIR_MOS: Final = 3.6
"""ITU-T G.107 annex B: "most users satisfied" begins at 4.03, "many users dissatisfied" below 3.6."""

SILENCE_DBM0: Final = -50.0
"""Nobody spoke, or the microphone is off: what a quiet room sounds like through a telephone."""


def judge_incoming(figures: EndpointFigures) -> DirectionResult:
    """What the phone has sent, as it arrived here."""
    expected = figures.packets - figures.duplicates + figures.lost
    if not figures.packets:
        text = "nothing arrived: the phone sends no sound, or a firewall keeps it away"
        return DirectionResult(Verdict.POOR, text, 0, None, 0.0, None, None, None, None)
    percent = 100.0 * figures.lost / expected if expected else 0.0
    verdict = _by_mos(figures.mos)
    text = _sentence(verdict, figures.lost, expected, percent, figures.jitter_ms, figures.mos)
    if figures.peak_dbm0 is None or figures.peak_dbm0 < SILENCE_DBM0:
        text += "; nobody was heard: the microphone may be off"
    return DirectionResult(
        verdict,
        text,
        figures.packets,
        figures.lost,
        percent,
        figures.jitter_ms,
        figures.mos,
        None,
        figures.peak_dbm0,
    )


def judge_outgoing(figures: EndpointFigures) -> DirectionResult:
    """What the server has sent, as the phone says that it arrived there."""
    if not figures.packets:
        text = "nothing was sent: the phone has not said where it wants the sound, or wants none"
        return DirectionResult(Verdict.UNKNOWN, text, 0, None, None, None, None, None, None)
    if figures.remote_lost is None or figures.remote_jitter_ms is None:
        text = "unknown: the phone sends no RTCP reports about what it hears"
        return DirectionResult(Verdict.UNKNOWN, text, figures.packets, None, None, None, None, None, None)
    lost = max(0, figures.remote_lost)
    percent = 100.0 * min(lost, figures.packets) / figures.packets
    verdict = _by_mos(figures.mos)
    text = _sentence(verdict, lost, figures.packets, percent, figures.remote_jitter_ms, figures.mos)
    return DirectionResult(
        verdict,
        text,
        figures.packets,
        lost,
        percent,
        figures.remote_jitter_ms,
        figures.mos,
        figures.rtt_ms,
        None,
    )


def _by_mos(mos: float | None) -> Verdict:
    if mos is None:
        return Verdict.UNKNOWN
    if mos >= GOOD_MOS:
        return Verdict.GOOD
    return Verdict.FAIR if mos >= FAIR_MOS else Verdict.POOR


def _sentence(verdict: Verdict, lost: int, expected: int, percent: float, jitter_ms: float, mos: float | None) -> str:
    words = f"{verdict}: {lost} of {expected} packets lost ({percent:.1f} %), jitter {jitter_ms:.1f} ms"
    return words if mos is None else f"{words}, MOS {mos:.1f}"
