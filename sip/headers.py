"""Header field values (RFC 3261 20) and the ordered store that keeps them as they were received.  Pure.

`Headers` holds the raw lines; nothing is parsed until somebody asks, and a line nobody changed goes out byte for
byte as it came in (16.6: a proxy must not touch what it has no business with).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from sip.constants import COMMON_HEADERS, COMPACT_FORMS, METHODS, SIP_PORT
from sip.errors import HeaderError, LocalProtocolError, ParseError
from sip.grammar import ADDR_SPEC, CSEQ, FOLD, LWS, NAME_ADDR, PARAMETERS, QUOTED_PAIR, TOKEN, VIA_SENT_BY
from sip.uri import Uri

_CACHEABLE_LENGTH = 200
_MAX_SEQUENCE = 2**31

# ------------------------------------------------------------------------------------------------ text helpers


def split_commas(text: str) -> list[str]:
    """Items of a comma list; commas inside quoted strings and <...> belong to their item (7.3.1)."""
    if "," not in text:
        return [text.strip(LWS)]
    return [item.strip(LWS) for item in _split(text, ",")]


def parse_parameters(text: str) -> dict[str, str | None]:
    """`;name=value` pairs; names in lower case, quoted values unquoted, None for a name without a value.  The first of
    two parameters of one name counts."""
    parameters: dict[str, str | None] = {}
    if not text:
        return parameters
    for item in _split(text, ";"):
        name, equals, value = item.partition("=")
        name = name.strip(LWS).lower()
        if name and name not in parameters:
            value = value.strip(LWS)
            parameters[name] = (unquote_string(value) if value[:1] == '"' else value) if equals else None
    return parameters


def unquote_string(text: str) -> str:
    """The text inside a quoted-string, backslash escapes resolved; any other text unchanged."""
    if text[:1] == '"' and text[-1] == '"' and len(text) > 1:
        return QUOTED_PAIR.sub(r"\1", text[1:-1])
    return text


def parse_decimal(text: str | None) -> int | None:
    """Value of 1*DIGIT, leading zeros allowed; None for any other text.  A number of more digits than SIP has a use
    for comes out as 10**20: `int` refuses thousands of digits, and every limit is below that."""
    if not text or not text.isdigit() or not text.isascii():
        return None
    if len(text) > _MAX_DIGITS:
        text = text.lstrip("0") or "0"
    return int(text) if len(text) <= _MAX_DIGITS else 10**_MAX_DIGITS


_MAX_DIGITS = 20
_SPECIAL = {",": re.compile(r'[",<>\\]'), ";": re.compile(r'[";<>\\]')}


def _split(text: str, separator: str) -> list[str]:
    if '"' not in text and "<" not in text:
        return text.split(separator)
    items: list[str] = []
    start = 0
    for at in _separators(text, separator):
        items.append(text[start:at])
        start = at + 1
    items.append(text[start:])
    return items


def _separators(text: str, separator: str) -> Iterator[int]:
    """Where `separator` stands outside quoted strings and <...>."""
    quoted = bracketed = False
    skip = -1
    for match in _SPECIAL[separator].finditer(text):
        at, char = match.start(), match[0]
        if at == skip:
            continue
        if quoted:
            if char == "\\":
                skip = at + 1
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = not bracketed
        elif char == "<":
            bracketed = True
        elif char == ">":
            bracketed = False
        elif char == separator and not bracketed:
            yield at


def _first_item(text: str) -> tuple[int, int]:
    """Where the topmost value of a comma list begins and ends; empty items before it are passed over."""
    start = 0
    for comma in _separators(text, ","):
        if text[start:comma].strip(LWS):
            return start, comma
        start = comma + 1
    return start, len(text)


# ------------------------------------------------------------------------------------------------ values


class Via(NamedTuple):
    """One Via value (20.42): who sent the request, and where the response must go."""

    transport: str
    host: str
    port: int | None
    parameters: dict[str, str | None]

    @classmethod
    def parse(cls, text: str) -> Via:
        # The branch differs each time, what stands before it hardly ever.
        sent_by, semicolon, rest = text.partition(";")
        parse_sent_by = _parse_sent_by_cached if len(sent_by) <= _CACHEABLE_LENGTH else _parse_sent_by
        transport, host, port = parse_sent_by(sent_by)
        if not PARAMETERS.fullmatch(semicolon + rest):
            raise HeaderError("Via", "malformed")
        return cls(transport, host, port, parse_parameters(rest))

    @property
    def branch(self) -> str:
        return self.parameters.get("branch") or ""

    @property
    def sent_by(self) -> str:
        """Host and port in a form fit for comparison (17.2.3)."""
        return f"{self.host.lower()}:{self.port or (SIP_PORT + 1 if self.transport == 'TLS' else SIP_PORT)}"

    @property
    def received(self) -> str | None:
        return self.parameters.get("received")

    @property
    def rport(self) -> int | None:
        """Filled-in rport; None when absent or still empty (RFC 3581 4)."""
        port = parse_decimal(self.parameters.get("rport"))
        return port if port is not None and 0 < port < 65536 else None


def _parse_sent_by(text: str) -> tuple[str, str, int | None]:
    match = VIA_SENT_BY.fullmatch(text)
    if match is None:
        raise HeaderError("Via", "malformed")
    port = int(match["port"]) if match["port"] is not None else None
    if port is not None and not 0 < port < 65536:
        raise HeaderError("Via", "port outside 1 to 65535")
    return match["transport"].upper(), match["host"], port


_parse_sent_by_cached = lru_cache(maxsize=2048)(_parse_sent_by)


class NameAddr(NamedTuple):
    """From, To, Contact, Route, Record-Route, Refer-To ...: an optional name, a URI and header parameters (20.10)."""

    display_name: str
    uri: Uri
    parameters: dict[str, str | None]

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Without angle brackets everything after the first ";" belongs to the header, not to the URI (20.10)."""
        return _parse_name_addr_cached(text) if len(text) <= _CACHEABLE_LENGTH else _parse_name_addr(text)

    @property
    def tag(self) -> str | None:
        """None when absent or empty."""
        return self.parameters.get("tag") or None

    @property
    def expires(self) -> int | None:
        """The `expires` parameter in seconds; None when absent or unusable (20.10: treated as the default)."""
        return _clamped_seconds(self.parameters.get("expires"))

    @property
    def q(self) -> float:
        """Preference 0.0 to 1.0 (20.10); 1.0 when absent or malformed."""
        value = self.parameters.get("q")
        if value is None or not _QVALUE.fullmatch(value):
            return 1.0
        return float(value)


