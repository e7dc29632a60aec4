from __future__ import annotations

import random

import pytest

from sip.masking import masked_message, masked_messages, masked_text

DIGEST = (
    'Digest username="100", realm="office, ground floor", nonce="abc=", uri="sip:pbx", '
    'response="{}", algorithm=SHA-256, cnonce="xyz", qop=auth, nc=00000001'
)

INVITE = (
    "INVITE sip:101@192.0.2.1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1\r\n"
    'From: "Zoë" <sip:100@192.0.2.1>;tag=1\r\n'
    "Call-ID: abc@192.0.2.10\r\n"
    f"Proxy-Authorization: {DIGEST.format('{}')}\r\n"
    "Contact: <sip:100{}@192.0.2.10:5060;transport=udp>\r\n"
    "Content-Length: 300\r\n"
    "\r\n"
    "v=0\r\n"
    "o=- 1 1 IN IP4 192.0.2.10\r\n"
    "m=audio 4000 RTP/SAVP 8\r\n"
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}|2^20|1:4\r\n"
)


def test_a_whole_message_loses_its_secrets_and_nothing_else() -> None:
    key = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
    message = INVITE.format("6629fae49393a05397450978507c4ef1", ":s3cret", key)
    assert masked_text(message) == INVITE.format("***", ":***", "*" * len(key)).replace(
        'response="***"', "response=***"
    )


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    message = bytes(range(256)) + b"\r\nAuthorization: Basic \xff\xfe\r\nX: \x80\xff"
    assert masked_message(message) == bytes(range(256)) + b"\r\nAuthorization: Basic ***\r\nX: \x80\xff"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("AUTHORIZATION :Bearer aBc", "AUTHORIZATION :Bearer ***"),
        ("proxy-authorization:NTLM a, b", "proxy-authorization:NTLM ***"),
        ("Authorization: dXNlcjpwYXNz", "Authorization: ***"),
        ("Authorization: dXNlcjpwYXNz==", "Authorization: ***"),
        ("Authorization:", "Authorization: ***"),
        ('Authorization: "x" y', "Authorization: ***"),
        ('Authorization: Digest\tresponse="a", nc=1', "Authorization: Digest\tresponse=***, nc=1"),
        ('Authorization: digest nc=1, RESPONSE = "a"', "Authorization: digest nc=1, RESPONSE =***"),
        (
            'Authorization: Digest\r\n nc=1,\r\n\tresponse="a"\r\nTo: b',
            "Authorization: Digest\r\n nc=1,\r\n\tresponse=***\r\nTo: b",
        ),
        ('Authorization:\r\n Digest response="a"', "Authorization:\r\n Digest response=***"),
        ('Authorization: Digest nc=1,\rresponse="a"', "Authorization: Digest nc=1,\rresponse=***"),
        ('Authorization: Digest auts="a", new="b", nc=1', "Authorization: Digest auts=***, new=***, nc=1"),
        ('Authorization: Digest nc=1 response="a", qop=auth', "Authorization: Digest nc=***, qop=auth"),
        ('Authorization: Digest realm="x" response="a"', "Authorization: Digest realm=***"),
        ('Authorization: Digest realm="a\\", response=b', "Authorization: Digest realm=***"),
        ('Authorization: Digest realm="a\\"b, c", response=d', 'Authorization: Digest realm="a\\"b, c", response=***'),
        ("Authorization: Digest nc=1, Basic dXNlcg==", "Authorization: Digest nc=1,***"),
        ("Authentication-Info: rspauth=abc, nextnonce=x", "Authentication-Info: rspauth=***, nextnonce=x"),
        ('Proxy-Authentication-Info: nc=1, rspauth="abc"', "Proxy-Authentication-Info: nc=1, rspauth=***"),
    ],
)
def test_credentials(line, shown) -> None:
    assert masked_text(f"To: a\r\n{line}") == f"To: a\r\n{shown}"
    assert masked_text(f"{line}\r\nCSeq: 1 INVITE") == f"{shown}\r\nCSeq: 1 INVITE"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<sip:100:s3cret@pbx>", "<sip:100:***@pbx>"),
        ("SIPS:100:a:b@[2001:db8::1]:5061", "SIPS:100:***@[2001:db8::1]:5061"),
        ("<sip::s3cret@pbx>", "<sip::***@pbx>"),
        ("<sip:a;b?c=d:s3cret@pbx>", "<sip:a;b?c=d:***@pbx>"),
        ("Call-Info: <https://u:s3cret@pbx/i.png>", "Call-Info: <https://u:***@pbx/i.png>"),
        ("Refer-To: <sip:101@pbx?Authorization=Basic%20s3cret&x=1>", "Refer-To: <sip:101@pbx?Authorization=***&x=1>"),
        ("<sip:1@pbx?a=b&Proxy-Authorization=s3cret>", "<sip:1@pbx?a=b&Proxy-Authorization=***>"),
    ],
)
def test_passwords_in_uris(text, shown) -> None:
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJD|2^20|1:32;inline:REVG|2:4 FEC_ORDER=FEC_SRTP",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:****|2^20|1:32;inline:****|2:4 FEC_ORDER=FEC_SRTP",
        ),
        ("a=key-mgmt:mikey AQAFgM0X", "a=key-mgmt:**************"),
        ("a=ice-pwd:asd88fgpdd777uzjYhagZg", "a=ice-pwd:**********************"),
        ("k=base64:c2VjcmV0", "k=***************"),
    ],
)
def test_media_keys_keep_their_length(line, shown) -> None:
    assert masked_text(f"v=0\r\n{line}\r\nm=audio 4000 RTP/SAVP 8") == f"v=0\r\n{shown}\r\nm=audio 4000 RTP/SAVP 8"
    assert len(line) == len(shown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        'WWW-Authenticate: Digest realm="pbx", nonce="abc", qop="auth"',
        "To: <sip:100@pbx:5060;transport=tcp>",
        "Route: <sip:192.0.2.1:5060;lr>, <sip:[2001:db8::1]:5060;lr>",
        "Call-ID: a:b@pbx",
        "X-Authorization-Note: none",
        "Subject: Authorization: Basic abc",
        "a=fingerprint:sha-256 AB:CD\r\na=setup:actpass\r\na=rtpmap:8 PCMA/8000",
    ],
)
def test_what_is_no_secret_stays(text) -> None:
    assert masked_text(text) == text


