"""sip/contact_rules.py: Contacts that would hit the wrong one."""

from __future__ import annotations

import pytest

from sip.contact_rules import contact_fault
from sip.flow import Flow
from sip.uri import Uri

OWN = {("192.0.2.1", 5060), ("pbx.example.org", 5060), ("2001:db8::1", 5060), ("127.0.0.1", 5060)}

HERE = "points at this server itself"
NOBODY = "points at nobody or everybody"
MULTICAST = "points at a multicast group"
LOOPBACK = "points at the phone itself (loopback)"
ODD = "is no address that can be reached"


def fault(host: str, peer: str = "192.0.2.10") -> str | None:
    flow = Flow("UDP", "192.0.2.1", 5060, peer, 5060)
    return contact_fault(Uri.parse(f"sip:100@{host}"), flow, lambda host, port: (host.lower(), port) in OWN)


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.10",
        "192.0.2.10:5062",
        "10.0.0.5:49152",
        "203.0.113.9",
        "[2001:db8::5]",
        "[fe80::1%eth0]",
        "phone.lan",
        "desk-7",
        "3cx",
        "5f3a2b1c9d",
        "host_1.lan",
        "invalid",
        "a1b2.invalid",
        "192.0.2.1:5062",
    ],
)
def test_where_a_phone_may_be(host: str) -> None:
    assert fault(host) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", HERE),
        ("192.0.2.1:5060", HERE),
        ("PBX.example.org", HERE),
        ("[2001:DB8:0::1]", HERE),
        ("[::ffff:192.0.2.1]", HERE),
        ("0.0.0.0", NOBODY),
        ("0.1.2.3", NOBODY),
        ("255.255.255.255", NOBODY),
        ("240.0.0.1", NOBODY),
        ("[::]", NOBODY),
        ("[::ffff:0.0.0.0]", NOBODY),
        ("224.0.1.75", MULTICAST),
        ("239.255.255.255:5062", MULTICAST),
        ("[ff02::1]", MULTICAST),
        ("127.0.0.1:5062", LOOPBACK),
        ("127.5.6.7", LOOPBACK),
        ("[::1]", LOOPBACK),
        ("[::ffff:127.0.0.1]:5062", LOOPBACK),
        ("localhost", LOOPBACK),
        ("LocalHost.:5062", LOOPBACK),
        ("127.1", ODD),
        ("2130706433", ODD),
        ("0x7f000001", ODD),
        ("0x7f.1", ODD),
        ("300.1.1.1", ODD),
        ("010.0.0.1", ODD),
        ("127.1.", ODD),
    ],
)
def test_where_none_may_be(host: str, expected: str) -> None:
    assert fault(host) == expected


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1"])
def test_a_phone_on_this_machine_may_give_a_loopback_address(peer: str) -> None:
    assert fault("127.0.0.1:5062", peer) is None
    assert fault("localhost:5062", peer) is None
    assert fault("127.0.0.1:5060", peer) == HERE
    assert fault("0.0.0.0", peer) == NOBODY
