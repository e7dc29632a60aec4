"""Who changed what: a line for every write, into a file of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import api.audit
from api.audit import MAX_REFUSED, MAX_REFUSED_PER_CLIENT
from config import Config
from log_setup import AUDIT_LOGGER, start_logging

TOKEN = "a-token.of_32+characters/xxxxxxx="


class Lines(logging.Handler):
    """The fields of what is logged as audit."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.fields: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.INFO:
            names = ("client", "who", "method", "path", "status", "outcome", "leftOut")
            self.fields.append({name: vars(record)[name] for name in names if name in vars(record)})

    def values(self, *names: str) -> list[tuple[Any, ...]]:
        return [tuple(line.get(name) for name in names) for line in self.fields]


@pytest.fixture
def lines() -> Iterator[Lines]:
    logger, handler = logging.getLogger(AUDIT_LOGGER), Lines()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


@pytest.fixture
def guarded(make_client):
    return make_client(token=TOKEN, api_host="0.0.0.0", api_rate_limit=0)


def delete(client, path: str = "/api/users/100", token: str = TOKEN, address: str = "192.0.2.9", **headers: str) -> int:
    headers = {"Authorization": f"Bearer {token}"} | headers
    return client.delete(path, headers=headers, environ_overrides={"REMOTE_ADDR": address}).status_code


def test_the_logger_is_the_one_that_has_a_file() -> None:
    assert api.audit.log.name == AUDIT_LOGGER


def test_who_from_where_what_and_result(services, guarded, make, lines) -> None:
    services.registered = [make.registration("100")]
    assert [delete(guarded), delete(guarded)] == [200, 404]
    assert lines.fields == [
        {
            "client": "192.0.2.9",
            "who": "token",
            "method": "DELETE",
            "path": "/api/users/100",
            "status": status,
            "outcome": outcome,
        }
        for status, outcome in ((200, "Removed 1 registration of 100."), (404, "This number isn't registered."))
    ]


def test_on_the_open_api_it_is_somebody_on_loopback(client, lines) -> None:
    client.post("/api/bans", json={"address": "192.0.2.1", "duration": 60})
    assert lines.values("client", "who", "outcome") == [("127.0.0.1", "loopback", "Banned 192.0.2.1 for 60 s.")]


def test_reading_leaves_no_line(guarded, lines) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        guarded.open("/api/users", method=method, headers={"Authorization": f"Bearer {TOKEN}"})
        guarded.open("/api/users", method=method)
    assert lines.fields == []


def test_every_other_method_leaves_one_wherever_it_leads(client, lines) -> None:
    statuses = [client.open(path, method=method).status_code for method, path in _MISSES]
    assert statuses == [404, 405, 405, 400]
    assert lines.values("method", "path", "status") == [
        (*miss, status) for miss, status in zip(_MISSES, statuses, strict=True)
    ]


_MISSES = [("POST", "/nothing"), ("BREW", "/api/users"), ("PATCH", "/api/users"), ("POST", "/api/bans")]


def test_a_fault_of_ours_leaves_one(services, client, lines) -> None:
    services.fault = ZeroDivisionError()
    client.post("/api/bans", json={"address": "192.0.2.1"})
    assert lines.values("status", "outcome") == [(500, "Something went wrong inside the server.")]


def test_what_is_refused_at_the_door_is_nobodys(guarded, lines) -> None:
    assert delete(guarded, token="wrong") == 401
    assert delete(guarded, Origin="https://evil.example") == 403
    assert delete(guarded, Host="evil.example") == 403
    assert lines.values("who", "status", "outcome") == [
        ("nobody", 401, "The token is wrong."),
        ("nobody", 403, "Another web page may not use this server."),
        ("nobody", 403, "This host name isn't allowed."),
    ]


def test_refused_requests_of_one_address_get_so_many_lines_and_the_rest_is_counted(guarded, clock, lines) -> None:
    for _ in range(MAX_REFUSED_PER_CLIENT + 5):
        delete(guarded, Origin="https://evil.example")
    assert len(lines.fields) == MAX_REFUSED_PER_CLIENT
    delete(guarded)
    delete(guarded)
    assert [line.get("leftOut") for line in lines.fields[MAX_REFUSED_PER_CLIENT:]] == [5, None]
    clock.now += 60
    delete(guarded, Origin="https://evil.example")
    assert lines.values("who")[-1] == ("nobody",)


def test_refused_requests_of_many_addresses_get_so_many_lines(guarded, lines) -> None:
    for number in range(MAX_REFUSED + 20):
        delete(guarded, address=f"198.51.100.{number}", Origin="https://evil.example")
    assert len(lines.fields) == MAX_REFUSED


def test_that_lines_are_left_out_is_said_at_once(guarded, caplog) -> None:
    for _ in range(MAX_REFUSED_PER_CLIENT + 5):
        delete(guarded, Origin="https://evil.example")
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == [
        "audit: too many refused requests, last from 192.0.2.9: more are counted, not listed"
    ]


def test_the_open_door_of_health_is_for_reading_alone(guarded, lines) -> None:
    statuses = {guarded.post("/healthz").status_code for _ in range(MAX_REFUSED)}
    assert statuses == {401}
    assert len(lines.fields) == MAX_REFUSED_PER_CLIENT


def test_admitted_writes_are_all_listed(services, guarded, lines) -> None:
    for _ in range(3 * MAX_REFUSED):
        delete(guarded)
    assert len(lines.fields) == 3 * MAX_REFUSED


def test_query_body_and_endless_paths_are_not_listed(guarded, lines) -> None:
    delete(guarded, "/api/users/" + "x" * 500 + "?password=s3cret")
    ((path,),) = lines.values("path")
    assert path == "/api/users/" + "x" * (200 - len("/api/users/")) + "..."


def test_the_file_has_a_whole_line_that_nothing_can_forge(make_client, tmp_path, capsys) -> None:
    config = replace(Config(), log_file=tmp_path / "server.log", log_level="error")
    client = make_client()
    logs = start_logging(config, console=True)
    try:
        client.delete("/api/users/%0A%1B%5B31m%E2%80%AE%7F")
        logging.getLogger("api").info("not for this file")
    finally:
        logs.stop()
    raw = (tmp_path / "audit.log").read_bytes()
    assert raw.count(b"\n") == 1
    assert raw[:-1].decode("ascii").isprintable()
    line = json.loads(raw)
    assert (line["method"], line["path"], line["status"]) == ("DELETE", "/api/users/\n\x1b[31m\u202e\x7f", 404)
    assert (tmp_path / "server.log").read_bytes() == b""
    assert capsys.readouterr().err == ""
