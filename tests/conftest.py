"""Fixtures for tests with a running server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sip.timers import TimerSettings
from tests.support.office import ErrorCollector, Office, office_config, server_threads
from tests.support.tls import TlsFiles


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What tests with hostile text have logged must get from a test process to the one that reports it."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode("utf-8")) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for localhost, made once."""
    return TlsFiles.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def start_office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """Starts servers; keyword arguments are fields of `Config`, and `timers`.

    At the end of the test all are stopped; none may have logged an error nor leave a thread."""
    errors = ErrorCollector()
    logging.getLogger().addHandler(errors)
    offices: list[Office] = []

    def start(*, timers: TimerSettings | None = None, **settings: Any) -> Office:
        offices.append(Office(office_config(tmp_path / f"office-{len(offices)}", **settings), timers))
        return offices[-1]

    try:
        yield start
        for office in offices:
            office.close()
        assert errors.lines == []
        assert server_threads() == []
    finally:
        for office in offices:
            office.close()
        logging.getLogger().removeHandler(errors)


@pytest.fixture
def office(start_office: Callable[..., Office]) -> Office:
    """A server with the settings of the house."""
    return start_office()
