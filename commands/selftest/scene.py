"""Where the running server is, from which addresses of this machine it is looked at, and what its own API says of it.

One thread, that of the command.  The server judges by the source address (TRUSTED_NETWORKS), so the same question is
asked from an address outside these networks, which shows what a stranger sees, and from one inside.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from commands.selftest.api_view import ApiView
from commands.selftest.line import Address, Line
from config import Config, ConfigError
from sip.addresses import SOMEWHERE, AddressBook, is_wildcard
from sip.networks import Networks
from sip.numbering import NumberPlan
from startup import reachable_address

_LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Scene:
    """`outside` is an address of this machine that TRUSTED_NETWORKS doesn't hold, `inside` one that it does; "" where
    there is none that the server answers.  `silent` are those that it does not answer, though it answers others.
    `live`: numbers registered now, `calls`: how many there are; None where the API did not say."""

    config: Config
    server: Address
    outside: str
    inside: str
    silent: tuple[str, ...]
    api: ApiView
    live: frozenset[str] | None
    calls: int | None

    @property
    def plan(self) -> NumberPlan:
        return NumberPlan(self.config.ext_min, self.config.ext_max)

    @property
    def is_public(self) -> bool:
        """Phones are told an address of the Internet."""
        return is_public(self.config.server_address) or is_public(self.server.host)

    @property
    def unknown_number(self) -> str:
        """A number of nobody, with as many digits as its neighbours where there is one."""
        above, below = self.config.ext_max + 1, self.config.ext_min - 1
        return str(above if len(str(above)) == len(str(self.config.ext_max)) or below < 1 else below)

    def free_numbers(self) -> list[str]:
        """Numbers without a registered phone, the last first: the first ones are more often in use."""
        if self.live is None:
            return []
        return [number for number in reversed(self.plan.numbers()) if number not in self.live]

    @property
    def views(self) -> tuple[str, ...]:
        found = []
        if self.outside:
            found.append(f"Seen as a stranger, from {self.outside}, which is outside TRUSTED_NETWORKS.")
        if self.inside:
            found.append(f"Seen from your own network, as {self.inside}: there the rules are laxer, by design.")
        return tuple(found)


def is_public(host: str) -> bool:
    """An address of the Internet; a name, when one of its addresses is."""
    return bool(host) and any(ip_address(address).is_global for address in _addresses(host))


def find(config: Config, host: str, own_addresses: Sequence[str] | None = None) -> Scene | None:
    """Look for the server at `host`, or where the settings say it is; None when nobody answers there.

    `own_addresses` are those of this machine to look from, unless given those that the system tells.  Raises
    `ConfigError` when the settings don't say which port the server has.
    """
    if not config.sip_port:
        raise ConfigError("SIP_PORT=0: the server may have any port; set one to test it")
    server = _find_server(config, host)
    if server is None:
        return None
    trusted = Networks(config.trusted_networks)
    outside = inside = ""
    silent = []
    for address in dict.fromkeys(_own_addresses(server) if own_addresses is None else own_addresses):
        if inside if address in trusted else outside:
            continue
        try:
            with Line(server, address) as line:
                answers = line.reaches_server()
        except OSError:
            continue
        if not answers:
            silent.append(address)
        elif address in trusted:
            inside = address
        else:
            outside = address
    api = ApiView(config, server.host)
    live, calls = api.live_numbers(), api.call_count()
    return Scene(config, server, outside, inside, tuple(silent), api, live, calls)


def _find_server(config: Config, host: str) -> Address | None:
    for candidate in dict.fromkeys(_addresses_of_all(_hosts(config, host))):
        server = Address(candidate, config.sip_port)
        with contextlib.suppress(OSError), Line(server) as line:
            if line.reaches_server():
                return server
    return None


def _hosts(config: Config, host: str) -> Iterator[str]:
    """The address phones are told first; a router may not lead us back to it, so then those on this machine."""
    if host:
        yield host
        return
    yield reachable_address(config)
    if not is_wildcard(config.sip_host):
        yield config.sip_host
        return
    yield AddressBook().local_host(SOMEWHERE[0])
    yield _LOOPBACK[0]


def _own_addresses(server: Address) -> Iterator[str]:
    """Of the server's family, the one nearest to it first."""
    book = AddressBook()
    names = socket.gethostname()
    found = [book.local_host(server.host), *map(book.local_host, SOMEWHERE), *_addresses(names), *_LOOPBACK]
    return (address for address in found if (":" in address) == (":" in server.host))


def _addresses_of_all(hosts: Iterable[str]) -> Iterator[str]:
    for host in hosts:
        yield from _addresses(host)


def _addresses(host: str) -> list[str]:
    """The IP addresses of a host; none when its name isn't known."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))
