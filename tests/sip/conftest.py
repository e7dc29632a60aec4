"""What the tests of the signalling core share: an office that must be clean when the test is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bench_phone import FakePhone
from tests.support.harness import CoreHarness


@pytest.fixture
def office() -> Iterator[CoreHarness]:
    """A core on a bench.  After each test the clock runs on, and nothing may be left."""
    harness = CoreHarness()
    yield harness
    harness.assert_clean()


@pytest.fixture
def alice(office: CoreHarness) -> FakePhone:
    """100, registered."""
    return FakePhone(office, "100", "192.0.2.10").registered()


@pytest.fixture
def bob(office: CoreHarness) -> FakePhone:
    """101, registered."""
    return FakePhone(office, "101", "192.0.2.11").registered()
