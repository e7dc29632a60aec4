"""Mutated messages: whatever comes, parsing gives a message or a `ParseError`, and a message goes out as it came in.

Each batch prints its seed; run one alone with `pytest -k "seed and 7"`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from sip.errors import LocalProtocolError, ParseError
from sip.flow import Flow, behind_nat, response_flow, stamp_via
from sip.message import MalformedMessage, Message, Request, make_ack, make_cancel, make_response, parse_datagram
from sip.stream import StreamParser
from sip.validation import validate_request, validate_response

BATCHES = 20
CASES_PER_BATCH = 1000
SOURCE = Flow("UDP", "10.0.0.1", 5060, "10.0.0.7", 41000)

PHONES = (
    b"REGISTER sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.168.1.5:5070;branch=z9hG4bK55c;rport;alias\r\n"
    b"Max-Forwards: 70\r\nFrom: <sip:100@10.0.0.1>;tag=Qx-1\r\nTo: <sip:100@10.0.0.1>\r\nCall-ID: nV4\r\n"
    b"CSeq: 42 REGISTER\r\nUser-Agent: phone/2.17\r\nSupported: outbound, path\r\nContact: <sip:100-0x5616@192.168.1.5:"
    b'5070;transport=TCP;ob>;reg-id=1;+sip.instance="<urn:uuid:0-0>"\r\nExpires: 300\r\nContent-Length: 0\r\n\r\n',
    b"INVITE sip:101@10.0.0.1 SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/UDP [::1]:5060\r\n"
    b" ;received=1.2.3.4\r\n"
    b'f: "A \\" <x>, B" <sip:100@h>;tag=1\r\nt: sip:101@10.0.0.1\r\ni: c@h\r\nCSeq: 1\r\n INVITE\r\n'
    b"Max-Forwards: 0070\r\nm: sip:100@h\r\nRoute: <sip:10.0.0.1;lr>, <sip:p2.example;lr>\r\n"
    b"Session-Expires: 1800;refresher=uac\r\n"
    b"c: application/sdp\r\nl: 5\r\n\r\nv=0\r\n",
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx;rport=5060;received=10.0.0.1\r\n"
    b"Via: SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKy\r\nRecord-Route: <sip:10.0.0.1;lr>\r\nFrom: <sip:100@h>;tag=1\r\n"
    b"To: <sip:101@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:101@[2001:db8::1]:5060;ob>;q=0.5\r\n"
    b"Content-Length: 0\r\n\r\n",
)
CORPUS = (
    *PHONES,
    *(path.read_bytes() for path in sorted((Path(__file__).parent.parent / "data/torture").glob("*.dat"))),
)

PIECES = (
    *(bytes([byte]) for byte in b'<>";:,=@%?&[]()/\\ \t*.-0~\x00\x7f\xff\x85'),
    *(
        b"\r\n",
        b"\r\n ",
        b"\r",
        b"\n",
        b"\r\n\r\n",
        b";;",
        b", ,",
        b"%00",
        b"%",
        b"\xc2\xa0",
        b"\xed\xa0\x80",
        b"\xe2\x80\xa8",
    ),
    *(
        b"9" * 30,
        b"9" * 5000,
        b";rport",
        b";received=x",
        b";tag=",
        b"SIP/2.0",
        b"Via: ",
        b"v:",
        b"sip:",
        b"tel:1",
        b"::1",
    ),
)


def mutate(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.randrange(1, 1 + rng.choice((2, 8, 80))))
        match rng.randrange(6):
            case 0:
                data = data[:at] + rng.choice(PIECES) + data[at:]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:end] + data[at:]
            case 3:
                data = data[:at] + rng.choice(PIECES) + data[end:]
            case 4:
                other = rng.choice(CORPUS)
                data = data[:at] + other[rng.randrange(len(other)) :]
            case _:
                lines = data.split(b"\r\n")
                rng.shuffle(lines)
                data = b"\r\n".join(lines)
    return data


def expect_parse_error(action: Callable[[], object]) -> bool:
    """Whether the action went through; the only error it may give is a `ParseError` with a 4xx or 5xx status."""
    try:
        action()
    except ParseError as error:
        assert 400 <= error.status < 600, error
        assert len(error.reason) < 200, error
        assert error.reason.isascii(), error
        assert error.reason.isprintable(), error
        return False
    return True


def use(message: Message) -> None:
    """Everything the server does with a message that came whole."""
    before = message.to_bytes()
    read_and_answer(message)
    assert message.to_bytes() == before, "reading must not change a message"
    if isinstance(message, Request):
        if expect_parse_error(lambda: validate_request(message)):
            forward(message)
    else:
        expect_parse_error(lambda: validate_response(message))


def read_and_answer(message: Message) -> None:
    """What is done even with the remains of a malformed one."""
    readers = ["via", "from_", "to", "cseq", "call_id", "contacts", "contact", "expires", "content_type", "user_agent"]
    if isinstance(message, Request):
        readers += ["uri", "max_forwards", "routes"]
        answer = parse_datagram(make_response(message, 400, to_tag="t1").to_bytes())
        assert answer.headers.get_all("via") == message.headers.get_all("via")
    for name in readers:
        expect_parse_error(lambda name=name: getattr(message, name))
    message.option_tags("supported")


def forward(request: Request) -> None:
    _ = request.via, request.from_, request.to, request.cseq, request.call_id, request.max_forwards, request.uri.number
    stamp_via(request, SOURCE)
    response_flow(request.via, SOURCE)
    behind_nat(request.via, SOURCE)
    stamped = request.to_bytes()
    out = request.copy()
    out.headers.push("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKours")
    out.headers.push("Record-Route", "<sip:10.0.0.1;lr>")
    response = parse_datagram(make_response(out, 486, to_tag="t1").to_bytes())
    validate_response(response)
    ack = parse_datagram(make_ack(out, response).to_bytes())
    assert isinstance(ack, Request)
    validate_request(ack)
    if out.method == "INVITE":
        make_cancel(out).to_bytes()
    else:
        with pytest.raises(LocalProtocolError):
            make_cancel(out)
    back = parse_datagram(out.to_bytes())
    back.pop_via()
    back.headers.pop_first_value("record-route")
    assert back.to_bytes() == stamped, "what we put on top and take away again leaves no trace"


@pytest.mark.parametrize("seed", range(BATCHES))
def test_mutated_datagrams(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    parsed = 0
    for _ in range(CASES_PER_BATCH):
        data = mutate(rng, rng.choice(CORPUS))
        try:
            message = parse_datagram(data)
        except MalformedMessage as error:
            read_and_answer(error.message)
            continue
        except ParseError:
            continue
        parsed += 1
        use(message)
    assert parsed > CASES_PER_BATCH // 20, "a fuzz that hardly ever gets past the parser tests little"


@pytest.mark.parametrize("seed", range(5))
def test_mutated_streams(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(200):
        data = b"".join(mutate(rng, rng.choice(PHONES)) if rng.random() < 0.5 else PHONES[0] for _ in range(3))
        parser, at, behind = StreamParser(), 0, 0
        try:
            while at < len(data):
                step = rng.randrange(1, 200)
                for message, raw in parser.feed(data[at : at + step]):
                    begin = data.index(raw, behind)
                    assert data[behind:begin].strip(b"\r\n") == b"", "nothing but line ends may be passed over"
                    behind = begin + len(raw)
                    use(message)
                at += step
        except ParseError as error:
            assert 400 <= error.status < 600


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(400):
        with pytest.raises(ParseError):
            parse_datagram(rng.randbytes(rng.randrange(300)))
