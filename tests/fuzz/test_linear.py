"""The work of every parser grows no faster than its input: what doubles costs twice as much, never four times.

Work is counted (tests/fuzz/work.py), so the result does not depend on the machine.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from contextlib import suppress

import pytest

from rtp.rtcp import RtcpError, parse_reports
from sip.digest import find_answer
from sip.errors import ParseError
from sip.flow import Flow, stamp_via
from sip.headers import CSeq, Headers, NameAddr, parse_parameters, split_commas
from sip.message import parse_datagram
from sip.multipart import change_part
from sip.sdp import SessionDescription
from sip.stream import StreamParser
from sip.uri import Uri
from tests.fuzz.check_values import request
from tests.fuzz.steps import Counter, Machine
from tests.fuzz.targets import TARGETS
from tests.fuzz.work import CountedPattern, patterns, work

SIZE = 400
"""Repetitions of the smallest of three inputs."""
TOLERANCE = 1.25

SOURCE = Flow("UDP", "10.0.0.1", 5060, "10.0.0.7", 41_000)


def via(text: str) -> None:
    message = request(("Via", text))
    stamp_via(message, SOURCE)


def digest(text: str) -> None:
    find_answer(Headers.parse([f"Authorization: {text}"]), "authorization", "sipserver")


def stream(text: str) -> None:
    """Byte by byte, which is when looking at old bytes again would cost most."""
    parser = StreamParser()
    parser._buffer = CountedBuffer()
    for byte in text.encode():
        parser.feed(bytes([byte]))


class CountedBuffer(bytearray):
    """Lets `work` see how much a search looks at."""

    def find(self, sought: bytes, start: int = 0) -> int:  # type: ignore[override]
        bytes(self[start:]).count(sought)
        return super().find(sought, start)


def multipart(text: str) -> None:
    content_type, _, body = text.partition("\n")
    change_part(content_type, body.encode(), "application/sdp", lambda part: part)


def description(text: str) -> None:
    SessionDescription.parse(text.encode())


def datagram(text: str) -> None:
    parse_datagram(text.encode())


def reports(text: str) -> None:
    with suppress(RtcpError):
        parse_reports(text.encode("latin-1"))


SHAPES: list[tuple[Callable[[str], object], str, str, str]] = [
    (Uri.parse, "sip:", "a", ""),
    (Uri.parse, "sip:", "a:", "@h"),
    (Uri.parse, "sip:u@h", ";a=b", '"'),
    (Uri.parse, "sip:u@h", ";", "?"),
    (Uri.parse, "sip:", "%", "@h"),
    (Uri.parse, "sip:u@", "-", ""),
    (Uri.parse, "sip:u@", "a.", "@"),
    (Uri.parse, "x:", ";a", " "),
    (lambda text: Uri.parse(text).same_as(Uri.parse(text.upper())), "sip:u@h", ";a=%41", ""),
    (NameAddr.parse, '"', "\\", ""),
    (NameAddr.parse, '"', 'a\\"', " <sip:h>"),
    (NameAddr.parse, "", "a ", ""),
    (NameAddr.parse, "<sip:h>", ";a", '"'),
    (NameAddr.parse, "<sip:h>", " ; a = b ", ","),
    (NameAddr.parse, "<sip:h>", ';a="b"', ";a=\"'"),
    (NameAddr.parse, "<sip:h>;a", " ", "x"),
    (NameAddr.parse, "sip:h", ";", '"'),
    (NameAddr.parse, "", "<", ""),
    (via, "SIP/2.0/UDP h", ";rport", ""),
    (via, "SIP/2.0/UDP h", ";received=", ";rport"),
    (via, "SIP/2.0/UDP h;rport", ';a=";rport"', ""),
    (via, "SIP/2.0/UDP h;rport", ' ;a="\\""', ";received"),
    (via, "SIP/2.0/UDP h;rport", " ", ";received"),
    (via, "SIP/2.0/UDP h;rport", ", x", ""),
    (via, "SIP", " ", "/2.0/UDP h"),
    (via, "SIP/2.0/UDP h", " ", ":"),
    (CSeq.parse, "1", " ", ""),
    (CSeq.parse, "", "1", " INVITE"),
    (CSeq.parse, "1 ", "x", "("),
    (parse_parameters, "", ";a=", ""),
    (parse_parameters, "", '";', ""),
    (split_commas, "", '",', ""),
    (split_commas, "", "<,", ""),
    (split_commas, '"', "\\,", ""),
    (digest, "Digest ", "a=b,", "realm=sipserver"),
    (digest, "Digest ", ",", '"'),
    (digest, 'Digest a="', "\\", ""),
    (digest, "Digest a=", "\\\\", '"'),
    (datagram, "OPTIONS sip:h SIP/2.0\r\nX:", "\r\n a", "\r\n\r\n"),
    (datagram, "OPTIONS sip:h SIP/2.0\r\nX:", "\r\n\t ", "\r\n\r\n"),
    (datagram, "OPTIONS sip:h SIP/2.0", "\r\nX: y", "\r\n\r\n"),
    (datagram, "OPTIONS", " ", "sip:h SIP/2.0\r\n\r\n"),
    (datagram, "", "\r\n", "OPTIONS sip:h SIP/2.0\r\n\r\n"),
    (datagram, "OPTIONS sip:h SIP/2.0\r\nContent-Length: 0", "9", "\r\n\r\n"),
    (datagram, "OPTIONS sip:h SIP/", "1", ".\r\n\r\n"),
    (stream, "", "\r\n", ""),
    (stream, "", "\n", ""),
    (stream, "OPTIONS sip:h SIP/2.0\r\nX: ", "\r\n a", ""),
    (stream, "OPTIONS sip:h SIP/2.0\r\nl: 60000\r\n\r\n", "\r\n", ""),
    (stream, "", "A SIP:b SIP/2.0\r\nl:0\r\n\r\n", ""),
    (description, "v=0\r\n", "a=rtpmap:1 a/8\r\n", ""),
    (description, "v=0\r\nm=audio 1 RTP/AVP", " 0", "\0"),
    (description, "v=0\r\nm=audio 1 RTP/AVP 0", " ", "\0"),
    (description, "v=0\r\nm=audio 1 RTP/AVP ", "0", "\0"),
    (description, "v=0\r\nm=audio 1 RTP/AVP 0\r\na=rtcp:1", " ", "\0"),
    (description, "v=0\r\nm=audio", " ", "x"),
    (description, "v=0\r\n", "c=IN IP4 h\r\n", ""),
    (description, "v=0\r\n", "\r", "c="),
    (multipart, "multipart/mixed;boundary=b\n", "--b\r\n", ""),
    (multipart, "multipart/mixed;boundary=b\n", "--b ", "x"),
    (multipart, "multipart/mixed;boundary=b\n--b", " ", "x"),
    (multipart, "multipart/mixed;boundary=b\n--b\r\n", "\r\nA:", ""),
    (multipart, "multipart/mixed;boundary=b\n--b\r\nA:", "\r\n ", "\r\n\r\n"),
    (multipart, "multipart/mixed", "; boundary ", "\n"),
    (multipart, "multipart/mixed", '; boundary="', "\n"),
    (multipart, "multipart/mixed;boundary", " ", "\n"),
    (multipart, "multipart/mixed", ";", "boundary\n"),
    (reports, "", "\x80\xcb\x00\x00", ""),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0].__name__}-{shape[1:]!r}")
def test_twice_the_input_is_twice_the_work(shape: tuple[Callable[[str], object], str, str, str]) -> None:
    parse, head, repeated, tail = shape

    def cost(times: int) -> int:
        def action() -> None:
            with suppress(ParseError):
                parse(head + repeated * times + tail)

        return work(action)

    once, twice, four_times = cost(SIZE), cost(2 * SIZE), cost(4 * SIZE)
    assert four_times - twice <= TOLERANCE * 2 * (twice - once) + SIZE, (once, twice, four_times)


def test_what_is_not_linear_is_seen() -> None:
    """The counting counts: a parser that looks at the rest of its text again and again, and a pattern that does."""

    def quadratic(times: int) -> int:
        text = "a," * times

        def action() -> None:
            rest = text
            while rest:
                rest = rest.partition(",")[2]

        return work(action)

    def backtracking(times: int) -> int:
        counter = Counter()
        CountedPattern(re.compile(" *x"), counter, None).search(" " * times)
        return counter.steps

    for cost in (quadratic, backtracking):
        assert cost(400) - cost(200) > 3 * (cost(200) - cost(100))


def test_the_machine_matches_as_re_does() -> None:
    """Its steps are worth nothing if it took other ways: for every pattern, on pieces of every seed."""
    rng = random.Random(4)
    texts = [seed.decode("latin-1") for target in TARGETS.values() for seed in target.seeds()]
    for name, pattern in patterns():
        for text in (_piece(rng, rng.choice(texts)) for _ in range(40)):
            subject = text if isinstance(pattern.pattern, str) else text.encode("latin-1")
            at = rng.randrange(len(text) + 1) if text else 0
            found = pattern.match(subject, at)
            machine = Machine(pattern, subject, Counter())
            assert machine.match(at) == (found.end() if found else None), (name, subject, at)
            assert machine.full_match(at) == bool(pattern.fullmatch(subject, at)), (name, subject, at)


def _piece(rng: random.Random, text: str) -> str:
    start = rng.randrange(len(text) + 1)
    return text[start : start + rng.randrange(1, 120)]
