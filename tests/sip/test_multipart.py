"""sip/multipart.py: one part changes, every other byte stays."""

from __future__ import annotations

import pytest

from sip.errors import ParseError
from sip.multipart import MAX_DEPTH, change_part

SDP = "application/sdp"


def upper(part: bytes) -> bytes:
    return part.upper() + b"!"


def test_a_body_of_the_wanted_type_is_changed_whole() -> None:
    assert change_part("Application/SDP ; charset=utf-8", b"v=0", SDP, upper) == b"V=0!"


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/sdpx", "application/x-sdp; a=application/sdp"])
def test_other_bodies_stay(content_type: str) -> None:
    assert change_part(content_type, b"v=0", SDP, upper) == b"v=0"


def test_part_is_changed_in_place() -> None:
    body = (
        b"preamble\r\n--b1\r\nContent-Type: application/isup;version=x\r\n\r\n\x01\x00\xff--b1 \r\n"
        b"\r\n--b1  \r\nContent-ID: <1@h>\r\nContent-type : Application/SDP\r\n\r\nv=0\r\ns=x\r\n"
        b"\r\n--b1--\r\nepilogue v=0"
    )
    expected = body.replace(b"v=0\r\ns=x\r\n", b"V=0\r\nS=X\r\n!")
    assert change_part('multipart/mixed;Boundary="b1"; x=y', body, SDP, upper) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"--b\nContent-Type: application/sdp\n\nv=0\n--b--", b"--b\nContent-Type: application/sdp\n\nV=0!\n--b--"),
        (b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0", b"--b\r\nContent-Type: application/sdp\r\n\r\nV=0!"),
        (
            b"--b\r\nContent-Type:\r\n application/sdp\r\n\r\nv=0\r\n--b--",
            b"--b\r\nContent-Type:\r\n application/sdp\r\n\r\nV=0!\r\n--b--",
        ),
        (
            b"--b\r\nContent-Length: 3\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--",
            b"--b\r\nContent-Length: 4\r\nContent-Type: application/sdp\r\n\r\nV=0!\r\n--b--",
        ),
        (b"--b\r\n\r\nv=0\r\n--b--", b"--b\r\n\r\nv=0\r\n--b--"),
        (b"--b\r\nContent-Type: application/sdp\r\n--b--", b"--b\r\nContent-Type: application/sdp\r\n--b--"),
        (b"--b\r\n--b\r\n--b--", b"--b\r\n--b\r\n--b--"),
        (b"--b", b"--b"),
        (b"--bc\r\n\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0", None),
    ],
)
def test_shapes(body: bytes, expected: bytes | None) -> None:
    if expected is None:
        expected = body.replace(b"v=0", b"V=0!")
    assert change_part("multipart/mixed; boundary=b", body, SDP, upper) == expected


def nested(depth: int) -> tuple[str, bytes]:
    content_type, body = SDP, b"v=0"
    for level in range(depth):
        body = b"--b%d\r\nContent-Length: %d\r\nContent-Type: %b\r\n\r\n%b\r\n--b%d--\r\n" % (
            level,
            len(body),
            content_type.encode(),
            body,
            level,
        )
        content_type = f"multipart/mixed;boundary=b{level}"
    return content_type, body


def test_nested_parts_and_their_lengths() -> None:
    content_type, body = nested(2)
    changed = change_part(content_type, body, SDP, upper)
    assert b"V=0!" in changed
    inner = body.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n--b1--\r\n")
    assert b"Content-Length: %d\r\n" % len(inner) in body
    assert changed == body.replace(b"v=0", b"V=0!").replace(b": 3\r\n", b": 4\r\n").replace(
        b"Content-Length: %d\r\n" % len(inner), b"Content-Length: %d\r\n" % (len(inner) + 1)
    )


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/mixed", b"--b\r\n\r\nx\r\n--b--", 400),
        ("multipart/mixed; boundary=", b"--b\r\n\r\nx\r\n--b--", 400),
        ("multipart/mixed; boundary=" + "b" * 71, b"--b\r\n\r\nx\r\n--b--", 400),
        ("multipart/mixed; boundary=b", b"nothing here", 400),
        (
            "multipart/mixed; boundary=b",
            b"--b\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n--b--",
            415,
        ),
        (
            "multipart/alternative; boundary=b",
            b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n" * 2 + b"--b--",
            488,
        ),
        (*nested(MAX_DEPTH + 1), 400),
    ],
)
def test_refused_before_anything_is_changed(content_type: str, body: bytes, status: int) -> None:
    seen: list[bytes] = []

    def change(part: bytes) -> bytes:
        seen.append(part)
        return part

    with pytest.raises(ParseError) as caught:
        change_part(content_type, body, SDP, change)
    assert caught.value.status == status
    assert seen == []
