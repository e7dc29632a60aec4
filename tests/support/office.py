"""A running server with phones around it, and the checks that every test ends with."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from config import Config
from sip.timers import TimerSettings
from sipserver import SipServer
from tests.support.api_client import ApiClient
from tests.support.phone import SoftPhone
from tests.support.phone_call import IncomingCall, OutgoingCall

T = TypeVar("T")

TIMEOUT_S = 5.0
_POLL_S = 0.005

THREADS = ("sip-", "rtp-relay", "http", "waitress-")
"""How the names of the server's threads begin."""


def office_config(directory: Path, **settings: Any) -> Config:
    """Free ports on loopback, data in `directory`; `settings` are fields of `Config`."""
    base = Config(
        sip_host="127.0.0.1",
        sip_port=0,
        api_port=0,
        rtp_host="127.0.0.1",
        rtp_port=0,
        data_dir=directory / "data",
        log_file=directory / "logs" / "sip-server.log",
        sip_tls_port=0,
        api_rate_limit=0,
    )
    return replace(base, **settings)


def eventually(condition: Callable[[], T], what: str) -> T:
    """What `condition` returns once it is true.  For what has no event to wait for, such as a page of the API."""
    began = time.monotonic()
    pause = threading.Event()
    while True:
        result = condition()
        if result:
            return result
        waited_s = time.monotonic() - began
        assert waited_s < TIMEOUT_S, f"waited in vain for {what}"
        # The longer it takes, the less it matters to know at once, and each question takes processor time.
        pause.wait(max(_POLL_S, waited_s / 10))


def server_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(THREADS)]


class ErrorCollector(logging.Handler):
    """Keeps what is logged as an error: a fault that a catch-all hid."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Office:
    """One started server; `close` ends it and everything that was made for it."""

    def __init__(self, config: Config, timers: TimerSettings | None = None) -> None:
        self.config = config
        self.server = SipServer(config, timers)
        self.server.start()
        self.api = ApiClient(self.server)
        self._phones: list[SoftPhone] = []

    def switch_off(self) -> None:
        """All phones, without a word."""
        for phone in self._phones:
            phone.close()
        self._phones.clear()

    def close(self) -> None:
        """Idempotent."""
        self.switch_off()
        # The phones are gone: a stop would wait in vain for them to confirm its BYEs.
        self.server.clear_calls()
        self.server.stop()

    # -------------------------------------------------------------------------------------------- phones

    def unregistered(self, number: str, **options: Any) -> SoftPhone:
        """A phone that is switched on; `options` are those of `SoftPhone`."""
        if options.get("transport") == "TLS":
            assert self.config.tls_cert is not None
            ca_file = self.config.tls_cert.with_name("ca.pem")
            options = {"server_port": self.server.tls_port, "ca_file": ca_file, **options}
        phone = SoftPhone(self.server, number, **options)
        self._phones.append(phone)
        return phone

    def phone(self, number: str, **options: Any) -> SoftPhone:
        """A registered phone."""
        phone = self.unregistered(number, **options)
        phone.register()
        return phone

    def phones(self, *numbers: str) -> list[SoftPhone]:
        return [self.phone(number) for number in numbers]

    def connect(self, caller: SoftPhone, callee: SoftPhone) -> tuple[OutgoingCall, IncomingCall]:
        """A call between the two, answered and acknowledged."""
        call = caller.call(callee.number)
        ring = callee.expect_call()
        ring.answer()
        call.wait_answered()
        return call, ring

    # -------------------------------------------------------------------------------------------- views

    def only_call(self) -> Any:
        """The one call in progress."""
        (call,) = self.api.get("/api/calls")
        return call

    def last_ended(self) -> Any:
        """The newest entry of the history, once no call is in progress any more."""
        eventually(lambda: not self.api.get("/api/calls"), "the end of all calls")
        return self.api.get("/api/calls/history")[0]

    def numbers(self) -> list[str]:
        """Who is registered, in order."""
        return sorted(user["number"] for user in self.api.get("/api/users"))

    def open_streams(self) -> list[Any]:
        streams: list[Any] = self.api.get("/api/rtp-streams")
        return streams
