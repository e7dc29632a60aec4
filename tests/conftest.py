"""Fixtures for tests with a running server."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from _pytest.pathlib import import_path

from sip.timers import TimerSettings
from tests.support.office import ErrorCollector, Office, office_config, server_threads
from tests.support.postgres import Cluster
from tests.support.tls import TlsFiles


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What tests with hostile text have logged must get from a test process to the one that reports it."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode("utf-8")) for name, text in report.sections
    ]
    return report


LONG_FIRST = (
    "test_sipp_load.py",
    "test_bench_smoke.py",
    "test_page.py",
    "test_baresip.py",
    "test_linphone.py",
    "test_sipvicious.py",
    "test_crash.py",
    "test_soak.py",
    "test_sipp_audio.py",
)
"""Test files that wait for phones and processes most of the time, the longest first."""


@cache
def _place_for_compiled() -> tempfile.TemporaryDirectory[str]:
    """Gone when this process ends."""
    return tempfile.TemporaryDirectory(prefix="compiled-tests-", ignore_cleanup_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of xdist, in the process that reports, for each one that tests: where to keep compiled test files for the others,
    "" for where Python keeps them anyway."""
    config = node.config
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        node.workerinput["compiled"] = _place_for_compiled().name if sys.dont_write_bytecode else ""


def pytest_configure(config: pytest.Config) -> None:
    """Half of what a test process does before its first test is to rewrite the assertions of all test files.  Each of
    them does it for a share of the files, and finds the others' where it keeps its own.  Until the tests are collected
    hardly anything is garbage, and to look for it takes longer than all else."""
    place = getattr(config, "workerinput", {}).get("compiled")
    if place is None:
        return
    gc.disable()
    if place:
        sys.dont_write_bytecode, sys.pycache_prefix = False, place
    number, count = int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"]
    for path in sorted(config.rootpath.glob("tests/**/test_*.py"))[number::count]:
        before = set(sys.modules)
        try:
            import_path(path, mode="importlib", root=config.rootpath, consider_namespace_packages=False)
        except (Exception, pytest.skip.Exception):  # noqa: BLE001 - told when the file is collected, which is soon
            for name in set(sys.modules) - before:
                if name.startswith("tests."):
                    del sys.modules[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins at once, one file in each test process, and everything else is done meanwhile.

    Each process gets an equal run of the list to begin with (`--dist=worksteal`), so the long ones go to the heads of
    these runs.
    """
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    heads: list[list[pytest.Item]] = [[] for _ in range(count)]
    for number, name in enumerate(LONG_FIRST):
        heads[number % count] += [item for item in items if item.path.name == name]
    long = {id(item) for head in heads for item in head}
    rest = iter([item for item in items if id(item) not in long])
    total, dealt = len(items), []
    for number, head in enumerate(heads):
        # As the scheduler divides: what is left, by the processes that are left.
        room = (total - len(dealt)) // (count - number)
        dealt += head + list(itertools.islice(rest, max(0, room - len(head))))
    items[:] = [*dealt, *rest]


def pytest_collection_finish() -> None:
    """Thousands of collected tests are no garbage: who asks for a collection need not wait until all are looked at."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for localhost, made once."""
    return TlsFiles.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def lasting_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server, started by the first test that asks for it."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(lasting_cluster: Cluster) -> Iterator[Cluster]:
    """The same, with databases for one test."""
    yield lasting_cluster
    lasting_cluster.take_back()


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
