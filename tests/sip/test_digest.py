"""sip/digest.py: digests, challenges and credentials (RFC 7616, RFC 8760)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from sip.digest import Algorithm, challenge, find_answer, request_digest, user_digest
from sip.errors import HeaderError
from sip.headers import Headers

REALM = "http-auth@example.org"
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RESPONSES = {
    Algorithm.MD5: "8ca523f5e9506fed4657c9700eebdbec",
    Algorithm.SHA_256: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}
"""RFC 7616 3.9.1."""


def credentials(**changed: str | None) -> str:
    """Those of RFC 7616 3.9.1 with MD5; a parameter set to None is left out, others are as they are given."""
    parameters: dict[str, str | None] = {
        "username": '"Mufasa"',
        "realm": f'"{REALM}"',
        "uri": '"/dir/index.html"',
        "algorithm": "MD5",
        "nonce": f'"{NONCE}"',
        "nc": "00000001",
        "cnonce": f'"{CNONCE}"',
        "qop": "auth",
        "response": f'"{RESPONSES[Algorithm.MD5]}"',
        "opaque": '"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
    } | changed
    return "Digest " + ", ".join(f"{name}={value}" for name, value in parameters.items() if value is not None)


def headers(*values: str) -> Headers:
    return Headers.parse([f"Authorization: {value}" for value in values])


def refused(text: str) -> str:
    with pytest.raises(HeaderError) as caught:
        find_answer(headers(text), "authorization", REALM)
    return caught.value.reason.removeprefix("authorization: ")


# ------------------------------------------------------------------------------------------------ digests


@pytest.mark.parametrize("algorithm", Algorithm)
def test_rfc7616_3_9_1_example(algorithm: Algorithm) -> None:
    ha1 = user_digest(algorithm, "Mufasa", REALM, "Circle of Life")
    response = request_digest(algorithm, ha1, "GET", "/dir/index.html", NONCE, "00000001", CNONCE)
    assert response == RESPONSES[algorithm]


@pytest.mark.parametrize("algorithm", Algorithm)
def test_rfc7616_3_9_1_credentials_as_they_come(algorithm: Algorithm) -> None:
    text = credentials(algorithm=str(algorithm), response=f'"{RESPONSES[algorithm]}"')
    answer = find_answer(headers(text), "authorization", REALM)
    assert answer is not None
    assert (answer.username, answer.algorithm, answer.count) == ("Mufasa", algorithm, 1)
    right, wrong = (user_digest(algorithm, "Mufasa", REALM, word) for word in ("Circle of Life", "circle of life"))
    assert answer.expected_response(right, "GET") == answer.response
    assert answer.expected_response(wrong, "GET") != answer.response
    assert answer.expected_response(right, "POST") != answer.response
    for changed in ({"uri": "/dir"}, {"nonce": "x"}, {"cnonce": "x"}, {"nc": "00000002"}):
        assert replace(answer, **changed).expected_response(right, "GET") != answer.response


def test_rfc8760_2_2_digests_are_lower_case_hex_of_their_length() -> None:
    for algorithm, length in ((Algorithm.SHA_256, 64), (Algorithm.MD5, 32)):
        digest = user_digest(algorithm, "100", "sipserver", "geheim")
        assert len(digest) == length
        assert set(digest) <= set("0123456789abcdef")


def test_text_beyond_ascii_is_digested_as_it_came() -> None:
    text = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert user_digest(Algorithm.MD5, text, "r", "p") != user_digest(Algorithm.MD5, "caf", "r", "p")


# ------------------------------------------------------------------------------------------------ challenges


def test_rfc8760_2_3_sha_256_is_preferred_to_md5() -> None:
    assert list(Algorithm) == ["SHA-256", "MD5"]


def test_rfc7616_3_3_challenge() -> None:
    text = challenge("sipserver", "abc", Algorithm.SHA_256, stale=False)
    assert text == 'Digest realm="sipserver",nonce="abc",algorithm=SHA-256,qop="auth"'
    assert challenge("sipserver", "abc", Algorithm.MD5, stale=True) == (
        'Digest realm="sipserver",nonce="abc",algorithm=MD5,qop="auth",stale=true'
    )


# ------------------------------------------------------------------------------------------------ credentials


def test_no_credentials() -> None:
    assert find_answer(Headers(), "authorization", REALM) is None


@pytest.mark.parametrize("text", ["Basic TXVmYXNhOg==", "Bearer x", "Digest", "", credentials(realm='"elsewhere"')])
def test_credentials_for_others_are_passed_over(text: str) -> None:
    assert find_answer(headers(text), "authorization", REALM) is None
    assert find_answer(headers(text, credentials()), "authorization", REALM) is not None


def test_22_3_each_realm_finds_its_own_and_the_first_of_two_counts() -> None:
    found = find_answer(
        headers(credentials(realm='"elsewhere"'), credentials(nc="00000007"), credentials()), "authorization", REALM
    )
    assert found is not None and found.count == 7


def test_the_other_header_is_not_looked_at() -> None:
    assert find_answer(headers(credentials()), "proxy-authorization", REALM) is None


@pytest.mark.parametrize(
    "text",
    [
        credentials(qop='"auth"', nc='"00000001"', algorithm='"MD5"'),
        credentials(algorithm="md5"),
        credentials(algorithm=None),
        credentials(response=f'"{RESPONSES[Algorithm.MD5].upper()}"'),
        credentials().replace(", ", ","),
        credentials().replace(", ", " ,\t") + " , ",
        credentials().replace("=", " = ", 3),
        credentials().replace("Digest", "DIGEST").replace("username", "UserName"),
        credentials(userhash="false"),
        credentials(unknown='"x, y=\\"z\\""', auts="1"),
    ],
)
def test_what_phones_write_differently(text: str) -> None:
    answer = find_answer(headers(text), "authorization", REALM)
    assert answer is not None
    assert (answer.algorithm, answer.response) == (Algorithm.MD5, RESPONSES[Algorithm.MD5])


def test_escapes_in_quoted_strings_are_resolved() -> None:
    answer = find_answer(headers(credentials(username=r'"Mu\"fa\\sa, x=y"')), "authorization", REALM)
    assert answer is not None and answer.username == r'Mu"fa\sa, x=y'


@pytest.mark.parametrize("name", ["username", "nonce", "uri", "response", "cnonce", "nc", "qop"])
@pytest.mark.parametrize("value", [None, '""'])
def test_a_missing_parameter(name: str, value: str | None) -> None:
    assert refused(credentials(**{name: value})) == f"{name} is missing"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (credentials(qop="auth-int"), "qop is not auth"),
        (credentials(algorithm="MD5-sess"), "algorithm was not offered"),
        (credentials(algorithm="SHA-512-256"), "algorithm was not offered"),
        (credentials(userhash="true"), "userhash was not offered"),
        (credentials(algorithm="SHA-256"), "response is no SHA-256 digest"),
        (credentials(response='"' + "g" * 32 + '"'), "response is no MD5 digest"),
        (credentials(response='"' + "é" * 32 + '"'), "response is no MD5 digest"),
        (credentials(nc="1"), "nc is no count of 8 hexadecimal digits"),
        (credentials(nc="0000000g"), "nc is no count of 8 hexadecimal digits"),
        (credentials() + ', nonce="other"', "two values of nonce"),
        (credentials() + ', realm="other"', "two values of realm"),
        (credentials() + " junk", "malformed credentials"),
        (credentials() + ', open="', "malformed credentials"),
        (credentials(cnonce='"' + "x" * 2048 + '"'), "credentials are too long"),
    ],
)
def test_credentials_that_cannot_be_used(text: str, reason: str) -> None:
    assert refused(text) == reason


def test_mutations_give_credentials_none_or_a_header_error() -> None:
    seed = 7616
    dice = random.Random(seed)
    kinds = set()
    for _ in range(3000):
        text = list(credentials())
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(text))
            text[at : at + dice.randint(0, 3)] = dice.choice(['"', ",", "=", "\\", " ", "é", "\x7f", "a", ""])
        try:
            kinds.add(type(find_answer(headers("".join(text)), "authorization", REALM)))
        except HeaderError:
            kinds.add(HeaderError)
    assert len(kinds) == 3, f"seed {seed}"
