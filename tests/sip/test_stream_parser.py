"""Messages out of a byte stream (RFC 3261 7.5, 18.3) and keep-alives (RFC 5626 3.5.1)."""

from __future__ import annotations

import random

import pytest

from sip.constants import MAX_MESSAGE_SIZE
from sip.errors import MessageTooLarge, ParseError
from sip.message import MalformedMessage, Request
from sip.stream import StreamParser


def message(number: int, body: bytes = b"") -> bytes:
    return (
        b"MESSAGE sip:h SIP/2.0\r\nVia: SIP/2.0/TCP p;branch=z9hG4bK%d\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
        b"Call-ID: c\r\nCSeq: %d MESSAGE\r\nContent-Length: %d\r\n\r\n" % (number, number, len(body))
    ) + body


def numbers(parser: StreamParser, *pieces: bytes) -> list[int]:
    return [found.cseq.number for piece in pieces for found, _ in parser.feed(piece)]


def test_one_message_whole() -> None:
    parser = StreamParser()
    ((found, raw),) = parser.feed(message(1, b"abc"))
    assert isinstance(found, Request)
    assert (found.body, raw, parser.buffered) == (b"abc", message(1, b"abc"), 0)


def test_several_in_one_piece_and_the_start_of_another() -> None:
    parser = StreamParser()
    assert numbers(parser, message(1) + message(2, b"\r\n\r\nMESSAGE") + message(3)[:10]) == [1, 2]
    assert parser.buffered == 10
    assert numbers(parser, message(3)[10:]) == [3]


def test_cut_anywhere() -> None:
    data = message(1, b"ab\r\n\r\ncd")
    for cut in range(1, len(data)):
        parser = StreamParser()
        assert parser.feed(data[:cut]) == [], f"cut after {cut} bytes"
        assert parser.buffered == cut
        ((found, raw),) = parser.feed(data[cut:])
        assert (found.body, raw) == (b"ab\r\n\r\ncd", data), f"cut after {cut} bytes"


def test_byte_by_byte_with_line_ends_between() -> None:
    data = b"\r\n" + message(1, b"x") + b"\r\n\r\n" + message(2) + b"\n\r\n" + message(3, b"\r\n")
    parser = StreamParser()
    assert numbers(parser, *(data[at : at + 1] for at in range(len(data)))) == [1, 2, 3]
    assert parser.keepalives == 1


@pytest.mark.parametrize("seed", range(20))
def test_cut_at_random_gives_the_same_messages(seed: int) -> None:
    rng = random.Random(seed)
    data = b"".join(message(n, rng.randbytes(rng.randrange(50))) + b"\r\n\r\n" * rng.randrange(3) for n in range(30))
    parser = StreamParser()
    got, at = [], 0
    while at < len(data):
        step = rng.randrange(1, 400)
        got += numbers(parser, data[at : at + step])
        at += step
    assert got == list(range(30)), f"seed {seed}"


# ------------------------------------------------------------------------------------------------ keep-alives


@pytest.mark.parametrize(
    ("pieces", "pings"),
    [
        ((b"\r\n\r\n",), 1),
        ((b"\r\n\r\n\r\n\r\n",), 2),
        ((b"\r\n", b"\r\n"), 1),
        ((b"\r", b"\n\r", b"\n"), 1),
        ((b"\r\n",), 0),
        ((b"\r\n\r\n\r\n",), 1),
        ((b"\r\n\r\n" * 10_000,), 10_000),
        (tuple([b"\r\n\r\n"] * 100), 100),
    ],
)
def test_rfc5626_3_5_1_double_crlf_is_a_ping(pieces: tuple[bytes, ...], pings: int) -> None:
    parser = StreamParser()
    assert numbers(parser, *pieces) == []
    assert (parser.keepalives, parser.buffered) == (pings, 0)
    assert numbers(parser, message(1)) == [1]


def test_half_a_ping_waits_for_its_other_half() -> None:
    parser = StreamParser()
    assert numbers(parser, b"\r\n\r") == []
    assert (parser.keepalives, parser.buffered) == (0, 0)
    assert numbers(parser, b"\n" + message(1)) == [1]
    assert parser.keepalives == 1


@pytest.mark.parametrize("line_ends", [b"\r\n", b"\n", b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\n\r\n\r\n", b"\n\n\n\n\n"])
def test_7_5_line_ends_before_a_message_are_ignored(line_ends: bytes) -> None:
    parser = StreamParser()
    ((_, raw),) = parser.feed(line_ends + message(1))
    assert raw == message(1)
    ((_, raw),) = parser.feed(line_ends + message(2))
    assert raw == message(2)


@pytest.mark.parametrize("piece", [b"\r\n" * 32_768, b"\n" * 65_536, b"\r\n\r\n\n" * 10_000])
def test_endless_line_ends_are_not_kept(piece: bytes) -> None:
    parser = StreamParser()
    for _ in range(10):
        assert parser.feed(piece) == []
        assert parser.buffered == 0
    assert numbers(parser, message(1)) == [1]


def test_the_caller_resets_the_count() -> None:
    parser = StreamParser()
    parser.feed(b"\r\n\r\n")
    parser.keepalives = 0
    parser.feed(b"\r\n\r\n" + message(1))
    assert parser.keepalives == 1


# ------------------------------------------------------------------------------------------------ errors and limits


def test_20_14_content_length_is_required() -> None:
    with pytest.raises(MalformedMessage, match="Content-Length: missing") as raised:
        StreamParser().feed(message(1).replace(b"Content-Length: 0\r\n", b""))
    assert raised.value.status == 400
    assert raised.value.message.cseq.number == 1


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"\rX\r\n\r\n", b"x\r\n\r\n"]
)
def test_junk_ends_the_stream(junk: bytes) -> None:
    with pytest.raises(ParseError) as raised:
        StreamParser().feed(junk)
    assert not isinstance(raised.value, MalformedMessage)


def test_messages_before_the_fault_arrive_when_fed_before_it() -> None:
    parser = StreamParser()
    assert numbers(parser, message(1), message(2)) == [1, 2]
    with pytest.raises(ParseError):
        parser.feed(b"junk\r\n\r\n")


def test_endless_header_is_refused_once_the_limit_is_passed() -> None:
    parser = StreamParser()
    parser.feed(b"X" * MAX_MESSAGE_SIZE)
    assert parser.buffered == MAX_MESSAGE_SIZE
    with pytest.raises(MessageTooLarge) as raised:
        parser.feed(b"X")
    assert raised.value.status == 513


def test_headers_beyond_the_limit_in_one_piece_are_refused() -> None:
    padding = b"X-A: " + b"1" * MAX_MESSAGE_SIZE + b"\r\nContent-Length"
    with pytest.raises(MessageTooLarge):
        StreamParser().feed(message(1).replace(b"Content-Length", padding))


def test_largest_message() -> None:
    # The Content-Length line grows with the number in it.
    room = MAX_MESSAGE_SIZE - len(message(1)) - len("65xxx") + len("0")
    largest = message(1, bytes(room))
    assert len(largest) == MAX_MESSAGE_SIZE
    parser = StreamParser()
    assert numbers(parser, largest[:-1], largest[-1:] + message(2)) == [1, 2]


def test_announced_body_beyond_the_limit_is_513_before_it_comes() -> None:
    with pytest.raises(MalformedMessage) as raised:
        StreamParser().feed(message(1).replace(b"Length: 0", b"Length: 65500"))
    assert raised.value.status == 513
    assert raised.value.message.cseq.number == 1
