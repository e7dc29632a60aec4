"""sip/local_sdp.py: the server's own offers and answers (RFC 3264, RFC 3551, RFC 4733)."""

from __future__ import annotations

import pytest

from sip.endpoint import Terms
from sip.local_sdp import NoCommonCodec, Origin, answer_offer, make_offer, read_answer
from sip.sdp import SessionDescription
from sip.sdp_values import SdpError

KEY = bytes(range(30))
ORIGIN = Origin("192.0.2.1", 10_000, 7, 1, KEY)
PHONE = "192.0.2.10"


def offer(*lines: str, connection: str = PHONE, time: str = "0 0") -> SessionDescription:
    head = ["v=0", f"o=phone 1 1 IN IP4 {connection}", "s=-", f"c=IN IP4 {connection}", f"t={time}"]
    return SessionDescription.parse("".join(f"{line}\r\n" for line in (*head, *lines)).encode())


def answer(*lines: str, **more: str) -> tuple[list[str], Terms]:
    body, terms = answer_offer(offer(*lines, **more), ORIGIN, PHONE)
    assert body.endswith(b"\r\n")
    return body.decode().split("\r\n")[:-1], terms


def test_a_plain_offer() -> None:
    lines, terms = answer("m=audio 4000 RTP/AVP 0 8 101", "a=rtpmap:101 telephone-event/8000")
    assert lines == [
        "v=0",
        "o=- 7 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 10000 RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=sendrecv",
        "a=ptime:20",
    ]
    assert terms == Terms(
        rtp=(PHONE, 4000),
        rtcp=(PHONE, 4001),
        hosts=frozenset({PHONE}),
        codecs={101: ("telephone-event", 8000)},
        payload_type=0,
        is_a_law=False,
        event_type=101,
        packet_ms=20,
        may_send=True,
        is_vouched=True,
    )


@pytest.mark.parametrize(
    ("media", "attributes", "accepted", "is_a_law"),
    [
        ("RTP/AVP 8 0", [], "8", True),
        ("RTP/AVP 9 8 0", [], "8", True),
        ("RTP/AVP 96 0", ["a=rtpmap:96 opus/48000/2"], "0", False),
        ("RTP/AVP 98", ["a=rtpmap:98 pcma/8000"], "98", True),
        ("RTP/AVPF 0", [], "0", False),
        ("RTP/AVP 99 8", ["a=rtpmap:99 PCMU/16000"], "8", True),
        ("RTP/AVP 0 97", ["a=rtpmap:97 telephone-event/48000"], "0", False),
        ("RTP/AVP 0 96 97", ["a=rtpmap:96 telephone-event/48000", "a=rtpmap:97 Telephone-Event/8000"], "0 97", False),
    ],
)
def test_the_first_codec_of_the_phone_that_the_server_speaks(
    media: str, attributes: list[str], accepted: str, is_a_law: bool
) -> None:
    lines, terms = answer(f"m=audio 4000 {media}", *attributes)
    protocol = media.partition(" ")[0]
    assert f"m=audio 10000 {protocol} {accepted}" in lines
    assert terms.is_a_law is is_a_law


def test_rfc3264_6_one_stream_is_accepted_and_all_others_are_refused_in_their_place() -> None:
    lines, terms = answer(
        "m=video 5000 RTP/AVP 96 97",
        "m=audio 6000 RTP/SAVP 0",
        "m=audio 4000 RTP/AVP 8",
        "m=audio 7000 RTP/AVP 0",
        "m=application 9 TCP/BFCP *",
    )
    assert [line for line in lines if line.startswith("m=")] == [
        "m=video 0 RTP/AVP 96 97",
        "m=audio 0 RTP/SAVP 0",
        "m=audio 10000 RTP/AVP 8",
        "m=audio 0 RTP/AVP 0",
        "m=application 0 TCP/BFCP *",
    ]
    assert terms.rtp == (PHONE, 4000)


def test_rfc3264_6_the_times_are_those_of_the_offer() -> None:
    assert "t=3034423619 3042462419" in answer("m=audio 4000 RTP/AVP 0", time="3034423619 3042462419")[0]


@pytest.mark.parametrize(
    ("offered", "answered", "may_send"),
    [
        ("sendrecv", "sendrecv", True),
        ("sendonly", "recvonly", False),
        ("recvonly", "sendonly", True),
        ("inactive", "inactive", False),
    ],
)
def test_rfc3264_6_1_directions_are_mirrored(offered: str, answered: str, may_send: bool) -> None:
    lines, terms = answer("m=audio 4000 RTP/AVP 0", f"a={offered}")
    assert f"a={answered}" in lines
    assert terms.may_send is may_send


def test_rfc2543_hold_is_understood() -> None:
    lines, terms = answer("m=audio 4000 RTP/AVP 0", connection="0.0.0.0")
    assert "a=recvonly" in lines
    assert (terms.rtp, terms.may_send, terms.is_vouched) == (None, False, False)


@pytest.mark.parametrize(
    ("attributes", "packet_ms"),
    [
        ([], 20),
        (["a=ptime:30"], 30),
        (["a=ptime:10"], 10),
        (["a=ptime:25"], 20),
        (["a=ptime:200"], 20),
        (["a=ptime:x"], 20),
        (["a=ptime:60", "a=maxptime:40"], 40),
        (["a=maxptime:10"], 10),
        (["a=maxptime:5"], 10),
    ],
)
def test_packets_are_as_long_as_the_phone_likes_them(attributes: list[str], packet_ms: int) -> None:
    lines, terms = answer("m=audio 4000 RTP/AVP 0", *attributes, "m=video 5000 RTP/AVP 96", "a=ptime:40")
    assert terms.packet_ms == packet_ms
    assert f"a=ptime:{packet_ms}" in lines


