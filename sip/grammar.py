"""Productions of RFC 3261 25.1 under their own names, as compiled patterns, for text whose folds are resolved.

Matching takes time linear in the input: a run of characters is taken possessively (`++`, `*+`: it is never given
back), and no two neighbouring repetitions accept the same character.  Where a pattern is wider than the ABNF, the
comment says which phones need it.
"""

from __future__ import annotations

import re
from typing import Final

LWS: Final = " \t\r\n"
"""Characters of linear white space, for `str.strip`; folds are CRLF followed by one of them."""

TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]++", re.ASCII)

HOST: Final = re.compile(
    r"\[[0-9A-Fa-f:.]++(?:%[A-Za-z0-9]++)?\]|[A-Za-z0-9_][A-Za-z0-9._\-]*+(?<!-)",
    re.ASCII,
)
# "_" is no hostname character, but Windows and container hosts put it into Via and Contact.

SIP_URI: Final = re.compile(
    r"(?P<scheme>[Ss][Ii][Pp][Ss]?):"
    r"(?:(?P<user>[A-Za-z0-9\-_.!~*'()&=+$,;?/%#]++)(?::(?P<password>[A-Za-z0-9\-_.!~*'()&=+$,%]*+))?@)?"
    rf"(?P<host>{HOST.pattern})"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<parameters>(?:;[^;?<>\"\x00-\x20\x7f]*+)*)"
    r"(?:\?(?P<headers>[^<>\"\x00-\x20\x7f]*+))?",
    re.ASCII,
)
# "#" in the user part must be escaped by the ABNF; desk phones send it raw in feature codes.

ANY_SCHEME: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*+):(?P<rest>[^<>\"\x00-\x20\x7f]++)", re.ASCII)

PARAMETERS: Final = re.compile(
    r"(?:[ \t]*+;[ \t]*+[^;=,<>\"\x00-\x20\x7f]++"
    r"(?:[ \t]*+=[ \t]*+(?:\"(?:[^\"\\\x00\r\n]++|\\[^\x00\r\n])*\"|[^;,<>\"\x00-\x08\x0a-\x1f\x7f]*+))?)*"
    r"[ \t]*+(?:;[ \t]*+)?",
    re.ASCII,
)
# *( SEMI generic-param ); wider than the ABNF: any printable character in an unquoted value, and one ";" at the end.

VIA_SENT_BY: Final = re.compile(
    r"[Ss][Ii][Pp][ \t]*+/[ \t]*+2\.0[ \t]*+/[ \t]*+"
    rf"(?P<transport>{TOKEN.pattern})[ \t]++(?P<host>{HOST.pattern})"
    r"(?:[ \t]*+:[ \t]*+(?P<port>[0-9]{1,5}))?[ \t]*+",
    re.ASCII,
)
# sent-protocol LWS sent-by: what stands before the parameters of a Via.

SIP_VIA: Final = re.compile(
    rf"SIP/2\.0/(UDP|TCP|TLS) ({HOST.pattern})(?::([0-9]{{1,5}}))?(;rport)?;branch=({TOKEN.pattern})(;rport)?",
    re.ASCII,
)
# What nearly every Via of a phone is, in one pass.  Transport, host, port, rport, branch, rport.

NAME_ADDR: Final = re.compile(
    r"(?:\"(?P<quoted>(?:[^\"\\\r\n]++|\\[^\r\n])*)\"[ \t]*+|(?P<plain>[^\"<>,;:\r\n]*+))"
    rf"<(?P<uri>[^<>]*+)>(?P<parameters>{PARAMETERS.pattern})",
    re.ASCII,
)
# Unquoted names are taken with any character that can't be mistaken for the start of something else: phones put
# dots, brackets and UTF-8 there.  White space before "<" may be absent (RFC 4475 3.1.1.6).

SIP_NAME_ADDR: Final = re.compile(
    r"(?:\"([^\"\\\r\n]*+)\"[ \t]*+|([^\"<>,;:\r\n]*+))"
    r"<(([Ss][Ii][Pp][Ss]?):(?:([A-Za-z0-9\-_.!~*'()&=+$,;?/%#]++)(?::([A-Za-z0-9\-_.!~*'()&=+$,%]*+))?@)?"
    rf"({HOST.pattern})(?::([0-9]{{1,5}}))?((?:;[^;?<>\"\x00-\x20\x7f]*+)*))>"
    rf"(?:;tag=({TOKEN.pattern}))?",
    re.ASCII,
)
# What nearly every From, To and Contact is: NAME_ADDR around a SIP_URI, without backslashes, URI headers and parameters
# other than tag, in one pass.  Quoted name, plain name, URI, scheme, user, password, host, port, URI parameters, tag.

ADDR_SPEC: Final = re.compile(rf"(?P<uri>[^;,?<>\"\x00-\x20\x7f]++)(?P<parameters>{PARAMETERS.pattern})", re.ASCII)
# 20.10: a URI with "," ";" or "?" stands in angle brackets, so what follows ";" is a header parameter.

CSEQ: Final = re.compile(rf"(?P<number>[0-9]++)[ \t]++(?P<method>{TOKEN.pattern})", re.ASCII)

CALL_ID: Final = re.compile(r"[^\x00-\x20\x7f]++", re.ASCII)
# callid = word [ "@" word ]; wider, but nothing that could break a line or a log.

SIP_VERSION: Final = re.compile(r"[Ss][Ii][Pp]/[0-9]++\.[0-9]++", re.ASCII)

STATUS_CODE: Final = re.compile(r"[1-6][0-9]{2}", re.ASCII)

QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)

LINE_END: Final = re.compile(r"\r\n(?![ \t])")
"""CRLF that ends a header line rather than folding it."""

FOLD: Final = re.compile(r"\r\n[ \t]+")
"""A folded line end; the RFC lets a reader replace it by one space (7.3.1)."""

BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)

ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
