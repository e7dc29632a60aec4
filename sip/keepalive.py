"""OPTIONS pings to phones behind NAT, so that their router keeps the way to them open, and to see that they live.

Pure; guarded by the core lock.
"""

from __future__ import annotations

import logging

from sip.constants import MAX_FORWARDS
from sip.exchange import Exchange
from sip.headers import Headers
from sip.location import Binding
from sip.message import Request
from sip.timers import Timer

log = logging.getLogger(__name__)


class Ping:
    """Transaction context of one ping."""

    __slots__ = ("binding", "call")

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self.call = None


class NatKeepAlive:
    """One timer for each binding behind NAT, from its REGISTER until the binding goes."""

    def __init__(self, exchange: Exchange) -> None:
        self._x = exchange
        self._timers: dict[Binding, Timer] = {}
        self._silent: set[Binding] = set()

    def __len__(self) -> int:
        return len(self._timers)

    def bound(self, binding: Binding, now: float) -> None:
        """A binding was made or refreshed."""
        if not binding.behind_nat:
            return
        interval = self._x.config.nat_keepalive
        if interval > 0 and binding not in self._timers:
            self._timers[binding] = self._x.timers.start(now + interval, self._ping, binding)

    def unbound(self, binding: Binding) -> None:
        """A binding is gone."""
        self._silent.discard(binding)
        timer = self._timers.pop(binding, None)
        if timer is not None:
            timer.cancel()

    def answered(self, binding: Binding, now: float) -> None:
        binding.last_seen_at = self._x.wall(now)
        binding.silent_since_at = None
        if binding in self._silent:
            self._silent.discard(binding)
            log.info("%s answers again from %s", binding.number, binding.flow)

    def unanswered(self, binding: Binding, now: float) -> None:
        if binding in self._timers and binding not in self._silent:
            self._silent.add(binding)
            binding.silent_since_at = self._x.wall(now)
            log.warning("%s does not answer at %s; calls to it will probably fail", binding.number, binding.flow)

    def _ping(self, binding: Binding, now: float) -> None:
        x = self._x
        if not binding.behind_nat:
            del self._timers[binding]
            return
        self._timers[binding] = x.timers.start(now + x.config.nat_keepalive, self._ping, binding)
        flow = binding.flow
        if flow.reliable and flow.connection == 0:
            # Its connection is gone, and there is no way in through the NAT: the phone has to come back by itself.
            return
        identity = x.identity
        headers = Headers()
        headers.append_field(identity.via(flow, identity.new_branch()))
        headers.append("Max-Forwards", str(MAX_FORWARDS))
        headers.append("From", f"<sip:{flow.sent_by}>;tag={identity.new_tag()}")
        headers.append("To", f"<{binding.contact.text}>")
        headers.append("Call-ID", identity.new_call_id())
        headers.append("CSeq", "1 OPTIONS")
        headers.append("Content-Length", "0")
        x.layer.send_request(Request("OPTIONS", binding.contact.text, headers), flow, now, Ping(binding))
