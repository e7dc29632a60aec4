"""Productions of RFC 3261 25.1 under their own names, as compiled patterns.

Every pattern is ASCII-only and has no nested repetition over the same characters, so that matching takes time
linear in the input.  Where a pattern is wider than the ABNF, the comment says which phones need it.
"""

from __future__ import annotations

import re
from typing import Final

LWS: Final = " \t\r\n"
"""Characters of linear white space, for `str.strip`; folds are CRLF followed by one of them."""

TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+", re.ASCII)

HOST: Final = re.compile(
    r"\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?", re.ASCII
)
# "_" is no hostname character, but Windows and container hosts put it into Via and Contact.

SIP_URI: Final = re.compile(
    r"(?P<scheme>[Ss][Ii][Pp][Ss]?):"
    r"(?:(?P<user>[A-Za-z0-9\-_.!~*'()&=+$,;?/%#]+)(?::(?P<password>[A-Za-z0-9\-_.!~*'()&=+$,%]*))?@)?"
    rf"(?P<host>{HOST.pattern})"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<parameters>(?:;[^;?\s<>\"]*)*)"
    r"(?:\?(?P<headers>[^\s<>\"]*))?",
    re.ASCII,
)
# "#" in the user part must be escaped by the ABNF; desk phones send it raw in feature codes.

ANY_SCHEME: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*):(?P<rest>[^\s<>\"]+)", re.ASCII)

SIP_VERSION: Final = re.compile(r"[Ss][Ii][Pp]/([0-9]+)\.([0-9]+)", re.ASCII)

STATUS_CODE: Final = re.compile(r"[1-6][0-9]{2}", re.ASCII)

DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)

FOLD: Final = re.compile(r"[ \t]*\r\n[ \t]+", re.ASCII)
"""A folded line end; the RFC lets a reader replace it by one space (7.3.1)."""

BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
