"""The same against a started server: real sockets, real timers, some of them faster."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from sip.timers import TimerSettings
from tests.soak.level import Level
from tests.support.office import Office, eventually
from tests.support.phone import SoftPhone

TIMERS = TimerSettings(t1_s=0.02, t2_s=0.1, t4_s=0.1, timer_d_s=1.3)
"""RFC 3261's, 25 times faster: a phone that is dead is given up after 1.3 s."""
MEDIA_TIMEOUT_S = 0.3

LIVES = ("normal", "aborted", "refused", "callee dies ringing", "both die in the call", "lost messages")


class House:
    """A server and phones that come and go; at most two at once, so that a round needs the ports of one call."""

    def __init__(self, office: Office, chance: random.Random) -> None:
        self._office = office
        self._chance = chance
        self.figures: Counter[str] = Counter()

    def round(self) -> None:
        """One of each life, in any order, with a phone on TCP now and then."""
        for life in self._chance.sample(LIVES, len(LIVES)):
            transport = self._chance.choice(("UDP", "UDP", "TCP"))
            alice = SoftPhone(self._office.server, "100", t1_s=0.02, transport=transport)
            bob = SoftPhone(self._office.server, "101", t1_s=0.02)
            with alice, bob:
                self._live(life, alice, bob)
            self.figures[life] += 1
            self._office.server.clear_registrations()

    def _live(self, life: str, alice: SoftPhone, bob: SoftPhone) -> None:
        alice.register()
        bob.register()
        if life == "lost messages":
            for phone, pattern in ((bob, "INVITE"), (bob, "BYE"), (bob, "ACK")):
                phone.lose("received", pattern)
        call = alice.call("101")
        ring = bob.expect_call()
        ring.ring()
        if life == "aborted":
            call.wait_ringing()
            call.cancel()
        elif life == "refused":
            ring.reject()
            call.wait_rejected()
        elif life == "callee dies ringing":
            call.wait_ringing()
            bob.close()
            call.cancel()
        else:
            ring.answer()
            call.wait_answered()
            if life != "both die in the call":
                call.hang_up()

    def quiet(self) -> Level:
        """What is held when every phone has gone, every timer has fired and every call is forgotten."""
        self._office.server.clear_registrations()
        eventually(self._is_quiet, "the end of all transactions, connections and calls")
        place = self._office.server._relay._place
        assert place is not None
        level = Level.now()
        # Ports that rest between calls are as many as calls have ever overlapped, up to a bound.
        return replace(level, descriptors=level.descriptors - 2 * len(place.pool._resting))

    def _is_quiet(self) -> bool:
        figures = self._office.server.internals()
        pending = figures.server_transactions + figures.client_transactions + figures.store_pending
        connections = sum(figures.connections.values())
        known = len(self._office.server._engine._core._exchange.calls)
        return not (pending or connections or known or figures.media_port_pairs_in_use)
