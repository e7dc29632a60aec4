"""An office whose calls are explained by its own API, with a number of its own for each phone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sip.timers import TimerSettings
from tests.support.office import Office, eventually, office_config
from tests.support.phone import SoftPhone
from tests.support.phone_call import IncomingCall, OutgoingCall, PhoneCall

FIRST, LAST = 100, 399


class ExplainedOffice(Office):
    """Many tests may share one: no two of their phones have the same number."""

    def __init__(self, directory: Path, timers: TimerSettings | None = None, **settings: Any) -> None:
        super().__init__(office_config(directory, **{"ext_min": FIRST, "ext_max": LAST, **settings}), timers)
        self._numbers = itertools.count(FIRST)

    def number(self) -> str:
        """One that no phone has had yet."""
        return str(next(self._numbers))

    def pair(self, **options: Any) -> tuple[SoftPhone, SoftPhone]:
        """Two registered phones; `options` are those of the second."""
        return self.phone(self.number()), self.phone(self.number(), **options)

    def explain(self, call: PhoneCall, language: str = "en") -> Any:
        answer: Any = self.api.get(f"/api/calls/{quote(call.call_id, safe='')}/explain?lang={language}")
        return answer

    def keys(self, call: PhoneCall) -> list[str]:
        """What is found, the most certain first: `rule.variant confidence`."""
        return [key_of(finding) for finding in self.explain(call)["findings"]]

    def wait_for(self, call: PhoneCall, *expected: str) -> None:
        """Until exactly this is found."""
        found: list[str] = []

        def is_found() -> bool:
            found[:] = self.keys(call)
            return found == list(expected)

        try:
            eventually(is_found, "the explanation")
        except AssertionError:
            raise AssertionError(f"{found} instead of {list(expected)}") from None

    def talk(self, caller: SoftPhone, callee: SoftPhone, packets: int = 60) -> tuple[OutgoingCall, IncomingCall]:
        """A call in which both sides have been heard, until the relay has counted it."""
        call, ring = self.connect(caller, callee)
        say(call, ring, packets)
        say(ring, call, packets)
        return call, ring

    def hang_up(self, call: PhoneCall) -> None:
        """And wait until the server has closed its books."""
        call.hang_up()
        eventually(lambda: not self._is_live(call), "the end of the call")

    def _is_live(self, call: PhoneCall) -> bool:
        return any(each["callId"] == call.call_id for each in self.api.get("/api/calls"))


def key_of(finding: Any) -> str:
    variant = f".{finding['variant']}" if finding["variant"] else ""
    return f"{finding['rule']}{variant} {finding['confidence']}"


def say(speaker: PhoneCall, listener: PhoneCall, packets: int = 60) -> None:
    """So many packets from one phone to the other, heard there."""
    for packet in speaker.media.make_packets(packets):
        speaker.media.send(packet)
        assert listener.media.receive() == packet
