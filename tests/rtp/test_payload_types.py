from __future__ import annotations

import pytest

from rtp.payload_types import STATIC_CODECS, has_cadence


@pytest.mark.parametrize(
    ("payload_type", "codec"),
    [
        (0, ("PCMU", 8000)),
        (8, ("PCMA", 8000)),
        (9, ("G722", 8000)),  # RFC 3551 4.5.2: 8000, though it samples at 16 kHz
        (13, ("CN", 8000)),
        (18, ("G729", 8000)),
        (34, ("H263", 90000)),
    ],
)
def test_rfc3551_6_static_types(payload_type: int, codec: tuple[str, int]) -> None:
    assert STATIC_CODECS[payload_type] == codec


def test_rfc3551_6_dynamic_reserved_and_unassigned_types_have_no_codec() -> None:
    assert not set(STATIC_CODECS) & {1, 2, 19, 20, 21, 22, 23, 24, 27, 29, 30, *range(35, 128)}


def test_events_and_comfort_noise_have_no_cadence() -> None:
    assert not any(has_cadence(name) for name in ("telephone-event", "TELEPHONE-EVENT", "CN", "cn", "tone"))
    assert all(has_cadence(name) for name in ("PCMU", "opus", "H264"))
