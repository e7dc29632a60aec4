"""URIs: parsing (RFC 3261 19.1.1, RFC 3966), unescaping, comparison (19.1.4)."""

from __future__ import annotations

import pytest

from sip.errors import ParseError
from sip.uri import Uri, bracket, unbracket


@pytest.mark.parametrize(
    ("text", "scheme", "user", "password", "host", "port", "parameters", "headers"),
    [
        ("sip:101@10.0.0.1", "sip", "101", None, "10.0.0.1", None, "", ""),
        ("sip:10.0.0.1:5070", "sip", "", None, "10.0.0.1", 5070, "", ""),
        ("SIPS:a:b@Host.Example:1;lr?x=y", "sips", "a", "b", "Host.Example", 1, ";lr", "x=y"),
        ("sip:a:@h", "sip", "a", "", "h", None, "", ""),
        ("sip:a@[2001:db8::1]:5060;transport=tcp", "sip", "a", None, "[2001:db8::1]", 5060, ";transport=tcp", ""),
        ("sip:a@[fe80::1%eth0]", "sip", "a", None, "[fe80::1%eth0]", None, "", ""),
        ("sip:1;phone-context=x@h;user=phone", "sip", "1;phone-context=x", None, "h", None, ";user=phone", ""),
        ("sip:a/b?c@h", "sip", "a/b?c", None, "h", None, "", ""),
        ("sip:*78#@h", "sip", "*78#", None, "h", None, "", ""),
        ("sip:100-0x5616078f27f0@10.0.0.2;ob", "sip", "100-0x5616078f27f0", None, "10.0.0.2", None, ";ob", ""),
        ("sip:a@my_host", "sip", "a", None, "my_host", None, "", ""),
        ("sip:a@h.example.", "sip", "a", None, "h.example.", None, "", ""),
        ("sip:a@h?", "sip", "a", None, "h", None, "", ""),
        ("sip:a@h;x=ü", "sip", "a", None, "h", None, ";x=ü", ""),
        ("tel:+49-30-1;phone-context=a", "tel", "+49-30-1", None, "", None, ";phone-context=a", ""),
        ("urn:service:sos", "urn", "service:sos", None, "", None, "", ""),
    ],
)
def test_parts(
    text: str,
    scheme: str,
    user: str,
    password: str | None,
    host: str,
    port: int | None,
    parameters: str,
    headers: str,
) -> None:
    uri = Uri.parse(text)
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == (scheme, user, password, host, port)
    assert (uri.parameters, uri.headers) == (parameters, headers)
    assert str(uri) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a@b@c",
        "sip:a b@h",
        " sip:a@h",
        "<sip:a@h>",
        "sip:a@h:0",
        "sip:a@h:65536",
        "sip:a@h:5060x",
        "sip:a@h:",
        "sip:a@-h",
        "sip:a@h-",
        "sip:a@[::1",
        "sip:a@::1",
        "sip:a@[g::1]",
        "sip:a%4@h",
        "sip:a%zz@h",
        "sip:a%@h",
        "sip:a@h;x=\x00",
        "sip:a@h;x=a b",
        "sip:a@h?x=\x7f",
        'sip:a@h;x="1"',
        "tel:",
        "1tel:5",
        "*",
        "tel:1\r\nX:2",
    ],
)
def test_malformed_is_400(text: str) -> None:
    with pytest.raises(ParseError) as raised:
        Uri.parse(text)
    assert raised.value.status == 400


def test_long_uri_parses_like_a_short_one() -> None:
    assert Uri.parse(f"sip:{'a' * 5000}@h").user == "a" * 5000
    with pytest.raises(ParseError):
        Uri.parse(f"sip:{'a' * 5000}@")


# ------------------------------------------------------------------------------------------------ parts on demand


