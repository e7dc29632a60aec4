"""Words of the field, for the fuzzer to put where it likes."""

from __future__ import annotations

from sip.constants import COMMON_HEADERS, COMPACT_FORMS, METHODS
from tests.fuzz.check_bodies import NEXT_BODY
from tests.fuzz.check_core import NEXT, OUR_TAG, TOP_VIAS
from tests.sip.test_fuzz import PIECES

_SIP = (
    *METHODS,
    *COMMON_HEADERS,
    *(f"{short}:" for short in COMPACT_FORMS),
    *("SIP/2.0", "SIP/2.0/UDP ", "SIP/2.0/TLS ", "SIP/2.0 200 OK", "sip:", "sips:", "tel:", "sip:101@192.0.2.1"),
    *(";branch=z9hG4bK", ";rport", ";received=", ";maddr=", ";ttl=", ";tag=", ";lr", ";r2", ";q=0.5", ";expires=0"),
    *(";transport=tcp", ";user=phone", ";method=", "?Route=", "%00", "%2", '"', '\\"', "<", ">", ", ", "*", "[::1]"),
    *("application/sdp", "multipart/mixed;boundary=b", "--b", "--b--", "Content-Transfer-Encoding: base64"),
    *("sip:*43@192.0.2.1", "application/dtmf-relay", "Signal=5", "Session-Expires: 120;refresher=uas", "timer"),
    *("Digest ", 'realm="sipserver"', "nc=00000001", "qop=auth", "algorithm=SHA-256", "userhash=true", "2147483648"),
)
_SDP = (
    *("v=0", "o=- 1 1 IN IP4 h", "s=-", "c=IN IP4 192.168.1.20", "c=IN IP6 ::1", "c=IN IP4 0.0.0.0", "t=0 0", "i=x"),
    *("m=audio 4000 RTP/AVP 0", "m=audio 0 RTP/AVP 0", "m=audio 4000/2 RTP/AVP 0", "m=image 4000 udptl t38"),
    *("a=rtcp:4001", "a=rtcp:4001 IN IP4 192.168.1.20", "a=rtcp-mux", "a=bundle-only", "a=sendonly", "a=inactive"),
    *("a=rtpmap:97 opus/48000/2", "a=candidate:1 1 UDP 1 192.168.1.20 4000 typ host", "a=ice-ufrag:x", "a=crypto:1"),
    *("a=ptime:30", "a=maxptime:20", "a=rtpmap:101 telephone-event/8000", "RTP/SAVP", "a=recvonly"),
)


def dictionary() -> str:
    """In libFuzzer's form: quoted, one a line, whatever is not printable ASCII as \\xNN."""
    words = dict.fromkeys(
        [*(word.encode() for word in (*_SIP, *_SDP)), *PIECES, NEXT, NEXT_BODY, TOP_VIAS, OUR_TAG, b"\r\n"]
    )
    return "".join(f'"{_escaped(word)}"\n' for word in words if len(word) <= 64)


def _escaped(word: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02X}" for byte in word)
