"""Phones by the thousand on the bench: the core, a fake clock, and a network that loses what it likes.

Every phone that is put on the bench lives a short life: it registers, calls or is called, and one in three dies at some
point of it without a word.  Messages to and from it get lost at random; phones repeat nothing, so what is lost stays
lost and the core's timers have to see to the rest.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from tests.support.bench_phone import FakePhone
from tests.support.harness import CoreHarness, Sent
from tests.support.sip_text import SipText

NUMBERS = range(100, 200)
LOSS = 0.05
"""Of all messages, both ways."""
DEATHS = 0.3
"""Of all calls, those in which one phone dies."""


@dataclass
class Bench:
    """Invariant: what was sent is read or lost within the step that sent it, so that only the core remembers."""

    chance: random.Random
    office: CoreHarness = field(default_factory=lambda: CoreHarness(ext_min=NUMBERS[0], ext_max=NUMBERS[-1]))
    figures: Counter[str] = field(default_factory=Counter)

    def register(self) -> None:
        """One REGISTER: a refresh, a new contact, or an end."""
        phone = self._phone(self.chance.choice(NUMBERS))
        phone.register_cseq = self.figures["REGISTER"]
        if self._arrives():
            phone.register(expires=self.chance.choice((0, 60, 300, 3600)))
        self.figures["REGISTER"] += 1
        self._settle()
        if self.chance.random() < 0.02:
            # Some bindings run out on the way.
            self.office.advance(self.chance.uniform(1.0, 400.0))
            self._settle()

    def call(self) -> None:
        """One INVITE and what comes of it."""
        caller, callee = (self._phone(number) for number in self.chance.sample(NUMBERS, 2))
        for phone in (caller, callee):
            phone.register_cseq = self.figures["REGISTER"]
            phone.register()
            self.figures["REGISTER"] += 1
        self._settle()
        invite = caller.invite(callee.number)
        self.figures["INVITE"] += 1
        self._live(caller, callee, invite)
        self.office.advance(self.chance.uniform(0.0, 40.0))
        self._settle()

    def _live(self, caller: FakePhone, callee: FakePhone, invite: SipText) -> None:
        dies_at = self.chance.choice(("ringing", "answer", "ACK", "BYE")) if self.chance.random() < DEATHS else ""
        offered = [sent.message for sent in self._take(callee, "INVITE") if self._arrives()]
        if not offered or dies_at == "ringing":
            self.figures["phones that died or never heard of their call"] += 1
            return
        callee.respond(offered[0], 180, "Ringing")
        if self.chance.random() < 0.3:
            caller.cancel(invite)
            if dies_at != "answer" and self._arrives():
                callee.respond(offered[0], 487, "Request Terminated")
            self.figures["calls aborted"] += 1
            return
        if dies_at == "answer":
            self.figures["phones that died before the answer"] += 1
            return
        hung_up = callee.answer(offered[0])
        answers = [sent.message for sent in self._take(caller, "200 INVITE") if self._arrives()]
        self.figures["calls answered"] += 1
        if not answers or dies_at == "ACK":
            self.figures["phones that died before the ACK"] += 1
            return
        dialog = caller.caller_dialog(invite, answers[0])
        dialog.request("ACK")
        if dies_at == "BYE":
            self.figures["phones that died in the call"] += 1
            return
        by = self.chance.choice((dialog, hung_up))
        by.request("BYE")
        other = callee if by is dialog else caller
        for sent in self._take(other, "BYE"):
            if self._arrives():
                other.respond(sent.message, 200, "OK")
        self.figures["calls ended by BYE"] += 1

    # -------------------------------------------------------------------------------------------- network

    def _phone(self, number: int) -> FakePhone:
        """At one of three places, so that numbers have several devices."""
        place = self.chance.randrange(3)
        return FakePhone(self.office, str(number), f"192.0.2.{number}", 5060 + place)

    def _arrives(self) -> bool:
        return self.chance.random() >= LOSS

    def _take(self, phone: FakePhone, what: str) -> list[Sent]:
        """The first such message that was sent to the phone and not read, if there is one."""
        way = (phone.host, phone.port)
        sent = [each for each in self.office.sent if each.flow.remote == way and each.message.what == what]
        return sent[:1]

    def _settle(self) -> None:
        """Forget what was sent."""
        self.figures["messages sent"] += len(self.office.sent)
        self.office.sent.clear()
        self.office.forget()
        self.office.recorder.forget()
        self.office.events.forget()

    def end(self) -> None:
        """All phones fall silent; whatever the core still knows runs out, or it fails here."""
        self.office.assert_clean()
        self._settle()
