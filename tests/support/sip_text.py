"""SIP messages as the test phone reads and writes them (RFC 3261 7).

On purpose not the server's own parser: what one of the two gets wrong, the other notices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

_LISTS = frozenset({"via", "route", "record-route", "contact"})

Header = tuple[str, str]


@dataclass(slots=True)
class SipText:
    """One message; `headers` in the order of the wire, lists such as `Via: a, b` taken apart."""

    start_line: str
    headers: list[Header] = field(default_factory=list)
    body: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> SipText:
        """Raises `ValueError` for what is no SIP message."""
        head, empty_line, body = data.partition(b"\r\n\r\n")
        start_line, *lines = head.decode().split("\r\n")
        if not empty_line or "SIP/2.0" not in start_line:
            raise ValueError(f"no SIP message: {data[:60]!r}")
        message = cls(start_line, body=body)
        for line in lines:
            name, _, value = line.partition(":")
            values = _split_list(value) if name.strip().lower() in _LISTS else [value.strip()]
            message.headers += [(name.strip(), each) for each in values]
        return message

    def to_bytes(self) -> bytes:
        """Wire form, with Content-Length."""
        lines = [self.start_line, *(f"{name}: {value}" for name, value in self.headers)]
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body

    @property
    def is_request(self) -> bool:
        return not self.start_line.startswith("SIP/2.0 ")

    @property
    def method(self) -> str:
        """Of the request, or of the one that a response answers."""
        return self.start_line.split(" ", 1)[0] if self.is_request else self["CSeq"].split()[1]

    @property
    def status(self) -> int:
        """0 for a request."""
        return 0 if self.is_request else int(self.start_line.split(" ", 2)[1])

    @property
    def reason(self) -> str:
        """The phrase behind the status."""
        return "" if self.is_request else self.start_line.split(" ", 2)[2]

    @property
    def request_uri(self) -> str:
        return self.start_line.split(" ")[1] if self.is_request else ""

    @property
    def what(self) -> str:
        """In short: `INVITE` of a request, `200 INVITE` of a response."""
        return self.method if self.is_request else f"{self.status} {self.method}"

    def matches(self, pattern: str) -> bool:
        """`what` against a pattern in the manner of a shell: `2?? INVITE`, `BYE`, `*`."""
        return fnmatchcase(self.what, pattern)

    def get(self, name: str, default: str = "") -> str:
        """The first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        if not values:
            raise KeyError(f"{self.what} has no {name}")
        return values[0]

    def set(self, name: str, value: str) -> None:
        """Replace the first value of a header that is there."""
        index = [key.lower() for key, _ in self.headers].index(name.lower())
        self.headers[index] = (name, value)

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    @property
    def call_id(self) -> str:
        return self["Call-ID"]

    @property
    def cseq(self) -> int:
        return int(self["CSeq"].split()[0])

    @property
    def branch(self) -> str:
        return parameter(self["Via"], "branch")

    @property
    def from_tag(self) -> str:
        return parameter(self["From"], "tag")

    @property
    def to_tag(self) -> str:
        return parameter(self["To"], "tag")


def parameter(value: str, name: str) -> str:
    """A parameter of a header value, "" when absent; parameters of the URI inside angle brackets do not count."""
    for part in value.rpartition(">")[2].split(";")[1:]:
        key, _, text = part.partition("=")
        if key.strip().lower() == name:
            return text.strip()
    return ""


def uri_of(address: str) -> str:
    """The URI of a From, To, Contact or Route value."""
    start = address.find("<")
    return address[start + 1 : address.index(">")] if start >= 0 else address.partition(";")[0].strip()


def host_port(uri: str) -> tuple[str, int]:
    """Where a SIP URI points; port 5060 when it names none."""
    host, _, port = uri.partition(":")[2].partition(";")[0].rpartition("@")[2].partition(":")
    return host, int(port or 5060)


def read_stream(buffer: bytearray) -> Iterable[bytes]:
    """Take the whole messages off the front of what came by TCP (RFC 3261 18.3), keep-alives dropped."""
    while True:
        while buffer[:2] == b"\r\n":
            del buffer[:2]
        head, empty_line, _ = bytes(buffer).partition(b"\r\n\r\n")
        if not empty_line:
            return
        length = int(SipText.parse(head + empty_line).get("Content-Length", "0"))
        end = len(head) + len(empty_line) + length
        if len(buffer) < end:
            return
        yield bytes(buffer[:end])
        del buffer[:end]


def _split_list(value: str) -> list[str]:
    """Split at commas that stand neither in quotes nor in angle brackets."""
    parts, start, quoted, nested = [], 0, False, False
    for index, char in enumerate(value):
        if char == '"':
            quoted = not quoted
        elif not quoted and char in "<>":
            nested = char == "<"
        elif char == "," and not quoted and not nested:
            parts.append(value[start:index].strip())
            start = index + 1
    return [*parts, value[start:].strip()]
