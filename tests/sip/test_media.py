"""sip/media.py: what each side is told, what the relay is told, and that no session outlives its stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from rtp.pulse import Pulse
from sip.errors import ParseError
from sip.media import MediaAnchor, NoMediaPorts
from sip.media_relay import CALLEE, CALLER
from sip.sdp_values import Direction, SdpError

SDP = "application/sdp"
CALLER_HOST = "192.168.1.20"
CALLEE_HOST = "192.168.1.30"
RELAY = "10.0.0.1"
RELAY_6 = "2001:db8::5"


@dataclass(frozen=True)
class Event:
    at: float
    side: int
    text: str
    key: str = ""


@dataclass(frozen=True)
class Figures:
    """As much of a stream's figures as these tests look at."""

    kind: str
    side: int
    relay_port: int


@dataclass(frozen=True)
class Peer:
    rtp: tuple[str, int] | None
    rtcp: tuple[str, int] | None
    hosts: frozenset[str]
    codecs: Mapping[int, tuple[str, int]]


NOBODY = Peer(None, None, frozenset(), {})


class FakeSession:
    def __init__(self, relay: FakeRelay, kind: str, ports: tuple[int, int]) -> None:
        self.relay = relay
        self.kind = kind
        self.ports = ports
        self.peers: dict[int, Peer] = {}
        self.calls = 0
        self.events: list[Event] = []
        self.packet_at: float | None = None

    def set_peer(
        self,
        side: int,
        rtp: tuple[str, int] | None,
        rtcp: tuple[str, int] | None,
        hosts: frozenset[str],
        codecs: Mapping[int, tuple[str, int]],
    ) -> None:
        assert self in self.relay.open_sessions, "set_peer on a closed session"
        peer = Peer(rtp, rtcp, hosts, dict(codecs))
        if self.peers.get(side) != peer:
            self.calls += 1
        self.peers[side] = peer

    def pulses(self) -> tuple[Pulse, Pulse]:
        return Pulse(packets=self.ports[0]), Pulse(packets=self.ports[1], heard_at=self.packet_at)

    def drain_events(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def close(self) -> tuple[Figures, Figures]:
        self.relay.open_sessions.remove(self)
        return self.figures()

    def quality(self) -> tuple[()]:
        return ()

    def headers(self) -> tuple[()]:
        return ()

    def figures(self) -> tuple[Figures, Figures]:
        return Figures(self.kind, 0, self.ports[0]), Figures(self.kind, 1, self.ports[1])


class FakeRelay:
    """Hands out ports 10000/10002, 10004/10006, ... and never the same twice."""

    def __init__(self, capacity: int = 100) -> None:
        self.capacity = capacity
        self.opened = 0
        self.open_sessions: list[FakeSession] = []

    def open(self, call_id: str, kind: str) -> FakeSession | None:
        assert call_id == "call@test"
        if len(self.open_sessions) >= self.capacity:
            return None
        first = 10000 + 4 * self.opened
        self.opened += 1
        session = FakeSession(self, kind, (first, first + 2))
        self.open_sessions.append(session)
        return session


class Pair:
    """A caller and a callee with an anchor between them."""

    def __init__(self, relay: FakeRelay) -> None:
        self.relay = relay
        self.anchor = MediaAnchor(relay, "call@test")

    def from_caller(self, body: bytes, advertised: str = RELAY) -> bytes:
        return self.anchor.rewrite(CALLER, SDP, body, CALLER_HOST, advertised)

    def from_callee(self, body: bytes, advertised: str = RELAY) -> bytes:
        return self.anchor.rewrite(CALLEE, SDP, body, CALLEE_HOST, advertised)

    def establish(self, offer: bytes, answer: bytes) -> None:
        self.from_caller(offer)
        self.from_callee(answer)
        self.anchor.commit()

    def session(self, index: int = 0) -> FakeSession:
        return self.relay.open_sessions[index]


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay()


@pytest.fixture
def pair(relay: FakeRelay) -> Iterator[Pair]:
    """Every test ends with nothing open, however it got there."""
    pair = Pair(relay)
    yield pair
    assert pair.anchor.open_sessions == len(relay.open_sessions)
    pair.anchor.close()
    assert relay.open_sessions == []
    assert pair.anchor.open_sessions == 0


def sdp(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def simple(host: str, *media: str) -> bytes:
    """A description of streams such as "audio 4000" or "audio 4000 sendonly"."""
    text = f"v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\n"
    for line in media:
        kind, port, *attributes = line.split()
        text += f"m={kind} {port} RTP/AVP {0 if kind == 'audio' else 34}\n" + "".join(f"a={a}\n" for a in attributes)
    return sdp(text)


def caller(*media: str) -> bytes:
    return simple(CALLER_HOST, *media)


def callee(*media: str) -> bytes:
    return simple(CALLEE_HOST, *media)


def ports(body: bytes) -> list[int]:
    return [int(line.split()[1]) for line in body.splitlines() if line.startswith(b"m=")]


# ------------------------------------------------------------------------------------------------ byte for byte

BARESIP = (
    """v=0
o=- 1234567890 42 IN IP4 192.168.1.20
s=-
c=IN IP4 192.168.1.20
t=0 0
a=tool:baresip 1.0.0
m=audio 25102 RTP/AVP 96 8 0 101
b=AS:125
a=rtpmap:96 opus/48000/2
a=fmtp:96 stereo=1;sprop-stereo=1
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtcp:25103
a=sendrecv
a=label:1
a=rtcp-rsize
a=ssrc:3215841190 cname:sip:100@pbx
a=ptime:20
""",
    """v=0
o=- 1234567890 42 IN IP4 192.168.1.20
s=-
c=IN IP4 10.0.0.1
t=0 0
a=tool:baresip 1.0.0
m=audio 10002 RTP/AVP 96 8 0 101
b=AS:125
a=rtpmap:96 opus/48000/2
a=fmtp:96 stereo=1;sprop-stereo=1
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtcp:10003
a=sendrecv
a=label:1
a=rtcp-rsize
a=ssrc:3215841190 cname:sip:100@pbx
a=ptime:20
""",
)
LINPHONE = (
    """v=0
o=101 3746 2261 IN IP4 192.168.1.20
s=Talk
c=IN IP4 192.168.1.20
t=0 0
a=ice-pwd:af7e0b6ae5d3d5d9d8f0a3c1
a=ice-ufrag:96b3a4c5
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
a=record:off
m=audio 7078 RTP/AVPF 96 97 98 0 8 101
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:97 speex/16000
a=fmtp:97 vbr=on
a=rtpmap:98 speex/8000
a=rtpmap:101 telephone-event/48000
a=rtcp:51273
a=candidate:1 1 UDP 2130706303 192.168.1.20 7078 typ host
a=candidate:1 2 UDP 2130706302 192.168.1.20 7079 typ host
a=rtcp-fb:* trr-int 1000
a=rtcp-fb:* ccm tmmbr
m=video 9078 RTP/AVPF 96
c=IN IP4 192.168.1.21
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
""",
    """v=0
o=101 3746 2261 IN IP4 192.168.1.20
s=Talk
c=IN IP4 10.0.0.1
t=0 0
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
a=record:off
m=audio 10002 RTP/AVPF 96 97 98 0 8 101
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:97 speex/16000
a=fmtp:97 vbr=on
a=rtpmap:98 speex/8000
a=rtpmap:101 telephone-event/48000
a=rtcp:10003
a=rtcp-fb:* trr-int 1000
a=rtcp-fb:* ccm tmmbr
m=video 10006 RTP/AVPF 96
c=IN IP4 10.0.0.1
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
""",
)
TWINKLE = (
    """v=0
o=twinkle 1482365241 1016457301 IN IP4 192.168.1.20
s=-
c=IN IP4 192.168.1.20
t=0 0
m=audio 8000 RTP/AVP 98 97 8 0 3 101
a=rtpmap:98 speex/16000
a=rtpmap:97 speex/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:3 GSM/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=zrtp-hash:1.10 4c8b2a
""",
    """v=0
o=twinkle 1482365241 1016457301 IN IP4 192.168.1.20
s=-
c=IN IP4 10.0.0.1
t=0 0
m=audio 10002 RTP/AVP 98 97 8 0 3 101
a=rtpmap:98 speex/16000
a=rtpmap:97 speex/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:3 GSM/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=zrtp-hash:1.10 4c8b2a
""",
)
PJSUA = (
    """v=0
o=- 3905071234 3905071234 IN IP4 192.168.1.20
s=pjmedia
b=AS:117
t=0 0
a=X-nat:0
m=audio 4002 RTP/AVP 98 8 0 120
c=IN IP4 192.168.1.20
b=TIAS:96000
a=rtcp:4003 IN IP4 192.168.1.20
a=sendrecv
a=rtpmap:98 speex/16000
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:120 telephone-event/8000
a=fmtp:120 0-16
a=ssrc:1298761 cname:3f2a4c1d
""",
    """v=0
o=- 3905071234 3905071234 IN IP4 192.168.1.20
s=pjmedia
b=AS:117
t=0 0
a=X-nat:0
m=audio 10002 RTP/AVP 98 8 0 120
c=IN IP4 10.0.0.1
b=TIAS:96000
a=rtcp:10003 IN IP4 10.0.0.1
a=sendrecv
a=rtpmap:98 speex/16000
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:120 telephone-event/8000
a=fmtp:120 0-16
a=ssrc:1298761 cname:3f2a4c1d
""",
)
MOBILE_APP_SDES = (
    """v=0
o=Z 0 83 IN IP4 192.168.1.20
s=Z
c=IN IP4 192.168.1.20
t=0 0
m=audio 57211 RTP/SAVP 106 9 8 101
a=rtpmap:106 opus/48000/2
a=fmtp:106 sprop-maxcapturerate=16000; minptime=20; useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4
a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20|1:4
a=sendrecv
""",
    """v=0
o=Z 0 83 IN IP4 192.168.1.20
s=Z
c=IN IP4 10.0.0.1
t=0 0
m=audio 10002 RTP/SAVP 106 9 8 101
a=rtpmap:106 opus/48000/2
a=fmtp:106 sprop-maxcapturerate=16000; minptime=20; useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4
a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20|1:4
a=sendrecv
""",
)
BROWSER = (
    """v=0
o=- 4962303333179871722 1 IN IP4 127.0.0.1
s=-
t=0 0
a=ice-options:trickle
a=group:BUNDLE 0
a=msid-semantic: WMS
m=audio 54609 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 192.168.1.20
a=mid:0
a=rtcp:54609 IN IP4 192.168.1.20
a=ice-ufrag:074c6550
a=ice-pwd:a28a397a4c3f31747d1ee3474af08a06
a=candidate:0 1 UDP 2122252543 192.168.1.20 54609 typ host
a=end-of-candidates
a=fingerprint:sha-256 19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04
a=setup:actpass
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
""",
    """v=0
o=- 4962303333179871722 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic: WMS
m=audio 10002 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 10.0.0.1
a=mid:0
a=rtcp:10002 IN IP4 10.0.0.1
a=fingerprint:sha-256 19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04
a=setup:actpass
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
""",
)


@pytest.mark.parametrize(("before", "after"), [BARESIP, LINPHONE, TWINKLE, PJSUA, MOBILE_APP_SDES, BROWSER])
@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_descriptions_of_real_phones(pair: Pair, before: str, after: str, line_end: str) -> None:
    body = before.replace("\n", line_end).encode()
    assert pair.from_caller(body) == after.replace("\n", line_end).encode()


def test_what_the_relay_learns_of_a_real_phone(pair: Pair) -> None:
    pair.from_caller(sdp(LINPHONE[0]))
    audio, video = pair.relay.open_sessions
    assert (audio.kind, video.kind) == ("audio", "video")
    assert audio.peers == {
        CALLER: Peer(
            (CALLER_HOST, 7078),
            (CALLER_HOST, 51273),
            frozenset({CALLER_HOST}),
            {96: ("opus", 48000), 97: ("speex", 16000), 98: ("speex", 8000), 101: ("telephone-event", 48000)},
        )
    }
    assert video.peers == {
        CALLER: Peer(
            ("192.168.1.21", 9078),
            ("192.168.1.21", 9079),
            frozenset({"192.168.1.21", CALLER_HOST}),
            {96: ("VP8", 90000)},
        )
    }


def test_each_side_gets_the_port_that_faces_it(pair: Pair) -> None:
    assert ports(pair.from_caller(caller("audio 4000"))) == [10002]
    assert ports(pair.from_callee(callee("audio 5000"))) == [10000]
    assert pair.session().peers[CALLER].rtp == (CALLER_HOST, 4000)
    assert pair.session().peers[CALLEE].rtp == (CALLEE_HOST, 5000)
    assert pair.anchor.open_sessions == 1


def test_address_families_may_differ_on_the_two_sides(pair: Pair) -> None:
    offer = sdp(
        "v=0\no=- 1 1 IN IP6 2001:DB8::20\ns=-\nc=IN IP6 2001:DB8::20\nt=0 0\n"
        "m=audio 4000 RTP/AVP 0\na=rtcp:4011 IN IP6 2001:DB8::21\n"
    )
    assert pair.from_caller(offer, RELAY) == sdp(
        "v=0\no=- 1 1 IN IP6 2001:DB8::20\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\n"
        "m=audio 10002 RTP/AVP 0\na=rtcp:10003 IN IP4 10.0.0.1\n"
    )
    assert pair.session().peers[CALLER] == Peer(
        ("2001:db8::20", 4000), ("2001:db8::21", 4011), frozenset({"2001:db8::20", CALLER_HOST}), {}
    )
    assert b"\r\nc=IN IP6 2001:db8::5\r\n" in pair.from_callee(callee("audio 5000"), RELAY_6)


def test_phone_behind_nat_may_send_from_where_it_signals(pair: Pair) -> None:
    pair.anchor.rewrite(CALLER, SDP, caller("audio 4000"), "198.51.100.7", RELAY)
    assert pair.session().peers[CALLER].hosts == {CALLER_HOST, "198.51.100.7"}


def test_host_name_stands_for_where_the_signalling_comes_from(pair: Pair) -> None:
    body = pair.from_caller(simple("phone.example.com", "audio 4000"))
    assert pair.session().peers[CALLER] == Peer((CALLER_HOST, 4000), (CALLER_HOST, 4001), frozenset({CALLER_HOST}), {})
    assert b"c=IN IP4 10.0.0.1\r\n" in body


@pytest.mark.parametrize("address", ["224.2.1.1/127", "255.255.255.255"])
def test_multicast_is_never_sent_to(pair: Pair, address: str) -> None:
    pair.from_caller(simple(address, "audio 4000"))
    assert pair.session().peers[CALLER] == Peer(None, None, frozenset({CALLER_HOST}), {})


def test_highest_port_leaves_none_for_rtcp(pair: Pair) -> None:
    pair.from_caller(caller("audio 65535"))
    assert pair.session().peers[CALLER].rtp == (CALLER_HOST, 65535)
    assert pair.session().peers[CALLER].rtcp is None


def test_rfc_3605_rtcp_of_a_side_that_named_a_hidden_address(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000 rtcp:4010") + b"a=rtcp:9 IN IP4 0.0.0.0\r\n")
    assert pair.session().peers[CALLER].rtcp == (CALLER_HOST, 4010)


def test_streams_past_the_relay_keep_their_address(pair: Pair) -> None:
    """Fax and message sessions are not relayed; the session's c= line must not lead them to us."""
    offer = caller("audio 4000") + sdp("m=image 4100 udptl t38\ni=Fax\na=T38FaxVersion:0\nm=message 0 TCP/MSRP *\n")
    assert pair.from_caller(offer) == offer.replace(b"c=IN IP4 192.168.1.20", b"c=IN IP4 10.0.0.1").replace(
        b"audio 4000", b"audio 10002"
    ).replace(b"i=Fax\r\n", b"i=Fax\r\nc=IN IP4 192.168.1.20\r\n")
    assert pair.anchor.open_sessions == 1


@pytest.mark.parametrize(
    "body",
    [
        caller(),
        caller() + b"m=image 4100 udptl t38\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.168.1.20\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n",
    ],
)
def test_description_without_a_stream_for_the_relay_stays(pair: Pair, body: bytes) -> None:
    assert pair.from_caller(body) == body
    assert pair.anchor.open_sessions == 0


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/dtmf-relay", "message/sipfrag"])
def test_other_bodies_stay(pair: Pair, content_type: str) -> None:
    assert pair.anchor.rewrite(CALLER, content_type, caller("audio 4000"), CALLER_HOST, RELAY) == caller("audio 4000")
    assert pair.anchor.open_sessions == 0


def test_empty_body_stays(pair: Pair) -> None:
    assert pair.from_caller(b"") == b""


def test_content_type_in_any_case_with_parameters(pair: Pair) -> None:
    body = pair.anchor.rewrite(CALLER, "Application/SDP; charset=utf-8", caller("audio 4000"), CALLER_HOST, RELAY)
    assert ports(body) == [10002]


def test_sdp_part_of_a_multipart_body(pair: Pair) -> None:
    parts = (
        b"--b\r\nContent-Type: application/sdp\r\n\r\n%b\r\n--b\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--b--\r\n"
    )
    result = pair.anchor.rewrite(CALLER, "multipart/mixed;boundary=b", parts % caller("audio 4000"), CALLER_HOST, RELAY)
    assert result == parts % simple(RELAY, "audio 10002").replace(b"1 1 IN IP4 10.0.0.1", b"1 1 IN IP4 192.168.1.20")


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"junk", 400),
        (b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n", 400),
        (caller("audio 4000").replace(b"c=IN IP4 192.168.1.20", b"c=IN IP4"), 400),
        (caller("audio 4000").replace(b"c=IN IP4 192.168.1.20", b"c=TN RFC2543 +1-201"), 488),
        (caller("audio 4000/2"), 488),
        (caller("audio 4000") + b"m=audio\r\n", 400),
        (caller("audio 4000", "audio 4002") + b"c=IN IP4\r\n", 400),
    ],
)
def test_refused_description_opens_nothing(pair: Pair, body: bytes, status: int) -> None:
    with pytest.raises(SdpError) as caught:
        pair.from_caller(body)
    assert caught.value.status == status
    assert pair.relay.opened == 0


def test_malformed_multipart_opens_nothing(pair: Pair) -> None:
    part = b"--b\r\nContent-Type: application/sdp\r\n\r\n" + caller("audio 4000")
    with pytest.raises(ParseError):
        pair.anchor.rewrite(CALLER, "multipart/mixed;boundary=b", part + b"\r\n" + part, CALLER_HOST, RELAY)
    assert pair.relay.opened == 0


def test_refused_re_invite_leaves_the_call_as_it_was(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    before = dict(pair.session().peers)
    pair.anchor.begin()
    with pytest.raises(SdpError):
        pair.from_caller(caller("audio 4000", "video 4100/2"))
    pair.anchor.rollback()
    assert pair.session().peers == before
    assert pair.relay.opened == 1


def test_no_ports_left_opens_nothing(pair: Pair) -> None:
    pair.relay.capacity = 1
    with pytest.raises(NoMediaPorts, match="stream 2 \\(video\\)"):
        pair.from_caller(caller("audio 4000", "video 4100"))
    assert pair.relay.opened == 1
    assert pair.anchor.open_sessions == 0
    assert pair.anchor.close() == ()


def test_no_ports_for_an_added_stream_leaves_the_call_as_it_was(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    pair.relay.capacity = 1
    before = dict(pair.session().peers)
    pair.anchor.begin()
    with pytest.raises(NoMediaPorts):
        pair.from_caller(caller("audio 4444", "video 4100"))
    assert pair.session().peers == before
    pair.anchor.rollback()
    assert pair.session().peers == before


# ------------------------------------------------------------------------------------------------ repeats


def test_same_body_again_same_bytes_and_nothing_changes(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000"))
    answers = {pair.from_callee(callee("audio 5000")) for _ in range(5)}
    assert len(answers) == 1
    assert pair.relay.opened == 1
    assert pair.session().calls == 2


def test_200_repeated_after_the_ack_refused_a_stream_is_identical(pair: Pair) -> None:
    offer = callee("audio 5000", "video 5100")
    first = pair.from_callee(offer)
    pair.anchor.commit()
    pair.from_caller(caller("audio 4000", "video 0"))
    assert pair.anchor.open_sessions == 1
    assert pair.from_callee(offer) == first
    assert pair.anchor.open_sessions == 1


def test_body_of_another_kind_in_between_changes_nothing(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000"))
    first = pair.from_callee(callee("audio 5000"))
    pair.anchor.rewrite(CALLEE, "application/dtmf-relay", b"Signal=5\r\n", CALLEE_HOST, RELAY)
    assert pair.from_callee(callee("audio 5000")) == first
    assert pair.session().calls == 2


def test_same_body_for_another_advertised_address_is_written_anew(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000"))
    assert b"c=IN IP4 10.9.9.9\r\n" in pair.from_caller(caller("audio 4000"), "10.9.9.9")
    assert pair.relay.opened == 1


# ------------------------------------------------------------------------------------------------ offer and answer


def test_early_media_from_two_devices_then_the_answer(pair: Pair) -> None:
    """Several early answers may come through one branch; the last word counts, and the first reject is none."""
    pair.from_caller(caller("audio 4000", "video 4100"))
    assert ports(pair.from_callee(callee("audio 5000", "video 0"))) == [10000, 0]
    assert pair.anchor.open_sessions == 2
    assert ports(pair.from_callee(callee("audio 6000", "video 6100"))) == [10000, 10004]
    assert pair.session(0).peers[CALLEE].rtp == (CALLEE_HOST, 6000)
    assert pair.session(1).peers[CALLEE].rtp == (CALLEE_HOST, 6100)
    pair.anchor.commit()
    assert pair.anchor.open_sessions == 2


def test_late_offer(pair: Pair) -> None:
    """RFC 3261 13.2.1: the offer in the 200, the answer in the ACK."""
    assert ports(pair.from_callee(callee("audio 5000", "video 5100"))) == [10000, 10004]
    pair.anchor.commit()
    assert pair.anchor.open_sessions == 2
    assert ports(pair.from_caller(caller("audio 4000", "video 4100"))) == [10002, 10006]
    assert pair.anchor.open_sessions == 2


@pytest.mark.parametrize("commit_first", [False, True])
def test_stream_rejected_by_the_answer_frees_its_ports(pair: Pair, commit_first: bool) -> None:
    pair.from_caller(caller("audio 4000", "video 4100"))
    if commit_first:
        pair.anchor.commit()
        assert pair.anchor.open_sessions == 2
    assert ports(pair.from_callee(callee("audio 5000", "video 0"))) == [10000, 0]
    pair.anchor.commit()
    assert [session.kind for session in pair.relay.open_sessions] == ["audio"]


def test_rejected_stream_carries_nothing_while_its_ports_are_kept(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000", "video 4100"))
    pair.from_callee(callee("audio 5000", "video 0"))
    assert pair.session(1).peers[CALLEE] == NOBODY


def test_answer_with_fewer_streams_rejects_the_rest(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000", "video 4100"))
    pair.from_callee(callee("audio 5000"))
    assert pair.session(1).peers[CALLEE] == NOBODY
    pair.anchor.commit()
    assert [session.kind for session in pair.relay.open_sessions] == ["audio"]


def test_rfc_3264_6_answer_with_more_streams_is_refused(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000"))
    with pytest.raises(SdpError):
        pair.from_callee(callee("audio 5000", "video 5100"))
    assert pair.relay.opened == 1


def test_rfc_3264_8_2_answer_to_a_removed_stream_is_port_0(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000", "video 0"))
    assert ports(pair.from_callee(callee("audio 5000", "video 5100"))) == [10000, 0]
    assert pair.relay.opened == 1


def test_second_offer_before_the_answer(pair: Pair) -> None:
    """A PRACK may carry one more offer of the caller (RFC 3262 5)."""
    pair.from_caller(caller("audio 4000"))
    pair.from_callee(callee("audio 5000"))
    assert ports(pair.from_caller(caller("audio 4002", "video 4100"))) == [10002, 10006]
    assert ports(pair.from_callee(callee("audio 5000", "video 5100"))) == [10000, 10004]
    pair.anchor.commit()
    assert pair.anchor.open_sessions == 2


def test_early_update_settles_the_first_exchange(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000", "video 4100"))
    pair.from_callee(callee("audio 5000", "video 0"))
    pair.anchor.begin()
    assert [session.kind for session in pair.relay.open_sessions] == ["audio"]


def test_same_port_for_bundled_streams(pair: Pair) -> None:
    assert ports(pair.from_caller(caller("audio 4000", "video 4000"))) == [10002, 10006]
    assert pair.session(0).peers[CALLER].rtp == pair.session(1).peers[CALLER].rtp


def test_rfc_8843_bundle_only_stream_is_answered(pair: Pair) -> None:
    assert ports(pair.from_caller(caller("audio 4000", "video 0 bundle-only"))) == [10002, 0]
    assert pair.anchor.open_sessions == 1
    assert ports(pair.from_callee(callee("audio 5000", "video 5000"))) == [10000, 10004]
    pair.anchor.commit()
    assert pair.anchor.open_sessions == 2


# ------------------------------------------------------------------------------------------------ re-INVITE


def test_port_change_by_either_side_keeps_our_ports(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    pair.anchor.begin()
    assert ports(pair.from_callee(callee("audio 5500"))) == [10000]
    assert ports(pair.from_caller(caller("audio 4400"))) == [10002]
    pair.anchor.commit()
    assert pair.relay.opened == 1
    assert pair.session().peers[CALLER].rtp == (CALLER_HOST, 4400)
    assert pair.session().peers[CALLEE].rtp == (CALLEE_HOST, 5500)


def test_stream_added_removed_and_revived(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    for round_number in range(1, 4):
        pair.anchor.begin()
        pair.from_callee(callee("audio 5000", "video 5100"))
        assert ports(pair.from_caller(caller("audio 4000", "video 4100"))) == [10002, 10002 + 4 * round_number]
        pair.anchor.commit()
        assert pair.anchor.open_sessions == 2
        pair.anchor.begin()
        pair.from_caller(caller("audio 4000", "video 0"))
        pair.from_callee(callee("audio 5000", "video 0"))
        assert pair.anchor.open_sessions == 2
        pair.anchor.commit()
        assert pair.anchor.open_sessions == 1
    figures = pair.anchor.close()
    assert [(figure.kind, figure.side) for figure in figures] == [("video", 0), ("video", 1)] * 3 + [
        ("audio", 0),
        ("audio", 1),
    ]


def test_revived_stream_survives_a_commit_before_its_answer(pair: Pair) -> None:
    pair.establish(caller("audio 4000", "video 4100"), callee("audio 5000", "video 0"))
    pair.anchor.begin()
    offered = ports(pair.from_caller(caller("audio 4000", "video 4100")))
    pair.anchor.commit()
    assert ports(pair.from_callee(callee("audio 5000", "video 5100")))[1] == offered[1] - 2
    assert pair.anchor.open_sessions == 2


def test_fax_in_the_place_of_audio_frees_the_ports_and_audio_comes_back(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    pair.anchor.begin()
    pair.from_callee(callee() + b"m=image 5200 udptl t38\r\n")
    assert pair.session().peers[CALLEE] == NOBODY
    pair.from_caller(caller() + b"m=image 4200 udptl t38\r\n")
    pair.anchor.commit()
    assert pair.anchor.open_sessions == 0
    assert pair.anchor.held()
    pair.anchor.begin()
    assert ports(pair.from_callee(callee("audio 5000"))) == [10004]


def test_rejected_re_invite_brings_everything_back(pair: Pair) -> None:
    pair.establish(caller("audio 4000", "video 4100"), callee("audio 5000", "video 5100"))
    before = [dict(session.peers) for session in pair.relay.open_sessions]
    described = pair.anchor.describe_later()()
    pair.anchor.begin()
    pair.from_caller(caller("audio 4400", "video 0", "audio 4600"))
    assert pair.anchor.open_sessions == 3
    assert pair.session(1).peers[CALLER] == NOBODY
    pair.anchor.rollback()
    assert [session.peers for session in pair.relay.open_sessions] == before
    assert pair.anchor.describe_later()() == described


def test_rollback_after_an_early_answer_brings_both_sides_back(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    before = dict(pair.session().peers)
    pair.anchor.begin()
    pair.from_caller(caller("audio 4400"))
    pair.from_callee(callee("audio 0"))
    pair.anchor.rollback()
    assert pair.session().peers == before
    assert pair.relay.opened == 1


def test_rejected_re_invite_does_not_forget_the_last_200(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000"))
    answer = pair.from_callee(callee("audio 5000"))
    pair.anchor.commit()
    pair.anchor.begin()
    pair.from_caller(caller("audio 4400", "video 4100"))
    pair.anchor.rollback()
    calls = pair.session().calls
    assert pair.from_callee(callee("audio 5000")) == answer
    assert pair.session().calls == calls


def test_rejected_re_invite_does_not_reopen_what_the_ack_refused(pair: Pair) -> None:
    offer = callee("audio 5000", "video 5100")
    first = pair.from_callee(offer)
    pair.anchor.commit()
    pair.from_caller(caller("audio 4000", "video 0"))
    pair.anchor.begin()
    pair.from_caller(caller("audio 4400", "video 0"))
    pair.anchor.rollback()
    assert pair.from_callee(offer) == first
    assert pair.anchor.open_sessions == 1


def test_rejected_early_update_leaves_the_next_answer_an_answer(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000", "video 4100"))
    pair.from_callee(callee("audio 5000", "video 5100"))
    pair.anchor.begin()
    pair.from_callee(callee("audio 5500", "video 5600"))
    pair.anchor.rollback()
    assert ports(pair.from_callee(callee("audio 5000", "video 0"))) == [10000, 0]
    assert pair.anchor.open_sessions == 2
    pair.anchor.commit()
    assert pair.anchor.open_sessions == 1


def test_rejected_offer_does_not_answer_an_earlier_one(pair: Pair) -> None:
    """The revived video waits for the callee's answer, whatever became of another offer meanwhile."""
    pair.establish(caller("audio 4000", "video 4100"), callee("audio 5000", "video 0"))
    pair.anchor.begin()
    offered = ports(pair.from_caller(caller("audio 4000", "video 4100")))
    pair.anchor.commit()
    pair.anchor.begin()
    pair.from_caller(caller("audio 4400", "video 4100"))
    pair.from_callee(callee("audio 5500", "video 5100"))
    pair.anchor.rollback()
    pair.anchor.commit()
    assert pair.anchor.open_sessions == 2
    assert ports(pair.from_callee(callee("audio 5000", "video 5100")))[1] == offered[1] - 2


def test_session_refresh_with_the_same_body_is_a_new_offer(pair: Pair) -> None:
    pair.establish(caller("audio 4000", "video 4100"), callee("audio 5000", "video 0"))
    pair.anchor.begin()
    assert ports(pair.from_caller(caller("audio 4000", "video 4100"))) == [10002, 10010]
    assert ports(pair.from_callee(callee("audio 5000", "video 0"))) == [10000, 0]
    pair.anchor.commit()
    assert pair.anchor.open_sessions == 1


def test_re_invite_without_a_body_changes_nothing(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    before = dict(pair.session().peers)
    pair.anchor.begin()
    pair.anchor.commit()
    pair.anchor.begin()
    pair.anchor.rollback()
    assert pair.session().peers == before


def test_crossing_offers_both_rejected(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    before = dict(pair.session().peers)
    pair.anchor.begin()
    pair.from_caller(caller("audio 4400"))
    pair.anchor.begin()
    pair.from_callee(callee("audio 5500", "video 5600"))
    pair.anchor.rollback()
    pair.anchor.rollback()
    assert pair.relay.open_sessions == [pair.session()]
    assert pair.session().peers == before


@pytest.mark.parametrize("commit_first", [False, True])
def test_crossing_offers_one_accepted(pair: Pair, commit_first: bool) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    pair.anchor.begin()
    pair.from_caller(caller("audio 4400"))
    pair.anchor.begin()
    pair.from_callee(callee("audio 5500"))
    if not commit_first:
        pair.anchor.rollback()
    pair.from_caller(caller("audio 4444"))
    pair.anchor.commit()
    if commit_first:
        pair.anchor.rollback()
    assert pair.session().peers[CALLER].rtp == (CALLER_HOST, 4444)
    assert pair.session().peers[CALLEE].rtp == (CALLEE_HOST, 5500)


def test_rollback_without_begin_changes_nothing(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000"))
    pair.anchor.rollback()
    assert pair.session().peers[CALLER].rtp == (CALLER_HOST, 4000)


# ------------------------------------------------------------------------------------------------ hold


@pytest.mark.parametrize(
    ("offer", "answer", "held"),
    [
        (caller("audio 4000"), callee("audio 5000"), False),
        (caller("audio 4000 sendrecv"), callee("audio 5000 sendrecv"), False),
        (caller("audio 4000 sendonly"), callee("audio 5000 recvonly"), True),
        (caller("audio 4000 inactive"), callee("audio 5000 inactive"), True),
        (caller("audio 4000"), callee("audio 5000 recvonly"), True),
        (simple("0.0.0.0", "audio 4000"), callee("audio 5000"), True),
        (caller("audio 4000 sendonly", "video 4100"), callee("audio 5000 recvonly", "video 5100"), False),
        (caller("audio 4000 sendonly", "video 4100"), callee("audio 5000 recvonly", "video 0"), True),
        (caller("audio 4000 sendonly", "video 0"), callee("audio 5000 recvonly", "video 0"), True),
    ],
)
def test_held(pair: Pair, offer: bytes, answer: bytes, held: bool) -> None:
    pair.establish(offer, answer)
    assert pair.anchor.held() is held


def test_hold_at_session_level_and_resume(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    pair.anchor.begin()
    hold = caller("audio 4000").replace(b"t=0 0\r\n", b"t=0 0\r\na=inactive\r\n")
    assert b"\r\na=inactive\r\n" in pair.from_caller(hold)
    pair.from_callee(callee("audio 5000 inactive"))
    pair.anchor.commit()
    assert pair.anchor.held()
    pair.anchor.begin()
    pair.from_caller(caller("audio 4000"))
    pair.from_callee(callee("audio 5000"))
    pair.anchor.commit()
    assert not pair.anchor.held()
    assert pair.relay.opened == 1


def test_rfc_2543_hold_address_reaches_the_other_side(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    pair.anchor.begin()
    hold = simple("0.0.0.0", "audio 4000")
    assert pair.from_caller(hold) == hold.replace(b"audio 4000", b"audio 10002")
    assert pair.session().peers[CALLER] == Peer(None, None, frozenset({CALLER_HOST}), {})
    pair.from_callee(callee("audio 5000"))
    pair.anchor.commit()
    assert pair.anchor.open_sessions == 1


def test_unspecified_ipv6_is_hold_too(pair: Pair) -> None:
    body = simple("h", "audio 4000").replace(b"c=IN IP4 h", b"c=IN IP6 ::")
    assert b"\r\nc=IN IP6 ::\r\n" in pair.from_caller(body)
    assert pair.anchor.held()


# ------------------------------------------------------------------------------------------------ figures and records


def test_last_packet_is_the_latest_of_all_streams(pair: Pair) -> None:
    assert pair.anchor.look().last_at is None
    pair.establish(caller("audio 4000", "video 4100"), callee("audio 5000", "video 5100"))
    assert pair.anchor.look().last_at is None
    pair.session(0).packet_at = 12.0
    assert pair.anchor.look().last_at == 12.0
    pair.session(1).packet_at = 15.5
    assert pair.anchor.look().last_at == 15.5


def test_events_of_open_and_closed_streams_in_order(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000", "video 4100"))
    pair.session(0).events = [Event(1.0, 0, "first"), Event(3.0, 1, "third")]
    pair.session(1).events = [Event(2.0, 0, "second")]
    pair.from_callee(callee("audio 5000", "video 0"))
    pair.anchor.commit()
    assert [event.text for event in pair.anchor.drain_events()] == ["first", "second", "third"]
    assert pair.anchor.drain_events() == []
    pair.session().events = [Event(4.0, 0, "last")]
    pair.anchor.close()
    assert [event.text for event in pair.anchor.drain_events()] == ["last"]


def test_close_gives_figures_again(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    figures = pair.anchor.close()
    assert [(figure.side, figure.relay_port) for figure in figures] == [(0, 10000), (1, 10002)]
    assert pair.anchor.close() == figures


def test_late_answer_after_close_is_written_as_rejected(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000"))
    early = pair.from_callee(callee("audio 5000"))
    pair.anchor.close()
    assert pair.from_callee(callee("audio 5000")) == early
    late = pair.from_callee(callee("audio 5002"))
    assert late == callee("audio 0").replace(b"c=IN IP4 192.168.1.30", b"c=IN IP4 10.0.0.1")
    pair.anchor.begin()
    pair.anchor.commit()
    pair.anchor.rollback()
    assert pair.relay.open_sessions == []


def test_rollback_after_close_opens_and_closes_nothing(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    pair.anchor.begin()
    pair.from_caller(caller("audio 4400", "video 4100"))
    figures = pair.anchor.close()
    pair.anchor.rollback()
    assert pair.anchor.close() == figures


def test_description_for_the_records(pair: Pair) -> None:
    assert pair.anchor.describe_later()() == ()
    pair.from_caller(sdp(MOBILE_APP_SDES[0]) + b"m=image 4100 udptl t38\r\n")
    audio, fax = pair.anchor.describe_later()()
    assert (audio.place, audio.kind, audio.protocol, audio.relay_ports) == (0, "audio", "RTP/SAVP", (10000, 10002))
    assert audio.callee is None
    assert audio.caller is not None
    assert audio.caller.codecs == ("opus", "G722", "PCMA", "telephone-event")
    assert audio.caller.secure
    assert audio.caller.address == "192.168.1.20:57211"
    assert audio.caller.direction is Direction.SENDRECV
    assert not audio.caller.rejected
    assert (fax.kind, fax.relay_ports) == ("image", None)
    pair.from_callee(simple("2001:db8::9", "audio 0 recvonly").replace(b"IP4", b"IP6"))
    audio, fax = pair.anchor.describe_later()()
    assert audio.callee is not None
    assert (audio.callee.rejected, audio.callee.direction) == (True, Direction.RECVONLY)
    assert audio.callee.address == "[2001:db8::9]:0"
    assert fax.callee is None


def test_figures_of_closed_streams_are_bounded(pair: Pair) -> None:
    pair.establish(caller("audio 4000"), callee("audio 5000"))
    for _ in range(300):
        pair.anchor.begin()
        pair.from_caller(caller("audio 4000", "video 4100"))
        pair.anchor.rollback()
    assert len(pair.anchor.close()) == 256


def test_two_branches_of_a_fork_have_streams_of_their_own(relay: FakeRelay) -> None:
    first, second = Pair(relay), Pair(relay)
    assert ports(first.from_caller(caller("audio 4000"))) == [10002]
    assert ports(second.from_caller(caller("audio 4000"))) == [10006]
    first.anchor.close()
    assert ports(second.from_callee(callee("audio 5000"))) == [10004]
    assert second.anchor.open_sessions == 1
    second.anchor.close()
    assert relay.open_sessions == []


# ------------------------------------------------------------------------------------------------ what is watched


def test_the_open_streams_of_sound_are_watched_with_the_pulses_of_both_sides(pair: Pair) -> None:
    pair.establish(caller("audio 4000", "video 4002", "audio 4004"), callee("audio 5000", "video 5002", "audio 0"))
    (watched,) = pair.anchor.look().sound
    assert (watched.ports, watched.both_ways) == ((10_000, 10_002), True)
    assert [pulse.packets for pulse in watched.pulses] == [10_000, 10_002]


@pytest.mark.parametrize(
    ("offered", "answered"), [("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")]
)
def test_sound_on_hold_is_not_meant_to_go_both_ways(pair: Pair, offered: str, answered: str) -> None:
    pair.establish(caller(f"audio 4000 {offered}"), callee(f"audio 5000 {answered}"))
    assert [watched.both_ways for watched in pair.anchor.look().sound] == [False]


def test_before_its_answer_a_stream_is_not_meant_to_go_both_ways(pair: Pair) -> None:
    pair.from_caller(caller("audio 4000"))
    assert [watched.both_ways for watched in pair.anchor.look().sound] == [False]
