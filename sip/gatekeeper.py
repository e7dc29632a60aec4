"""Who may register and call: judges a request before a transaction is made for it (RFC 3261 22, 8.2.7, 26.1.5).

Pure; guarded by the core lock.  The rules, in the order in which they are applied:

    source is trusted, number without password    is who it registered as from there, unless AUTH_REQUIRED
    source is trusted, number with password       proves that it knows it
    source is not trusted                         proves that it knows a password; refused while there is none at all

A stranger learns nothing: outside the trusted networks neither the answer nor the work depends on whether a number
exists or has a password.  Refusals are answered without a transaction, so that a flood of them stores nothing; who
sends the request again is answered the same, To tag included.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from config import Config
from sip.challenge_choice import ChallengeChoice
from sip.constants import METHODS
from sip.credentials import Credentials
from sip.digest import DigestAnswer, challenge, find_answer
from sip.errors import HeaderError, ParseError
from sip.facts import Denial
from sip.flow import Flow
from sip.message import Request, Response, make_response
from sip.networks import Networks
from sip.nonces import Nonces
from sip.numbering import NumberPlan
from sip.uri import Uri


class Cause(StrEnum):
    """Why a request was refused, for those who count and those who explain."""

    CHALLENGED = "challenged"
    """It carried no credentials: how every honest request begins."""
    STALE = "stale"
    """Its nonce was not ours, too old, given to another address, or used before; the phone tries again by itself."""
    UNUSABLE = "unusable"
    """Its credentials can't be read, or don't use what was offered."""
    WRONG = "wrong"
    """Wrong credentials for a nonce that this very source was given, so that its address is not forged."""
    FORBIDDEN = "forbidden"
    """No password would help."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request may go on.  `authenticated`: its sender has shown the password of the number in its From."""

    authenticated: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """What to answer.  `words` is a sentence for the administrator, not for the sender: it knows which numbers exist;
    `denial` says the same to programs.  `number` is the one that the sender wanted to be, as it wrote it."""

    status: int
    phrase: str | None
    cause: Cause
    number: str
    words: str
    denial: Denial
    headers: tuple[tuple[str, str], ...] = ()


KNOWN_SOURCE: Final = Admitted(authenticated=False)
AUTHENTICATED: Final = Admitted(authenticated=True)


@dataclass(frozen=True, slots=True)
class _Realm:
    """How credentials are asked for and where they are found (RFC 3261 22.2, 22.3)."""

    status: int
    challenge_header: str
    answer_header: str


_AS_REGISTRAR: Final = _Realm(401, "WWW-Authenticate", "authorization")
_AS_PROXY: Final = _Realm(407, "Proxy-Authenticate", "proxy-authorization")

_NEVER_CHALLENGED = frozenset({"ACK", "CANCEL"})  # 22.1: they can't be sent again with credentials
_ONLY_IN_CALLS = frozenset({"BYE", "PRACK", "UPDATE"})
_OF_CALLS = _ONLY_IN_CALLS | {"INVITE", "INFO"}
_SERVED_HERE = frozenset({"OPTIONS", "PUBLISH", "SUBSCRIBE"})
_MAX_SHOWN = 32

MAX_GROWTH: Final = 1.25
"""How much larger than a stranger's datagram a challenge may be, if that can be: its source may be forged, and whoever
lives there would get the answers."""


def is_for_server(request: Request) -> bool:
    """Nobody's phone is meant: no number is dialled, or the phone asks about its own one (message waiting, presence, a
    ping), or the method is one that this server doesn't know."""
    number = request.uri.number
    if request.method not in METHODS:
        return True
    if not number:
        return request.method != "INVITE"
    return request.method in _SERVED_HERE and number == request.from_.uri.number


