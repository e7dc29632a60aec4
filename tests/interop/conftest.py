"""The exchange and the programs that ring it up; all are ended after each test, and shown when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.exchange import Exchange
from tests.interop.linphone import Linphone
from tests.interop.programs import Program, require
from tests.interop.sipp import SippPhone
from tests.support.tls import TlsFiles

# Of the session, and so looked for before anything is started.


@pytest.fixture(scope="session")
def sipp_path() -> str:
    return require("sipp", "sip-tester")


@pytest.fixture(scope="session")
def baresip_path() -> str:
    return require("baresip", "baresip-core")


@pytest.fixture(scope="session")
def linphone_path() -> str:
    return require("linphonec", "linphone-cli")


@pytest.fixture
def exchange(tmp_path: Path, tls_files: TlsFiles) -> Iterator[Exchange]:
    exchange = Exchange(tmp_path / "exchange", tls_files)
    try:
        yield exchange
        exchange.stop()
    finally:
        exchange.program.close()


@pytest.fixture
def launch(exchange: Exchange) -> Iterator[Callable[..., Program]]:
    """Starts programs, and ends them before the exchange ends."""
    programs: list[Program] = []

    def start(*arguments: Any, **options: Any) -> Program:
        programs.append(Program(*arguments, **options))
        return programs[-1]

    yield start
    for program in reversed(programs):
        program.close()


@pytest.fixture
def sipp(
    sipp_path: str, exchange: Exchange, launch: Callable[..., Program], tmp_path: Path
) -> Callable[..., SippPhone]:
    """Makes a SIPp phone: `sipp("100")`, `sipp("101", "TCP")`."""

    def phone(number: str, transport: str = "UDP") -> SippPhone:
        return SippPhone(sipp_path, launch, tmp_path, exchange, number, transport)

    return phone


@pytest.fixture
def baresip(
    baresip_path: str, exchange: Exchange, launch: Callable[..., Program], tmp_path: Path
) -> Iterator[Callable[..., Baresip]]:
    """Makes a registered baresip: `baresip("100", 440)`, `baresip("101", 1000, "tls", "srtp-mand")`."""
    phones: list[Baresip] = []

    def phone(number: str, frequency_hz: int, *arguments: Any, **options: Any) -> Baresip:
        phones.append(Baresip(baresip_path, launch, tmp_path, exchange, number, frequency_hz, *arguments, **options))
        return phones[-1]

    yield phone
    for each in phones:
        each.close()


@pytest.fixture
def linphone(
    linphone_path: str, exchange: Exchange, launch: Callable[..., Program], tmp_path: Path
) -> Callable[..., Linphone]:
    """Makes a registered linphone: `linphone("102", 700)`."""

    def phone(number: str, frequency_hz: int, *arguments: Any, **options: Any) -> Linphone:
        return Linphone(linphone_path, launch, tmp_path, exchange, number, frequency_hz, *arguments, **options)

    return phone
