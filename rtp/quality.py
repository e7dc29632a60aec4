"""How a call sounds, from what the network did to it: E-model R factor and MOS (ITU-T G.107). Pure.

The usual simplification with every default of G.107 table 3, which leave R = 93.2 - Id - Ie,eff: the delay impairment
Id in the two-line approximation of Cole and Rosenbluth (2001), losses taken as random (BurstR = 1). Wideband codecs
are rated on the narrowband scale, so 4.4 is the best there is.
"""

from __future__ import annotations

FORMULA = (
    "ITU-T G.107 (E-model) with all defaults of its table 3: R = 93.2 - Id - Ie,eff, "
    "Ie,eff = Ie + (95 - Ie) Ppl / (Ppl + Bpl), MOS = 1 + 0.035 R + R (R - 60) (100 - R) 7e-6. "
    "Id = 0.024 d + 0.11 (d - 177.3), the second part only above 177.3 ms, approximates the impairment by delay "
    "without echo. Ie and Bpl of the codec are those of ITU-T G.113 appendix I; where it has no Bpl, 10 is assumed, "
    "and an unknown codec is taken for G.711 whose losses are concealed (Ie 0, Bpl 25.1). Ppl is the share of packets "
    "lost, in percent, before the server or, as far as the listening phone reports it, on the whole way. d, in "
    "milliseconds, is half the round trip that RTCP tells, 0 where it tells none, plus 20 for one packet and a jitter "
    "buffer of twice the jitter."
)
"""How MOS is reckoned, for people."""

DEFAULT_R = 93.2

_ASSUMED_BPL = 10.0

# Encoding name of RFC 3551 -> (Ie, Bpl), from G.113 appendix I.
_IMPAIRMENT: dict[str, tuple[float, float]] = {
    "G729": (11.0, 19.0),
    "G723": (15.0, 16.1),
    "GSM-EFR": (5.0, 10.0),
    "GSM": (20.0, _ASSUMED_BPL),
    "G728": (7.0, _ASSUMED_BPL),
    "G726-40": (2.0, _ASSUMED_BPL),
    "G726-32": (7.0, _ASSUMED_BPL),
    "G726-24": (25.0, _ASSUMED_BPL),
    "G726-16": (50.0, _ASSUMED_BPL),
}
_NO_IMPAIRMENT = (0.0, 25.1)
"""G.711 with losses concealed by the phone."""

_PACKETISATION_MS = 20.0


def mouth_to_ear_ms(round_trip_ms: float, jitter_ms: float) -> float:
    """One-way delay a listener meets: half the round trip, one packet, and a jitter buffer of twice the jitter."""
    return round_trip_ms / 2 + _PACKETISATION_MS + 2 * jitter_ms


def r_factor(codec: str | None, loss_percent: float, delay_ms: float) -> float:
    """R of G.107 7.1 for a codec, lost packets in percent (0..100) and one-way delay in milliseconds."""
    delay_impairment = 0.024 * delay_ms
    if delay_ms > 177.3:
        delay_impairment += 0.11 * (delay_ms - 177.3)
    equipment, robustness = _IMPAIRMENT.get((codec or "").upper(), _NO_IMPAIRMENT)
    equipment_effective = equipment + (95.0 - equipment) * loss_percent / (loss_percent + robustness)
    return DEFAULT_R - delay_impairment - equipment_effective


def mos_from_r(r: float) -> float:
    """Mean opinion score, 1.0 to 4.5 (G.107 annex B); its dip just above R = 0 is levelled to 1."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6)
