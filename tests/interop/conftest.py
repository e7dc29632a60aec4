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


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    exchange = Exchange(tmp_path / "exchange")
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
def sipp(exchange: Exchange, launch: Callable[..., Program], tmp_path: Path) -> Callable[..., SippPhone]:
    """Makes a SIPp phone: `sipp("100")`, `sipp("101", "TCP")`."""
    path = require("sipp", "sip-tester")

    def phone(number: str, transport: str = "UDP") -> SippPhone:
        return SippPhone(path, launch, tmp_path, exchange, number, transport)

    return phone


@pytest.fixture
def baresip(exchange: Exchange, launch: Callable[..., Program], tmp_path: Path) -> Iterator[Callable[..., Baresip]]:
    """Makes a registered baresip: `baresip("100", 440)`, `baresip("101", 1000, "tcp")`."""
    path = require("baresip", "baresip-core")
    phones: list[Baresip] = []

    def phone(number: str, frequency_hz: int, transport: str = "udp") -> Baresip:
        phones.append(Baresip(path, launch, tmp_path, exchange, number, frequency_hz, transport))
        return phones[-1]

    yield phone
    for each in phones:
        each.close()


@pytest.fixture
def linphone(exchange: Exchange, launch: Callable[..., Program], tmp_path: Path) -> Callable[..., Linphone]:
    """Makes a registered linphone: `linphone("102", 700)`."""
    path = require("linphonec", "linphone-cli")

    def phone(number: str, frequency_hz: int, transport: str = "udp") -> Linphone:
        return Linphone(path, launch, tmp_path, exchange, number, frequency_hz, transport)

    return phone
