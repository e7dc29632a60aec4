"""Somebody sets the wall clock; phones go by time that passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace

import pytest

import sip.driver
import sip.engine
from tests.support.faulty import LogLines, phones_register_and_call
from tests.support.office import Office, eventually

HOUR_S = 3600.0


@pytest.mark.parametrize("step_s", [-5 * HOUR_S, 5 * HOUR_S])
def test_hours_forward_and_back(
    start: Callable[..., Office], lines: LogLines, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    office = start()
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    (before,) = (user for user in office.api.get("/api/users") if user["number"] == "100")

    clock = SimpleNamespace(monotonic=time.monotonic, time=lambda: time.time() + step_s)
    for module in (sip.driver, sip.engine):
        monkeypatch.setattr(module, "time", clock)

    def shown() -> float:
        """By how much the end of the registration has moved, in seconds."""
        (user,) = (user for user in office.api.get("/api/users") if user["number"] == "100")
        ends, ended = (datetime.fromisoformat(each["expiresAt"]).timestamp() for each in (user, before))
        return ends - ended

    eventually(lambda: abs(shown() - step_s) < 5.0, "the wall time of the end")
    (after,) = (user for user in office.api.get("/api/users") if user["number"] == "100")
    assert 0 <= before["expires"] - after["expires"] < 60
    packets = call.media.make_packets(3)
    call.media.send(*packets)
    assert [ring.media.receive() for _ in packets] == packets
    call.hang_up()
    assert office.last_ended()["terminationReason"] == "normal"
    (line,) = lines.take("the clock was set by")
    assert f"{step_s:.0f} s" in line or f"{step_s - 1:.0f} s" in line
    phones_register_and_call(office)
    office.connect(alice, bob)
    office.close()  # before the clock is set back, which would be told too
