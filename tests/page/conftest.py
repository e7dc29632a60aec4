"""One browser for all tests of the page, and an office for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.programs import require
from tests.page.browser import chromium
from tests.support.office import Office, office_config

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium(require("chromium", "chromium")) as started:
        yield started


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(office_config(tmp_path))
    yield office
    office.close()


@pytest.fixture
def home(office: Office) -> str:
    """Where the page is."""
    return f"http://127.0.0.1:{office.server.api_port}/"
