"""api/server.py with TLS: the same answers, through a codec."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from api import events
from api.server import HttpServer
from config import ConfigError
from sip.tls import Certificate
from tests.support.event_stream import EventStream
from tests.support.office import Office, eventually
from tests.support.tls import TlsFiles, client_context

TIMEOUT_S = 20
LARGE = bytes(range(256)) * 40_000
"""Ten megabytes: more than all buffers between server and client take."""


def answer(environ: dict, start_response: Callable) -> list[bytes]:
    """A WSGI app: tells how it was reached, or gives a large file, or says how much it was given."""
    if environ["PATH_INFO"] == "/large":
        body = LARGE
    elif environ["REQUEST_METHOD"] == "POST":
        body = str(len(environ["wsgi.input"].read())).encode()
    else:
        body = f"{environ['wsgi.url_scheme']} {environ['REMOTE_ADDR']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def server(tls_files: TlsFiles) -> Iterator[HttpServer]:
    certificate = Certificate(tls_files.certificate, tls_files.key)
    started = HttpServer(answer, "127.0.0.1", 0, certificate.new_codec)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def context(tls_files: TlsFiles) -> ssl.SSLContext:
    return client_context(tls_files.ca)


@pytest.fixture
def connection(server: HttpServer, context: ssl.SSLContext) -> Iterator[HTTPSConnection]:
    made = HTTPSConnection("127.0.0.1", server.port, timeout=TIMEOUT_S, context=context)
    yield made
    made.close()


def get(connection: HTTPSConnection, path: str = "/") -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200
    return response.read()


def dial(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S)


def test_requests_over_one_connection_and_the_app_knows_who_asks_and_how(connection: HTTPSConnection) -> None:
    """The address is what the rules of access and the rate limit go by."""
    assert [get(connection) for _ in range(3)] == [b"https 127.0.0.1"] * 3


def test_a_large_answer_arrives_whole_also_when_it_is_read_late(connection: HTTPSConnection) -> None:
    assert get(connection, "/large") == LARGE
    assert get(connection) == b"https 127.0.0.1"


def test_a_large_answer_arrives_whole_before_the_server_closes(server: HttpServer, context: ssl.SSLContext) -> None:
    with context.wrap_socket(dial(server), server_hostname="localhost", suppress_ragged_eofs=False) as sock:
        sock.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        received = bytearray()
        while data := sock.recv(65_536):
            received += data
    # `recv` would have raised without a close_notify.
    assert received.endswith(b"\r\n\r\n" + LARGE)


def test_a_body_in_many_records(connection: HTTPSConnection) -> None:
    pieces = [b"x" * 1_000] * 100
    connection.request("POST", "/", body=iter(pieces), headers={"Content-Length": "100000"})
    assert connection.getresponse().read() == b"100000"


def test_requests_at_the_same_time(server: HttpServer, context: ssl.SSLContext) -> None:
    def fetch() -> None:
        connection = HTTPSConnection("127.0.0.1", server.port, timeout=TIMEOUT_S, context=context)
        got.append(get(connection, "/large") == LARGE)
        connection.close()

    got: list[bool] = []
    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [True] * 8


def test_a_request_before_the_answer_to_the_last(server: HttpServer, context: ssl.SSLContext) -> None:
    with context.wrap_socket(dial(server), server_hostname="localhost") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2 + b"GET / HTTP/1.0\r\n\r\n")
        received = b""
        while data := sock.recv(65_536):
            received += data
    assert received.count(b"https 127.0.0.1") == 3


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", bytes(range(256)) * 100], ids=["http", "junk"])
def test_what_is_no_tls_is_closed_and_disturbs_nobody(
    server: HttpServer, connection: HTTPSConnection, junk: bytes
) -> None:
    assert get(connection) == b"https 127.0.0.1"
    with dial(server) as sock:
        sock.sendall(junk)
        assert b"HTTP/" not in read_all(sock)
    assert get(connection) == b"https 127.0.0.1"


def read_all(sock: socket.socket) -> bytes:
    """Until the server closes; TimeoutError when it does not."""
    received = b""
    try:
        while data := sock.recv(65_536):
            received += data
    except ConnectionError:
        pass
    return received


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(
    server: HttpServer, connection: HTTPSConnection, context: ssl.SSLContext
) -> None:
    dial(server).close()
    with context.wrap_socket(dial(server), server_hostname="localhost") as sock:
        sock.sendall(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
        sock.recv(1)
    assert get(connection, "/large") == LARGE


def test_stop_ends_with_clients_that_say_nothing(tls_files: TlsFiles) -> None:
    server = HttpServer(answer, "127.0.0.1", 0, Certificate(tls_files.certificate, tls_files.key).new_codec)
    server.start()
    threads = [thread for thread in threading.enumerate() if thread.name == "http"]
    with dial(server) as silent:
        server.stop()
        assert read_all(silent) == b""
    assert not any(thread.is_alive() for thread in threads)


# ------------------------------------------------------------------------------------------------ the whole server


def test_the_api_of_a_server_with_api_tls(
    start_office: Callable[..., Office], tls_files: TlsFiles, context: ssl.SSLContext
) -> None:
    office = start_office(tls_cert=tls_files.certificate, tls_key=tls_files.key, api_tls=True, api_host="127.0.0.1")
    office.phone("100", transport="TLS")
    connection = HTTPSConnection("127.0.0.1", office.server.api_port, timeout=TIMEOUT_S, context=context)
    assert [user["number"] for user in json.loads(get(connection, "/api/users"))] == ["100"]
    connection.close()


def test_events_come_over_https_and_a_client_that_hangs_up_makes_room(
    start_office: Callable[..., Office],
    tls_files: TlsFiles,
    context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "LOOK_S", 0.05)
    files = {"tls_cert": tls_files.certificate, "tls_key": tls_files.key}
    office = start_office(**files, api_tls=True, api_host="127.0.0.1", api_event_clients=1)
    stream = EventStream(office.server, tls=context)
    office.phone("100", transport="TLS")
    assert stream.next("registration.added")["data"]["transport"] == "TLS"
    stream.close()

    def comes_in() -> bool:
        again = EventStream(office.server, tls=context)
        again.close()
        return again.status == 200

    eventually(comes_in, "room for another client")


def test_api_tls_needs_a_certificate(start_office: Callable[..., Office], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="API_TLS=true: must be false as long as there is no certificate"):
        start_office(api_tls=True)
