"""How a call sounds, from what the network did to it: E-model R factor and MOS (ITU-T G.107). Pure.

The usual simplification with every default of G.107 table 3: R = 93.2 - Id - Ie,eff, delay impairment Id in the
two-line approximation, codec figures Ie and Bpl from ITU-T G.113 appendix I, losses taken as random (BurstR = 1).
Wideband codecs are rated on the narrowband scale, so 4.4 is the best there is.
"""

from __future__ import annotations

FORMULA = (
    "ITU-T G.107 (E-model), all defaults of table 3: R = 93.2 - Id - Ie,eff; Id = 0.024 d + 0.11 (d - 177.3) above "
    "177.3 ms; Ie,eff = Ie + (95 - Ie) Ppl / (Ppl + Bpl); MOS = 1 + 0.035 R + R (R - 60) (100 - R) 7e-6. Ie and Bpl of "
    "the codec are those of ITU-T G.113 appendix I; Ppl is the share of lost packets in percent, whether before the "
    "server or, as the listening phone reports it, behind; d, the delay in milliseconds, is half the round trip that "
    "RTCP tells (taken as 0 where it tells none), one packet of 20 ms and a jitter buffer of twice the jitter."
)
"""How MOS is reckoned, for people."""

DEFAULT_R = 93.2

# Encoding name -> (Ie, Bpl). G.711 and unknown codecs: no impairment of their own, losses concealed by the phone.
_IMPAIRMENT: dict[str, tuple[float, float]] = {
    "G729": (11.0, 19.0),
    "G723": (15.0, 16.1),
    "GSM-EFR": (5.0, 10.0),
    "GSM": (20.0, 10.0),
    "G728": (7.0, 17.0),
}
_NO_IMPAIRMENT = (0.0, 25.1)

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
