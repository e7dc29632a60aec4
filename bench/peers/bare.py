"""The least that SIP can cost in Python: what any server in this interpreter starts from.

    python bench/peers/bare.py PORT

Lines of text are moved from one datagram to the other, in one thread.  Nothing is checked, timed, repeated, recorded,
logged or remembered but contacts; there are no media, and a lost packet is lost.  A yardstick, and no server to use.
"""

from __future__ import annotations

import re
import socket
import sys

HOST = "127.0.0.1"
_MAX_DATAGRAM = 65_535
_COPIED = ("Via:", "From:", "To:", "Call-ID:", "CSeq:")
_ADDRESS = re.compile(r"sip:(?:([^@>;]*)@)?([^:>;]+):([0-9]+)")
_NUMBER = re.compile(r"sip:([^@]+)@")
_BRACKETS = re.compile(r"<([^>]+)>")
_VIA = re.compile(r"Via: SIP/2\.0/UDP ([^:;]+):([0-9]+)")

Address = tuple[str, int]


class Bare:
    """Registrar and record-routing proxy of phones that all do as they should."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((HOST, port))
        self._contacts: dict[str, tuple[str, Address]] = {}
        self._branches = 0

    def run(self) -> None:
        while True:
            data, source = self._socket.recvfrom(_MAX_DATAGRAM)
            head, _, body = data.decode().partition("\r\n\r\n")
            lines = head.split("\r\n")
            start = lines[0]
            if start.startswith("SIP/2.0"):
                self._pass_back(lines, body)
            elif start.startswith("REGISTER"):
                self._register(lines, source)
            elif start.startswith("OPTIONS"):
                self._answer(lines, source)
            else:
                self._pass_on(lines, body)

    def _register(self, lines: list[str], source: Address) -> None:
        contact = next(line for line in lines if line.startswith("Contact:"))
        recipient = next(line for line in lines if line.startswith("To:"))
        number, uri = _NUMBER.search(recipient), _BRACKETS.search(contact)
        assert number is not None and uri is not None
        self._contacts[number[1]] = uri[1], source
        self._answer(lines, source, f"{contact};expires=3600")

    def _answer(self, lines: list[str], source: Address, *more: str) -> None:
        copied = [f"{line};tag=bare" if line.startswith("To:") else line for line in lines if line.startswith(_COPIED)]
        self._send(["SIP/2.0 200 OK", *copied, *more, "Content-Length: 0"], "", source)

    def _pass_on(self, lines: list[str], body: str) -> None:
        method, uri, _ = lines[0].split(" ")
        target = _ADDRESS.match(uri)
        assert target is not None
        if target[2] == HOST and int(target[3]) == self._port:
            uri, address = self._contacts[target[1]]
            lines[0] = f"{method} {uri} SIP/2.0"
            lines.append(f"Record-Route: <sip:{HOST}:{self._port};lr>")
        else:
            address = (target[2], int(target[3]))
            lines = [line for line in lines if not line.startswith("Route:")]
        self._branches += 1
        lines.insert(1, f"Via: SIP/2.0/UDP {HOST}:{self._port};branch=z9hG4bKbare{self._branches}")
        self._send(lines, body, address)

    def _pass_back(self, lines: list[str], body: str) -> None:
        del lines[1]
        via = _VIA.match(lines[1])
        assert via is not None
        self._send(lines, body, (via[1], int(via[2])))

    def _send(self, lines: list[str], body: str, address: Address) -> None:
        self._socket.sendto("\r\n".join([*lines, "", body]).encode(), address)


if __name__ == "__main__":
    Bare(int(sys.argv[1])).run()
