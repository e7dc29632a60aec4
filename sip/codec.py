"""What stands between the bytes on a connection and those of SIP: nothing over TCP, TLS over TLS.

A codec belongs to one connection.  Its rx thread calls `decode`, its tx thread `encode` and `farewell`.
"""

from __future__ import annotations

from typing import Protocol


class Codec(Protocol):
    """Methods raise `OSError` when the other side breaks the rules of the codec; what `farewell` gives then says so."""

    @property
    def is_ended(self) -> bool:
        """The other side has said that no more will come."""

    @property
    def has_output(self) -> bool:
        """`encode` has something to give even for no bytes: the codec's own part of a handshake."""

    def decode(self, data: bytes) -> bytes:
        """Received bytes to those of SIP; none while the codec talks about itself."""

    def encode(self, data: bytes) -> bytes:
        """Bytes of SIP to those to be written, after what the codec itself has to say."""

    def farewell(self) -> bytes:
        """The last bytes to be written."""


class Plain:
    """No codec."""

    is_ended = False
    has_output = False

    @staticmethod
    def decode(data: bytes) -> bytes:
        return data

    @staticmethod
    def encode(data: bytes) -> bytes:
        return data

    @staticmethod
    def farewell() -> bytes:
        return b""
