"""sip/addresses.py: which of our addresses a peer is told."""

from __future__ import annotations

import socket

import pytest

from sip import addresses
from sip.addresses import AddressBook, family_of, is_here, is_wildcard, normalise


def test_a_peer_on_this_machine_is_told_the_loopback_address() -> None:
    assert AddressBook().local_host("127.0.0.1") == "127.0.0.1"


def test_a_fixed_address_is_told_to_everybody() -> None:
    book = AddressBook("203.0.113.5")
    assert {book.local_host(peer) for peer in ("127.0.0.1", "192.0.2.10", "2001:db8::1")} == {"203.0.113.5"}


def test_a_peer_that_no_route_leads_to_is_told_the_loopback_address_of_its_family() -> None:
    book = AddressBook()
    assert book.local_host("255.255.255.255.255") == "127.0.0.1"
    assert book.local_host("::no:address") == "::1"


def test_an_answer_is_remembered_until_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new lease or interface shows after a refresh; the former address stays ours, dialogs still name it."""
    answers = iter(["192.0.2.1", "192.0.2.2", "192.0.2.2"])
    monkeypatch.setattr(addresses, "route_source", lambda peer: next(answers))
    book = AddressBook()
    book.add_port(5060)
    assert [book.local_host("192.0.2.9"), book.local_host("192.0.2.9")] == ["192.0.2.1", "192.0.2.1"]
    assert book.refresh(["192.0.2.8"]) == {"192.0.2.8": "192.0.2.2", "192.0.2.9": "192.0.2.2"}
    assert book.local_host("192.0.2.9") == "192.0.2.2"
    assert book.is_own("192.0.2.1", 5060)
    assert book.is_own("192.0.2.2", 5060)


def test_a_peer_without_a_route_is_told_what_it_was_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["192.0.2.1", None])
    monkeypatch.setattr(addresses, "route_source", lambda peer: next(answers))
    book = AddressBook()
    book.local_host("192.0.2.9")
    assert book.refresh([]) == {}
    assert book.local_host("192.0.2.9") == "192.0.2.1"


def test_a_fixed_address_never_changes() -> None:
    assert AddressBook("203.0.113.5").refresh(["127.0.0.1"]) == {}


def test_an_address_is_here_or_is_not() -> None:
    assert is_here("127.0.0.1")
    assert not is_here("192.0.2.77")


def test_memory_of_peers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "route_source", lambda peer: "192.0.2.1")
    book = AddressBook()
    for number in range(addresses._MAX_REMEMBERED + 10):
        book.local_host(f"198.51.{number // 256}.{number % 256}")
    assert len(book._by_peer) <= addresses._MAX_REMEMBERED


@pytest.mark.parametrize(
    ("host", "port", "own"),
    [
        ("pbx.example", 5060, True),
        ("PBX.Example", 5060, True),
        ("pbx.example", 5061, False),
        ("other.example", 5060, False),
    ],
)
def test_a_route_leads_here_by_host_and_port(host: str, port: int, own: bool) -> None:
    book = AddressBook("pbx.example")
    book.add_port(5060)
    assert book.is_own(host, port) is own


@pytest.mark.parametrize(
    ("socket_address", "text"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"), ("2001:db8::1", "2001:db8::1")],
)
def test_addresses_from_sockets_in_their_own_form(socket_address: str, text: str) -> None:
    assert normalise(socket_address) == text


def test_listening_addresses() -> None:
    assert [family_of(host) for host in ("0.0.0.0", "::")] == [socket.AF_INET, socket.AF_INET6]
    assert [is_wildcard(host) for host in ("0.0.0.0", "::", "192.0.2.1")] == [True, True, False]
