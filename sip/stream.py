"""Messages out of a TCP byte stream (RFC 3261 7.5, 18.3) and keep-alives between them (RFC 5626 3.5.1).  Pure; one
parser belongs to the thread that reads its connection.
"""

from __future__ import annotations

from sip.constants import MAX_MESSAGE_SIZE
from sip.errors import HeaderError, MessageTooLarge
from sip.message import MalformedMessage, Request, Response, content_length, parse_head


class StreamParser:
    """Feed bytes, take messages.

    An error is final for the stream: message boundaries are lost, so the connection must be closed.
    Invariant between calls: at most one unfinished message's bytes, `MAX_MESSAGE_SIZE`, are held.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._pending: Request | Response | None = None
        self._body_length = 0
        self.keepalives = 0
        """Double CRLF pings (RFC 5626 3.5.1) since last asked; whoever answers them sets it back to 0."""

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished message; line ends between messages are none."""
        return len(self._buffer) if self._buffer[:3].strip(b"\r\n") else 0

    def feed(self, data: bytes) -> list[tuple[Request | Response, bytes]]:
        """Complete messages, each with its bytes as received.  Raises `ParseError` when the stream is beyond repair;
        messages complete before the fault are lost with it only if they came in the same call."""
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> tuple[Request | Response, bytes] | None:
        buffer = self._buffer
        if self._pending is None and not self._read_head():
            return None
        total = self._scanned + self._body_length
        if self._pending is None or len(buffer) < total:
            return None
        message, self._pending = self._pending, None
        raw = bytes(buffer[:total])
        message.body = raw[self._scanned :]
        self._scanned = 0
        del buffer[:total]
        return message, raw

    def _read_head(self) -> bool:
        """Whether the head of the next message has come; then `_scanned` is where its body begins."""
        buffer = self._buffer
        self._drop_line_ends()
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            if len(buffer) > MAX_MESSAGE_SIZE:
                raise MessageTooLarge(f"headers of more than {MAX_MESSAGE_SIZE} bytes")
            self._scanned = max(0, len(buffer) - 3)
            return False
        if end + 4 > MAX_MESSAGE_SIZE:
            raise MessageTooLarge(f"headers of more than {MAX_MESSAGE_SIZE} bytes")
        message = parse_head(bytes(buffer[:end]))
        length = content_length(message)
        if length is None:
            # 20.14: required on stream transports.
            raise MalformedMessage(HeaderError("Content-Length", "missing"), message)
        if end + 4 + length > MAX_MESSAGE_SIZE:
            raise MalformedMessage(MessageTooLarge(f"message of more than {MAX_MESSAGE_SIZE} bytes"), message)
        self._pending, self._body_length, self._scanned = message, length, end + 4
        return True

    def _drop_line_ends(self) -> None:
        """7.5: line ends before a start line are ignored; a single CRLF waits, the next may make it a ping."""
        buffer = self._buffer
        while len(buffer) > 2 and buffer.startswith((b"\r\n", b"\n")):
            if buffer.startswith(b"\r\n\r\n"):
                self.keepalives += 1
                del buffer[:4]
            elif buffer == b"\r\n\r":
                return
            else:
                del buffer[: 2 if buffer.startswith(b"\r\n") else 1]
