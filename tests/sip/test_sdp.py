"""sip/sdp.py: what is read, what is refused, and that nothing else changes."""

from __future__ import annotations

import random

import pytest

from sip import sdp
from sip.errors import ParseError
from sip.sdp import MAX_MEDIA, MAX_SDP_SIZE, SessionDescription
from sip.sdp_values import AddressKind, Direction, SdpError, classify_address, connection_value

PJSUA = (
    b"v=0\r\no=- 3905071234 3905071234 IN IP4 192.168.1.20\r\ns=pjmedia\r\nb=AS:84\r\nt=0 0\r\na=X-nat:0\r\n"
    b"m=audio 4002 RTP/AVP 96 0 8 101\r\nc=IN IP4 192.168.1.20\r\nb=TIAS:64000\r\n"
    b"a=rtcp:4003 IN IP4 192.168.1.20\r\na=sendrecv\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ssrc:98761 cname:aa11\r\n"
)
TWO_STREAMS = (
    b"v=0\r\no=alice 1 1 IN IP6 2001:db8::20\r\ns=Talk\r\nc=IN IP6 2001:DB8:0:0::20\r\nt=0 0\r\na=sendonly\r\n"
    b"m=audio 7078 RTP/SAVPF 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:a2V5\r\na=rtcp-mux\r\n"
    b"m=video 0 RTP/AVP 97\r\nc=IN IP4 192.0.2.9\r\na=rtpmap:97 H264/90000\r\na=recvonly\r\na=bundle-only\r\n"
)


def with_media(*lines: bytes, session: bytes = b"c=IN IP4 192.0.2.1\r\n") -> bytes:
    return (
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n" + session + b"t=0 0\r\n" + b"".join(ln + b"\r\n" for ln in lines)
    )


def test_reads_an_audio_description() -> None:
    description = SessionDescription.parse(PJSUA)
    assert description.connection is None
    (media,) = description.media
    assert (media.kind, media.port, media.port_count, media.protocol) == ("audio", 4002, 1, "RTP/AVP")
    assert media.formats == ("96", "0", "8", "101")
    assert media.codecs == ("opus", "PCMU", "PCMA", "telephone-event")
    assert media.rtpmap == {96: ("opus", 48000), 0: ("PCMU", 8000), 8: ("PCMA", 8000), 101: ("telephone-event", 8000)}
    assert media.connection is not None
    assert (media.connection.address, media.connection.kind) == ("192.168.1.20", AddressKind.UNICAST)
    assert media.rtcp_port == 4003
    assert media.rtcp_address == media.connection
    assert media.direction is Direction.SENDRECV
    assert media.is_rtp
    assert not (media.secure or media.rtcp_mux or media.bundle_only or media.is_rejected)


def test_media_level_wins_over_session_level() -> None:
    audio, video = SessionDescription.parse(TWO_STREAMS).media
    assert audio.connection is not None
    assert video.connection is not None
    assert (audio.connection.address_type, audio.connection.address) == ("IP6", "2001:db8::20")
    assert (video.connection.address_type, video.connection.address) == ("IP4", "192.0.2.9")
    assert (audio.direction, video.direction) == (Direction.SENDONLY, Direction.RECVONLY)
    assert (audio.secure, video.secure) == (True, False)
    assert (audio.rtcp_mux, video.rtcp_mux) == (True, False)
    assert audio.connection_lines == []
    assert len(video.connection_lines) == 1


def test_rfc_8843_port_0_for_the_bundle_is_no_rejection() -> None:
    video = SessionDescription.parse(TWO_STREAMS).media[1]
    assert video.port == 0
    assert not video.is_rejected
    assert SessionDescription.parse(with_media(b"m=video 0 RTP/AVP 97")).media[0].is_rejected


