"""The server over real sockets on loopback."""

from __future__ import annotations

import errno
import gc
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import api.server
from api.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES
from api.server import WORKERS, HttpServer

TIMEOUT_S = 20


@contextmanager
def running(app, host: str = "127.0.0.1", port: int = 0) -> Iterator[HttpServer]:
    server = HttpServer(app, host, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def app(make_client):
    return make_client(app_env="development").application


@pytest.fixture
def server(app) -> Iterator[HttpServer]:
    with running(app) as started:
        yield started


def connect(server: HttpServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT_S)


def get(server: HttpServer, path: str) -> tuple[int, object]:
    connection = connect(server)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def dial(server: HttpServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), TIMEOUT_S)


def read_answer(sock: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer


def exchange(server: HttpServer, request: bytes) -> tuple[http.client.HTTPResponse, dict]:
    with dial(server) as sock:
        sock.sendall(request)
        answer = read_answer(sock)
        return answer, json.loads(answer.read())


def test_start_binds_a_free_port_and_stop_frees_it(app) -> None:
    server = HttpServer(app, "127.0.0.1", 0)
    assert server.port == 0
    server.start()
    assert server.port > 0
    assert get(server, "/healthz")[0] == 200
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        dial(server)
    server.stop()  # once more does no harm


def test_stop_before_start_does_no_harm(app) -> None:
    HttpServer(app, "127.0.0.1", 0).stop()


def test_the_same_port_can_be_had_again_at_once(app) -> None:
    with running(app) as first:
        assert get(first, "/healthz")[0] == 200
        port = first.port
    with running(app, port=port) as second:
        assert get(second, "/healthz")[0] == 200


def test_a_port_in_use_is_an_oserror_and_leaves_nothing_behind(app, server) -> None:
    threads = set(threading.enumerate())
    with pytest.raises(OSError) as caught:
        HttpServer(app, server.host, server.port).start()
    assert caught.value.errno == errno.EADDRINUSE
    assert set(threading.enumerate()) == threads


def test_two_servers_at_once_are_independent(services, make_client, make) -> None:
    with running(make_client().application) as one, running(make_client(ext_max=105).application) as other:
        assert one.port != other.port
        services.registered = [make.registration("100")]
        assert len(get(one, "/api/users")[1]) == len(get(other, "/api/users")[1]) == 1
        one.stop()
        assert get(other, "/api/users")[0] == 200


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_start_and_stop_leak_no_descriptor_and_no_thread(app) -> None:
    def count() -> tuple[int, int]:
        gc.collect()  # What earlier tests have left must not go meanwhile.
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    with running(app) as warm_up:
        get(warm_up, "/healthz")
    before = count()
    for _ in range(5):
        with running(app) as server:
            get(server, "/healthz")
    assert count() == before


def test_ipv6(app) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with running(app, "::1") as server:
        assert get(server, "/api/extensions")[0] == 200


def test_keep_alive_serves_many_requests_on_one_connection(server) -> None:
    connection = connect(server)
    connection.connect()
    port = connection.sock.getsockname()[1]
    for path, status in (("/api/users", 200), ("/nothing", 404), ("/api/calls?limit=x", 400), ("/api/calls", 200)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        assert connection.sock.getsockname()[1] == port
    connection.close()


def test_head_has_the_length_but_no_body(server) -> None:
    with dial(server) as sock:
        sock.sendall(
            b"HEAD /api/extensions HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        received = b"".join(iter(lambda: sock.recv(65_536), b""))
    head, rest = received.split(b"\r\n\r\n", 1)
    assert b"Content-Length: 68" in head
    assert rest.startswith(b"HTTP/1.1 200 OK")


def test_no_server_header(server) -> None:
    connection = connect(server)
    connection.request("GET", "/healthz")
    assert connection.getresponse().getheader("Server") is None
    connection.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"GET /api/users HTTP/1.1\r\n\r\n", 400),
        (b"GET /api/users HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET http://localhost/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ],
)
def test_whatever_is_refused_is_refused_in_json(server, request_bytes, status) -> None:
    answer, body = exchange(server, request_bytes)
    assert (answer.status, answer.getheader("Content-Type")) == (status, "application/problem+json")
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert body["status"] == status
    assert {"type", "title", "detail", "error"} <= body.keys()
    assert get(server, "/healthz")[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("content_type", "status"), [("text/plain", 415), ("application/json", 201)])
def test_a_body_is_json_however_it_comes(server, chunked, content_type, status) -> None:
    connection = connect(server)
    body = b'{"address": "192.0.2.1"}'
    headers = {"Content-Type": content_type}
    connection.request("POST", "/api/bans", iter([body]) if chunked else body, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("X-Frame-Options")) == (status, "DENY")
    connection.close()


@pytest.mark.parametrize("header", ["Forwarded: for=192.0.2.7", "X-Forwarded-For: 192.0.2.7", "Via: 1.1 proxy"])
def test_who_comes_through_a_proxy_does_not_pass_for_this_machine(server, header) -> None:
    request = f"GET /api/users HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n"
    assert exchange(server, request.encode())[0].status == 403


def test_a_ban_of_an_ipv6_source_is_lifted_by_its_encoded_path(server, services, make) -> None:
    services.banned = {"2001:db8::/64": make.ban("2001:db8::/64")}
    request = b"DELETE /api/bans/2001%3Adb8%3A%3A%2F64 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert exchange(server, request)[0].status == 200
    assert not services.banned


@pytest.mark.parametrize("chunked", [False, True])
def test_somewhat_too_large_a_body_is_heard_out_and_answered(server, chunked) -> None:
    connection = connect(server)
    body = b"x" * (MAX_BODY_BYTES + 1)
    connection.request("POST", "/api/admin/clear-calls", iter([body]) if chunked else body, encode_chunked=chunked)
    answer = connection.getresponse()
    assert not answer.will_close
    assert (answer.status, json.loads(answer.read())["status"]) == (413, 413)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()


def test_somewhat_too_large_a_header_is_heard_out_and_answered(server) -> None:
    connection = connect(server)
    connection.request("GET", "/api/users", headers={"Cookie": "x" * MAX_HEADER_BYTES})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["status"]) == (431, 431)
    connection.close()


def test_a_header_without_end_is_cut_off_at_the_limit(server) -> None:
    with dial(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        sock.sendall(b"x" * (api.server.MAX_HEADER_BYTES - 20))  # to the last byte read before the refusal
        sock.sendall(b"x")
        answer = read_answer(sock)
        assert (answer.status, json.loads(answer.read())["status"]) == (431, 431)


def test_clients_that_dawdle_do_not_keep_others_waiting(server) -> None:
    slow = [dial(server) for _ in range(2 * WORKERS)]
    try:
        for n, sock in enumerate(slow):
            sock.sendall(b"POST /api/admin/clear-calls HTTP/1.1\r\nHost: localhost\r\n")
            if n % 2:
                sock.sendall(b"Content-Length: 100\r\n\r\nhalf")
        assert get(server, "/api/users")[0] == 200
        slow[0].sendall(b"\r\n")
        assert read_answer(slow[0]).status == 200
    finally:
        for sock in slow:
            sock.close()


def test_a_client_that_hangs_up_does_no_harm(server) -> None:
    for request in (b"", b"GET /api/us", b"GET /api/users HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20):
        with dial(server) as sock:
            sock.sendall(request)
    assert get(server, "/api/users")[0] == 200


class BlockingApp:
    """Answers when told to."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.left = threading.Event()

    def __call__(self, _environ, start_response):
        self.entered.set()
        self.release.wait(TIMEOUT_S)
        start_response("200 OK", [("Content-Length", "4")])
        self.left.set()
        return [b"done"]


def test_stop_lets_a_request_finish() -> None:
    blocking = BlockingApp()
    with running(blocking) as server, dial(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert blocking.entered.wait(TIMEOUT_S)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        blocking.release.set()
        answer = read_answer(sock)
        assert (answer.status, answer.read()) == (200, b"done")
        stopper.join(TIMEOUT_S)
        assert not stopper.is_alive()


def test_stop_does_not_wait_for_ever_for_a_request(monkeypatch) -> None:
    monkeypatch.setattr(api.server, "_STOP_TIMEOUT_S", 0.05)
    blocking = BlockingApp()
    with running(blocking) as server, dial(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert blocking.entered.wait(TIMEOUT_S)
        server.stop()
        assert sock.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            dial(server)
        blocking.release.set()
        assert blocking.left.wait(TIMEOUT_S)


def test_stop_closes_idle_connections(server) -> None:
    connection = connect(server)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    server.stop()
    assert connection.sock.recv(1) == b""
    connection.close()


def test_a_fault_outside_of_flask_is_json_with_an_id_too(caplog) -> None:
    def broken(_environ, _start_response):
        raise ZeroDivisionError

    with running(broken) as server:
        answer, body = exchange(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (answer.status, answer.getheader("Content-Type")) == (500, "application/problem+json")
    assert body["id"] in caplog.text


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_what_ends_its_thread_does_not_end_the_server(server, caplog, error: type[BaseException]) -> None:
    assert server.problems() == ()

    readable, left = server._server.readable, iter([error()])

    def fail_once() -> bool:
        if fault := next(left, None):
            raise fault
        return readable()

    server._server.readable = fail_once
    server._server.trigger.pull_trigger()
    assert get(server, "/healthz")[0] == 200
    assert [problem.split(" met")[0] for problem in server.problems()] == ["the thread http"]
    assert "the thread http met a fault and begins anew" in caplog.text


def test_more_descriptors_than_select_can_watch_do_not_stop_the_server(app) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("this system allows too few descriptors")
    if soft < 2048:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    null = os.open(os.devnull, os.O_RDONLY)
    taken = [null]
    try:
        while taken[-1] < 1100:
            taken.append(os.dup(null))
        with running(app) as server:
            assert get(server, "/healthz")[0] == 200
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("error", "pauses"), [(errno.EMFILE, 1), (errno.ENFILE, 1), (errno.ECONNABORTED, 0)])
def test_accept_pauses_only_when_descriptors_have_run_out(monkeypatch, error, pauses) -> None:
    slept: list[float] = []
    monkeypatch.setattr(api.server.time, "sleep", slept.append)

    def accept() -> None:
        raise OSError(error, os.strerror(error))

    with pytest.raises(OSError, match=os.strerror(error)):
        api.server._patient(accept)()
    assert len(slept) == pauses
