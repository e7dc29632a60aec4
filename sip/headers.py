"""Header field values (RFC 3261 20) and the ordered store that keeps them as they were received.  Pure.

`Headers` holds the raw lines; nothing is parsed until somebody asks, and a line nobody changed goes out byte for
byte as it came in (16.6: a proxy must not touch what it has no business with).  What was read in a line stays with it,
for all messages that repeat it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sip.constants import COMMON_HEADERS, COMPACT_FORMS, METHODS, SIP_PORT, SIPS_PORT
from sip.errors import HeaderError, LocalProtocolError, ParseError
from sip.grammar import (
    ADDR_SPEC,
    CSEQ,
    FOLD,
    LWS,
    NAME_ADDR,
    PARAMETERS,
    QUOTED_PAIR,
    SIP_NAME_ADDR,
    SIP_VIA,
    TOKEN,
    VIA_SENT_BY,
)
from sip.uri import Uri, new_tuple, parse_uri, sip_uri

_CACHEABLE_LENGTH = 200
"""Characters of a text that is remembered: a stranger can't fill memory with its own."""
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
    """One Via value (20.42): who sent the request, and where the response must go.  `sent_by` is host and port in a
    form fit for comparison (17.2.3)."""

    transport: str
    host: str
    port: int | None
    sent_by: str
    parameters: dict[str, str | None]

    @classmethod
    def parse(cls, text: str) -> Via:
        match = SIP_VIA.fullmatch(text)
        if match is None:
            return _parse_via(text)
        transport, host, port_text, before, branch, after = match.groups()
        port = _via_port(port_text)
        sent_by = f"{host.lower()}:{port or (SIPS_PORT if transport == 'TLS' else SIP_PORT)}"
        parameters: dict[str, str | None] = {"branch": branch}
        if before or after:
            parameters["rport"] = None
        return new_tuple(cls, (transport, sys.intern(host), port, sent_by, parameters))

    def with_parameters(self, parameters: dict[str, str | None]) -> Via:
        """The same with these instead."""
        transport, host, port, sent_by, _ = self
        return new_tuple(Via, (transport, host, port, sent_by, parameters))

    @property
    def branch(self) -> str:
        return self.parameters.get("branch") or ""

    @property
    def received(self) -> str | None:
        return self.parameters.get("received")

    @property
    def rport(self) -> int | None:
        """Filled-in rport; None when absent or still empty (RFC 3581 4)."""
        port = parse_decimal(self.parameters.get("rport"))
        return port if port is not None and 0 < port < 65536 else None


def _parse_via(text: str) -> Via:
    """In all the forms that the grammar allows."""
    match = VIA_SENT_BY.match(text)
    if match is None or not PARAMETERS.fullmatch(text, match.end()):
        raise HeaderError("Via", "malformed")
    port = _via_port(match["port"])
    transport, host = sys.intern(match["transport"].upper()), sys.intern(match["host"])
    sent_by = f"{host.lower()}:{port or (SIPS_PORT if transport == 'TLS' else SIP_PORT)}"
    return Via(transport, host, port, sent_by, parse_parameters(text[match.end() :]))


def _via_port(text: str | None) -> int | None:
    if text is None:
        return None
    port = int(text)
    if not 0 < port < 65536:
        raise HeaderError("Via", "port outside 1 to 65535")
    return port