def test_session_level_fingerprint_makes_every_stream_secure() -> None:
    body = with_media(b"m=audio 9 UDP/TLS/RTP/SAVPF 0", session=b"c=IN IP4 0.0.0.0\r\na=fingerprint:sha-256 AB:CD\r\n")
    (media,) = SessionDescription.parse(body).media
    assert media.secure
    assert media.is_rtp
    assert media.connection is not None
    assert media.connection.kind is AddressKind.UNSPECIFIED


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"a=rtpmap:97 iLBC/8000", {97: ("iLBC", 8000)}),
        (b"a=rtpmap: 97  L16/44100/2 ", {97: ("L16", 44100)}),
        (b"a=rtpmap:128 PCMA/8000", {}),
        (b"a=rtpmap:97 PCMA", {}),
        (b"a=rtpmap:97 PCMA/", {}),
        (b"a=rtpmap:x PCMA/8000", {}),
        (b"a=rtpmap", {}),
        (b"a=rtpmap:97 " + b"x" * 200 + b"/8000", {}),
    ],
)
def test_rtpmap(line: bytes, expected: dict[int, tuple[str, int]]) -> None:
    assert SessionDescription.parse(with_media(b"m=audio 4000 RTP/AVP 97", line)).media[0].rtpmap == expected


def test_codecs_without_rtpmap_have_their_static_names() -> None:
    (media,) = SessionDescription.parse(with_media(b"m=audio 4000 RTP/AVP 18 9 34 111 1234567890123")).media
    assert media.codecs == ("G729", "G722", "H263", "111", "1234567890123")
    (image,) = SessionDescription.parse(with_media(b"m=image 4000 udptl t38")).media
    assert image.codecs == ("t38",)
    assert not image.is_rtp


@pytest.mark.parametrize(
    ("line", "port", "address"),
    [
        (b"a=rtcp:53020", 53020, None),
        (b"a=rtcp:53020 IN IP4 126.16.64.4", 53020, "126.16.64.4"),
        (
            b"a=rtcp:53020 IN IP6 2001:2345:6789:ABCD:EF01:2345:6789:ABCD",
            53020,
            "2001:2345:6789:abcd:ef01:2345:6789:abcd",
        ),
        (b"a=rtcp:53020 ", 53020, None),
        (b"a=rtcp:53020 IN IP4", 53020, None),
        (b"a=rtcp:0 IN IP4 126.16.64.4", None, None),
        (b"a=rtcp:65536", None, None),
        (b"a=rtcp:many", None, None),
        (b"a=rtcp", None, None),
    ],
)
def test_rfc_3605_rtcp_attribute(line: bytes, port: int | None, address: str | None) -> None:
    (media,) = SessionDescription.parse(with_media(b"m=audio 4000 RTP/AVP 0", line)).media
    assert media.rtcp_port == port
    assert (media.rtcp_address.address if media.rtcp_address is not None else None) == address


@pytest.mark.parametrize(
    "body",
    [
        PJSUA,
        TWO_STREAMS,
        PJSUA.replace(b"\r\n", b"\n"),
        PJSUA.replace(b"\r\n", b"\r"),
        PJSUA + b"\r\n\r\n",
        b"\r\n" + PJSUA,
        PJSUA.rstrip(),
        PJSUA.replace(b"s=pjmedia", b"s=\xff\xfe caf\xe9 \x85 \x0c \x1c next"),
        PJSUA.replace(b"a=sendrecv", b"no type here\r\nz\r\n=\r\na=\r\na=unknown:x y z\r\ny=?"),
        b"v=0",
        b"v=0\n",
    ],
)
def test_bytes_come_out_as_they_went_in(body: bytes) -> None:
    assert SessionDescription.parse(body).to_bytes() == body


