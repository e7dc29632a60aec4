"""A small SIP client on one UDP socket: makes requests, sends them, waits for what comes back (RFC 3261 8.1, 17.1).

One thread, that of the command.  Nothing here looks into the server: it sees what anybody on the network sees.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from sip.addresses import AddressBook, family_of
from sip.constants import MAX_FORWARDS
from sip.credentials import PasswordDigests
from sip.digest import Algorithm, request_digest
from sip.errors import ParseError
from sip.headers import Headers
from sip.message import Request, Response, make_ack, make_cancel, parse_datagram
from sip.uri import bracket

Header = tuple[str, str]

ANSWER_S = 2.0
"""How long an answer is waited for: the server is near, and answers strangers without asking anybody."""
_GREETING_S = 1.2
"""How long a server is waited for where there may be none; time for one repetition."""
_T1_S = 0.5
_LARGEST = 65_535
_USER_AGENT = "selftest"


class Address(NamedTuple):
    """Where the server listens for SIP."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracket(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The final response to a request and the bytes it came in; `took_s` seconds after the request was first sent.
    `rang`: a provisional response other than 100 came before it."""

    response: Response
    data: bytes
    took_s: float
    rang: bool

    @property
    def status(self) -> int:
        return self.response.status


class Line:
    """One socket, bound to the address `source` of this machine ("" leaves the choice to the system)."""

    def __init__(self, server: Address, source: str = "") -> None:
        """Raises `OSError` when this machine has no such address."""
        self.server = server
        # Not connected: a server that listens on every address answers from the one nearest to us.
        self._socket = socket.socket(family_of(server.host), socket.SOCK_DGRAM)
        try:
            self._socket.bind((source or AddressBook().local_host(server.host), 0))
        except OSError:
            self._socket.close()
            raise
        self.host, self.port = self._socket.getsockname()[:2]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def contact(self) -> str:
        return f"<sip:{_USER_AGENT}@{bracket(self.host)}:{self.port}>"

    def uri(self, number: str = "") -> str:
        return f"sip:{number}@{self.server}" if number else f"sip:{self.server}"

    def new_via(self) -> str:
        return f"SIP/2.0/UDP {bracket(self.host)}:{self.port};rport;branch=z9hG4bK{secrets.token_hex(10)}"

    def request(
        self,
        method: str,
        to: str = "",
        caller: str = "",
        headers: Sequence[Header] = (),
        body: bytes = b"",
        max_forwards: int = MAX_FORWARDS,
    ) -> Request:
        """A request outside a dialog (8.1.1), from the number `caller` to the number `to`; "" is the server itself.
        A REGISTER is for the number `to`, and asks only which contacts it has unless `headers` hold one (10.2.3)."""
        made = Headers()
        made.append("Via", self.new_via())
        made.append("Max-Forwards", str(max_forwards))
        made.append("From", f"<{self.uri(caller)}>;tag={secrets.token_hex(6)}")
        made.append("To", f"<{self.uri(to)}>")
        made.append("Call-ID", secrets.token_hex(12))
        made.append("CSeq", f"1 {method}")
        if method in _WITH_CONTACT:
            made.append("Contact", self.contact)
        for name, value in headers:
            made.append(name, value)
        made.append("User-Agent", _USER_AGENT)
        made.append("Content-Length", str(len(body)))
        return Request(method, self.uri() if method == "REGISTER" else self.uri(to), made, body)

    # -------------------------------------------------------------------------------------------- the wire

    def send(self, message: Request | Response) -> None:
        """What can't be sent is lost, as on any network."""
        with contextlib.suppress(OSError):
            self._socket.sendto(message.to_bytes(), self.server)

    def receive(self, timeout_s: float) -> tuple[Request | Response, bytes] | None:
        """The next message; None when none came in time, or what came can't be read."""
        self._socket.settimeout(max(timeout_s, 0.001))
        try:
            data = self._socket.recv(_LARGEST)
            return parse_datagram(data), data
        except (OSError, ParseError):
            return None

    def ask(self, request: Request, within_s: float = ANSWER_S) -> Answer | None:
        """Send it, repeat it as 17.1 says, and wait for the final response.  An INVITE is acknowledged, and taken back
        at the first sign that a phone rings."""
        began = time.monotonic()
        repeat_at, interval_s, rang = began + _T1_S, _T1_S, False
        self.send(request)
        while (now := time.monotonic()) < began + within_s:
            if now >= repeat_at:
                self.send(request)
                interval_s *= 2
                repeat_at = now + interval_s
            received = self.receive(min(repeat_at, began + within_s) - now)
            if received is None or not is_answer(received[0], request):
                continue
            response, data = received
            assert isinstance(response, Response)
            if response.status >= 200:
                if request.method == "INVITE":
                    self.send(make_ack(request, response))
                return Answer(response, data, time.monotonic() - began, rang)
            if response.status > 100 and request.method == "INVITE" and not rang:
                rang = True
                self.send(make_cancel(request))
        return None

    def reaches_server(self) -> bool:
        """Whether anything that speaks SIP answers there."""
        return self.ask(self.request("OPTIONS"), _GREETING_S) is not None

    def ask_again(self, request: Request, challenge: Answer, number: str, digests: PasswordDigests) -> Answer | None:
        """Send the request once more, with the answer to that 401 or 407 (RFC 3261 22.2)."""
        again = with_credentials(request, challenge.response, number, digests, self.new_via())
        return None if again is None else self.ask(again)


_WITH_CONTACT = frozenset({"INVITE", "SUBSCRIBE", "REFER"})


def is_answer(message: Request | Response, request: Request) -> bool:
    """The response to that request (17.1.3)."""
    try:
        return (
            isinstance(message, Response)
            and message.via.branch == request.via.branch
            and message.cseq.method == request.method
        )
    except ParseError:
        return False


# ------------------------------------------------------------------------------------------------ credentials

_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^",\s]+))')
_FIRST_COUNT = "00000001"


def with_credentials(
    request: Request, challenge: Response, number: str, digests: PasswordDigests, via: str
) -> Request | None:
    """A copy of the request that answers the 401 or 407 (RFC 7616 3.4); None when that asks for nothing we can do.
    `via` has the branch of the copy."""
    asked_in, answered_in = _REGISTRAR if challenge.status == 401 else _PROXY
    for text in challenge.headers.get_all(asked_in):
        asked = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(text)}
        name, nonce = asked.get("algorithm", "MD5"), asked.get("nonce")
        if name not in tuple(Algorithm) or not nonce:
            continue
        algorithm, cnonce, uri = Algorithm(name), secrets.token_hex(8), request.uri_text
        ha1 = digests.by(algorithm)
        proof = request_digest(algorithm, ha1, request.method, uri, nonce, _FIRST_COUNT, cnonce)
        headers = request.headers.copy()
        headers.set("CSeq", f"{request.cseq.number + 1} {request.method}")
        headers.append(
            answered_in,
            f'Digest username="{number}",realm="{asked.get("realm", "")}",nonce="{nonce}",uri="{uri}",'
            f'algorithm={algorithm},response="{proof}",cnonce="{cnonce}",nc={_FIRST_COUNT},qop=auth',
        )
        again = Request(request.method, uri, headers, request.body)
        again.replace_top_via(via)
        return again
    return None


_REGISTRAR = ("www-authenticate", "Authorization")
_PROXY = ("proxy-authenticate", "Proxy-Authorization")
