"""A call of the self-test's own: two phones that register under free numbers, call each other, and leave no trace but a
line in the history (RFC 3261 12, 13, 15).  One thread, that of the command.
"""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from commands.selftest.line import Address, Answer, Line, is_answer, with_credentials
from commands.selftest.scene import Scene
from sip.addresses import family_of
from sip.constants import MAX_FORWARDS
from sip.credentials import PasswordDigests
from sip.errors import ParseError
from sip.headers import Headers
from sip.message import Request, Response, make_ack, make_response
from sip.sdp import SessionDescription

REGISTRATION_S = 60
"""Should the self-test be killed, its registrations are gone after so many seconds, or EXPIRES_MIN if that is more."""

_SETUP_S = 6.0
_DIALOG = "record-route"


class NoCall(Exception):
    """Why the server can't be tried by a call; a sentence."""


class TrialPhone:
    """A phone with one media socket.  `relay` is where the server wants its packets, known once there is a call."""

    def __init__(self, scene: Scene, source: str, number: str, digests: PasswordDigests | None) -> None:
        """Raises `OSError`."""
        self.number = number
        self.line = Line(scene.server, source)
        self.media = socket.socket(family_of(source), socket.SOCK_DGRAM)
        self.media.bind((source, 0))
        self.relay: Address | None = None
        self._digests = digests
        self._expires_s = max(REGISTRATION_S, scene.config.expires_min)
        self._cseq = 0
        self._call_id = secrets.token_hex(12)

    def close(self) -> None:
        self.line.close()
        self.media.close()

    def register(self) -> None:
        """Raises `NoCall` when the server doesn't let it in, or when a real phone has shown up meanwhile."""
        answer = self._register(self._expires_s)
        if answer is None or answer.status != 200:
            status = f"{answer.status} {answer.response.reason}" if answer is not None else "not at all"
            raise NoCall(f"The registration of {self.number} was answered {status}.")
        if len(answer.response.contacts) != 1:
            raise NoCall(f"A phone of {self.number} has come up meanwhile, and is not to be disturbed.")

    def unregister(self) -> None:
        """Take away our own contact, and no other."""
        self._register(0)

    def _register(self, expires_s: int) -> Answer | None:
        contact = f"{self.line.contact};expires={expires_s}"
        request = self.line.request("REGISTER", self.number, self.number, [("Contact", contact)])
        self._cseq += 2
        request.headers.set("Call-ID", self._call_id)
        request.headers.set("CSeq", f"{self._cseq} REGISTER")
        answer = self.line.ask(request)
        if answer is not None and answer.status == 401 and self._digests is not None:
            return self.line.ask_again(request, answer, self.number, self._digests)
        return answer

    def session_description(self) -> bytes:
        """One stream of G.711 at our media socket (RFC 8866)."""
        host, port = self.media.getsockname()[:2]
        address = f"IN IP{6 if ':' in host else 4} {host}"
        lines = ["v=0", f"o=- 1 1 {address}", "s=-", f"c={address}", "t=0 0", f"m=audio {port} RTP/AVP 0"]
        return "".join(f"{line}\r\n" for line in lines).encode()

    def follow(self, body: bytes) -> None:
        """Send media where this description wants them.  Raises `ParseError`."""
        stream = SessionDescription.parse(body).media[0]
        if stream.connection is not None:
            self.relay = Address(stream.connection.address, stream.port)

    def answer_challenge(self, request: Request, challenge: Response) -> Request | None:
        if self._digests is None:
            return None
        return with_credentials(request, challenge, self.number, self._digests, self.line.new_via())


@contextlib.contextmanager
def trial_call(
    scene: Scene, source: str, numbers: tuple[str, str], known: Mapping[str, PasswordDigests]
) -> Iterator[tuple[TrialPhone, TrialPhone]]:
    """Two phones at the address `source`, in a call with each other; both gone afterwards, whatever happens.

    `known` are the digests of passwords, for numbers that need one.  Raises `NoCall`.
    """
    with ExitStack() as last_first:
        phones = []
        for number in numbers:
            try:
                phone = TrialPhone(scene, source, number, known.get(number))
            except OSError as error:
                raise NoCall(f"No phone can be put at {source} ({error.strerror or error}).") from error
            last_first.callback(phone.close)
            last_first.callback(phone.unregister)
            phone.register()
            phones.append(phone)
        caller, callee = phones
        last_first.callback(_hang_up, caller, callee, _connect(caller, callee))
        if caller.relay is None or callee.relay is None:
            raise NoCall("The server named no address for the sound of the call.")
        yield caller, callee


