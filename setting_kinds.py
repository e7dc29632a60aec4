"""What the value of a setting may be: how its text is read, and how that is said in words.  Pure.

A parser raises `ValueError` for what can't be used; `config` makes an error of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_PORT = 65_535
_MAX_RTP_WORKERS = 64
DAY_S = 86_400
_MAX_SERVER_HEADER = 64
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]*")
_SIZE = re.compile(r"([1-9][0-9]*)([kmg]?)b?", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
# RFC 3261 25.1 `hostname`: the last label starts with a letter, so that 300.1.1.1 is no host name.
_HOSTNAME = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.?")
_REALM = re.compile(r"[!#-\[\]-~](?:[ !#-\[\]-~]{0,62}[!#-\[\]-~])?")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_DIALLED = re.compile(r"[0-9*#]{1,16}")
_SERVER_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a value may be: `parse` raises ValueError for anything else, `allowed` says it in words."""

    parse: Callable[[str], T]
    allowed: str


def whole(low: int, high: int, what: str, note: str = "") -> Kind[int]:
    def parse(text: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(text) or not low <= (number := int(text)) <= high:
            raise ValueError(text)
        return number

    return Kind(parse, f"{what} from {low} to {high}{note}")


def choice(*words: str) -> Kind[str]:
    def parse(text: str) -> str:
        return words[words.index(text.lower())]

    return Kind(parse, f"{', '.join(words[:-1])} or {words[-1]}")


def _parse_switch(text: str) -> bool:
    return {"true": True, "false": False}[choice("true", "false").parse(text)]


def _parse_listen_host(text: str) -> str:
    if text.lower() == "localhost":
        return "127.0.0.1"
    address = ipaddress.ip_address(text)
    if address.is_multicast:
        raise ValueError(text)
    return str(address)


def parse_advertised_address(text: str) -> str:
    if not text or (len(text) < 254 and _HOSTNAME.fullmatch(text)):
        return text
    return _parse_ip_address(text)


def _parse_ip_address(text: str) -> str:
    address = ipaddress.ip_address(text)
    if address.is_unspecified or address.is_multicast:
        raise ValueError(text)
    return str(address)


def parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    size = int(match[1]) * _SIZE_UNITS[match[2].lower()]
    if not _SIZE_UNITS["k"] <= size <= 100 * _SIZE_UNITS["g"]:
        raise ValueError(text)
    return size


def parse_path(text: str) -> Path:
    if not text.isprintable():
        raise ValueError(text)
    return Path(text)


def parse_database_url(text: str) -> str:
    if text and not (text.startswith(("postgresql://", "postgres://")) and text.isprintable()):
        raise ValueError(text)
    return text


def parse_server_name(text: str) -> str:
    if text and not _SERVER_NAME.fullmatch(text):
        raise ValueError(text)
    return text


def parse_peer_address(text: str) -> str:
    return _parse_ip_address(text) if text else ""


def _parse_rtp_workers(text: str) -> int | None:
    return None if text.lower() == "auto" else whole(0, _MAX_RTP_WORKERS, "").parse(text)


def _parse_optional_path(text: str) -> Path | None:
    return parse_path(text) if text else None


def parse_server_header(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or len(text) > _MAX_SERVER_HEADER:
        raise ValueError(text)
    return text


def parse_token(text: str) -> str:
    if text and not _TOKEN68.fullmatch(text):
        raise ValueError(text)
    return text


def parse_host_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower().removesuffix(".") for name in text.split(",") if name.strip())
    if not all(len(name) < 254 and _HOSTNAME.fullmatch(name) for name in names):
        raise ValueError(text)
    return names


def parse_networks(text: str) -> tuple[IpNetwork, ...]:
    if text.lower() == "none":
        return ()
    # Not strict: people write the address of a machine and the size of its network.
    return tuple(ipaddress.ip_network(item.strip(), strict=False) for item in text.split(","))


def parse_realm(text: str) -> str:
    if not _REALM.fullmatch(text):
        raise ValueError(text)
    return text


def parse_passwords(text: str) -> tuple[tuple[str, str], ...]:
    parts = [item.partition(":") for item in text.split(",") if item.strip()]
    passwords = {number.strip(): password.strip() for number, _, password in parts}
    if len(passwords) < len(parts) or not all(_NUMBER.fullmatch(key) and value for key, value in passwords.items()):
        raise ValueError(text)
    return tuple(passwords.items())


def _parse_service_number(text: str) -> str:
    if text.lower() == "off":
        return ""
    if not _DIALLED.fullmatch(text):
        raise ValueError(text)
    return text


SERVICE_NUMBER = Kind(_parse_service_number, "up to 16 digits, * and #, such as *43, or off")
SWITCH = Kind(_parse_switch, "true or false")
RTP_WORKERS = Kind(_parse_rtp_workers, f"auto or a whole number from 0 to {_MAX_RTP_WORKERS}")
OPTIONAL_PATH = Kind(_parse_optional_path, "the path of a file, or empty")
LISTEN_PORT = whole(0, MAX_PORT, "a port", " (0 = any free port)")
LISTEN_HOST = Kind(_parse_listen_host, "an IP address of this machine, 0.0.0.0 or :: for all of them, or localhost")
SECONDS = whole(1, DAY_S, "whole seconds")
MAX_DELTA_SECONDS = 2**32 - 1  # RFC 3261 20.19
