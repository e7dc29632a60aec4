"""A SIP message as it may be shown: without what would let its reader register, call or listen.  Pure; any thread.

Masked are the credentials of Authorization and Proxy-Authorization (RFC 3261 20.7, 20.28): of Digest everything but
the parameters known to be harmless, of every other scheme all; the proof in Authentication-Info (RFC 7616 3.5), from
which a password can be guessed as well; passwords in URIs (RFC 3261 19.1.1); and the media keys in SDP: SDES (RFC
4568), MIKEY (RFC 4567), `k=` (RFC 8866 5.12) and the ICE password (RFC 8839 5.4).

In SDP each masked character becomes one asterisk, so that Content-Length stays true.  Every pattern either consumes
what it has looked at or is anchored to the beginning of a line: the work is linear in the length of the message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"

# The value of a header field up to its end, folded lines included (RFC 3261 7.3.1); a lone CR ends nothing.
_VALUE = r"[ \t]*:)((?:[^\r\n]|\r(?!\n)|\r?\n[ \t])*+)"
_CREDENTIALS = re.compile(r"^((?:proxy-)?authorization" + _VALUE, re.IGNORECASE | re.MULTILINE)
_PROOF = re.compile(r"^((?:proxy-)?authentication-info" + _VALUE, re.IGNORECASE | re.MULTILINE)
_SCHEME = re.compile(r"(\s*)([a-z][a-z0-9-]*)(?:(\s+)(.*))?", re.IGNORECASE | re.DOTALL)
# One parameter: all up to the next comma outside quotes; an open quote runs to the end.
_PARAMETER = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.?)*+(?:"|\Z))++', re.DOTALL)
_NAME_AND_VALUE = re.compile(
    r'(\s*+)([a-z][a-z0-9*-]*+)(\s*+=)(\s*+(?:"(?:[^"\\]|\\.)*+"|[^\s"]*+)\s*+)?', re.IGNORECASE | re.DOTALL
)
_HARMLESS = frozenset(
    {
        "algorithm",
        "cnonce",
        "domain",
        "nc",
        "nextnonce",
        "nonce",
        "opaque",
        "qop",
        "realm",
        "stale",
        "uri",
        "userhash",
        "username",
        "username*",
    }
)
# sip:user:password@ and, as in Call-Info, http://user:password@.
_USER_INFO = re.compile(r'(\bsips?:|://)([^\s<>"@]*+)(@?)', re.IGNORECASE)
# A header field inside a URI (RFC 3261 19.1.1).
_URI_HEADER = re.compile(r'([?&](?:proxy-)?authorization=)[^&\s<>";]*+', re.IGNORECASE)
_MEDIA_KEYS = (
    re.compile(r"(\binline:)([^|;\s]++)", re.IGNORECASE),
    re.compile(r"^(a=key-mgmt:[ \t]*)([^\r\n]++)", re.IGNORECASE | re.MULTILINE),
    re.compile(r"^(a=ice-pwd:[ \t]*)([^\r\n]++)", re.IGNORECASE | re.MULTILINE),
    re.compile(r"^(k=)([^\r\n]++)", re.MULTILINE),
)


# After the colon of a scheme a user, a colon and the end of a password, or more than is worth looking at.
_PASSWORD = re.compile(rb':[^\s<>"@:]*+:[^\s<>"@]{0,99}+[^\s<>"]')


def _may_tell(data: bytes) -> bool:
    """False when there is nothing to mask.  Most messages are like that, and this look takes a twentieth of the time,
    if it is written out."""
    lower = data.lower()
    return (
        b"authorization" in lower
        or b"authentication-info" in lower
        or b"inline:" in lower
        or b"key-mgmt" in lower
        or b"ice-pwd" in lower
        or b"\nk=" in lower
        or lower.startswith(b"k=")
        or _PASSWORD.search(data) is not None
    )


def masked_message(data: bytes) -> bytes:
    """`data`, a message as on the wire, without secrets; all other bytes are unchanged."""
    if not _may_tell(data):
        return data
    # Latin-1 gives every byte one character and takes it back.
    return masked_text(data.decode("latin-1")).encode("latin-1")


def masked_messages(messages: Sequence[bytes]) -> Sequence[bytes]:
    """The same for each of several, which are looked at together."""
    # No pattern reaches beyond the end of a line, so that none is found that is in none of them, nor the reverse.
    return [masked_message(each) for each in messages] if _may_tell(b"\n".join(messages)) else messages


def masked_text(text: str) -> str:
    """The same for a message that has been decoded."""
    text = _CREDENTIALS.sub(_masked_credentials, text)
    text = _PROOF.sub(lambda match: match[1] + _masked_parameters(match[2]), text)
    text = _URI_HEADER.sub(rf"\1{MASK}", text)
    text = _USER_INFO.sub(_masked_user_info, text)
    for pattern in _MEDIA_KEYS:
        text = pattern.sub(_starred, text)
    return text


def _masked_credentials(match: re.Match[str]) -> str:
    name, value = match.groups()
    parts = _SCHEME.fullmatch(value)
    if parts is None:
        return f"{name} {MASK}"
    lead, scheme, space, parameters = parts.groups()
    if parameters is None:
        return f"{name}{lead}{MASK}"
    return f"{name}{lead}{scheme}{space}{_masked_parameters(parameters) if scheme.lower() == 'digest' else MASK}"


def _masked_parameters(text: str) -> str:
    return _PARAMETER.sub(_masked_parameter, text)


def _masked_parameter(match: re.Match[str]) -> str:
    """Unchanged only if it is whole and known to be harmless."""
    parts = _NAME_AND_VALUE.match(match[0])
    if parts is None:
        return MASK
    lead, name, equals, value = parts.groups()
    whole = value is not None and parts.end() == len(match[0])
    return match[0] if whole and name.lower() in _HARMLESS else f"{lead}{name}{equals}{MASK}"


def _masked_user_info(match: re.Match[str]) -> str:
    scheme, user_info, at = match.groups()
    user, colon, _ = user_info.partition(":")
    return f"{scheme}{user}:{MASK}@" if at and colon else match[0]


def _starred(match: re.Match[str]) -> str:
    return match[1] + "*" * len(match[2])
