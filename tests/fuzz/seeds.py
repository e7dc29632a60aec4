"""Where fuzzing begins: the messages of RFC 4475 and RFC 5118, those of phones, and their parts.

Nothing is copied: the seeds are what the other tests hold, taken apart when they are asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from tests.fuzz.check_bodies import NEXT_BODY
from tests.fuzz.check_core import NEXT
from tests.sip import test_media, test_sdp, test_torture_ipv6
from tests.sip.test_fuzz import PHONES

TORTURE = Path(__file__).parent.parent / "data" / "torture"
_MULTIPART = (
    b'multipart/mixed;boundary="b1"; x=y\npreamble\r\n--b1\r\nContent-Type: application/isup\r\n\r\n\x01\x00--b1 \r\n'
    b"\r\n--b1  \r\nContent-ID: <1@h>\r\nContent-Length: 5\r\nContent-type : Application/SDP\r\n\r\nv=0\r\n"
    b"\r\n--b1--\r\nepilogue"
)
_NESTED = (
    b"multipart/mixed;boundary=a\n--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n"
    b"Content-Type: application/sdp\n\nv=0\n--b--\n--a--"
)


@cache
def messages() -> tuple[bytes, ...]:
    torture = (path.read_bytes() for path in sorted(TORTURE.glob("*.dat")))
    return (*PHONES, *torture, *test_torture_ipv6.MESSAGES.values())


def header_values(*names: str) -> tuple[bytes, ...]:
    """Values of these headers, in all their spellings, folds resolved."""
    found = {}
    for message in messages():
        head = message.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower().decode("latin-1") in names:
                found[value.strip()] = None
    return tuple(found)


def request_uris() -> tuple[bytes, ...]:
    lines = (message.lstrip(b"\r\n").partition(b"\r\n")[0].split(b" ") for message in messages())
    return tuple(words[1] for words in lines if len(words) == 3)


ADDRESSES = ("from", "f", "to", "t", "contact", "m", "route", "record-route")


def addresses() -> tuple[bytes, ...]:
    return header_values(*ADDRESSES)


def uris() -> tuple[bytes, ...]:
    bare = [value.partition(b"<")[2].partition(b">")[0] for value in addresses() if b"<" in value]
    pairs = [b"\n".join(pair) for pair in pairwise(bare)]
    return (*request_uris(), *bare, *pairs, b"tel:+1-201-555-0123;phone-context=x", b"SIP:%61@H;transport=TCP\nsip:a@h")


def vias() -> tuple[bytes, ...]:
    return (*header_values("via", "v"), b"SIP/2.0/UDP h;rport;branch=z9hG4bK1;received=1.2.3.4")


def parameters() -> tuple[bytes, ...]:
    return tuple(b";" + value.partition(b";")[2] for value in (*addresses(), *vias()) if b";" in value)


def numbers() -> tuple[bytes, ...]:
    return (
        *header_values("content-length", "l", "expires", "max-forwards"),
        b"00070",
        b"1800;refresher=uac",
        b"9" * 30,
    )


def routes() -> tuple[bytes, ...]:
    own = b"<sip:10.0.0.1;lr>"
    return (
        *header_values("route", "record-route"),
        own + b", <sip:p2.example;lr>\n<sip:p3.example>",
        b"<sip:10.0.0.1;lr;r2>\n" + own.replace(b"lr", b"r2;lr") + b",<sip:office.example>",
        b" , ,<sip:p@h;lr>,,",
        b'"a, <b>" <sip:h>;x="<,"\n\n,',
    )


def digests() -> tuple[bytes, ...]:
    answer = (
        b'Digest username="100", realm="sipserver", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcC", uri="sip:10.0.0.1", '
        b'qop=auth, nc=00000001, cnonce="f2/wE4q7", response="%b", algorithm=%b, opaque="a \\" b"'
    )
    md5, sha256 = answer % (b"0a" * 16, b"MD5"), answer % (b"0a" * 32, b"SHA-256")
    return (*header_values("authorization", "proxy-authorization"), md5, sha256, b"Basic eDp5\n" + md5)


def required() -> tuple[bytes, ...]:
    return (
        b"<sip:100@h>;tag=1\nsip:101@h\nc@h\n1 OPTIONS\nSIP/2.0/UDP h;branch=z9hG4bK1\n70",
        b'"A, B" <sip:100@h>;tag=\nsip:101@h;tag=2\nc h\n01 INVITE\nSIP/2.0/TCP [::1]:5060\n256',
    )


# ------------------------------------------------------------------------------------------------ streams and bodies


def streams() -> tuple[bytes, ...]:
    pings = b"\r\n\r\n" + PHONES[0] + b"\r\n\r\n\r\n" + PHONES[1]
    return tuple(
        cut + data for cut in (b"\x00", b"\x01", b"\x02") for data in (pings, *PHONES, b"\n\r\n\r" + PHONES[2])
    )


def descriptions() -> tuple[bytes, ...]:
    """Offers alone, and with an answer and a new offer."""
    shown = (
        test_media.BARESIP,
        test_media.LINPHONE,
        test_media.TWINKLE,
        test_media.PJSUA,
        test_media.MOBILE_APP_SDES,
        test_media.BROWSER,
    )
    offers = [test_media.sdp(before) for before, _ in shown]
    offers += [test_sdp.PJSUA, test_sdp.TWO_STREAMS, test_sdp.PJSUA.replace(b"\r\n", b"\n")]
    offers += [body for message in messages() if (body := message.partition(b"\r\n\r\n")[2]).startswith(b"v=")]
    held = test_media.caller("audio 4000 sendonly", "video 0").replace(b"192.168.1.20", b"0.0.0.0")
    exchange = [test_media.caller("audio 4000", "video 4002"), test_media.callee("audio 5000", "video 0"), held]
    return (*offers, NEXT_BODY.join(exchange), NEXT_BODY.join([*exchange, *exchange]), b"v=0\nm=image 1 udptl t38\n")


def multiparts() -> tuple[bytes, ...]:
    return (_MULTIPART, _NESTED, b"application/sdp\nv=0\r\n", b"multipart/mixed; boundary=b\n--b\r\n--b\r\n--b--")


# ------------------------------------------------------------------------------------------------ packets

_RTP = struct.pack("!BBHII", 0x80, 0, 1000, 160, 0x11) + b"voice"
_SENDER_REPORT = struct.pack("!BBHIQIII", 0x81, 200, 12, 0x11, 0xABCD1234, 160, 1, 5) + struct.pack(
    "!IIIIII", 0x22, 5, 80, 7, 65536, 0
)
_DESCRIPTION = struct.pack("!BBHI", 0x81, 202, 2, 0x11) + b"\x01\x01a\0"


def packets() -> tuple[bytes, ...]:
    extended = struct.pack("!BBHIIIHHI", 0x91, 0x80, 7, 1, 2, 3, 0xBEDE, 1, 4)
    return (_RTP, extended, b"\x00\x01" + b"\x21\x12\xa4\x42" * 5, b"\x16\xfe\xff" + bytes(12), _SENDER_REPORT)


def reports() -> tuple[bytes, ...]:
    receiver = struct.pack("!BBHI", 0x80, 201, 1, 0x11)
    return (
        _SENDER_REPORT,
        receiver,
        _SENDER_REPORT + _DESCRIPTION,
        receiver * 3 + struct.pack("!BBHI", 0x81, 203, 1, 0x11),
    )


def sessions() -> tuple[bytes, ...]:
    def arrive(port: int, source: int, packet: bytes) -> bytes:
        return bytes([port << 2 | source, len(packet)]) + packet

    def voice(number: int, ssrc: int = 0x11) -> bytes:
        return struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, 160 * number, ssrc) + b"voice"

    steady = b"".join(arrive(0, 0, voice(65_530 + number)) for number in range(12))
    learnt = b"".join(arrive(1, 2, voice(number, 0x22)) for number in (1, 2, 3, 4, 6, 5, 5, 500, 501))
    other = b"".join(arrive(0, 0, voice(number, 0x33)) for number in (9, 10, 11))
    report = arrive(2, 1, _SENDER_REPORT) + arrive(3, 1, _SENDER_REPORT[:4] + b"\0\0\0\x22" + _SENDER_REPORT[8:])
    return (steady, learnt + arrive(1, 3, voice(7)), steady + other, steady + learnt + report + steady)


# ------------------------------------------------------------------------------------------------ the core


def _message(start: str, caller: str, callee: str, *headers: str, method: str = "", body: bytes = b"") -> bytes:
    lines = [start, *headers, f"From: <sip:100@192.0.2.1>{caller}", f"To: <sip:101@192.0.2.1>{callee}"]
    lines += ["Call-ID: c1", f"CSeq: 1 {method or start.partition(' ')[0]}", "Max-Forwards: 70"]
    if body:
        lines.append("Content-Type: application/sdp")
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _call() -> Iterator[bytes]:
    """From the INVITE to the BYE, a session of media in between."""
    via, to = "Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK", "sip:101@192.0.2.1 SIP/2.0"
    caller, callee = ";tag=a", ";tag=b"
    contact = "Contact: <sip:100@192.0.2.10:5060>"
    offer, answer = test_media.caller("audio 4000"), test_media.callee("audio 5000")
    yield b"@@" + _message(f"INVITE {to}", caller, "", f"{via}1", contact, body=offer)
    replies = "$VIA", "Contact: <sip:101@192.0.2.11:5060>"
    yield b"A@" + _message("SIP/2.0 180 Ringing", caller, callee, *replies, method="INVITE")
    yield b"AA" + _message("SIP/2.0 200 OK", caller, callee, *replies, method="INVITE", body=answer)
    yield b"@@" + _message(f"ACK {to}", caller, callee, f"{via}2", contact)
    again = _message(f"INVITE {to}", caller, callee, f"{via}3", contact, body=test_media.caller("audio 4000 sendonly"))
    yield b"@B" + again.replace(b"CSeq: 1", b"CSeq: 2")
    yield b"@A" + _message(f"BYE {to}", caller, callee, f"{via}4").replace(b"CSeq: 1", b"CSeq: 3")
    yield b"A@" + _message("SIP/2.0 200 OK", caller, callee, "$VIA", method="BYE").replace(b"CSeq: 1", b"CSeq: 3")


def _cancelled_call() -> Iterator[bytes]:
    via, to = "Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK1", "sip:101@192.0.2.1 SIP/2.0"
    yield b"@@" + _message(f"INVITE {to}", ";tag=a", "", via, "Contact: <sip:100@192.0.2.10>")
    yield b"A@" + _message("SIP/2.0 183 Progress", ";tag=a", ";tag=b", "$VIA", method="INVITE")
    yield b"@B" + _message(f"CANCEL {to}", ";tag=a", "", via)
    yield b"A@" + _message("SIP/2.0 487 Terminated", ";tag=a", ";tag=b", "$VIA", method="INVITE")


def _call_to_the_server(offer: bytes, answer: bytes) -> Iterator[bytes]:
    """Of the echo, with a hold, a key and a session timer."""
    via, to = "Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK", "sip:*43@192.0.2.1 SIP/2.0"
    contact = "Contact: <sip:100@192.0.2.10:5060>"
    timer = "Session-Expires: 120;refresher=uas", "Supported: timer", "Allow: INVITE, UPDATE"
    mine, yours = ";tag=a", ";tag=$TAG"
    yield b"@@" + _message(f"INVITE {to}", mine, "", f"{via}1", contact, *timer, body=offer)
    yield b"@B" + _message(f"ACK {to}", mine, yours, f"{via}2", body=answer)
    held = _message(f"UPDATE {to}", mine, yours, f"{via}3", contact, body=test_media.caller("audio 4000 sendonly"))
    yield b"@@" + held.replace(b"CSeq: 1", b"CSeq: 2")
    key = _message(f"INFO {to}", mine, yours, f"{via}4", body=b"Signal=5")
    yield b"@@" + key.replace(b"CSeq: 1", b"CSeq: 3").replace(b"application/sdp", b"application/dtmf-relay")
    yield b"@C" + _message("SIP/2.0 200 OK", yours, mine, "$VIA", method="UPDATE")
    yield b"@A" + _message(f"BYE {to}", mine, yours, f"{via}5").replace(b"CSeq: 1", b"CSeq: 4")


def conversations() -> tuple[bytes, ...]:
    """Each message alone, from a phone and from a stranger, and calls."""
    offices = (
        message.replace(b"10.0.0.1", b"192.0.2.1").replace(b"192.168.1.5:5070", b"192.0.2.10") for message in PHONES
    )
    alone = [source + message for message in (*messages(), *offices) for source in (b"@@", b"B@")]
    over_tcp = b"C@" + PHONES[0].replace(b"10.0.0.1", b"192.0.2.1")
    offer = test_media.caller("audio 4000")
    to_server = (NEXT.join(_call_to_the_server(*bodies)) for bodies in ((offer, b""), (b"", offer)))
    return (*alone, over_tcp, NEXT.join(_call()), NEXT.join(_cancelled_call()), *to_server)


def queries() -> tuple[bytes, ...]:
    return (
        b"whole=20&decimal=1.5&flag=true&word=100&time=2030-01-31T08:00:00Z",
        b"time=2030-01-31T08:00:00+02:00&flag=FALSE",
        b"whole=%39&word=%e2%80%ae&time=0001-01-01",
        b"unknown=1&whole=1&whole=2",
        b"decimal=0.0000001",
    )
