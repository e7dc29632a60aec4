"""Whether an address lies in one of the networks that the office trusts.  Pure; guarded by the core lock."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from sip.inet import parse_ip

_MAX_REMEMBERED = 4096


class Networks:
    """A set of networks; `host in networks` takes the text of an address.  Answers are remembered, a bounded number."""

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)
        self._answers: dict[str, bool] = {}

    def __contains__(self, host: str) -> bool:
        answer = self._answers.get(host)
        if answer is None:
            if len(self._answers) >= _MAX_REMEMBERED:
                self._answers.clear()
            answer = self._answers[host] = self._look_up(host)
        return answer

    def _look_up(self, host: str) -> bool:
        address = parse_ip(host.partition("%")[0])
        return address is not None and any(address in network for network in self._networks)
