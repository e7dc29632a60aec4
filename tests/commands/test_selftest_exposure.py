"""What the self-test finds of the HTTP API, and of TCP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from commands.selftest import exposure, streams
from commands.selftest.api_view import ApiView
from commands.selftest.line import Address
from commands.selftest.verdict import Finding, Level
from tests.support.office import Office
from tests.support.selftest import INSIDE, scene_of, settings_of
from tests.support.tls import TlsFiles

LONG_TOKEN = "Zb3kTqv9WmXr5LsPd7Hc"


def check(office: Office, **changes: object) -> dict[str, Finding]:
    return {each.check: each for each in exposure.check(scene_of(office, **changes))}


@pytest.fixture
def careless_api() -> Iterator[int]:
    """An API that answers whatever it is asked with 200; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer((INSIDE, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_the_api_of_a_fresh_office_is_for_this_machine(office: Office) -> None:
    found = check(office)
    assert {name: each.level for name, each in found.items()} == {"api-reach": Level.OK, "api-foreign-pages": Level.OK}


def test_foreign_pages_that_get_in_are_dangerous(office: Office, careless_api: int) -> None:
    found = check(office, api_port=careless_api)["api-foreign-pages"]
    assert found.level is Level.DANGER
    assert "under the name selftest.invalid and one by a page of selftest.invalid" in found.meaning


def test_an_api_without_its_token_is_dangerous(office: Office, careless_api: int) -> None:
    assert check(office, api_port=careless_api, api_hosts=("pbx.selftest.invalid",))["api-token"].level is Level.DANGER


@pytest.mark.parametrize(
    ("token", "level"),
    [(LONG_TOKEN, Level.OK), ("secret", Level.DANGER), ("abababababababababababab", Level.DANGER)],
)
def test_a_token_that_can_be_guessed_is_dangerous(
    start_office: Callable[..., Office], token: str, level: Level
) -> None:
    office = start_office(api_hosts=("pbx.selftest.invalid",), api_token=token)
    found = check(office)
    assert found["api-token"].level is level
    assert found["api-foreign-pages"].level is Level.OK
    assert token not in found["api-token"].meaning


def test_an_unreadable_token_is_not_judged(start_office: Callable[..., Office]) -> None:
    office = start_office(api_hosts=("pbx.selftest.invalid",))
    (office.config.data_dir / "api-token").unlink()
    assert check(office)["api-token"].level is Level.SKIPPED


def test_other_machines_should_not_reach_the_api_in_clear(office: Office) -> None:
    scene = scene_of(office)
    open_to_all = replace(scene, config=replace(scene.config, api_host="0.0.0.0"))
    assert next(exposure.check(open_to_all)).level is Level.WARNING
    public = replace(open_to_all, config=replace(open_to_all.config, server_address="8.8.8.8"))
    assert next(exposure.check(public)).level is Level.DANGER
    encrypted = replace(public, config=replace(public.config, api_tls=True))
    assert next(exposure.check(encrypted)).level is Level.OK


def test_another_program_at_the_port_of_the_api_is_noticed(office: Office) -> None:
    scene = scene_of(office)
    # By this address a machine reaches itself, though it is none of loopback.
    elsewhere = replace(scene, server=Address("0.0.0.0", office.server.sip_port))
    assert next(exposure.check(elsewhere)).level is Level.WARNING
    closed = replace(elsewhere, config=replace(scene.config, api_port=0))
    assert next(exposure.check(closed)).level is Level.OK


def test_the_routes_for_developers_are_named(start_office: Callable[..., Office]) -> None:
    assert check(start_office(app_env="development"))["api-admin"].level is Level.WARNING


def test_an_api_that_does_not_answer_is_not_judged(office: Office) -> None:
    assert check(office, api_port=0)["api-access"].level is Level.SKIPPED
    assert "Nothing answers" in check(office, api_port=1)["api-access"].meaning


def test_https_is_spoken_where_the_settings_say_so(start_office: Callable[..., Office], tls_files: TlsFiles) -> None:
    office = start_office(api_tls=True, tls_cert=tls_files.certificate, tls_key=tls_files.key)
    office.phone("104")
    scene = scene_of(office)
    assert (scene.live, scene.calls) == (frozenset({"104"}), 0)
    assert ApiView(settings_of(office, api_tls=False), INSIDE).live_numbers() is None


# ------------------------------------------------------------------------------------------------ TCP


def test_one_connection_does_not_hold_up_another(office: Office) -> None:
    assert streams.check(scene_of(office)).level is Level.OK


def test_without_tcp_there_is_nothing_to_try(office: Office) -> None:
    scene = scene_of(office)
    assert streams.check(replace(scene, server=Address(INSIDE, 1))).level is Level.SKIPPED


def test_a_server_that_is_held_up_is_noticed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_of(office)
    monkeypatch.setattr(streams, "_is_heard", lambda *arguments: False)
    assert streams.check(scene).level is Level.DANGER
