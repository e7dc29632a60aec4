"""Load for a server that is about to be killed, and a ledger of what that server has acknowledged.

Each worker is a thread of its own with phones of its own; a `Ledger` belongs to one of them until it has ended.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

from tests.support.phone import HasSipPort, SoftPhone

_PORTS = range(20_000, 32_000)
"""For the contacts: none that the system gives to whoever asks for any, such as the server."""


class Killed(Exception):
    """The server is gone: whoever waits for it need not wait on."""


@dataclass
class RegistrationLedger:
    """One number.  `sure` is the contact that the last 200 has confirmed, "" for none; `open` what the REGISTER would
    make of it that nobody has answered any more, None when there was no such REGISTER."""

    number: str
    sure: str = ""
    open: str | None = None
    acknowledged: int = 0


@dataclass
class CallLedger:
    """By Call-ID: whose INVITE, and whose BYE, has been answered with 200."""

    established: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)


class Worker(threading.Thread):
    """Repeats `step` until the server is killed.  `fault` is what went wrong before that, None when nothing did."""

    def __init__(self, name: str, phones: list[SoftPhone], killed: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.fault: BaseException | None = None
        self.numbers = [phone.number for phone in phones]
        self._phones = phones
        self._killed = killed

    def step(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        try:
            while not self._killed.is_set():
                self.step()
        except BaseException as error:  # noqa: BLE001 - told by whoever started the thread
            if not self._killed.is_set():
                self.fault = error

    def give_up(self) -> None:
        """The server is gone: end at once."""
        for phone in self._phones:
            with phone.changed:
                phone.link.fault = Killed()
                phone.changed.notify_all()
        self.join()
        for phone in self._phones:
            phone.close()


class Registrations(Worker):
    """One phone that moves, refreshes, shortens its time and signs off, as fast as it is answered."""

    def __init__(self, server: HasSipPort, number: str, transport: str, seed: int, killed: threading.Event) -> None:
        phone = SoftPhone(server, number, transport=transport)
        super().__init__(f"registrations-{number}", [phone], killed)
        self.ledger = RegistrationLedger(number)
        self._random = random.Random(seed)
        self._phone = phone

    def step(self) -> None:
        ledger, choice = self.ledger, self._random.random()
        uri, expires_s = ledger.sure, self._random.randrange(600, 3600)
        if not uri or choice < 0.7:
            uri = f"sip:{ledger.number}@127.0.0.1:{self._random.choice(_PORTS)}"
        elif choice < 0.85:
            expires_s = 0
        ledger.open = uri if expires_s else ""
        self._phone.register(expires_s, ("Contact", f"<{uri}>"))
        ledger.sure, ledger.open = ledger.open, None
        ledger.acknowledged += 1


class Calls(Worker):
    """Two phones; one calls the other, they talk for a moment, and one of them hangs up."""

    def __init__(self, server: HasSipPort, numbers: tuple[str, str], seed: int, killed: threading.Event) -> None:
        self._caller, self._callee = phones = [SoftPhone(server, number) for number in numbers]
        super().__init__(f"calls-{numbers[0]}", phones, killed)
        self.ledger = CallLedger()
        self._random = random.Random(seed)
        for phone in phones:
            phone.register()

    def step(self) -> None:
        call = self._caller.call(self._callee.number)
        ring = self._callee.expect_call()
        sides = (call, ring)
        try:
            ring.send_answer()
            call.wait_answered()
            self.ledger.established.add(call.call_id)
            ring.wait_ack()
            self._killed.wait(self._random.choice((0.0, 0.05, 0.5)))
            self._random.choice(sides).hang_up()
            self.ledger.ended.add(call.call_id)
        finally:
            for side in sides:
                side.media.close()
