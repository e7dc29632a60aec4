"""sip/sips.py: what is addressed by SIPS travels over TLS on every hop, or not at all (RFC 5630 5.3)."""

from __future__ import annotations

import pytest

from sip.flow import Flow
from sip.sips import is_downgrade, may_bind, may_reach, not_allowed, target_uri
from sip.uri import Uri

FLOWS = {name: Flow(name, "192.0.2.1", 5061, "192.0.2.7", 40000, 1) for name in ("UDP", "TCP", "TLS")}


@pytest.mark.parametrize(
    ("uri", "transport", "downgrade"),
    [
        ("sips:101@h", "TLS", False),
        ("sips:101@h", "TCP", True),
        ("sips:101@h", "UDP", True),
        ("sip:101@h", "UDP", False),
        ("sip:101@h;transport=tls", "TLS", False),
        ("tel:101", "UDP", False),
    ],
)
def test_5_3_sips_takes_no_other_link_than_tls(uri: str, transport: str, downgrade: bool) -> None:
    assert is_downgrade(Uri.parse(uri), FLOWS[transport]) is downgrade


@pytest.mark.parametrize(
    ("request_uri", "contact", "transport", "reachable"),
    [
        ("sips:101@office", "sips:101@192.0.2.7", "TLS", True),
        ("sips:101@office", "sip:101@192.0.2.7;transport=tls", "TLS", False),
        ("sips:101@office", "sip:101@192.0.2.7", "UDP", False),
        ("sips:101@office", "sips:101@192.0.2.7", "TCP", False),
        ("sip:101@office", "sips:101@192.0.2.7", "TLS", True),
        ("sip:101@office", "sips:101@192.0.2.7", "UDP", False),
        ("sip:101@office", "sip:101@192.0.2.7", "UDP", True),
        ("tel:101", "sip:101@192.0.2.7", "UDP", True),
        ("tel:101", "sips:101@192.0.2.7", "TLS", True),
    ],
)
def test_5_3_who_can_be_reached(request_uri: str, contact: str, transport: str, reachable: bool) -> None:
    assert may_reach(Uri.parse(request_uri), Uri.parse(contact), FLOWS[transport]) is reachable


@pytest.mark.parametrize(
    ("request_uri", "contact", "target"),
    [
        ("sip:101@office", "sips:101@192.0.2.7:7;x=Y?h=1", "sip:101@192.0.2.7:7;x=Y?h=1"),
        ("sip:101@office", "SIPS:101@192.0.2.7", "sip:101@192.0.2.7"),
        ("tel:101", "sips:101@192.0.2.7", "sip:101@192.0.2.7"),
        ("sips:101@office", "sips:101@192.0.2.7", "sips:101@192.0.2.7"),
        ("sip:101@office", "sip:101@192.0.2.7", "sip:101@192.0.2.7"),
    ],
)
def test_5_3_a_sip_request_never_becomes_a_sips_request(request_uri: str, contact: str, target: str) -> None:
    assert target_uri(Uri.parse(request_uri), Uri.parse(contact)).text == target


@pytest.mark.parametrize(
    ("request_uri", "contact", "transport", "bound"),
    [
        ("sips:office", "sips:101@192.0.2.7", "TLS", True),
        ("sip:office", "sips:101@192.0.2.7", "TLS", False),
        ("sips:office", "sips:101@192.0.2.7", "TCP", False),
        ("sips:office", "sip:101@192.0.2.7", "TLS", True),
        ("sip:office", "sip:101@192.0.2.7;transport=tls", "TLS", True),
        ("sip:office", "sip:101@192.0.2.7", "UDP", True),
    ],
)
def test_5_2_a_sips_contact_is_registered_securely(request_uri: str, contact: str, transport: str, bound: bool) -> None:
    assert may_bind(Uri.parse(request_uri), Uri.parse(contact), FLOWS[transport]) is bound


def test_5_3_the_warning() -> None:
    assert not_allowed(FLOWS["TLS"]) == ("Warning", '380 192.0.2.1:5061 "SIPS Not Allowed"')