def test_only_cr_and_lf_end_a_line() -> None:
    """Other characters that some readers take for line ends stay inside the line; a lone CR counts."""
    hidden = with_media(b"m=audio 4000 RTP/AVP 0", b"a=x \x0b\x0c\x1c\x85\xe2\x80\xa8c=IN IP4 192.0.2.66")
    assert SessionDescription.parse(hidden).media[0].connection_lines == []
    shown = with_media(b"m=audio 4000 RTP/AVP 0", b"a=x\rc=IN IP4 192.0.2.66")
    ((_, connection),) = SessionDescription.parse(shown).media[0].connection_lines
    assert connection.address == "192.0.2.66"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\r\n\r\n", 400),
        (b"hello", 400),
        (PJSUA[5:], 400),
        (with_media(b"m=audio"), 400),
        (with_media(b"m=audio 4000"), 400),
        (with_media(b"m=audio 4000 RTP/AVP"), 400),
        (with_media(b"m=audio x RTP/AVP 0"), 400),
        (with_media(b"m=audio -1 RTP/AVP 0"), 400),
        (with_media(b"m=audio 65536 RTP/AVP 0"), 400),
        (with_media(b"m=audio 100000 RTP/AVP 0"), 400),
        (with_media(b"m=audio 4000/x RTP/AVP 0"), 400),
        (with_media(b"m=audio 4000 RTP/AVP 0\x00"), 400),
        (with_media(b"m=\xe4udio 4000 RTP/AVP 0"), 400),
        (with_media(b"m= 4000 RTP/AVP 0"), 400),
        (with_media(b"m=" + b"x" * 33 + b" 4000 RTP/AVP 0"), 400),
        (with_media(b"m=audio 4000 " + b"x" * 65 + b" 0"), 400),
        (with_media(session=b"c=IN IP4\r\n"), 400),
        (with_media(session=b"c=IN IP4 192.0.2.1 192.0.2.2\r\n"), 400),
        (with_media(session=b"c=\r\n"), 400),
        (with_media(session=b"c=IN IP4 " + b"a" * 300 + b"\r\n"), 400),
        (with_media(b"m=audio 4000 RTP/AVP 0", b"c=IN IP4 192.0.2.1", b"c=IN"), 400),
        (with_media(*[b"m=audio 4000 RTP/AVP 0"] * (MAX_MEDIA + 1)), 488),
        (PJSUA + b"a=x\r\n" * MAX_SDP_SIZE, 413),
    ],
)
def test_refused(body: bytes, status: int) -> None:
    with pytest.raises(SdpError) as caught:
        SessionDescription.parse(body)
    assert caught.value.status == status
    assert isinstance(caught.value, ParseError)


@pytest.mark.parametrize(
    "body",
    [
        with_media(*[b"m=audio 4000 RTP/AVP 0"] * MAX_MEDIA),
        with_media(b"m=audio 0 RTP/AVP"),
        with_media(b"m=audio\t4000   RTP/AVP  0 8\t101  "),
        with_media(b"m=audio 4000/2 RTP/AVP 0"),
        with_media(b"m=audio 4000 RTP/AVP 0", session=b""),
        b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n",
    ],
)
def test_tolerated(body: bytes) -> None:
    assert SessionDescription.parse(body).to_bytes() == body


def test_a_form_that_is_known_gives_each_description_its_own_values() -> None:
    """What lies between the values is read once, of whoever sends it."""
    first = SessionDescription.parse(PJSUA)
    other = PJSUA.replace(b"3905071234", b"7").replace(b"4002", b"4100").replace(b"4003", b"4199")
    second = SessionDescription.parse(other.replace(b"c=IN IP4 192.168.1.20", b"c=IN IP4 0.0.0.0"))
    (before,), (media,) = first.media, second.media
    assert media.rtpmap is before.rtpmap
    assert (before.port, before.rtcp_port, media.port, media.rtcp_port) == (4002, 4003, 4100, 4199)
    assert before.connection is not None
    assert media.connection is not None
    assert (before.connection.kind, media.connection.kind) == (AddressKind.UNICAST, AddressKind.UNSPECIFIED)
    second.set_port(media, 0)
    assert first.to_bytes() == PJSUA


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"m=audio 65536 RTP", "media port 65536 is outside 0 to 65535"),
        (b"m=audio 040020 RTP", "malformed m= line"),
        (b"m=audio 4002 RTP/AVP 96 0 8 101\r\nc=IN\r\na=x:", "malformed c= line"),
    ],
)
def test_values_are_judged_also_where_the_form_is_known(value: bytes, fault: str) -> None:
    body = PJSUA.replace(b"m=audio 4002 RTP", value)
    for _ in range(2):
        with pytest.raises(SdpError, match=fault):
            SessionDescription.parse(body)


