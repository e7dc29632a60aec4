"""SIP, SIPS and TEL URIs (RFC 3261 19.1, RFC 3966), and their comparison (19.1.4).  Pure."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from sip.constants import SIP_PORT, SIPS_PORT
from sip.errors import ParseError
from sip.grammar import ANY_SCHEME, BAD_ESCAPE, ESCAPE, SIP_URI

_CACHEABLE_LENGTH = 160


class Uri(NamedTuple):
    """One URI.  `text` is the wire form as received and is what `str()` gives; the rest are its parts, unescaped
    nowhere: escapes are part of the user until `number` or `unescaped_user` removes them, exactly once.

    For schemes other than sip and sips `user` holds everything after the colon up to the first ";" and `host` is "".
    """

    text: str
    scheme: str
    user: str
    password: str | None
    host: str
    port: int | None
    parameters: str
    headers: str
    number: str
    """What a person would dial: the user part, unescaped once, without user parameters (RFC 3966 3: without the visual
    separators of a tel number)."""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Raises `ParseError` (400) when the text is no URI at all."""
        # Phones repeat the same few URIs all day; long ones are not cached, so a flood can't fill memory.
        return _parse_cached(text) if len(text) <= _CACHEABLE_LENGTH else parse_uri(text)

    @classmethod
    def sip(cls, user: str, host: str, port: int | None = None, parameters: str = "") -> Uri:
        """Build a SIP URI of our own; `user` is in wire form, `host` may be a bare IPv6 address."""
        bracketed = bracket(host)
        text = f"sip:{user}@{bracketed}" if user else f"sip:{bracketed}"
        return cls.parse(f"{text}:{port}{parameters}" if port is not None else text + parameters)

    def __str__(self) -> str:
        return self.text

    @property
    def shown(self) -> str:
        """As people and programs may see it: without its password (19.1.1), like messages (`sip.masking`)."""
        return self.text if self.password is None else self.text.replace(f":{self.password}@", ":***@", 1)

    @property
    def is_sip(self) -> bool:
        return self.scheme in ("sip", "sips")

    @property
    def unescaped_user(self) -> str:
        return unquote(self.user, errors="surrogateescape") if "%" in self.user else self.user

    @property
    def effective_port(self) -> int:
        """The port, or the default of scheme and transport (19.1.2)."""
        if self.port is not None:
            return self.port
        is_tls = self.scheme == "sips" or (self.parameter("transport") or "").lower() == "tls"
        return SIPS_PORT if is_tls else SIP_PORT

    def parameter(self, name: str) -> str | None:
        """Value of a URI parameter, "" when it is present without one, None when it is absent."""
        if not self.parameters:
            return None
        return _pairs(self.parameters, ";").get(name)

    @property
    def is_loose_router(self) -> bool:
        """Carries `lr` (16.12: the next hop follows RFC 3261 routing)."""
        return self.parameter("lr") is not None

    def same_as(self, other: Uri) -> bool:
        """Equivalence of 19.1.4 for sip and sips; URIs of other schemes must be equal to the letter."""
        if self.text == other.text:
            return True
        if not (self.is_sip and other.is_sip):
            return False
        if self.scheme != other.scheme or (self.host.lower(), self.port) != (other.host.lower(), other.port):
            return False
        if (_normal(self.user), _normal(self.password)) != (_normal(other.user), _normal(other.password)):
            return False
        mine, theirs = _pairs(self.parameters, ";"), _pairs(other.parameters, ";")
        for name in mine.keys() | theirs.keys():
            if name in mine and name in theirs:
                if mine[name].lower() != theirs[name].lower():
                    return False
            elif name in _MUST_MATCH:
                return False
        return _pairs(self.headers, "&") == _pairs(other.headers, "&")


_VISUAL_SEPARATORS = str.maketrans("", "", "-.()")
_MUST_MATCH = frozenset({"user", "ttl", "method", "maddr", "transport"})
_NOT_UNESCAPED = frozenset(";/?:@&=+$,%")


def bracket(host: str) -> str:
    """Host as it stands in a URI, Via or Record-Route: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def unbracket(host: str) -> str:
    """Host as sockets want it."""
    return host[1:-1] if host.startswith("[") else host


def _normal(text: str | None) -> str | None:
    """Userinfo in a form fit for comparison: an escape equals its character unless that is reserved (19.1.4)."""
    return ESCAPE.sub(_unescape_unreserved, text) if text and "%" in text else text


def _unescape_unreserved(escape: re.Match[str]) -> str:
    char = chr(int(escape[1], 16))
    return escape[0].upper() if char in _NOT_UNESCAPED or not " " < char < "\x7f" else char


def _pairs(text: str, separator: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in text.split(separator):
        name, _, value = item.partition("=")
        if name:
            pairs.setdefault(unquote(name).lower(), unquote(value, errors="surrogateescape"))
    return pairs


def parse_uri(text: str) -> Uri:
    """The work of `Uri.parse`, for those who remember the result themselves."""
    match = SIP_URI.fullmatch(text)
    if match is not None:
        return sip_uri(text, *match.groups())
    match = ANY_SCHEME.fullmatch(text)
    if match is None:
        raise ParseError("malformed URI")
    scheme = match["scheme"].lower()
    if scheme in ("sip", "sips"):
        raise ParseError(f"malformed {scheme} URI")
    user, semicolon, parameters = match["rest"].partition(";")
    number = _number(user).translate(_VISUAL_SEPARATORS) if scheme == "tel" else _number(user)
    return Uri(text, scheme, user, None, "", None, semicolon + parameters, "", number)


def sip_uri(
    text: str,
    scheme: str,
    user: str | None,
    password: str | None,
    host: str,
    port_text: str | None,
    parameters: str | None,
    headers: str | None,
) -> Uri:
    """A sip or sips URI of the parts that a pattern has found in `text`.  Raises `ParseError`."""
    port = None
    if port_text is not None:
        port = int(port_text)
        if not 0 < port < 65536:
            raise ParseError(f"port {port} in URI is outside 1 to 65535")
    if user is None:
        user = number = ""
    elif "%" in user or ";" in user:
        if BAD_ESCAPE.search(user):
            raise ParseError("malformed % escape in the user part of a URI")
        number = _number(user)
    else:
        # The same number stands in many URIs that are kept.
        user = number = _intern(user)
    scheme = "sip" if scheme == "sip" else scheme.lower()
    return new_tuple(Uri, (text, scheme, user, password, _intern(host), port, parameters or "", headers or "", number))


_intern = sys.intern
new_tuple = tuple.__new__
"""Makes a value without the detour by the `__new__` of its named tuple."""


def _number(user: str) -> str:
    user = user.partition(";")[0]
    return unquote(user, errors="surrogateescape") if "%" in user else user


_parse_cached = lru_cache(maxsize=512)(parse_uri)
