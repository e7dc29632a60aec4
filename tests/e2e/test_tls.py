"""Phones on TLS, among themselves and with phones on UDP and TCP (RFC 3261 26, RFC 5626, RFC 5658)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from config import ConfigError
from tests.support.office import Office
from tests.support.tls import TlsFiles, client_context

TIMEOUT_S = 5.0


@pytest.fixture
def office(start_office: Callable[..., Office], tls_files: TlsFiles) -> Office:
    return start_office(tls_cert=tls_files.certificate, tls_key=tls_files.key)


def dial(office: Office) -> socket.socket:
    """A plain connection to the TLS port."""
    return socket.create_connection(("127.0.0.1", office.server.tls_port), TIMEOUT_S)


def is_closed(sock: socket.socket) -> bool:
    """Read until the server ends the connection; TimeoutError when it does not."""
    try:
        while sock.recv(65_536):
            pass
    except ConnectionError:
        pass
    return True


def test_rfc_5630_5_3_nobody_calls_a_phone_that_has_left_but_a_phone_that_comes_back_is_reached(office: Office) -> None:
    """We open no TLS connection to a phone: nobody could say who answers there."""
    alice, bob = office.phone("100"), office.phone("101", transport="TLS")
    bob.disconnect()
    assert alice.call("101").wait_rejected().status == 480
    assert office.last_ended()["terminationReason"] == "unreachable"

    bob.reconnect()
    bob.register()

    office.connect(alice, bob)
    assert office.only_call()["toAddress"] == bob.address


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_1_2_is_spoken_and_1_1_is_not(office: Office, tls_files: TlsFiles) -> None:
    old, older = client_context(tls_files.ca), client_context(tls_files.ca)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    older.set_ciphers("ALL:@SECLEVEL=0")
    older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_1

    with old.wrap_socket(dial(office), server_hostname="localhost") as sock:
        assert sock.version() == "TLSv1.2"
        sock.sendall(b"\r\n\r\n")
        assert sock.recv(100) == b"\r\n"
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        older.wrap_socket(dial(office), server_hostname="localhost")


def test_the_server_says_goodbye(office: Office, tls_files: TlsFiles) -> None:
    """An end without close_notify could be an attacker's work (RFC 8446 6.1); `recv` raises then."""
    context = client_context(tls_files.ca)
    with context.wrap_socket(dial(office), server_hostname="localhost", suppress_ragged_eofs=False) as sock:
        sock.sendall(b"INVITE what SIP/2.0\r\n\r\n")
        while sock.recv(65_536):
            pass


@pytest.mark.parametrize(
    "junk",
    [
        b"OPTIONS sip:127.0.0.1 SIP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 300,
        b"\x16\x03\x01\xff\xff",
    ],
    ids=["sip", "http", "binary", "broken hello"],
)
def test_what_is_no_tls_ends_its_connection_and_disturbs_nobody(office: Office, junk: bytes) -> None:
    alice, bob = office.phone("100", transport="TLS"), office.phone("101")
    call, _ = office.connect(alice, bob)

    with dial(office) as sock:
        sock.sendall(junk)
        sock.shutdown(socket.SHUT_WR)
        assert is_closed(sock)

    assert call.hang_up().status == 200


def test_a_handshake_that_never_ends_holds_up_nobody(office: Office) -> None:
    """Many connections that say nothing, and one that stops in its first flight."""
    silent = [dial(office) for _ in range(20)]
    try:
        silent[0].sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")

        office.connect(office.phone("100", transport="TLS"), office.phone("101", transport="TLS"))
    finally:
        for sock in silent:
            sock.close()


def test_tcp_and_tls_share_the_number_of_connections_of_a_host(
    start_office: Callable[..., Office], tls_files: TlsFiles
) -> None:
    office = start_office(tls_cert=tls_files.certificate, tls_key=tls_files.key, sip_max_connections_per_source=3)
    phones = [office.phone("100", transport="TLS"), office.phone("101", transport="TCP")]
    with dial(office), dial(office) as last:
        assert is_closed(last)
        assert [phone.register().status for phone in phones] == [200, 200]


def test_without_a_certificate_there_is_no_tls(start_office: Callable[..., Office]) -> None:
    office = start_office()
    assert office.server.tls_port == 0


def test_the_certificate_of_the_data_directory_is_used(
    start_office: Callable[..., Office], tls_files: TlsFiles, tmp_path: Path
) -> None:
    """Those in DATA_DIR/tls are the ones that the command `cert` makes."""
    (tmp_path / "tls").symlink_to(tls_files.certificate.parent)
    office = start_office(data_dir=tmp_path)

    with client_context(tls_files.ca).wrap_socket(dial(office), server_hostname="localhost") as sock:
        assert sock.version() == "TLSv1.3"


def test_a_port_that_is_taken_is_named_and_nothing_stays_bound(
    start_office: Callable[..., Office], tls_files: TlsFiles
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        port, sip_port = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        settings = {"tls_cert": tls_files.certificate, "tls_key": tls_files.key, "sip_port": sip_port}

        with pytest.raises(ConfigError, match=f"SIP_TLS_PORT={port}: must be a port that can be opened"):
            start_office(**settings, sip_tls_port=port)

        assert start_office(**settings).server.sip_port == sip_port