_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)


def _parse_name_addr(text: str) -> NameAddr:
    match = NAME_ADDR.fullmatch(text)
    if match is not None:
        quoted, plain, uri, parameters = match.groups()
        name = plain.strip(LWS) if quoted is None else QUOTED_PAIR.sub(r"\1", quoted)
    elif (match := ADDR_SPEC.fullmatch(text)) is not None:
        name = ""
        uri, parameters = match.groups()
    else:
        raise ParseError("malformed address")
    return NameAddr(name, Uri.parse(uri), parse_parameters(parameters))


_parse_name_addr_cached = lru_cache(maxsize=2048)(_parse_name_addr)


class CSeq(NamedTuple):
    """Sequence number and method (20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        digits, _, method = text.partition(" ")
        if method not in METHODS:
            match = CSEQ.fullmatch(text)
            if match is None:
                raise HeaderError("CSeq", "malformed")
            digits, method = match.groups()
        number = parse_decimal(digits)
        if number is None:
            raise HeaderError("CSeq", "malformed")
        if number >= _MAX_SEQUENCE:
            raise HeaderError("CSeq", "number must be below 2**31")
        return cls(number, method)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def delta_seconds(text: str | None) -> int | None:
    """Expires, Min-Expires, Session-Expires: seconds, parameters ignored; None when unusable."""
    return _clamped_seconds(text.partition(";")[0].strip(LWS)) if text else None


def _clamped_seconds(text: str | None) -> int | None:
    seconds = parse_decimal(text)
    # 20.19: values above 2**32-1 are malformed; people send many nines, meaning "long".
    return None if seconds is None else min(seconds, 2**32 - 1)


# ------------------------------------------------------------------------------------------------ the store

_CANONICAL: dict[str, str] = {}
for _name in COMMON_HEADERS:
    for _spelling in (_name, _name.lower(), _name.upper()):
        _CANONICAL[_spelling] = _name.lower()
for _short, _long in COMPACT_FORMS.items():
    _CANONICAL[_short] = _CANONICAL[_short.upper()] = _CANONICAL.get(_long, _long)


def canonical_name(name: str) -> str:
    """Long form in lower case; raises `ParseError` when the text is no header name."""
    known = _CANONICAL.get(name)
    if known is not None:
        return known
    stripped = name.rstrip(" \t")
    if not TOKEN.fullmatch(stripped):
        raise ParseError("malformed header name")
    lowered = stripped.lower()
    return COMPACT_FORMS.get(lowered, lowered)


class Headers:
    """Header lines in their order.

    Invariant: `lines[i]` is the raw text (folds included, no final CRLF) of the header whose canonical name is
    `names[i]` and whose value, folds resolved and white space stripped, is `texts[i]`: three lists side by side,
    because a message is read a dozen times for each time it is changed.  All look-ups take canonical names.
    """

    __slots__ = ("lines", "names", "texts")

    def __init__(
        self, lines: list[str] | None = None, names: list[str] | None = None, texts: list[str] | None = None
    ) -> None:
        self.lines: list[str] = lines if lines is not None else []
        self.names: list[str] = names if names is not None else []
        self.texts: list[str] = texts if texts is not None else []

    @classmethod
    def parse(cls, lines: list[str]) -> Headers:
        """From lines without folds."""
        known = _CANONICAL
        names = []
        texts = []
        for line in lines:
            name, colon, text = line.partition(":")
            names.append(known[name] if colon and name in known else _line_name(line))
            texts.append(text.strip(LWS))
        return cls(lines, names, texts)

    def append_line(self, line: str) -> None:
        """A raw line, kept to the letter.  Raises `ParseError` when it is no header line."""
        self.names.append(_line_name(line))
        self.lines.append(line)
        self.texts.append(_unfold(line[line.index(":") + 1 :]))

    def copy(self) -> Headers:
        return Headers(self.lines.copy(), self.names.copy(), self.texts.copy())

    def copy_from(self, source: Headers, index: int) -> None:
        """Append one header of another message as it stands there."""
        self.lines.append(source.lines[index])
        self.names.append(source.names[index])
        self.texts.append(source.texts[index])

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def count(self, name: str) -> int:
        """Number of lines, not of comma-separated values."""
        return self.names.count(name)

    def get(self, name: str) -> str | None:
        """Value of the first line of that name, folds resolved, white space stripped; None when absent."""
        names = self.names
        return self.texts[names.index(name)] if name in names else None

    def line(self, name: str) -> str | None:
        """The first raw line of that name."""
        return self.lines[self.names.index(name)] if name in self.names else None

    def get_all(self, name: str) -> list[str]:
        """Value of every line of that name."""
        lines = self.names.count(name)
        if lines == 0:
            return []
        if lines == 1:
            return [self.texts[self.names.index(name)]]
        return [text for text, key in zip(self.texts, self.names, strict=True) if key == name]

    def values(self, name: str) -> list[str]:
        """Every comma-separated value of every line of that name, empty ones dropped."""
        return [item for text in self.get_all(name) for item in split_commas(text) if item]

    def first_value(self, name: str) -> str | None:
        """The topmost comma-separated value."""
        value = self.get(name)
        if value is None or "," not in value:
            return value
        start, end = _first_item(value)
        return value[start:end].strip(LWS)

    def items(self) -> Iterator[tuple[str, str]]:
        """(canonical name, value) of every line."""
        return zip(self.names, self.texts, strict=True)

    # -------------------------------------------------------------------------------------------- changes

    def append(self, name: str, value: str) -> None:
        """`name` in its wire spelling."""
        key = _CANONICAL.get(name) or _own_name(name)
        self.lines.append(f"{name}: {_checked_value(value)}")
        self.names.append(key)
        self.texts.append(value.strip(LWS))

    def push(self, name: str, value: str) -> None:
        """Put a line above all others: the new topmost value of its name."""
        key = _CANONICAL.get(name) or _own_name(name)
        self.lines.insert(0, f"{name}: {_checked_value(value)}")
        self.names.insert(0, key)
        self.texts.insert(0, value.strip(LWS))

    def set(self, name: str, value: str) -> None:
        """Replace the first line of that name, drop its other lines; append when there is none."""
        key = _CANONICAL.get(name) or _own_name(name)
        if key not in self.names:
            self.append(name, value)
            return
        index = self.names.index(key)
        self.lines[index] = f"{name}: {_checked_value(value)}"
        self.texts[index] = value.strip(LWS)
        if self.names.count(key) > 1:
            for extra in range(len(self.names) - 1, index, -1):
                if self.names[extra] == key:
                    self._delete(extra)

    def remove(self, name: str) -> None:
        """Drop every line of that (canonical) name."""
        while name in self.names:
            self._delete(self.names.index(name))

    def _delete(self, index: int) -> None:
        del self.lines[index], self.names[index], self.texts[index]

    def replace_first_value(self, name: str, value: str) -> None:
        """Change the topmost comma-separated value only; the rest of its line stays to the letter."""
        index = self.names.index(name)
        head, _, text = self.lines[index].partition(":")
        if "," not in text:
            self.lines[index] = f"{head}: {_checked_value(value)}"
            self.texts[index] = value
            return
        rest = text[_first_item(text)[1] :]
        self._rewrite(index, f"{head}: {_checked_value(value)}{rest}", value + rest)

    def add_parameter(self, name: str, value: str) -> None:
        """Add `;value` to the first line of that name; what stands there already stays to the letter."""
        index = self.names.index(name)
        suffix = f";{_checked_value(value)}"
        self.lines[index] = self.lines[index].rstrip(";" + LWS) + suffix
        self.texts[index] = self.texts[index].rstrip(";" + LWS) + suffix

    def pop_first_value(self, name: str) -> None:
        """Remove the topmost value; with the last one of a line the line goes too, and so do lines above and below it
        that have none: what is on top afterwards is a value."""
        self._delete_empty_lines(name)
        if name not in self.names:
            return
        index = self.names.index(name)
        head, _, text = self.lines[index].partition(":")
        rest = text[_first_item(text)[1] :].lstrip("," + LWS) if "," in text else ""
        if rest:
            self._rewrite(index, f"{head}: {rest}", rest)
        else:
            self._delete(index)
            self._delete_empty_lines(name)

    def _delete_empty_lines(self, name: str) -> None:
        while name in self.names and not self.texts[index := self.names.index(name)].strip("," + LWS):
            self._delete(index)

    def _rewrite(self, index: int, line: str, text: str) -> None:
        self.lines[index] = line
        self.texts[index] = _unfold(text)


def _unfold(text: str) -> str:
    return (FOLD.sub(" ", text) if "\n" in text else text).strip(LWS)


def _line_name(line: str) -> str:
    name, colon, _ = line.partition(":")
    if not colon:
        raise ParseError("header line without a colon")
    return canonical_name(name)


def _own_name(name: str) -> str:
    """Canonical form of a name that is no common one."""
    if not TOKEN.fullmatch(name):
        raise LocalProtocolError("malformed header name")
    return canonical_name(name)


def checked_text(text: str) -> str:
    """A start line itself; raises `LocalProtocolError` when it would break out of its line."""
    if "\0" in text:
        raise LocalProtocolError("NUL in a start line of our own")
    return _checked_value(text)


def _checked_value(text: str) -> str:
    """NUL may stand in a quoted string (25.1: quoted-pair), and display names of phones are written again."""
    if "\r" in text or "\n" in text:
        raise LocalProtocolError("CR or LF in a message of our own")
    return text
