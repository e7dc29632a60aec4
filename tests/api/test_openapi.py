"""The description of the API is true: the routes, no more and no fewer, and what they answer."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

METHODS = {"get", "put", "post", "delete"}
UNDESCRIBED = re.compile(r"/|/web/.*|/api/docs.*")
"""The page and what it is made of are no part of the API."""


def described(client: Any) -> dict[str, Any]:
    return client.get("/api/openapi.json").json


def routes_of(app: Flask) -> set[tuple[str, str]]:
    """`<converter:name>` of a route is `{name}` in a description."""
    return {
        (method.lower(), re.sub(r"<(?:[^<>:]+:)?([^<>]+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not UNDESCRIBED.fullmatch(rule.rule)
    }


@pytest.mark.parametrize("mode", ["production", "development"])
def test_every_route_is_described_and_nothing_else(make_client, mode: str) -> None:
    client = make_client(app_env=mode)
    paths = described(client)["paths"]
    assert {(method, path) for path in paths for method in METHODS & paths[path].keys()} == routes_of(
        client.application
    )


def test_it_is_valid_openapi(client) -> None:
    from openapi_spec_validator import validate  # half a second, which only this test needs to spend

    validate(described(client))


def test_every_operation_has_a_name_of_its_own_and_names_its_path_parameters(client) -> None:
    operations = [
        (path, operation) for path, methods in described(client)["paths"].items() for operation in methods.values()
    ]
    names = [operation["operationId"] for _, operation in operations]
    assert len(set(names)) == len(names)
    for path, operation in operations:
        named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path


def test_the_page_for_people_draws_it_with_its_own_files(client) -> None:
    page = client.get("/api/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert client.get(path if path.startswith("/") else f"/api/{path}").status_code == 200, path
    assert "'unsafe-eval'" not in page.headers["Content-Security-Policy"]
    assert client.get("/api/docs/ui/..%2f__init__.py").status_code == 404