class Gatekeeper:
    """Invariant: a request that is admitted comes from who its From says, as far as the rules above can tell; a
    REGISTER, for the number in its To.  `credentials` may be replaced at any time."""

    def __init__(
        self,
        config: Config,
        plan: NumberPlan,
        credentials: Credentials,
        has_binding_from: Callable[[str, Flow], bool],
        secret: bytes,
    ) -> None:
        """`has_binding_from(number, flow)`: the number is registered from the source of that flow, now.  `secret` is
        random, and new with each start."""
        self.credentials = credentials
        self._plan = plan
        self.configure(config)
        self._has_binding_from = has_binding_from
        self._secret = secret
        self._nonces = Nonces(secret)
        self._choice = ChallengeChoice()

    def configure(self, config: Config) -> None:
        """Go by these settings from now on."""
        self._auth_required = config.auth_required
        self._trusted = Networks(config.trusted_networks)

    def needs_no_password(self, host: str) -> bool:
        """A number without a password may register from there."""
        return not self._auth_required and host in self._trusted

    def is_trusted(self, host: str) -> bool:
        """The address lies in TRUSTED_NETWORKS."""
        return host in self._trusted

    def admit(self, request: Request, flow: Flow, now: float) -> Admitted | Refused:
        """Judge a validated request that belongs to no call and no transaction of ours."""
        method = request.method
        if method == "REGISTER":
            return self._admit_register(request, flow, now)
        if method in _NEVER_CHALLENGED:
            return KNOWN_SOURCE
        if request.to.tag is not None and method == "NOTIFY":
            return self._admit_notify(request, flow)
        if method in (_ONLY_IN_CALLS if request.to.tag is None else _OF_CALLS):
            return self._outside_its_call(request)
        return self._admit_request(request, flow, now)

    def answer(self, request: Request, flow: Flow, refused: Refused, received: int) -> Response:
        """The response that says so; the same To tag for each copy of the request (8.2.7), which had `received` bytes.

        A short request, as scanners and hardly any phones send, is asked for the MD5 answer alone: a second challenge
        would make the response half as large again as the request, and MD5 is what every phone knows (RFC 3261 22.4).
        """
        text = f"{request.via.branch} {request.call_id} {request.cseq.number} {flow.remote_host}"
        tag = hmac.digest(self._secret, text.encode("utf-8", "surrogateescape"), "sha256").hex()[:12]
        response = make_response(request, refused.status, refused.phrase, to_tag=tag, headers=refused.headers)
        is_forgeable = not flow.reliable and flow.remote_host not in self._trusted
        if is_forgeable and refused.headers and len(response.to_bytes()) > MAX_GROWTH * received:
            least = refused.headers[-1:]
            return make_response(request, refused.status, refused.phrase, to_tag=tag, headers=least)
        return response

    # -------------------------------------------------------------------------------------------- the rules

    def _admit_register(self, request: Request, flow: Flow, now: float) -> Admitted | Refused:
        number = request.to.uri.number
        if flow.remote_host in self._trusted and number not in self.credentials:
            if number not in self._plan:
                words = f"{_shown(number)} is no number of this office ({self._plan}): change it in the phone"
                return Refused(
                    404, f"Number Not In Range {self._plan}", Cause.FORBIDDEN, number, words, Denial.NOT_A_NUMBER
                )
            if self._auth_required:
                return self._without_password("Number Has No Password Yet", number)
            return KNOWN_SOURCE
        shown = self._authenticate(request, flow, now, number, _AS_REGISTRAR)
        if isinstance(shown, Refused):
            return shown
        # 10.3 step 3, and the From as well: nobody registers for somebody else here.
        if not shown == number == request.from_.uri.number:
            return self._of_another_number(shown, number)
        return AUTHENTICATED

    def _admit_request(self, request: Request, flow: Flow, now: float) -> Admitted | Refused:
        number = request.from_.uri.number
        if flow.remote_host in self._trusted:
            for_server = is_for_server(request)
            if for_server and request.method == "OPTIONS":
                return KNOWN_SOURCE
            if number not in self.credentials:
                return self._admit_by_binding(number, flow, for_server=for_server)
        shown = self._authenticate(request, flow, now, number, _AS_PROXY)
        if isinstance(shown, Refused):
            return shown
        return AUTHENTICATED if shown == number else self._of_another_number(shown, number)

    def _admit_by_binding(self, number: str, flow: Flow, *, for_server: bool) -> Admitted | Refused:
        """A number without a password, in a trusted network, is who it registered as from there."""
        if self._auth_required:
            return self._without_password("Caller Not Registered", number)
        if for_server or self._has_binding_from(number, flow):
            return KNOWN_SOURCE
        words = f"{_shown(number)} may not call: it is not registered from {flow.remote_host}"
        return Refused(403, "Caller Not Registered", Cause.FORBIDDEN, number, words, Denial.NOT_REGISTERED_THERE)

    def _admit_notify(self, request: Request, flow: Flow) -> Admitted | Refused:
        """In a subscription of phones, which this server keeps no record of.  Phones that notify can't be asked for a
        password (few could answer), and the phone that gets the NOTIFY knows whether it has subscribed."""
        if self._has_binding_from(request.from_.uri.number, flow):
            return KNOWN_SOURCE
        return self._outside_its_call(request)

    @staticmethod
    def _outside_its_call(request: Request) -> Refused:
        number = request.from_.uri.number
        words = f"{request.method} from {_shown(number)} belongs to no call here"
        return Refused(481, None, Cause.FORBIDDEN, number, words, Denial.NO_CALL)

    @staticmethod
    def _of_another_number(shown: str, number: str) -> Refused:
        words = f"the phone of {_shown(shown)} wanted to be {_shown(number)}: user and number must be the same there"
        return Refused(403, "Credentials Of Another Number", Cause.FORBIDDEN, number, words, Denial.OTHER_NUMBER)

    @staticmethod
    def _without_password(phrase: str, number: str) -> Refused:
        words = _needs_password(number)
        return Refused(403, phrase, Cause.FORBIDDEN, number, words, Denial.UNPROTECTED)

    # -------------------------------------------------------------------------------------------- credentials

    def _authenticate(self, request: Request, flow: Flow, now: float, number: str, realm: _Realm) -> str | Refused:
        """The number whose password the request proves to know, or what to answer instead."""
        if not self.credentials and not self._auth_required:
            words = (
                f"{_shown(number)} at {flow.remote_host} is outside TRUSTED_NETWORKS, and no number has a password: "
                f"{_how_to_set('set one', number)}, or add its network to TRUSTED_NETWORKS"
            )
            phrase = "Not Allowed From This Network"
            return Refused(403, phrase, Cause.FORBIDDEN, number, words, Denial.FOREIGN_NETWORK)
        try:
            answer = find_answer(request.headers, realm.answer_header, self.credentials.realm)
        except HeaderError as error:
            words = f"the phone's answer to the question for its password can't be used: {error.reason}"
            return self._challenge(request, flow, now, number, realm, Cause.UNUSABLE, words, Denial.UNREADABLE)
        if answer is None:
            words = f"{_shown(number)} was asked for its password and shows none: enter it in the phone"
            return self._challenge(request, flow, now, number, realm, Cause.CHALLENGED, words, Denial.NOT_SHOWN)
        if not self._nonces.is_fresh(answer.nonce, flow.remote_host, now):
            words = f"the phone of {_shown(number)} used a question for its password that is too old"
            return self._challenge(request, flow, now, number, realm, Cause.STALE, words, Denial.TOO_LATE)
        right = self.credentials.accepts(answer, request.method)
        if not (right and _is_for(answer, request.uri)):
            denial, words = self._why_wrong(answer.username)
            return self._challenge(request, flow, now, number, realm, Cause.WRONG, words, denial)
        if not self._nonces.use(answer.nonce, answer.count, flow.remote_host, now):
            words = f"the phone of {_shown(number)} answered a question for its password a second time"
            return self._challenge(request, flow, now, number, realm, Cause.STALE, words, Denial.TOO_LATE)
        self._choice.answered(flow.remote_host, number, answer.algorithm)
        return answer.username

    def _challenge(
        self,
        request: Request,
        flow: Flow,
        now: float,
        number: str,
        realm: _Realm,
        cause: Cause,
        words: str,
        denial: Denial,
    ) -> Refused:
        nonce = self._nonces.issue(flow.remote_host, now)
        stale = cause is Cause.STALE
        # A phone that answers, right or wrong, has found what it needs: it is no phone that has given up.
        branch = request.via.branch if request.method == "REGISTER" and cause is Cause.CHALLENGED else None
        headers = tuple(
            (realm.challenge_header, challenge(self.credentials.realm, nonce, algorithm, stale=stale))
            for algorithm in self._choice.offer(flow.remote_host, number, request.user_agent, branch)
        )
        return Refused(realm.status, None, cause, number, words, denial, headers)

    def _why_wrong(self, username: str) -> tuple[Denial, str]:
        name = _shown(username)
        if username in self.credentials:
            how = _how_to_set("set a new one", name)
            return Denial.WRONG, f"wrong password for {name}: enter the right one in the phone, or {how}"
        if username in self._plan:
            return Denial.UNPROTECTED, _needs_password(username)
        words = f"{name} is no number of this office ({self._plan}): the phone's user name must be its number"
        return Denial.UNKNOWN_USER, words


def _is_for(answer: DigestAnswer, uri: Uri) -> bool:
    """Credentials made for a request to one number are no good for another; apart from that phones write the URI in
    many ways (RFC 8760 2.6 step 6), and some name the server alone: the count keeps those from being used twice."""
    try:
        return answer.uri == uri.text or Uri.parse(answer.uri).number in ("", uri.number)
    except ParseError:
        return False


def _needs_password(number: str) -> str:
    name = _shown(number)
    return f"{name} has no password, which it needs here: {_how_to_set('set one', name)}, and enter it in the phone"


def _how_to_set(what: str, number: str) -> str:
    return f"{what} by: python sipserver.py passwd {_shown(number)}"


def _shown(number: str) -> str:
    """What a stranger wrote, fit for a sentence."""
    text = ascii(number[:_MAX_SHOWN])[1:-1]
    return text or "a phone without a number"
