"""sip/forwarding.py: the best of several final responses (RFC 3261 16.7 steps 6 and 7)."""

from __future__ import annotations

import pytest

from sip.forwarding import best_response
from sip.headers import Headers
from sip.message import Response


def response(status: int, **headers: str) -> Response:
    made = Response(status, "Because", Headers())
    for name, value in headers.items():
        made.headers.append(name.replace("_", "-"), value)
    return made


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ((486,), 486),
        ((404, 486), 404),
        ((486, 302, 500), 302),
        ((500, 404), 404),
        ((503, 500), 500),
        ((408, 480), 480),
        ((404, 401), 401),
        ((404, 484, 420, 415, 407), 407),
        ((404, 484, 420), 420),
        ((200 + 286, 603), 603),
        ((300, 600, 606), 600),
    ],
)
def test_16_7_step_6_choice(statuses: tuple[int, ...], best: int) -> None:
    assert best_response(response(status) for status in statuses).status == best


def test_16_7_step_7_challenges_are_joined_each_once_and_the_original_is_left_alone() -> None:
    first = response(401, WWW_Authenticate="Digest a")
    second = response(401, WWW_Authenticate="Digest a")
    third = response(407, Proxy_Authenticate="Digest b")
    other = response(404, WWW_Authenticate="Digest c")
    best = best_response([first, second, third, other])
    assert best.headers.get_all("www-authenticate") == ["Digest a"]
    assert best.headers.get_all("proxy-authenticate") == ["Digest b"]
    assert "proxy-authenticate" not in first.headers