def test_forms_with_keys_or_candidates_and_long_ones_are_not_kept() -> None:
    """They never come again; and strangers fill no memory."""
    sdp._KEPT.clear()
    SessionDescription.parse(TWO_STREAMS)
    SessionDescription.parse(PJSUA + b"a=candidate:1 1 UDP 1 10.0.1.1 8998 typ host\r\n")
    SessionDescription.parse(PJSUA + b"a=x:" + b"x" * sdp._MAX_KEPT_SIZE)
    assert sdp._KEPT == {}
    for number in range(2 * sdp._MAX_KEPT):
        SessionDescription.parse(PJSUA + b"a=x:%d\r\n" % number)
        assert len(sdp._KEPT) <= sdp._MAX_KEPT


def test_port_is_replaced_in_place() -> None:
    description = SessionDescription.parse(with_media(b"m=audio  4000/1\tRTP/AVP  0 8 "))
    description.set_port(description.media[0], 10002)
    assert description.to_bytes() == with_media(b"m=audio  10002/1\tRTP/AVP  0 8 ")


def test_connection_is_replaced_where_it_stands() -> None:
    body = with_media(
        b"m=audio 4000 RTP/AVP 0", b"c=IN IP4 192.0.2.7", b"c=IN IP4 224.2.1.1/127", b"c=IN IP4 0.0.0.0", b"a=x"
    )
    description = SessionDescription.parse(body)
    description.set_connection(description.media[0], connection_value("2001:db8::1"))
    assert description.to_bytes() == with_media(
        b"m=audio 4000 RTP/AVP 0", b"c=IN IP6 2001:db8::1", b"c=IN IP6 2001:db8::1", b"c=IN IP4 0.0.0.0", b"a=x"
    )
    description.set_connection(description, connection_value("203.0.113.5"))
    assert description.to_bytes().count(b"c=IN IP4 203.0.113.5\r\n") == 1


def test_rtcp_is_replaced_where_it_stands() -> None:
    lines = (b"a=rtcp:4001", b"a=rtcp:4001 IN IP4 192.0.2.7", b"a=rtcp:9 IN IP4 0.0.0.0", b"a=rtcp:junk")
    description = SessionDescription.parse(with_media(b"m=audio 4000 RTP/AVP 0", *lines))
    description.set_rtcp(description.media[0], 10003, b"IN IP4 203.0.113.5")
    assert description.to_bytes() == with_media(
        b"m=audio 4000 RTP/AVP 0",
        b"a=rtcp:10003",
        b"a=rtcp:10003 IN IP4 203.0.113.5",
        b"a=rtcp:10003 IN IP4 0.0.0.0",
        b"a=rtcp:10003",
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"m=image 4000 udptl t38\r\na=x\r\n", b"m=image 4000 udptl t38\r\nc=IN IP4 192.0.2.1\r\na=x\r\n"),
        (b"m=image 4000 udptl t38\r\ni=Fax\r\n", b"m=image 4000 udptl t38\r\ni=Fax\r\nc=IN IP4 192.0.2.1\r\n"),
        (b"m=image 4000 udptl t38\n", b"m=image 4000 udptl t38\nc=IN IP4 192.0.2.1\n"),
        (b"m=image 4000 udptl t38", b"m=image 4000 udptl t38\r\nc=IN IP4 192.0.2.1\r\n"),
        (b"m=image 4000 udptl t38\r\ni=Fax", b"m=image 4000 udptl t38\r\ni=Fax\r\nc=IN IP4 192.0.2.1\r\n"),
    ],
)
def test_connection_line_goes_after_m_and_i(before: bytes, after: bytes) -> None:
    description = SessionDescription.parse(with_media() + before)
    description.insert_connection(description.media[0], b"c=IN IP4 192.0.2.1\r\n")
    assert description.to_bytes() == with_media() + after


