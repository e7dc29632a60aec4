"""Whole messages: from a datagram and out of a stream."""

from __future__ import annotations

import random
from unittest.mock import patch

from sip.errors import ParseError
from sip.message import MalformedMessage, Message, Request, parse_datagram
from sip.stream import StreamParser
from tests.sip.test_fuzz import read_and_answer, use

_SMALL_LIMIT = 300
"""Size limit of half the streams, so that short inputs pass it."""

Fed = tuple[list[tuple[bytes, bytes]], tuple[type[ParseError], str] | None, int]


def check_message(data: bytes) -> None:
    """Parses or gives a `ParseError`; goes out as it came in; what was written is read back the same."""
    try:
        message = parse_datagram(data)
    except MalformedMessage as error:
        check_error(error)
        read_and_answer(error.message)
        return
    except ParseError as error:
        check_error(error)
        return
    wire = message.to_bytes()
    assert head_of(wire) == head_of(data) + added_length(message), "a header left otherwise than it came"
    again = parse_datagram(wire)
    assert again.to_bytes() == wire, "the second serialisation differs from the first"
    read = list(message.headers.items())
    assert list(again.headers.items())[: len(read)] == read
    assert again.body == message.body
    check_same_in_stream(wire)
    use(message)


def head_of(data: bytes) -> bytes:
    """Header lines as they stand on the wire."""
    return data.lstrip(b"\r\n").partition(b"\r\n\r\n")[0].partition(b"\r\n")[2]


def added_length(message: Message) -> bytes:
    """The only line that is added."""
    if "content-length" in message.headers:
        return b""
    line = b"Content-Length: %d" % len(message.body)
    return b"\r\n" + line if message.headers.lines else line


def check_error(error: ParseError) -> None:
    assert 400 <= error.status < 600, error
    assert len(error.reason) < 200, error
    assert error.reason.isascii(), error
    assert error.reason.isprintable(), error


def check_same_in_stream(wire: bytes) -> None:
    ((message, raw),) = StreamParser().feed(wire)
    assert (raw, message.to_bytes()) == (wire, wire)


def check_stream(data: bytes) -> None:
    """How the bytes are cut does not matter.  The first byte says how they are, and how large a message may be."""
    seed, data = data[:1], data[1:]
    limit = _SMALL_LIMIT if seed and seed[0] & 1 else 65_535
    with patch("sip.stream.MAX_MESSAGE_SIZE", limit):
        finest, error, keepalives = feed(data, [1] * len(data))
        for lengths in ([len(data)], random_lengths(seed, len(data))):
            messages, same_error, same_keepalives = feed(data, lengths)
            assert same_error == error
            if error is None:
                assert (messages, same_keepalives) == (finest, keepalives)
            else:
                # Those complete before the fault go with it when they came in the same piece.
                assert messages == finest[: len(messages)]
    for raw, wire in finest:
        message = parse_datagram(raw)
        assert message.to_bytes() == wire, "a datagram of these bytes is another message"
        if isinstance(message, Request):
            read_and_answer(message)


def random_lengths(seed: bytes, total: int) -> list[int]:
    rng = random.Random(seed)
    lengths: list[int] = []
    while sum(lengths) < total:
        lengths.append(rng.randrange(1, 40))
    return lengths


def feed(data: bytes, lengths: list[int]) -> Fed:
    """(bytes as received, as serialised) of each message; the error that ended the stream; keep-alives."""
    parser = StreamParser()
    messages: list[tuple[bytes, bytes]] = []
    at = 0
    for length in lengths:
        try:
            messages += [(raw, message.to_bytes()) for message, raw in parser.feed(data[at : at + length])]
        except ParseError as error:
            check_error(error)
            return messages, (type(error), error.reason), parser.keepalives
        at += length
        assert parser.buffered <= len(data)
    return messages, None, parser.keepalives
