"""Keys of encrypted media pass the server unharmed: SDES (RFC 4568) and DTLS-SRTP (RFC 5763, RFC 5764).

The relay copies packets as they are, so all that the two phones have agreed on must come through to the letter; but for
addresses and ports the description is the same.
"""

from __future__ import annotations

import re

import pytest

from tests.support.bench_phone import FakePhone, establish
from tests.support.harness import CoreHarness

SDES = b"""\
v=0
o=- 3724394400 3724394400 IN IP4 192.0.2.10
s=A phone
c=IN IP4 192.0.2.10
t=0 0
m=audio 40000 RTP/SAVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP
a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20|1:32
a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:f6JFwSyDN/4KVlJnFTvC8CnYyzzL6rPHXcFWEC5pQ/K3dbnYRzhZ4FSMFRHKAg== KDR=1
a=sendrecv
"""

DTLS = b"""\
v=0
o=- 3724394400 3724394400 IN IP4 192.0.2.10
s=-
c=IN IP4 192.0.2.10
t=0 0
a=fingerprint:sha-256 19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04:BB:05:2F:70:9F:04:A9:0E:05:E9:26:33:E8:70:88:A2
a=tls-id:91bbf309c0990a6bec11e38ba2933cee
m=audio 40000 UDP/TLS/RTP/SAVPF 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=setup:actpass
a=connection:new
a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB
a=rtcp-mux
a=rtcp-fb:0 nack
a=sendrecv
"""

ANSWERS = {
    SDES: re.sub(rb"a=crypto:[23].*\n", b"", SDES),
    DTLS: DTLS.replace(b"a=setup:actpass", b"a=setup:active"),
}


def as_sent(description: bytes) -> bytes:
    return description.replace(b"\n", b"\r\n")


def without_places(description: bytes) -> list[bytes]:
    """Lines with addresses and ports taken out; their number, order and all else stay."""
    places = re.compile(rb"(?<=IN IP4 )\S+|(?<=^m=audio )\d+", re.MULTILINE)
    return [places.sub(b"*", line) for line in description.split(b"\r\n")]


def port(description: bytes) -> int:
    found = re.search(rb"m=audio (\d+) ", description)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("offer", [SDES, DTLS], ids=["SDES", "DTLS"])
def test_offer_and_answer_pass_to_the_letter_but_for_the_places(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, offer: bytes
) -> None:
    sent_offer, sent_answer = as_sent(offer), as_sent(ANSWERS[offer].replace(b"192.0.2.10", b"192.0.2.11"))
    alice.invite("101", sent_offer)
    invite = bob.expect("INVITE")
    bob.respond(invite, 200, "OK", body=sent_answer)
    answer = alice.expect("200 INVITE")

    (stream,) = office.relay.open_sessions
    facing_caller, facing_callee = stream.ports
    assert (port(invite.body), port(answer.body)) == (facing_callee, facing_caller)
    assert b"192.0.2.1\r\n" in invite.body
    assert without_places(invite.body) == without_places(sent_offer)
    assert without_places(answer.body) == without_places(sent_answer)


def test_new_keys_in_a_call_pass_too(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    """RFC 4568 7.1.4: a re-INVITE may bring other keys."""
    call = establish(alice, bob)
    offer = as_sent(SDES.replace(b"192.0.2.10", b"192.0.2.11").replace(b"WVNf", b"AAAA"))
    call.callee.request("INVITE", offer)
    call.callee.expect("100 INVITE")
    assert without_places(call.caller.expect("INVITE").body) == without_places(offer)
