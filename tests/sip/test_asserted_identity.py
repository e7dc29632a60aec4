"""sip/asserted_identity.py: what phones claim goes, what we know comes (RFC 3325 5, 7)."""

from __future__ import annotations

import pytest

from sip.asserted_identity import assert_identity
from sip.headers import Headers

CLAIMS = [
    "P-Asserted-Identity: <sip:110@office>, <tel:110>",
    'p-asserted-identity: "Boss" <sip:110@office>',
    "P-Preferred-Identity: <sip:110@office>",
    "Remote-Party-ID: <sip:110@office>;party=calling",
]


def asserted(lines: list[str], number: str = "100", host: str = "192.0.2.1") -> list[str]:
    headers = Headers.parse(["From: <sip:100@office>;tag=1", *lines, "X-Last: 1"])
    assert_identity(headers, number, host)
    return headers.lines


@pytest.mark.parametrize("claims", [[], CLAIMS, *([claim] for claim in CLAIMS)])
def test_5_our_word_replaces_every_claim(claims: list[str]) -> None:
    assert asserted(claims) == [
        "From: <sip:100@office>;tag=1",
        "X-Last: 1",
        "P-Asserted-Identity: <sip:100@192.0.2.1>",
    ]


def test_ipv6_addresses_stand_in_brackets() -> None:
    assert asserted([], host="2001:db8::1")[-1] == "P-Asserted-Identity: <sip:100@[2001:db8::1]>"


@pytest.mark.parametrize("privacy", ["id", "ID", "header;id", "critical ; id", "user, id"])
def test_7_nothing_is_asserted_of_who_wants_privacy(privacy: str) -> None:
    assert asserted([*CLAIMS, f"Privacy: {privacy}"]) == [
        "From: <sip:100@office>;tag=1",
        f"Privacy: {privacy}",
        "X-Last: 1",
    ]


@pytest.mark.parametrize("privacy", ["none", "header", "user;idx"])
def test_7_other_wishes_leave_it(privacy: str) -> None:
    assert asserted([f"Privacy: {privacy}"])[-1] == "P-Asserted-Identity: <sip:100@192.0.2.1>"


def test_of_an_unknown_sender_nothing_is_asserted() -> None:
    assert asserted(CLAIMS, number="") == ["From: <sip:100@office>;tag=1", "X-Last: 1"]