def test_rfc_8839_every_ice_attribute_goes_at_both_levels() -> None:
    body = with_media(
        b"a=ice-options:trickle ice2",
        b"a=ice-lite",
        b"a=icecream:vanilla",
        b"m=audio 4000 RTP/AVP 0",
        b"a=ice-ufrag:F7gI",
        b"a=ice-pwd:x9cml/YzichV2+XlhiMu8g",
        b"a=ice-pacing:50",
        b"a=ice-mismatch",
        b"a=candidate:1 1 UDP 2130706431 10.0.1.1 8998 typ host",
        b"a=end-of-candidates",
        b"a=remote-candidates:1 192.0.2.3 45664",
        b"a=candidates:no such thing",
    )
    description = SessionDescription.parse(body)
    description.remove_ice()
    assert description.to_bytes() == with_media(
        b"a=icecream:vanilla", b"m=audio 4000 RTP/AVP 0", b"a=candidates:no such thing"
    )


@pytest.mark.parametrize(
    ("text", "kind", "canonical"),
    [
        ("192.0.2.1", AddressKind.UNICAST, "192.0.2.1"),
        ("2001:DB8:0:0:0:0:0:1", AddressKind.UNICAST, "2001:db8::1"),
        ("0.0.0.0", AddressKind.UNSPECIFIED, "0.0.0.0"),
        ("::", AddressKind.UNSPECIFIED, "::"),
        ("224.2.1.1", AddressKind.MULTICAST, "224.2.1.1"),
        ("ff02::1", AddressKind.MULTICAST, "ff02::1"),
        ("255.255.255.255", AddressKind.MULTICAST, "255.255.255.255"),
        ("phone.example.com", AddressKind.NAME, "phone.example.com"),
        ("192.0.2.256", AddressKind.NAME, "192.0.2.256"),
        ("fe80::1%eth0", AddressKind.NAME, "fe80::1%eth0"),
        ("", AddressKind.NAME, ""),
    ],
)
def test_addresses(text: str, kind: AddressKind, canonical: str) -> None:
    assert classify_address(text) == (kind, canonical)


@pytest.mark.parametrize(
    ("host", "value"),
    [
        ("192.0.2.1", b"IN IP4 192.0.2.1"),
        ("2001:db8::1", b"IN IP6 2001:db8::1"),
        ("[2001:db8::1]", b"IN IP6 2001:db8::1"),
        ("pbx.example.com", b"IN IP4 pbx.example.com"),
    ],
)
def test_connection_value(host: str, value: bytes) -> None:
    assert connection_value(host) == value


def test_mutated_descriptions_parse_or_give_sdp_error() -> None:
    seed = 20240611
    chance = random.Random(seed)
    spice = [
        b"\r",
        b"\n",
        b"\x00",
        b"\xff",
        b" ",
        b":",
        b"/",
        b"=",
        b"m=",
        b"c=",
        b"a=rtcp:",
        b"0",
        b"99999",
        b"IN IP4 ",
    ]
    refused = 0
    for round_number in range(3000):
        body = bytearray(chance.choice((PJSUA, TWO_STREAMS)))
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(body))
            body[at : at + chance.choice((0, 1, 1, 3))] = chance.choice(spice)
        try:
            description = SessionDescription.parse(bytes(body))
        except SdpError:
            refused += 1
            continue
        assert description.to_bytes() == body, f"seed {seed}, round {round_number}"
        for media in description.media:
            description.set_port(media, 10000 if media.port else 0)
            description.set_rtcp(media, 10001, b"IN IP4 192.0.2.1")
            description.set_connection(media, b"IN IP4 192.0.2.1")
        SessionDescription.parse(description.to_bytes())
    assert 0 < refused < 3000