def test_an_address_that_signalling_does_not_come_from_is_not_vouched_for() -> None:
    _, terms = answer("m=audio 4000 RTP/AVP 0", connection="198.51.100.7")
    assert terms.rtp == ("198.51.100.7", 4000)
    assert terms.hosts == {"198.51.100.7", PHONE}
    assert not terms.is_vouched
    _, terms = answer("m=audio 4000 RTP/AVP 0", "a=rtcp:4001 IN IP4 198.51.100.7")
    assert terms.rtcp == ("198.51.100.7", 4001)
    assert not terms.is_vouched


def test_an_ipv6_server_answers_in_ipv6() -> None:
    parsed = SessionDescription.parse(b"v=0\r\nc=IN IP6 2001:db8::7\r\nm=audio 4000 RTP/AVP 0\r\n")
    body, terms = answer_offer(parsed, ORIGIN._replace(host="2001:db8::1"), "2001:db8::7")
    assert b"c=IN IP6 2001:db8::1\r\nt=0 0\r\n" in body
    assert terms.is_vouched


@pytest.mark.parametrize(
    ("lines", "warning", "words"),
    [
        (["m=audio 4000 RTP/AVP 9 18"], 305, "the phone offers G722, G729"),
        (["m=audio 4000 RTP/SAVP 0", "a=crypto:1 x"], 302, "the phone wants RTP/SAVP"),
        (["m=audio 4000 UDP/TLS/RTP/SAVPF 0"], 302, "the phone wants UDP/TLS/RTP/SAVPF"),
        (["m=video 4000 RTP/AVP 96"], 304, "the phone offers no sound"),
        (["m=audio 0 RTP/AVP 0"], 304, "the phone offers no sound"),
        ([], 304, "the phone offers no sound"),
    ],
)
def test_why_an_offer_can_not_be_answered(lines: list[str], warning: int, words: str) -> None:
    with pytest.raises(NoCommonCodec) as caught:
        answer(*lines)
    assert (caught.value.status, caught.value.warning) == (488, warning)
    assert words in caught.value.reason


def test_an_offer_without_an_address_is_malformed() -> None:
    with pytest.raises(SdpError) as caught:
        answer_offer(SessionDescription.parse(b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n"), ORIGIN, PHONE)
    assert caught.value.status == 400


# ------------------------------------------------------------------------------------------------ offers of our own


def test_an_offer_of_our_own_and_its_answer() -> None:
    made = make_offer(ORIGIN).decode().split("\r\n")
    assert "m=audio 10000 RTP/AVP 0 8 101" in made
    assert "a=sendrecv" in made
    terms = read_answer(offer("m=audio 4000 RTP/AVP 8 101", "a=rtpmap:101 telephone-event/8000"), PHONE)
    assert (terms.payload_type, terms.is_a_law, terms.event_type, terms.may_send) == (8, True, 101, True)


@pytest.mark.parametrize(("direction", "may_send"), [("recvonly", True), ("sendonly", False), ("inactive", False)])
def test_a_phone_may_answer_that_it_does_not_listen(direction: str, may_send: bool) -> None:
    assert read_answer(offer("m=audio 4000 RTP/AVP 0", f"a={direction}"), PHONE).may_send is may_send


@pytest.mark.parametrize("lines", [[], ["m=audio 0 RTP/AVP 0"], ["m=audio 4000 RTP/AVP 18"]])
def test_an_answer_that_accepts_nothing(lines: list[str]) -> None:
    with pytest.raises(NoCommonCodec):
        read_answer(offer(*lines), PHONE)


# ------------------------------------------------------------------------------------------------ keys (RFC 4568)

THEIRS = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
OURS = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"


@pytest.mark.parametrize(
    ("line", "answered", "tag_length"),
    [
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{THEIRS}", "1 AES_CM_128_HMAC_SHA1_80", 10),
        (f"2 AES_CM_128_HMAC_SHA1_32 inline:{THEIRS}|2^20", "2 AES_CM_128_HMAC_SHA1_32", 4),
        (f"3 AES_CM_128_HMAC_SHA1_80 inline:{THEIRS}|1048576 WSH=128", "3 AES_CM_128_HMAC_SHA1_80", 10),
    ],
)
def test_a_stream_with_keys_is_answered_with_ours(line: str, answered: str, tag_length: int) -> None:
    unknown = f"a=crypto:9 AES_256_CM_HMAC_SHA1_80 inline:{THEIRS}"
    lines, terms = answer("m=audio 4000 RTP/SAVP 0 8", unknown, f"a=crypto:{line}", "m=video 5 RTP/AVP 96")
    assert f"a=crypto:{answered} inline:{OURS}" in lines
    assert "m=audio 10000 RTP/SAVP 0" in lines
    assert terms.srtp is not None
    theirs, ours, length = terms.srtp
    assert (len(theirs), ours, length) == (30, KEY, tag_length)


@pytest.mark.parametrize(
    "line",
    [
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{THEIRS}|2^20|1:4",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{THEIRS} UNENCRYPTED_SRTP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{THEIRS[:-4]}",
        f"1 F8_128_HMAC_SHA1_80 inline:{THEIRS}",
        "1 AES_CM_128_HMAC_SHA1_80",
    ],
)
def test_keys_that_are_not_understood_are_no_keys(line: str) -> None:
    with pytest.raises(NoCommonCodec) as caught:
        answer("m=audio 4000 RTP/SAVP 0", f"a=crypto:{line}")
    assert caught.value.warning == 302


def test_keys_beside_a_plain_stream_are_left_alone() -> None:
    lines, terms = answer("m=audio 4000 RTP/AVP 0", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{THEIRS}")
    assert terms.srtp is None
    assert not any(line.startswith("a=crypto") for line in lines)
