"""What is asked of the system at the start, and what is said on the console.

For the main thread.
"""

from __future__ import annotations

import contextlib
import errno
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

from config import Config, ConfigError, wrong_value
from sip.addresses import SOMEWHERE, AddressBook, is_wildcard
from sip.uri import bracket

EPHEMERAL_PORTS = (49_152, 65_535)
"""Where media ports come from when RTP_PORT is 0 (RFC 6335 6: the dynamic range)."""

_DESCRIPTORS_PER_CALL = 6
"""Two ports of two sockets each, and one more on either side once it has latched."""
_OTHER_DESCRIPTORS = 150
"""Listening sockets, logs, TCP phones and HTTP clients."""
_UNLIMITED = 1 << 30


def reachable_address(config: Config) -> str:
    """The address a person enters into a phone on the local network."""
    if config.server_address:
        return config.server_address
    if not is_wildcard(config.sip_host):
        return config.sip_host
    return AddressBook().local_host(SOMEWHERE[0])


def raise_descriptor_limit() -> int:
    """Have as many open files and sockets as the system lets this process have; how many that is."""
    if resource is None:
        return _UNLIMITED
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # Refused where "unlimited" is more than the system can count (macOS): then things stay as they are.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def call_capacity(config: Config, descriptors: int) -> int:
    """How many calls with one audio stream fit the media ports and the open sockets that the process may have."""
    first, last = (config.rtp_port, config.rtp_port_max) if config.rtp_port else EPHEMERAL_PORTS
    pairs = (last + 1 - (first + first % 2)) // 2
    return max(0, min(pairs // 2, (descriptors - _OTHER_DESCRIPTORS) // _DESCRIPTORS_PER_CALL))


def bind_error(port_name: str, port: int, host_name: str, host: str, error: OSError) -> ConfigError:
    """What to say of a port that can't be opened; the names are those of the settings."""
    if error.errno == errno.EADDRINUSE:
        allowed = f"a free port; {port} on {host} is used by another program: stop that one, or set {port_name}"
        return wrong_value(port_name, port, allowed)
    if error.errno == errno.EADDRNOTAVAIL:
        return wrong_value(host_name, host, "an address of this machine, or 0.0.0.0 for all of them")
    if error.errno in (errno.EACCES, errno.EPERM):
        return wrong_value(port_name, port, "a port this user may open (1024 and above without special rights)")
    return wrong_value(port_name, port, f"a port that can be opened ({error.strerror or error})")


class Greeting(NamedTuple):
    """What is known only once the server has started; `tls_port` 0: no TLS; `protected`: numbers with a password."""

    version: str
    sip_port: int
    tls_port: int
    api_port: int
    capacity: int
    protected: int


def banner(config: Config, greeting: Greeting) -> str:
    """What the admin needs to set up the first phone."""
    version, sip_port, tls_port, api_port, capacity, protected = greeting
    address = reachable_address(config)
    api_host = bracket(config.api_host if not is_wildcard(config.api_host) else address)
    page = f"{'https' if config.api_tls else 'http'}://{api_host}:{api_port}/"
    media = f"{config.rtp_port}-{config.rtp_port_max}" if config.rtp_port else "any free ports"
    return "\n".join(
        [
            f"sipserver {version}",
            f"  SIP    {address}:{sip_port}  UDP and TCP" + (f", {address}:{tls_port}  TLS" if tls_port else ""),
            f"  media  {address}  UDP {media}, enough for {capacity} calls at once",
            f"  page   {page}  who is there, who talks, and why a call failed",
            "",
            "Set up each phone like this:",
            f"  server / domain   {address}" + ("" if sip_port == 5060 else f":{sip_port}"),
            f"  user / number     one of {config.ext_min} to {config.ext_max}, each phone its own",
            f"  password          {_password_advice(config, protected)}",
            "  transport         UDP (TCP works too" + (f", TLS on port {tls_port})" if tls_port else ")"),
            "",
            f"Then dial the other phone's number{_echo_advice(config)}.  Ctrl+C stops the server.",
        ]
    )


def _echo_advice(config: Config) -> str:
    return f", or {config.test_echo} to hear yourself" if config.test_echo else ""


def _password_advice(config: Config, protected: int) -> str:
    if not protected and not config.auth_required:
        return "leave it empty: none is asked for in your own network"
    if config.auth_required:
        return "the one set by: python sipserver.py passwd NUMBER"
    return f"that of the number; {protected} of them have one (python sipserver.py passwd --list)"