class NameAddr(NamedTuple):
    """From, To, Contact, Route, Record-Route, Refer-To ...: an optional name, a URI and header parameters (20.10)."""

    display_name: str
    uri: Uri
    parameters: dict[str, str | None]
    tag: str | None
    """None when absent or empty."""

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Without angle brackets everything after the first ";" belongs to the header, not to the URI (20.10)."""
        match = SIP_NAME_ADDR.fullmatch(text)
        if match is None:
            return _parse_name_addr(text)
        quoted, plain, uri, scheme, user, password, host, port, parameters, tag = match.groups()
        address = sip_uri(uri, scheme, user, password, host, port, parameters, None)
        name = quoted if plain is None else plain.strip(LWS) if plain else ""
        return new_tuple(cls, (name, address, _NO_PARAMETERS if tag is None else {"tag": tag}, tag))

    @property
    def expires(self) -> int | None:
        """The `expires` parameter in seconds; None when absent or unusable (20.10: treated as the default)."""
        value = self.parameters.get("expires")
        return None if value is None else _clamped_seconds(value)

    @property
    def q(self) -> float:
        """Preference 0.0 to 1.0 (20.10); 1.0 when absent or malformed."""
        value = self.parameters.get("q")
        if value is None or not _QVALUE.fullmatch(value):
            return 1.0
        return float(value)


_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)


_NO_PARAMETERS: dict[str, str | None] = {}
"""Of all values without any."""


def _parse_name_addr(text: str) -> NameAddr:
    """In all the forms that the grammar allows."""
    match = NAME_ADDR.fullmatch(text)
    if match is not None:
        quoted, plain, uri, parameters = match.groups()
        name = plain.strip(LWS) if quoted is None else QUOTED_PAIR.sub(r"\1", quoted)
    elif (match := ADDR_SPEC.fullmatch(text)) is not None:
        name = ""
        uri, parameters = match.groups()
    else:
        raise ParseError("malformed address")
    values = parse_parameters(parameters) if parameters else _NO_PARAMETERS
    return NameAddr(name, parse_uri(uri), values, values.get("tag") or None)


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
        return new_tuple(cls, (number, method))

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


class Field:
    """One header line: `line` is the raw text (folds included, no final CRLF), `name` the canonical name, `value` what
    stands after the colon, folds resolved and white space stripped.

    Shared by all messages with that line, so it is never changed.  `parsed` is what its reader has made of the value,
    None until somebody asked; what type that is goes by the name.
    """

    __slots__ = ("line", "name", "parsed", "value")

    def __init__(self, line: str, name: str, value: str, parsed: Any = None) -> None:
        self.line = line
        self.name = name
        self.value = value
        self.parsed = parsed

    @classmethod
    def own(cls, name: str, value: str) -> Field:
        """A line of ours, `name` in its wire spelling.  Raises `LocalProtocolError` when it would break out of it."""
        line = own_line(name, value)
        return cls(line, canonical_name(name), value.strip(LWS))

    @classmethod
    def known(cls, name: str, value: str, parsed: object) -> Field:
        """A line of ours that comes back in responses, and what will be read in it; `name` in its wire spelling."""
        line = f"{name}: {value}"
        field = cls(line, _CANONICAL[name], _checked_value(value), parsed)
        _keep(line, field)
        return field

    def line_with(self, parameter: str) -> str:
        """The line with `;parameter` at its end; what stands there already stays to the letter."""
        return f"{self.line.rstrip(_PARAMETER_ENDS)};{_checked_value(parameter)}"


_PARAMETER_ENDS = ";" + LWS
_NO_VALUE = ("", ",")
"""How a list begins that may be empty."""
_KEPT: dict[str, Field] = {}
_MAX_KEPT = 4_096
"""Those of 300 calls at once and of all phones; they take 3 MB."""
_OF_ONE_REGISTER = frozenset({"authorization", "call-id", "contact", "cseq", "from", "to", "via"})


def _read_line(line: str) -> Field:
    """What is read in a line that is not among `_KEPT`, where it is from now on.  The lines of a call come with every
    message of it, many of a phone all day.  Any thread.  Raises `ParseError` when it is no header line."""
    field = _field_of(line)
    _keep(line, field)
    return field


def read_once(line: str) -> Field:
    """The same for lines of a REGISTER: those by which it differs from all others come once and are not kept."""
    field = _field_of(line)
    if field.name not in _OF_ONE_REGISTER:
        _keep(line, field)
    return field


def _field_of(line: str) -> Field:
    name, colon, text = line.partition(":")
    known = _CANONICAL.get(name)
    if known is None or not colon:
        known = _line_name(line)
    if "\n" in text or "\r" in text:
        text = FOLD.sub(" ", text)
        if "\n" in text or "\r" in text:
            raise ParseError("CR or LF on its own inside the headers")
    return Field(line, known, text.strip(LWS))


def _keep(line: str, field: Field) -> None:
    if len(line) <= _CACHEABLE_LENGTH:
        if len(_KEPT) >= _MAX_KEPT:
            _KEPT.clear()
        _KEPT[line] = field


def _line_name(line: str) -> str:
    name, colon, _ = line.partition(":")
    if not colon:
        raise ParseError("header line without a colon")
    return canonical_name(name)


class Headers:
    """Header lines in their order.

    Invariant: `first` holds the topmost of `fields` for each canonical name.  All look-ups take canonical names.
    """

    __slots__ = ("fields", "first")

    def __init__(self, fields: list[Field] | None = None, first: dict[str, Field] | None = None) -> None:
        self.fields = fields if fields is not None else []
        self.first = first if first is not None else {}

    @classmethod
    def parse(cls, lines: list[str], read: Callable[[str], Field] | None = None) -> Headers:
        """`read` is how lines are read that are not kept.  Raises `ParseError` when one of them is no header line."""
        kept, read = _KEPT.get, read or _read_line
        fields: list[Field] = []
        first: dict[str, Field] = {}
        for line in lines:
            field = kept(line) or read(line)
            fields.append(field)
            if field.name not in first:
                first[field.name] = field
        return cls(fields, first)

    @property
    def lines(self) -> list[str]:
        """Raw texts."""
        return [field.line for field in self.fields]

    @property
    def names(self) -> list[str]:
        """Canonical name of every line."""
        return [field.name for field in self.fields]

    def append_line(self, line: str) -> None:
        """A raw line, kept to the letter.  Raises `ParseError` when it is no header line."""
        self.append_field(_KEPT.get(line) or _read_line(line))

    def append_field(self, field: Field) -> None:
        self.fields.append(field)
        self.first.setdefault(field.name, field)

    def copy(self) -> Headers:
        return Headers(self.fields.copy(), self.first.copy())

    def revised(self, above: Sequence[Field], others: Iterable[Field], without: frozenset[str]) -> Headers:
        """A copy with the lines `above` on top, the topmost first, each of `others` in the place of those of its name,
        or at the end where there are none, and no line that is named in `without`."""
        fields, first = self.fields.copy(), self.first.copy()
        if not without.isdisjoint(first):
            fields = [field for field in fields if field.name not in without]
            first = {name: field for name, field in first.items() if name not in without}
        revised = Headers(fields, first)
        for field in others:
            name = field.name
            if name not in first:
                fields.append(field)
                first[name] = field
            elif len(first) == len(fields):
                fields[fields.index(first[name])] = first[name] = field
            else:
                revised.set_field(field)
        fields[:0] = above
        for field in reversed(above):
            first[field.name] = field
        return revised

    def __contains__(self, name: str) -> bool:
        return name in self.first

    def count(self, name: str) -> int:
        """Number of lines, not of comma-separated values."""
        return self.names.count(name)

    def all(self, name: str) -> list[Field]:
        """Every line of that name."""
        field = self.first.get(name)
        if field is None:
            return []
        if len(self.first) == len(self.fields):
            return [field]
        return [field for field in self.fields if field.name == name]

    def get(self, name: str) -> str | None:
        """Value of the first line of that name, folds resolved, white space stripped; None when absent."""
        field = self.first.get(name)
        return None if field is None else field.value

    def line(self, name: str) -> str | None:
        """The first raw line of that name."""
        field = self.first.get(name)
        return None if field is None else field.line

    def get_all(self, name: str) -> list[str]:
        """Value of every line of that name."""
        return [field.value for field in self.all(name)]

    def values(self, name: str) -> list[str]:
        """Every comma-separated value of every line of that name, empty ones dropped."""
        field = self.first.get(name)
        if field is None:
            return []
        if len(self.first) == len(self.fields) and "," not in field.value:
            return [field.value] if field.value else []
        return [item for field in self.all(name) for item in split_commas(field.value) if item]

    def first_value(self, name: str) -> str | None:
        """The topmost comma-separated value."""
        field = self.first.get(name)
        return None if field is None else first_value(field.value)

    def items(self) -> Iterator[tuple[str, str]]:
        """(canonical name, value) of every line."""
        return ((field.name, field.value) for field in self.fields)

    # -------------------------------------------------------------------------------------------- changes

    def append(self, name: str, value: str) -> None:
        """`name` in its wire spelling."""
        self.append_field(Field.own(name, value))

    def push(self, name: str, value: str) -> None:
        """Put a line above all others: the new topmost value of its name."""
        self.push_field(Field.own(name, value))

    def push_field(self, field: Field) -> None:
        self.fields.insert(0, field)
        self.first[field.name] = field

    def set(self, name: str, value: str) -> None:
        """Replace the first line of that name, drop its other lines; append when there is none."""
        self.set_field(Field.own(name, value))

    def set_field(self, field: Field) -> None:
        name, fields, first = field.name, self.fields, self.first
        old = first.get(name)
        first[name] = field
        if old is None:
            fields.append(field)
            return
        index = fields.index(old)
        fields[index] = field
        if len(first) < len(fields) and self.count(name) > 1:
            fields[index + 1 :] = [other for other in fields[index + 1 :] if other.name != name]

    def remove(self, name: str) -> None:
        """Drop every line of that (canonical) name."""
        if name in self.first:
            del self.first[name]
            self.fields = [field for field in self.fields if field.name != name]

    def _replace(self, field: Field) -> None:
        """Put another field in the place of the first of its name."""
        fields, first = self.fields, self.first
        fields[fields.index(first[field.name])] = first[field.name] = field

    def replace_first_value(self, name: str, value: str, parsed: object = None) -> None:
        """Change the topmost comma-separated value only; the rest of its line stays to the letter.  `parsed` is what
        its reader will make of the value."""
        field, fields = self.first[name], self.fields
        head, _, text = field.line.partition(":")
        line = f"{head}: {_checked_value(value)}"
        if "," in text:
            rest = text[_first_item(text)[1] :]
            line, value = line + rest, _unfold(value + rest)
        index = 0 if fields[0] is field else fields.index(field)
        fields[index] = self.first[name] = Field(line, name, value, parsed)

    def pop_first_value(self, name: str) -> None:
        """Remove the topmost value; with the last one of a line the line goes too, and so do lines above and below it
        that have none: what is on top afterwards is a value."""
        field = self._drop_empty(self.first.get(name))
        if field is None:
            return
        if "," in field.value:
            head, _, text = field.line.partition(":")
            rest = text[_first_item(text)[1] :].lstrip("," + LWS)
            if rest:
                self._replace(Field(f"{head}: {rest}", name, _unfold(rest)))
                return
        self._drop_empty(self._drop_first(field))

    def _drop_empty(self, field: Field | None) -> Field | None:
        """Take that line off if it has no value, and those that are the first then; the one that is the first now."""
        while field is not None and field.value[:1] in _NO_VALUE and not field.value.strip("," + LWS):
            field = self._drop_first(field)
        return field

    def _drop_first(self, field: Field) -> Field | None:
        """Take that line off, the first of its name; the one that is the first now."""
        name, fields, first = field.name, self.fields, self.first
        is_only = len(fields) == len(first)
        index = fields.index(field)
        del fields[index], first[name]
        if not is_only:
            for other in islice(fields, index, None):
                if other.name == name:
                    first[name] = other
                    return other
        return None


def _unfold(text: str) -> str:
    return (FOLD.sub(" ", text) if "\n" in text else text).strip(LWS)


def first_value(text: str) -> str:
    """The topmost value of a comma list."""
    if "," not in text:
        return text
    start, end = _first_item(text)
    return text[start:end].strip(LWS)


def checked_text(text: str) -> str:
    """A start line itself; raises `LocalProtocolError` when it would break out of its line."""
    if "\0" in text or "\r" in text or "\n" in text:
        raise LocalProtocolError("CR, LF or NUL in a start line of our own")
    return text


def own_line(name: str, value: str) -> str:
    """A header line of ours; raises `LocalProtocolError` when it would break out of it."""
    if "\r" in value or "\n" in value:
        raise LocalProtocolError("CR or LF in a message of our own")
    if name not in _CANONICAL and not TOKEN.fullmatch(name):
        raise LocalProtocolError("malformed header name")
    return f"{name}: {value}"


def _checked_value(text: str) -> str:
    """NUL may stand in a quoted string (25.1: quoted-pair), and display names of phones are written again."""
    if "\r" in text or "\n" in text:
        raise LocalProtocolError("CR or LF in a message of our own")
    return text