@pytest.mark.parametrize(
    ("text", "number", "unescaped_user"),
    [
        ("sip:101@h", "101", "101"),
        ("sip:%31%30%31@h", "101", "101"),
        ("sip:%2531@h", "%31", "%31"),
        ("sip:a%3Bb@h", "a;b", "a;b"),
        ("sip:101;x=y@h", "101", "101;x=y"),
        ("sip:null-%00-null@h", "null-\x00-null", "null-\x00-null"),
        ("sip:%C3%BC@h", "ü", "ü"),
        ("sip:%FF@h", "\udcff", "\udcff"),
        ("sip:h", "", ""),
        ("tel:1-0(1).2;phone-context=h", "1012", "1-0(1).2"),
        ("sip:1-0@h", "1-0", "1-0"),
    ],
)
def test_user_is_unescaped_exactly_once(text: str, number: str, unescaped_user: str) -> None:
    uri = Uri.parse(text)
    assert (uri.number, uri.unescaped_user) == (number, unescaped_user)
    assert str(uri) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sip:100@192.0.2.1:5060;ob", "sip:100@192.0.2.1:5060;ob"),
        ("sip:100:sea-gull@192.0.2.1", "sip:100:***@192.0.2.1"),
        ("sips:sip:sip@sip;x=:sip@", "sips:sip:***@sip;x=:sip@"),
        ("sip:a:@h", "sip:a:***@h"),
    ],
)
def test_a_password_is_not_shown(text: str, shown: str) -> None:
    assert Uri.parse(text).shown == shown


def test_parameter() -> None:
    uri = Uri.parse("sip:a@h;LR;Transport=TCP;n%61me=v%25")
    assert uri.is_loose_router
    assert (uri.parameter("transport"), uri.parameter("name"), uri.parameter("lr")) == ("TCP", "v%", "")
    assert uri.parameter("maddr") is None
    assert Uri.parse("sip:a@h").parameter("lr") is None


def test_the_first_of_two_parameters_counts() -> None:
    assert Uri.parse("sip:a@h;x=1;x=2").parameter("x") == "1"


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("sip:h", 5060),
        ("sips:h", 5061),
        ("sip:h:7", 7),
        ("sips:h:7", 7),
        ("sip:h;transport=TLS", 5061),
        ("sip:h;transport=tcp", 5060),
        ("sip:h:7;transport=tls", 7),
    ],
)
def test_19_1_2_default_port(text: str, port: int) -> None:
    assert Uri.parse(text).effective_port == port


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (Uri.sip("101", "10.0.0.1"), "sip:101@10.0.0.1"),
        (Uri.sip("101", "2001:db8::1", 5070), "sip:101@[2001:db8::1]:5070"),
        (Uri.sip("", "h", 5060, ";lr"), "sip:h:5060;lr"),
        (Uri.sip("a", "[::1]", None, ";transport=tcp"), "sip:a@[::1];transport=tcp"),
    ],
)
def test_building(uri: Uri, text: str) -> None:
    assert uri == Uri.parse(text)
    assert str(uri) == text


@pytest.mark.parametrize("user", ["a b", "a@b", "a\r\nX", "a>b"])
def test_building_refuses_what_would_break_out(user: str) -> None:
    with pytest.raises(ParseError):
        Uri.sip(user, "h")


def test_brackets() -> None:
    assert [bracket(host) for host in ("::1", "[::1]", "1.2.3.4", "h")] == ["[::1]", "[::1]", "1.2.3.4", "h"]
    assert [unbracket(host) for host in ("::1", "[::1]", "1.2.3.4")] == ["::1", "::1", "1.2.3.4"]


# ------------------------------------------------------------------------------------------------ 19.1.4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        # "equality is not transitive": both of these equal the one without the parameter ...
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=off"),
        # ... and beyond the RFC's examples:
        ("SIP:a@h", "sip:a@H"),
        ("sip:a%3bb@h", "sip:a%3Bb@h"),
        ("sip:a:%70w@h", "sip:a:pw@h"),
        ("tel:101", "tel:101"),
    ],
)
def test_19_1_4_equivalent(one: str, other: str) -> None:
    assert Uri.parse(one).same_as(Uri.parse(other))
    assert Uri.parse(other).same_as(Uri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        # Rules of the section without an example in it:
        ("sip:a@h", "sips:a@h"),
        ("sip:a@h", "sip:h"),
        ("sip:a@h", "sip:a:@h"),
        ("sip:a:pw@h", "sip:a:PW@h"),
        ("sip:a@h;user=phone", "sip:a@h"),
        ("sip:a@h;ttl=1", "sip:a@h"),
        ("sip:a@h;method=INVITE", "sip:a@h"),
        ("sip:a@h;maddr=1.2.3.4", "sip:a@h"),
        ("sip:a%3Bb@h", "sip:a;b@h"),  # reserved characters differ from their escapes
        ("sip:a%2531@h", "sip:a%31@h"),
        ("tel:101", "sip:101@h"),
        ("tel:101", "tel:102"),
    ],
)
def test_19_1_4_not_equivalent(one: str, other: str) -> None:
    assert not Uri.parse(one).same_as(Uri.parse(other))
    assert not Uri.parse(other).same_as(Uri.parse(one))