class _Dialog:
    """What the caller needs to end the call (12.1.2)."""

    def __init__(self, invite: Request, answer: Response) -> None:
        self._invite = invite
        self._answer = answer

    def request(self, line: Line, method: str) -> Request:
        """An ACK for the 2xx (13.2.2.4), or a BYE (15.1.1)."""
        invite, answer = self._invite, self._answer
        made = Headers()
        made.append("Via", line.new_via())
        made.append("Max-Forwards", str(MAX_FORWARDS))
        for route in reversed(answer.headers.values(_DIALOG)):
            made.append("Route", route)
        made.append("From", invite.headers.get("from") or "")
        made.append("To", answer.headers.get("to") or "")
        made.append("Call-ID", invite.call_id)
        made.append("CSeq", f"{invite.cseq.number + (method != 'ACK')} {method}")
        made.append("Content-Length", "0")
        contact = answer.contact
        return Request(method, contact.uri.text if contact is not None else line.uri(), made)


def _connect(caller: TrialPhone, callee: TrialPhone) -> _Dialog:
    """Dial, pick up, acknowledge.  Raises `NoCall`."""
    invite = caller.line.request(
        "INVITE", callee.number, caller.number, [("Content-Type", "application/sdp")], caller.session_description()
    )
    caller.line.send(invite)
    for phone, message in _messages(caller, callee, _SETUP_S):
        if phone is callee and isinstance(message, Request):
            _serve(callee, message)
        if phone is not caller or not isinstance(message, Response) or not is_answer(message, invite):
            continue
        if 200 <= message.status < 300:
            caller.follow(message.body)
            dialog = _Dialog(invite, message)
            caller.line.send(dialog.request(caller.line, "ACK"))
            return dialog
        if message.status >= 300:
            caller.line.send(make_ack(invite, message))
            again = caller.answer_challenge(invite, message) if message.status == 407 else None
            if again is None or "proxy-authorization" in invite.headers:
                raise NoCall(f"The call was answered {message.status} {message.reason}.")
            invite = again
            caller.line.send(invite)
    raise NoCall(f"The call of the self-test was not connected within {_SETUP_S:g} s.")


def _hang_up(caller: TrialPhone, callee: TrialPhone, dialog: _Dialog) -> None:
    """A BYE, answered by the phone that was called; should it get lost, the server ends the call for want of media."""
    bye = dialog.request(caller.line, "BYE")
    for _ in range(2):
        caller.line.send(bye)
        for phone, message in _messages(caller, callee, 1.0):
            if isinstance(message, Request):
                _serve(phone, message)
                continue
            challenged = phone is caller and is_answer(message, bye) and message.status == 407
            again = caller.answer_challenge(bye, message) if challenged else None
            if again is not None:
                bye = again
                caller.line.send(bye)
            elif phone is caller and is_answer(message, bye) and message.status >= 200:
                return


def _serve(phone: TrialPhone, request: Request) -> None:
    """Accept what the server passes on, a call with a session description (8.2.6, 12.1.1)."""
    if request.method == "ACK":
        return
    headers = [("Record-Route", value) for value in request.headers.values(_DIALOG)]
    body = b""
    if request.method == "INVITE":
        phone.follow(request.body)
        headers += [("Contact", phone.line.contact), ("Content-Type", "application/sdp")]
        body = phone.session_description()
    phone.line.send(make_response(request, 200, to_tag=phone.number, headers=headers, body=body))


def _messages(
    caller: TrialPhone, callee: TrialPhone, within_s: float
) -> Iterator[tuple[TrialPhone, Request | Response]]:
    """What both phones receive, until the time is over."""
    phones = {caller.line.fileno(): caller, callee.line.fileno(): callee}
    deadline = time.monotonic() + within_s
    while (left_s := deadline - time.monotonic()) > 0:
        for ready in select.select(list(phones), [], [], left_s)[0]:
            received = phones[ready].line.receive(0.0)
            with contextlib.suppress(ParseError):
                if received is not None:
                    yield phones[ready], received[0]