@pytest.mark.parametrize(
    "unit",
    [
        "sip:",
        "sip:a:",
        "://",
        "a",
        '"',
        "\\",
        ",",
        "=",
        '"\\',
        "response=",
        "inline:",
        "?Authorization=",
        "\r\n ",
        "\r",
    ],
)
@pytest.mark.parametrize("start", ["", "Authorization: Digest ", "Authorization: ", "a=crypto:1 "])
def test_endless_text_is_masked_in_linear_time(start, unit) -> None:
    """A quadratic pattern would keep this test busy for hours."""
    shown = masked_text(start + unit * 100_000 + "\r\nAuthorization: Basic s3cret")
    assert shown.startswith(start.strip())
    assert "s3cret" not in shown


def test_the_quick_look_passes_nothing_that_the_patterns_would_mask() -> None:
    pieces = ["sip:", "SIPS:", "://", ":", "@", "<", ">", " ", "\t", "\xa0", "\x85", '"', "a", "b" * 120, ";p="]
    pieces += ["\r\n", "k=", "\nk=x", "INLINE:ab", "a=ice-pwd:z", "\na=key-mgmt:z", "\nAuthorization: x"]
    chance = random.Random(7)
    before = b""
    for _ in range(3_000):
        text = "".join(chance.choices(pieces, k=chance.randrange(1, 12)))
        data = text.encode("latin-1")
        shown = masked_message(data)
        assert shown.decode("latin-1") == masked_text(text), text
        assert list(masked_messages([before, data])) == [masked_message(before), shown], (before, data)
        before = data
