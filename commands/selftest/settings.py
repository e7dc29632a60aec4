"""Settings and files that open or close the server, judged as they stand.  One thread, that of the command."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from commands.cert import AUTHORITY_FILE
from commands.selftest.scene import Scene
from commands.selftest.verdict import Finding, Level
from config import IN_MEMORY, Config
from setting_kinds import IpNetwork
from sip.patience import StreamLimits
from sip.tls import CERTIFICATE_FILE, certificate_files

_PRIVATE = (*Config().trusted_networks, ip_network("100.64.0.0/10"))
"""Networks that no packet of the Internet comes from: those trusted by default, and that of carriers (RFC 6598)."""

_FEW_ADDRESSES = 256

_SECRETS = ("password", "token", ".key")
"""What is in the name of a file whose reader can be somebody else."""


def check(scene: Scene) -> Iterator[Finding]:
    yield _trusted_networks(scene.config)
    yield _auth_required(scene)
    yield _bans(scene.config)
    yield _rate_limit(scene.config)
    yield _connections(scene.config)


def _trusted_networks(config: Config) -> Finding:
    foreign = [network for network in config.trusted_networks if not _is_private(network)]
    if not foreign:
        return Finding(
            "trusted-networks",
            Level.OK,
            "Only private networks are trusted",
            "TRUSTED_NETWORKS holds no address of the Internet."
            if config.trusted_networks
            else "None at all, in fact.",
        )
    is_wide = any(network.num_addresses > _FEW_ADDRESSES for network in foreign)
    return Finding(
        "trusted-networks",
        Level.DANGER if is_wide and not config.auth_required else Level.WARNING,
        "Addresses of the Internet are trusted",
        f"TRUSTED_NETWORKS holds {', '.join(map(str, foreign))}. "
        + (
            "Passwords are demanded there too (AUTH_REQUIRED), but wrong ones lead to a ban much later."
            if config.auth_required
            else "From there numbers without a password can be registered by anybody, also by a forged sender address."
        ),
        "Leave only your own networks in TRUSTED_NETWORKS; phones elsewhere need nothing but a password.",
    )


def _is_private(network: IpNetwork) -> bool:
    return any(network.version == each.version and network.subnet_of(each) for each in _PRIVATE)  # type: ignore[arg-type]


def _auth_required(scene: Scene) -> Finding:
    if scene.config.auth_required:
        return Finding(
            "auth-required", Level.OK, "Every phone needs a password", "AUTH_REQUIRED is on, wherever a phone is."
        )
    if scene.is_public:
        return Finding(
            "auth-required",
            Level.WARNING,
            "Not every phone needs a password",
            "AUTH_REQUIRED is off on a server that the Internet reaches: a mistake in TRUSTED_NETWORKS, or a stranger "
            "in your network, is enough to get in.",
            "Give every number in use a password, then set AUTH_REQUIRED=true.",
        )
    return Finding(
        "auth-required",
        Level.OK,
        "Phones of your own network may do without a password",
        "AUTH_REQUIRED is off, which is fine on a private address with nothing but your own devices around.",
    )


def _bans(config: Config) -> Finding:
    if config.ban_after:
        return Finding(
            "bans",
            Level.OK,
            "Who guesses passwords is banned",
            f"{config.ban_after} wrong ones within {config.ban_window:g} s ban an address for {config.ban_time:g} s. "
            "See /api/bans and /api/registrations/failures.",
        )
    return Finding(
        "bans",
        Level.WARNING,
        "Passwords may be guessed without end",
        "BAN_AFTER=0: no address is ever banned, however many wrong passwords it tries.",
        "Remove BAN_AFTER from the settings, or set it to 10.",
    )


def _rate_limit(config: Config) -> Finding:
    off = [
        name
        for name, value in (("SIP_RATE_LIMIT", config.sip_rate_limit), ("API_RATE_LIMIT", config.api_rate_limit))
        if not value
    ]
    if not off:
        return Finding(
            "rate-limits",
            Level.OK,
            "Floods are limited",
            f"{config.sip_rate_limit} SIP messages a second from a stranger, {config.api_rate_limit} HTTP requests a "
            "minute from one address.",
        )
    return Finding(
        "rate-limits",
        Level.WARNING,
        f"Floods are not limited: {' and '.join(off)} is off",
        "One sender can keep the server so busy that phones wait for their calls.",
        f"Remove {' and '.join(off)} from the settings; the defaults are generous for phones.",
    )


def _connections(config: Config) -> Finding:
    limits = StreamLimits(config.sip_max_connections, config.sip_max_connections_per_source)
    if limits.connections_per_source >= limits.connections:
        return Finding(
            "connections",
            Level.WARNING,
            "One address may use up all connections",
            f"SIP_MAX_CONNECTIONS_PER_SOURCE is {limits.connections_per_source}, SIP_MAX_CONNECTIONS "
            f"{limits.connections}: then no phone can connect by TCP or TLS any more.",
            "Set SIP_MAX_CONNECTIONS_PER_SOURCE to the number of phones behind one router, and SIP_MAX_CONNECTIONS to "
            "several times that.",
        )
    return Finding(
        "connections",
        Level.OK,
        "Connections are limited",
        f"{limits.connections} by TCP and TLS in all, {limits.connections_per_source} from one address; one that says "
        f"nothing is closed after {limits.first_message_s:g} s, an unfinished message after {limits.message_s:g} s, "
        f"an idle one without a phone after {limits.idle_s:g} s.",
    )


# ------------------------------------------------------------------------------------------------ files


def check_files(config: Config) -> Finding:
    """Files of the server that other users of this machine can read (POSIX)."""
    if os.name != "posix":
        return _files_skipped("This system has no POSIX file modes; see to it that only the server's user may read it.")
    if str(config.data_dir) != IN_MEMORY and not config.data_dir.is_dir():
        return _files_skipped(f"There is no {config.data_dir} here.")
    found = sorted(path for path in _private_files(config) if _others_may(path, stat.S_IRWXG | stat.S_IRWXO))
    if _others_may(config.data_dir, stat.S_IWOTH):
        return Finding(
            "files",
            Level.DANGER,
            "Other users of this machine can replace the server's passwords",
            f"Everybody may write to {config.data_dir}.",
            f"chmod 700 {config.data_dir}",
        )
    if not found:
        return Finding(
            "files", Level.OK, "No other user can read the server's secrets", "Its files are for their owner alone."
        )
    # What a container is handed over as a secret is readable by all in it, of whom there is one.
    own = [path for path in found if path != config.ext_passwords_file]
    is_secret = any(word in path.name for path in own for word in _SECRETS)
    return Finding(
        "files",
        Level.DANGER if is_secret else Level.WARNING,
        "Other users of this machine can read files of the server",
        f"Not for their owner alone: {', '.join(map(str, found))}. Who reads a password file can register as your "
        "phones; who reads a key can pose as this server.",
        f"chmod 600 {' '.join(map(str, found))}",
    )


def _files_skipped(why: str) -> Finding:
    return Finding("files", Level.SKIPPED, "The server's files could not be looked at", why)


def _private_files(config: Config) -> Iterator[Path]:
    public = {CERTIFICATE_FILE, AUTHORITY_FILE}
    if str(config.data_dir) != IN_MEMORY:
        yield from (path for path in config.data_dir.rglob("*") if path.is_file() and path.name not in public)
    files = certificate_files(config)
    named = [config.ext_passwords_file, files[1] if files is not None else None]
    yield from (path for path in named if path is not None and path.is_file() and not _is_below(path, config.data_dir))


def _is_below(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory.resolve())


def _others_may(path: Path, mode: int) -> bool:
    try:
        return bool(path.stat().st_mode & mode)
    except OSError:
        return False
