"""sip/networks.py: which addresses the office trusts."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from config import Config
from sip.networks import Networks

DEFAULT = Networks(Config().trusted_networks)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.178.20",
        "169.254.7.7",
        "::1",
        "fd12:3456::1",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:192.168.1.1",
    ],
)
def test_by_default_the_local_network_is_trusted(host: str) -> None:
    assert host in DEFAULT
    assert host in DEFAULT, "and the second time"


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.1",
        "8.8.8.8",
        "172.15.255.255",
        "172.32.0.0",
        "192.169.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "2001:db8::1",
        "fec0::1",
        "::",
        "::ffff:192.0.2.1",
        "",
        "localhost",
        "10.0.0",
    ],
)
def test_the_internet_is_not(host: str) -> None:
    assert host not in DEFAULT
    assert host not in DEFAULT


def test_no_network_trusts_nobody() -> None:
    assert "127.0.0.1" not in Networks(())


def test_many_sources_do_not_fill_memory() -> None:
    networks = Networks([ip_network("10.0.0.0/9")])
    for number in range(3 * 4096):
        assert f"10.0.{number // 256}.{number % 256}" in networks
    assert len(networks._answers) <= 4096
    assert "10.200.0.1" not in networks
