"""What a server with phones, calls and trouble answers is what the description of its API says: schemathesis sends
requests that the description allows, and holds every answer against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.openapi import document
from tests.support.office import Office, office_config

EXAMPLES = 8
"""Requests of each operation."""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """With something in every list."""
    office = Office(office_config(tmp_path, app_env="development"))
    alice, bob, _ = office.phones("100", "101", "102")
    call, ring = office.connect(alice, bob)
    call.media.send(*call.media.make_packets(20))
    ring.media.receive()
    call.hang_up()
    alice.call("104").wait_rejected()
    office.unregistered("999").send_register().wait_final()
    office.connect(alice, bob)
    office.api.request("POST", "/api/bans", {"address": "192.0.2.9", "reason": "a test"})
    yield office
    office.close()


def checker(base_url: str, description: dict[str, Any]) -> Callable[[str, str], None]:
    """Ask one operation, by method and path.  What it needs takes seconds to import, in every process that does."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_dict(description)
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]

    def check(method: str, path: str) -> None:
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=schema[path][method].as_strategy())
        def ask(case: Any) -> None:
            case.call_and_validate(base_url=base_url, checks=wanted)

        ask()

    return check


def test_every_answer_is_as_described(office: Office) -> None:
    description: dict[str, Any] = document("0", development=True)
    check = checker(f"http://127.0.0.1:{office.server.api_port}", description)
    operations = [(method, path) for path, methods in description["paths"].items() for method in methods]
    # What only looks comes first, as long as everything is there to be seen.
    for method, path in sorted(operations, key=lambda each: each[0] != "get"):
        try:
            check(method, path)
        except Exception as error:
            raise AssertionError(f"{method.upper()} {path} does not answer as described") from error
