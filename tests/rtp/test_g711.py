"""rtp/g711.py, held against the tables of ITU-T G.711."""

from __future__ import annotations

import pytest

from rtp.g711 import MAX_DBM0, a_law, dbm0, encode, energy, from_a_law, from_mu_law, mu_law, silence

# Table 5 and table 6: one period of 1 kHz at 0 dBm0, the digital milliwatt.
A_LAW_MILLIWATT = bytes.fromhex("34212134b4a1a1b4")
MU_LAW_MILLIWATT = bytes.fromhex("1e0b0b1e9e8b8b9e")

MU_LAW_SEGMENTS = (31, 95, 223, 479, 991, 2015, 4063)
"""Table 2a, column 3: where segments begin, of 8159."""
A_LAW_SEGMENTS = (64, 128, 256, 512, 1024, 2048)
"""Table 1a, column 3, of 4096."""


@pytest.mark.parametrize(
    ("code", "value"), [(0xFF, 0), (0x80, 8031), (0x00, -8031), (0x8F, 4191), (0xFE, 2), (0xEF, 33), (0x7E, -2)]
)
def test_mu_law_values_of_table_2(code: int, value: int) -> None:
    assert from_mu_law(code) == 4 * value
    assert mu_law(4 * value) == code


@pytest.mark.parametrize(
    ("code", "value"), [(0xD5, 1), (0xAA, 4032), (0x2A, -4032), (0xA5, 2112), (0x55, -1), (0xC5, 33), (0xF5, 66)]
)
def test_a_law_values_of_table_1(code: int, value: int) -> None:
    assert from_a_law(code) == 8 * value
    assert a_law(8 * value) == code


@pytest.mark.parametrize("start", MU_LAW_SEGMENTS)
def test_mu_law_segments_begin_at_the_decision_values(start: int) -> None:
    segment = MU_LAW_SEGMENTS.index(start) + 1
    assert mu_law(4 * start) == ~(segment << 4) & 0xFF
    assert mu_law(4 * start - 1) == ~((segment - 1) << 4 | 0x0F) & 0xFF


@pytest.mark.parametrize("start", A_LAW_SEGMENTS)
def test_a_law_segments_begin_at_the_decision_values(start: int) -> None:
    segment = A_LAW_SEGMENTS.index(start) + 2
    assert a_law(8 * start) == (0x80 | segment << 4) ^ 0x55
    assert a_law(8 * start - 1) == (0x80 | (segment - 1) << 4 | 0x0F) ^ 0x55


@pytest.mark.parametrize("sample", [32_767, 32_768, 1_000_000])
def test_what_is_too_loud_is_clipped(sample: int) -> None:
    assert (mu_law(sample), a_law(sample)) == (0x80, 0xAA)
    assert (mu_law(-sample), a_law(-sample)) == (0x00, 0x2A)


def test_a_value_that_comes_out_goes_in_again_as_the_same_code() -> None:
    assert [a_law(from_a_law(code)) for code in range(256)] == list(range(256))
    # Both zeros of the mu-law are the positive one.
    assert [mu_law(from_mu_law(code)) for code in range(256)] == [code if code != 0x7F else 0xFF for code in range(256)]


def test_the_digital_milliwatt_has_0_dbm0() -> None:
    assert dbm0(energy(MU_LAW_MILLIWATT, is_a_law=False)) == pytest.approx(0.0, abs=0.05)
    assert dbm0(energy(A_LAW_MILLIWATT, is_a_law=True)) == pytest.approx(0.0, abs=0.1)


def test_silence_is_the_quietest() -> None:
    for is_a_law in (False, True):
        quiet = silence(160, is_a_law=is_a_law)
        assert quiet == encode([0] * 160, is_a_law=is_a_law)
        assert dbm0(energy(quiet, is_a_law=is_a_law)) < -65
    assert energy(b"", is_a_law=False) == 0.0
    assert MAX_DBM0 == 3.17
