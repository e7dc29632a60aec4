from __future__ import annotations

import pytest

from rtp.quality import DEFAULT_R, mos_from_r, mouth_to_ear_ms, r_factor


@pytest.mark.parametrize(
    ("r", "mos"),
    [(93.2, 4.41), (90, 4.34), (80, 4.02), (70, 3.60), (60, 3.10), (50, 2.58)],  # G.107 annex B, table B.1
)
def test_g107_annex_b_known_values(r: float, mos: float) -> None:
    assert mos_from_r(r) == pytest.approx(mos, abs=0.006)


def test_g107_annex_b_limits() -> None:
    assert (mos_from_r(-5), mos_from_r(0), mos_from_r(100), mos_from_r(120)) == (1.0, 1.0, 4.5, 4.5)


def test_mos_never_falls_as_r_rises() -> None:
    scores = [mos_from_r(r / 10) for r in range(-100, 1101)]
    assert scores == sorted(scores)
    assert min(scores) == 1.0


def test_nothing_lost_and_no_delay_is_the_default_r() -> None:
    assert r_factor("PCMU", 0.0, 0.0) == DEFAULT_R
    assert r_factor(None, 0.0, 0.0) == DEFAULT_R


def test_g113_codec_impairment() -> None:
    assert r_factor("G729", 0.0, 0.0) == DEFAULT_R - 11.0
    assert r_factor("g729", 0.0, 0.0) == DEFAULT_R - 11.0


@pytest.mark.parametrize(
    ("codec", "impairment"), [("GSM", 20), ("G723", 15), ("G728", 7), ("G726-32", 7), ("G726-24", 25), ("opus", 0)]
)
def test_g113_table_1(codec: str, impairment: float) -> None:
    assert r_factor(codec, 0.0, 0.0) == DEFAULT_R - impairment


def test_g107_loss_impairment_by_hand() -> None:
    # Ie,eff = 0 + 95 * 5 / (5 + 25.1)
    assert r_factor("PCMA", 5.0, 0.0) == pytest.approx(93.2 - 15.781, abs=0.001)


def test_delay_impairment_by_hand() -> None:
    assert r_factor("PCMA", 0.0, 100.0) == pytest.approx(93.2 - 2.4)
    assert r_factor("PCMA", 0.0, 277.3) == pytest.approx(93.2 - 0.024 * 277.3 - 11.0)


@pytest.mark.parametrize("codec", ["PCMU", "G729", "GSM", "opus", None])
def test_r_falls_with_loss_and_with_delay(codec: str | None) -> None:
    by_loss = [r_factor(codec, loss, 50.0) for loss in range(101)]
    by_delay = [r_factor(codec, 1.0, delay) for delay in range(0, 1000, 10)]
    assert by_loss == sorted(by_loss, reverse=True)
    assert len(set(by_loss)) == len(by_loss)
    assert by_delay == sorted(by_delay, reverse=True)
    assert len(set(by_delay)) == len(by_delay)


def test_mouth_to_ear_delay() -> None:
    assert mouth_to_ear_ms(100.0, 5.0) == 50.0 + 20.0 + 10.0
