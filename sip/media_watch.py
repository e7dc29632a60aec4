"""What becomes of the sound of an answered call while it lasts: begins, comes from one side alone, stops, gets bad.

Pure; guarded by the core lock.  The media timer of the call looks, every few seconds; between two looks nothing is
done.  A stream on hold, or meant to go one way only (RFC 3264 8.4), is never missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sip.facts import Fact
from sip.media_relay import CALLEE, CALLER, Pulse, Watched

NEVER_HEARD_S: Final = 5.0
"""A side from which nothing has come for so long since both were to send is noticed."""

STOPPED_S: Final = 10.0
"""One that has been heard may pause for less than that: some phones send nothing while their user is silent."""

ALIVE_S: Final = 3.0
"""A side was heard within this time: the other one's silence is no fault of the network at large."""

RATED_S: Final = 10.0
"""Sound is rated by the packets of at least so many seconds ..."""
RATED_PACKETS: Final = 100
"""... and by at least so many."""

POOR_MOS: Final = 3.6
"""Below it many users are dissatisfied (ITU-T G.107 annex B, table B.1)."""
GOOD_MOS: Final = 3.7
"""Sound that was poor is good again from here on; a little higher, so that it does not change every moment."""

_NAMES: Final = ("caller", "callee")

Figures = dict[str, str | int | float]


class Finding(NamedTuple):
    """One change: its fact, whose sound it is about (None: both sides'), since when (monotonic seconds), a sentence,
    and the figures it rests on."""

    fact: Fact
    side: int | None
    since: float
    text: str
    figures: Figures


@dataclass(slots=True)
class _Voice:
    """One direction; `missed`: its silence was told."""

    heard: bool = False
    missed: bool = False
    poor: bool = False
    rated: Pulse | None = None
    rated_at: float = 0.0


@dataclass(slots=True)
class _Stream:
    """`expected_since`: since when both sides are to send, None while they are not; `silent`: that neither does, was
    told."""

    expected_since: float | None
    silent: bool = False
    voices: tuple[_Voice, _Voice] = field(default_factory=lambda: (_Voice(), _Voice()))


class MediaWatch:
    """Of one call; it tells each change once."""

    __slots__ = ("_begun_at", "_streams")

    def __init__(self, answered: float) -> None:
        """`answered`, monotonic seconds: from then on both sides may be expected to send."""
        self._begun_at: float | None = answered
        self._streams: dict[tuple[int, int], _Stream] = {}

    def look(self, streams: Sequence[Watched], now: float) -> list[Finding]:
        """What has changed since the last look."""
        known = self._streams
        self._streams = {
            each.ports: known.get(each.ports) or _Stream(self._begun_at if each.both_ways else None) for each in streams
        }
        self._begun_at = None
        findings: list[Finding] = []
        for each in streams:
            state = self._streams[each.ports]
            for side in (CALLER, CALLEE):
                findings += _began(state.voices[side], each, side, now)
                findings += _rate(state.voices[side], each, side, now)
            findings += _miss(state, each, now)
        return findings


def _began(voice: _Voice, stream: Watched, side: int, now: float) -> list[Finding]:
    pulse = stream.pulses[side]
    if pulse.last_at is None or (voice.heard and not (voice.missed and now - pulse.last_at < ALIVE_S)):
        return []
    text = f"the {_NAMES[side]}'s sound " + ("arrives again" if voice.heard else "arrives")
    figures: Figures = {"again": int(voice.heard), "codec": pulse.codec or "", **_figures(stream, side)}
    voice.heard, voice.missed = True, False
    return [Finding(Fact.AUDIO_STARTED, side, pulse.last_at, text, figures)]


def _miss(state: _Stream, stream: Watched, now: float) -> list[Finding]:
    """Who is not heard though it should be."""
    if not stream.both_ways:
        state.expected_since, state.silent = None, False
        for voice in state.voices:
            voice.missed = False
        return []
    if state.expected_since is None:
        state.expected_since = now
    since = [max(pulse.last_at or 0.0, state.expected_since) for pulse in stream.pulses]
    quiet_s = [now - at for at in since]
    if min(quiet_s) >= STOPPED_S:
        return _neither(state, stream, max(since), now)
    if min(quiet_s) < ALIVE_S:
        state.silent = False
    for side in (CALLER, CALLEE):
        if quiet_s[1 - side] < ALIVE_S and not state.voices[side].missed:
            was_heard = since[side] > state.expected_since
            if quiet_s[side] >= (STOPPED_S if was_heard else NEVER_HEARD_S):
                state.voices[side].missed = True
                return [_one_way(stream, side, since[side], now, stopped=was_heard)]
    return []


def _neither(state: _Stream, stream: Watched, since: float, now: float) -> list[Finding]:
    if state.silent:
        return []
    state.silent = True
    for voice in state.voices:
        voice.missed = True
    assert state.expected_since is not None
    stopped = since > state.expected_since
    text = f"no sound from either phone for {now - since:.0f} s" + (", though there was some before" if stopped else "")
    figures: Figures = {
        "seconds": round(now - since, 1),
        "callerPackets": stream.pulses[CALLER].packets,
        "calleePackets": stream.pulses[CALLEE].packets,
        "callerRejected": stream.pulses[CALLER].rejected,
        "calleeRejected": stream.pulses[CALLEE].rejected,
    }
    return [Finding(Fact.AUDIO_STOPPED if stopped else Fact.NO_AUDIO, None, since, text, figures)]


def _one_way(stream: Watched, side: int, since: float, now: float, *, stopped: bool) -> Finding:
    other = _NAMES[1 - side]
    text = (
        f"the {_NAMES[side]}'s sound has stopped: no packet for {now - since:.0f} s, while the {other}'s arrives"
        if stopped
        else f"no sound of the {_NAMES[side]} has come for {now - since:.0f} s, while the {other}'s arrives"
    )
    figures: Figures = {"seconds": round(now - since, 1), **_figures(stream, side)}
    return Finding(Fact.AUDIO_STOPPED if stopped else Fact.ONE_WAY_AUDIO, side, since, text, figures)


def _figures(stream: Watched, side: int) -> Figures:
    pulse = stream.pulses[side]
    return {
        "packets": pulse.packets,
        "rejected": pulse.rejected,
        "otherPackets": stream.pulses[1 - side].packets,
        "relayPort": stream.ports[side],
    }


def _rate(voice: _Voice, stream: Watched, side: int, now: float) -> list[Finding]:
    pulse = stream.pulses[side]
    if voice.rated is None:
        if pulse.packets:
            voice.rated, voice.rated_at = pulse, now
        return []
    if now - voice.rated_at < RATED_S or pulse.expected - voice.rated.expected < RATED_PACKETS:
        return []
    mos, loss_percent = pulse.mos_since(voice.rated), pulse.loss_percent_since(voice.rated)
    since, voice.rated, voice.rated_at = voice.rated_at, pulse, now
    if mos is None or (mos >= POOR_MOS if not voice.poor else mos < GOOD_MOS):
        return []
    voice.poor = not voice.poor
    state = "is poor" if voice.poor else "is good again"
    text = (
        f"the {_NAMES[side]}'s sound {state}: {loss_percent:.1f} % lost, jitter {pulse.jitter_ms:.0f} ms, MOS {mos:.1f}"
    )
    figures: Figures = {
        "mos": round(mos, 2),
        "lossPercent": round(loss_percent, 1),
        "jitter": round(pulse.jitter_ms, 1),
        "codec": pulse.codec or "",
    }
    return [Finding(Fact.AUDIO_POOR if voice.poor else Fact.AUDIO_GOOD, side, since, text, figures)]
