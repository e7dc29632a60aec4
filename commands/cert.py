"""Make or renew the certificate for TLS, with a certificate authority of your own.

Phones that trust the authority trust every certificate it makes, so a renewal changes nothing on the phones.  A running
server takes a renewed certificate into use by itself.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from config import IN_MEMORY, Config, ConfigError
from sip import tls
from sip.addresses import SOMEWHERE, AddressBook, is_wildcard

if TYPE_CHECKING:
    from commands.authority import Pair

NAME = "cert"

DEFAULT_DAYS = 730
MAX_DAYS = 825
"""What Apple's systems accept at most, also from an authority that their user has added."""

RENEW_DAYS = 30
"""A certificate with less time left is made anew."""

AUTHORITY_FILE = "ca.pem"
AUTHORITY_KEY_FILE = "ca.key"

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        type=_host,
        metavar="HOST",
        help="a host name or address by which phones reach this machine, beside those it knows of; may be repeated",
    )
    parser.add_argument(
        "--days",
        type=_days,
        default=DEFAULT_DAYS,
        help=f"how long the certificate is valid (default {DEFAULT_DAYS}, at most {MAX_DAYS})",
    )
    parser.add_argument(
        "--force", action="store_true", help="make a new certificate even if the present one is good, for today's names"
    )


def run(arguments: argparse.Namespace, config: Config) -> int:
    try:
        from commands import authority
    except ImportError as error:
        raise ConfigError("this command needs the package cryptography: pip install -r requirements.txt") from error
    if str(config.data_dir) == IN_MEMORY:
        raise ConfigError("DATA_DIR keeps nothing: set TLS_CERT and TLS_KEY instead")
    directory = config.data_dir / tls.DIRECTORY
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ca_files = directory / AUTHORITY_FILE, directory / AUTHORITY_KEY_FILE
        files = directory / tls.CERTIFICATE_FILE, directory / tls.KEY_FILE
        ca, server = authority.read(*ca_files), authority.read(*files)
        if ca is None and ca_files[0].exists():
            raise FileNotFoundError(f"{ca_files[1].name}, the key of the authority, is missing")
        is_new_ca = ca is None or ca.expires - now < timedelta(days=RENEW_DAYS)
        if ca is None or is_new_ca:
            ca = authority.make_authority(now, socket.gethostname())
            authority.write(ca, *ca_files)
        kept = server.names if server is not None and not arguments.force else ()
        names = list(dict.fromkeys((*arguments.name, *machine_names(config), *kept)))
        reason = "" if arguments.force else _why_not(server, ca, names, now)
        is_new = arguments.force or bool(reason)
        if server is None or is_new:
            server = authority.make_server(ca, names, now, arguments.days)
            authority.write(server, *files)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{directory}: {error}; set it right, or move it away to begin anew") from error
    _report(config, ca, server, directory, reason, is_new=is_new, is_new_ca=is_new_ca)
    return 0


def machine_names(config: Config) -> list[str]:
    """What phones may call this machine, the address that they are most likely set to first."""
    book = AddressBook()
    configured = [
        config.server_address,
        *(host for host in (config.sip_host, config.api_host) if not is_wildcard(host)),
    ]
    host = socket.gethostname().lower()
    names = [*configured, *map(book.local_host, SOMEWHERE), host, socket.getfqdn().lower(), *config.api_hosts]
    if "." not in host:
        names.append(f"{host}.local")
    return [*(name for name in names if _is_host(name)), "localhost", "127.0.0.1", "::1"]


def _why_not(server: Pair | None, ca: Pair, names: list[str], now: datetime) -> str:
    """Why the present certificate won't do; "" when it will."""
    if server is None:
        return "there was none"
    if not ca.signed(server):
        return "the old one was signed by another authority"
    if server.expires - now < timedelta(days=RENEW_DAYS):
        return f"the old one is valid until {server.expires:%d %B %Y} only"
    missing = [name for name in names if name not in server.names]
    return f"the old one lacked {', '.join(missing)}" if missing else ""


def _report(
    config: Config, ca: Pair, server: Pair, directory: Path, reason: str, *, is_new: bool, is_new_ca: bool
) -> None:
    if is_new_ca:
        print(f"A certificate authority was made; keep {directory / AUTHORITY_KEY_FILE} to yourself.")
    if is_new:
        print(f"A certificate was made{': ' + reason if reason else ''}.")
    else:
        print("The certificate is good; nothing was changed.")
    print(f"  speaks for    {', '.join(server.names)}")
    print(f"  valid until   {server.expires:%d %B %Y}; run this command again within {RENEW_DAYS} days before that")
    print(f"  authority     {directory / AUTHORITY_FILE}, valid until {ca.expires:%d %B %Y}")
    print(f"  fingerprint   {ca.fingerprint} (SHA-256)")
    print()
    if config.tls_cert is not None:
        print(f"The server does not use it: TLS_CERT is set to {config.tls_cert}.")
    else:
        print(f"The server listens for TLS on port {config.sip_tls_port} from its next start on.  If it did so before,")
        print("it has taken the certificate into use already.")
    print(
        f"Each phone must trust the authority once: give it the file {AUTHORITY_FILE} (the fingerprint lets you check"
    )
    print("what arrived), then set its transport to TLS.  docs/tls.md says how, for many phones and systems.")


def _host(text: str) -> str:
    host = text.strip().lower().removesuffix(".")
    if not _is_host(host):
        raise argparse.ArgumentTypeError(f"{text!r} is no host name and no address")
    return str(ipaddress.ip_address(host)) if _is_address(host) else host


def _is_host(text: str) -> bool:
    return _is_address(text) or _HOST_NAME.fullmatch(text) is not None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number of days from 1 to {MAX_DAYS}")
    return int(text)
