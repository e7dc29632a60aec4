"""sip/gatekeeper.py: who may register and call, rule by rule, and what a stranger can learn from the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from config import Config
from sip.credentials import Credentials, PasswordDigests
from sip.digest import Algorithm, DigestAnswer, find_answer
from sip.flow import Flow, stamp_via
from sip.gatekeeper import AUTHENTICATED, KNOWN_SOURCE, Admitted, Cause, Gatekeeper, Refused, is_for_server
from sip.headers import Headers
from sip.message import Request, Response, parse_datagram
from sip.nonces import NONCE_LIFETIME_S
from sip.numbering import NumberPlan
from sip.validation import validate_request

LAN = Flow("UDP", "192.168.1.1", 5060, "192.168.1.10", 5060)
STRANGER = Flow("UDP", "198.51.100.1", 5060, "203.0.113.66", 5060)
NOW = 1000.0
PASSWORDS = {"100": "correct horse", "101": "battery staple"}
"""102 is a number without one, 999 is no number."""

USUAL_SIZE = 500
"""Bytes of a phone's request; those of these tests are shorter."""

INITIAL = ["INVITE", "MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH", "INFO", "NOTIFY", "OPTIONS", "PING"]
"""Methods that may begin something, one of them unknown."""


def message(
    method: str,
    caller: str,
    target: str = "",
    *,
    flow: Flow = LAN,
    to: str | None = None,
    to_tag: str = "",
    branch: str = "z9hG4bK1",
    answer: str = "",
) -> Request:
    """A request as the core hands it over.  REGISTER is for `to`, which is the caller unless given."""
    uri = "sip:office" if method == "REGISTER" or not target else f"sip:{target}@office"
    callee = to if to is not None else (caller if method == "REGISTER" else target)
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {flow.remote_host}:{flow.remote_port};rport;branch={branch}",
        f"From: <sip:{caller}@office>;tag=f",
        f"To: <sip:{callee}@office>" + (f";tag={to_tag}" if to_tag else ""),
        "Call-ID: c",
        f"CSeq: 1 {method}",
        "Max-Forwards: 70",
        answer,
    ]
    request = parse_datagram("\r\n".join([*filter(None, lines), "", ""]).encode())
    assert isinstance(request, Request)
    validate_request(request)
    stamp_via(request, flow)
    return request


@dataclass
class Desk:
    """A gatekeeper and what surrounds it; `bound` are the (number, host) pairs that are registered."""

    passwords: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    bound: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        config = replace(Config(), **self.settings)
        realm = config.auth_realm
        digests = {number: PasswordDigests.of(number, realm, word) for number, word in self.passwords.items()}
        self.keeper = Gatekeeper(
            config,
            NumberPlan(config.ext_min, config.ext_max),
            Credentials(realm, digests),
            lambda number, flow: (number, flow.remote_host) in self.bound,
            b"k" * 32,
        )

    def admit(self, request: Request, flow: Flow = LAN, now: float = NOW) -> Admitted | Refused:
        return self.keeper.admit(request, flow, now)

    def refusal(self, request: Request, flow: Flow = LAN, now: float = NOW) -> Refused:
        refused = self.admit(request, flow, now)
        assert isinstance(refused, Refused)
        return refused

    def response(self, request: Request, flow: Flow = LAN, now: float = NOW) -> Response:
        return self.keeper.answer(request, flow, self.refusal(request, flow, now), USUAL_SIZE)


class Phone:
    """Answers challenges; what it says of itself may be a lie."""

    def __init__(self, desk: Desk, user: str, password: str, flow: Flow = STRANGER) -> None:
        self.desk = desk
        self.user = user
        self.password = password
        self.flow = flow
        self.algorithm = Algorithm.SHA_256
        self.uri: str | None = None
        self.count = 1

    def try_twice(
        self, method: str, target: str = "", *, caller: str | None = None, **options: Any
    ) -> Admitted | Refused:
        """Ask, be challenged, ask again with an answer."""
        caller = self.user if caller is None else caller
        challenged = self.desk.refusal(message(method, caller, target, flow=self.flow, **options), self.flow)
        assert challenged.cause is Cause.CHALLENGED
        return self.ask(challenged, method, target, caller=caller, **options)

    def ask(
        self,
        challenged: Refused,
        method: str,
        target: str = "",
        *,
        caller: str | None = None,
        now: float = NOW,
        flow: Flow | None = None,
        **options: Any,
    ) -> Admitted | Refused:
        line = self.answer(challenged, message(method, self.user, target))
        flow = flow or self.flow
        caller = self.user if caller is None else caller
        return self.desk.admit(message(method, caller, target, flow=flow, answer=line, **options), flow, now)

    def answer(self, challenged: Refused, request: Request) -> str:
        """The header line."""
        name = {401: "Authorization", 407: "Proxy-Authorization"}[challenged.status]
        (text,) = [value for _, value in challenged.headers if f"algorithm={self.algorithm}," in value]
        words = dict(item.split("=", 1) for item in text.removeprefix("Digest ").replace('"', "").split(","))
        realm = words["realm"]
        uri = self.uri if self.uri is not None else request.uri_text
        answer = DigestAnswer(self.user, realm, words["nonce"], uri, self.algorithm, "", "abc", f"{self.count:08x}")
        ha1 = PasswordDigests.of(self.user, realm, self.password).by(self.algorithm)
        return (
            f'{name}: Digest username="{self.user}", realm="{realm}", nonce="{answer.nonce}", uri="{uri}", '
            f'response="{answer.expected_response(ha1, request.method)}", algorithm={self.algorithm}, cnonce="abc", '
            f"qop=auth, nc={answer.nc}"
        )


@pytest.fixture
def secured() -> Desk:
    """100 and 101 have a password."""
    return Desk(PASSWORDS)


def outcome(result: Admitted | Refused) -> tuple[int, Cause | None]:
    return (result.status, result.cause) if isinstance(result, Refused) else (200, None)


CHALLENGED_401 = (401, Cause.CHALLENGED)
CHALLENGED_407 = (407, Cause.CHALLENGED)
OK = (200, None)


# ------------------------------------------------------------------------------------------------ REGISTER


@pytest.mark.parametrize(
    ("passwords", "settings", "flow", "number", "expected"),
    [
        # The first start: no password at all.
        ({}, {}, LAN, "100", OK),
        ({}, {}, LAN, "999", (404, Cause.FORBIDDEN)),
        ({}, {}, STRANGER, "100", (403, Cause.FORBIDDEN)),
        ({}, {}, STRANGER, "999", (403, Cause.FORBIDDEN)),
        # Some numbers have one, and need it wherever they are.
        (PASSWORDS, {}, LAN, "100", CHALLENGED_401),
        (PASSWORDS, {}, LAN, "102", OK),
        (PASSWORDS, {}, LAN, "999", (404, Cause.FORBIDDEN)),
        (PASSWORDS, {}, STRANGER, "100", CHALLENGED_401),
        (PASSWORDS, {}, STRANGER, "102", CHALLENGED_401),
        (PASSWORDS, {}, STRANGER, "999", CHALLENGED_401),
        # AUTH_REQUIRED: everybody needs one.
        (PASSWORDS, {"auth_required": True}, LAN, "100", CHALLENGED_401),
        (PASSWORDS, {"auth_required": True}, LAN, "102", (403, Cause.FORBIDDEN)),
        (PASSWORDS, {"auth_required": True}, LAN, "999", (404, Cause.FORBIDDEN)),
        ({}, {"auth_required": True}, LAN, "100", (403, Cause.FORBIDDEN)),
        ({}, {"auth_required": True}, STRANGER, "100", CHALLENGED_401),
        ({}, {"auth_required": True}, STRANGER, "999", CHALLENGED_401),
        # TRUSTED_NETWORKS=none
        ({}, {"trusted_networks": ()}, LAN, "100", (403, Cause.FORBIDDEN)),
        (PASSWORDS, {"trusted_networks": ()}, LAN, "102", CHALLENGED_401),
    ],
)
def test_who_may_register_without_showing_a_password(
    passwords: dict[str, str], settings: dict[str, Any], flow: Flow, number: str, expected: tuple[int, Cause | None]
) -> None:
    desk = Desk(passwords, settings)
    assert outcome(desk.admit(message("REGISTER", number, flow=flow), flow)) == expected


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("flow", [LAN, STRANGER])
def test_the_password_admits_from_everywhere(secured: Desk, flow: Flow, algorithm: Algorithm) -> None:
    phone = Phone(secured, "100", PASSWORDS["100"], flow)
    phone.algorithm = algorithm
    assert phone.try_twice("REGISTER") is AUTHENTICATED
    assert phone.try_twice("INVITE", "101") is AUTHENTICATED


def test_a_phone_on_the_lan_without_password_is_known_by_its_source_alone(secured: Desk) -> None:
    assert secured.admit(message("REGISTER", "102")) is KNOWN_SOURCE


@pytest.mark.parametrize(("caller", "to"), [("101", "101"), ("100", "101"), ("101", "100"), ("100", "102")])
def test_10_3_the_authenticated_user_is_from_and_to_of_a_register(secured: Desk, caller: str, to: str) -> None:
    phone = Phone(secured, "100", PASSWORDS["100"])
    assert outcome(phone.try_twice("REGISTER", caller=caller, to=to)) == (403, Cause.FORBIDDEN)


def test_a_password_set_later_is_in_force_at_once(secured: Desk) -> None:
    assert outcome(secured.admit(message("REGISTER", "102"))) == OK
    digests = {"102": PasswordDigests.of("102", "sipserver", "new one")}
    secured.keeper.credentials = Credentials("sipserver", digests)
    assert outcome(secured.admit(message("REGISTER", "102"))) == CHALLENGED_401
    assert Phone(secured, "102", "new one").try_twice("REGISTER") is AUTHENTICATED
    assert outcome(Phone(secured, "100", PASSWORDS["100"]).try_twice("REGISTER")) == (401, Cause.WRONG)


# ------------------------------------------------------------------------------------------------ what starts something


@pytest.mark.parametrize("method", INITIAL)
@pytest.mark.parametrize(
    ("passwords", "settings", "flow", "caller", "expected"),
    [
        ({}, {}, LAN, "102", (403, Cause.FORBIDDEN)),
        ({}, {}, STRANGER, "102", (403, Cause.FORBIDDEN)),
        (PASSWORDS, {}, LAN, "100", CHALLENGED_407),
        (PASSWORDS, {}, LAN, "102", (403, Cause.FORBIDDEN)),
        (PASSWORDS, {}, LAN, "anonymous", (403, Cause.FORBIDDEN)),
        (PASSWORDS, {}, STRANGER, "100", CHALLENGED_407),
        (PASSWORDS, {}, STRANGER, "102", CHALLENGED_407),
        (PASSWORDS, {}, STRANGER, "anonymous", CHALLENGED_407),
        ({}, {"auth_required": True}, LAN, "102", (403, Cause.FORBIDDEN)),
        ({}, {"auth_required": True}, STRANGER, "102", CHALLENGED_407),
    ],
)
def test_who_may_not_start_anything(
    method: str,
    passwords: dict[str, str],
    settings: dict[str, Any],
    flow: Flow,
    caller: str,
    expected: tuple[int, Cause | None],
) -> None:
    if method == "PING" and expected[0] == 403 and flow is LAN and not settings:
        expected = OK  # nobody's phone gets a method that this server doesn't know: 501
    assert outcome(Desk(passwords, settings).admit(message(method, caller, "101", flow=flow), flow)) == expected


@pytest.mark.parametrize("method", INITIAL)
def test_a_caller_without_password_is_who_it_registered_as_from_there(method: str) -> None:
    desk = Desk(PASSWORDS, bound={("102", LAN.remote_host), ("103", "192.168.1.99")})
    assert desk.admit(message(method, "102", "101")) is KNOWN_SOURCE
    if method != "PING":
        assert outcome(desk.admit(message(method, "103", "101"))) == (403, Cause.FORBIDDEN)


@pytest.mark.parametrize("method", INITIAL)
def test_a_registration_does_not_replace_the_password(method: str) -> None:
    desk = Desk(PASSWORDS, bound={("100", LAN.remote_host), ("100", STRANGER.remote_host)})
    assert outcome(desk.admit(message(method, "100", "101"))) == CHALLENGED_407
    assert outcome(desk.admit(message(method, "100", "101", flow=STRANGER), STRANGER)) == CHALLENGED_407


@pytest.mark.parametrize("method", INITIAL)
@pytest.mark.parametrize("flow", [LAN, STRANGER])
def test_the_credentials_shown_say_who_the_caller_is(secured: Desk, method: str, flow: Flow) -> None:
    phone = Phone(secured, "100", PASSWORDS["100"], flow)
    assert phone.try_twice(method, "101") is AUTHENTICATED
    assert outcome(phone.try_twice(method, "102", caller="101")) == (403, Cause.FORBIDDEN)


def test_a_registration_with_a_password_gives_no_other_name(secured: Desk) -> None:
    secured.bound = {("101", STRANGER.remote_host)}
    phone = Phone(secured, "100", PASSWORDS["100"])
    assert outcome(phone.try_twice("INVITE", "102", caller="101")) == (403, Cause.FORBIDDEN)


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
@pytest.mark.parametrize("flow", [LAN, STRANGER])
@pytest.mark.parametrize("to_tag", ["", "t"])
def test_22_1_ack_and_cancel_are_never_challenged(secured: Desk, method: str, flow: Flow, to_tag: str) -> None:
    assert secured.admit(message(method, "100", "101", flow=flow, to_tag=to_tag), flow) is KNOWN_SOURCE


@pytest.mark.parametrize(
    ("method", "to_tag"),
    [("BYE", ""), ("BYE", "t"), ("PRACK", ""), ("UPDATE", ""), ("UPDATE", "t"), ("INVITE", "t"), ("INFO", "t")],
)
@pytest.mark.parametrize("flow", [LAN, STRANGER])
def test_12_2_2_what_belongs_to_a_call_must_have_one(secured: Desk, method: str, to_tag: str, flow: Flow) -> None:
    secured.bound = {("100", flow.remote_host)}
    refused = secured.refusal(message(method, "100", "101", flow=flow, to_tag=to_tag), flow)
    assert (refused.status, refused.headers) == (481, ())


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "REFER", "OPTIONS"])
def test_a_to_tag_is_no_way_around_the_password(secured: Desk, method: str) -> None:
    secured.bound = {("100", LAN.remote_host)}
    assert outcome(secured.admit(message(method, "100", "101", to_tag="t"))) == CHALLENGED_407
    assert outcome(secured.admit(message(method, "100", "101", to_tag="t", flow=STRANGER), STRANGER)) == CHALLENGED_407


def test_a_notify_in_a_subscription_comes_from_a_registered_phone(secured: Desk) -> None:
    secured.bound = {("100", STRANGER.remote_host)}
    assert secured.admit(message("NOTIFY", "100", "101", to_tag="t", flow=STRANGER), STRANGER) is KNOWN_SOURCE
    assert secured.refusal(message("NOTIFY", "101", "100", to_tag="t", flow=STRANGER), STRANGER).status == 481
    assert secured.refusal(message("NOTIFY", "100", "101", to_tag="t")).status == 481


# ------------------------------------------------------------------------------------------------ the server itself


@pytest.mark.parametrize(
    ("method", "caller", "target", "expected"),
    [
        ("OPTIONS", "100", "", True),
        ("OPTIONS", "100", "100", True),
        ("OPTIONS", "100", "101", False),
        ("SUBSCRIBE", "100", "100", True),
        ("PUBLISH", "100", "100", True),
        ("MESSAGE", "100", "100", False),
        ("MESSAGE", "100", "", True),
        ("INVITE", "100", "", False),
        ("INVITE", "100", "100", False),
        ("PING", "100", "101", True),
    ],
)
def test_what_is_meant_for_the_server_itself(method: str, caller: str, target: str, expected: bool) -> None:
    assert is_for_server(message(method, caller, target, to="100")) is expected


def test_phones_on_the_lan_may_ask_the_server_itself_before_they_are_registered(secured: Desk) -> None:
    assert secured.admit(message("OPTIONS", "100", to="office")) is KNOWN_SOURCE
    assert secured.admit(message("OPTIONS", "102", "102")) is KNOWN_SOURCE
    assert secured.admit(message("SUBSCRIBE", "102", "102")) is KNOWN_SOURCE
    assert outcome(secured.admit(message("SUBSCRIBE", "100", "100"))) == CHALLENGED_407
    assert outcome(secured.admit(message("OPTIONS", "100", to="office", flow=STRANGER), STRANGER)) == CHALLENGED_407


# ------------------------------------------------------------------------------------------------ credentials


def challenged(desk: Desk, method: str = "REGISTER", target: str = "", flow: Flow = STRANGER) -> Refused:
    return desk.refusal(message(method, "100", target, flow=flow), flow)


@pytest.mark.parametrize(
    ("method", "target", "status", "name"),
    [("REGISTER", "", 401, "WWW-Authenticate"), ("INVITE", "101", 407, "Proxy-Authenticate")],
)
def test_rfc8760_2_3_one_challenge_for_each_algorithm(
    secured: Desk, method: str, target: str, status: int, name: str
) -> None:
    response = secured.response(message(method, "100", target, flow=STRANGER), STRANGER)
    assert (response.status, [key for key, _ in response.headers.items()].count(name.lower())) == (status, 2)
    first, second = response.headers.get_all(name.lower())
    assert 'realm="sipserver"' in first
    assert "algorithm=SHA-256," in first
    assert first.replace("SHA-256", "MD5") == second
    assert "stale" not in first


def test_wrong_passwords_are_told_from_first_challenges(secured: Desk) -> None:
    for word in ("wrong", "", PASSWORDS["101"]):
        refused = Phone(secured, "100", word).try_twice("REGISTER")
        assert outcome(refused) == (401, Cause.WRONG)
        assert isinstance(refused, Refused)
        assert "stale" not in refused.headers[0][1]


def test_3_3_an_old_nonce_is_stale_whatever_the_password(secured: Desk) -> None:
    later = NOW + NONCE_LIFETIME_S + 1.0
    for word in (PASSWORDS["100"], "wrong"):
        refused = Phone(secured, "100", word).ask(challenged(secured), "REGISTER", now=later)
        assert outcome(refused) == (401, Cause.STALE)
        assert isinstance(refused, Refused)
        assert [value.endswith(",stale=true") for _, value in refused.headers] == [True, True]


def test_a_nonce_given_to_another_address_is_stale(secured: Desk) -> None:
    """So wrong credentials can't be held against a forged source: it never got a nonce."""
    phone = Phone(secured, "100", "wrong")
    assert outcome(phone.ask(challenged(secured, flow=LAN), "REGISTER")) == (401, Cause.STALE)


def test_3_4_a_replay_is_refused_and_the_next_count_is_not(secured: Desk) -> None:
    first = challenged(secured)
    phone = Phone(secured, "100", PASSWORDS["100"])
    assert phone.ask(first, "REGISTER") is AUTHENTICATED
    assert outcome(phone.ask(first, "REGISTER")) == (401, Cause.STALE)
    phone.count = 2
    assert phone.ask(first, "REGISTER") is AUTHENTICATED


def test_wrong_credentials_do_not_use_up_a_count(secured: Desk) -> None:
    first = challenged(secured)
    assert outcome(Phone(secured, "100", "wrong").ask(first, "REGISTER")) == (401, Cause.WRONG)
    assert Phone(secured, "100", PASSWORDS["100"]).ask(first, "REGISTER") is AUTHENTICATED


@pytest.mark.parametrize(
    "uri",
    ["sip:101@office", "sip:101@192.0.2.1:5060;transport=udp", "sip:%3101@office", "tel:101", "sip:192.0.2.1:5060"],
)
def test_rfc8760_2_6_phones_write_the_uri_in_many_ways(secured: Desk, uri: str) -> None:
    phone = Phone(secured, "100", PASSWORDS["100"])
    phone.uri = uri
    assert phone.try_twice("INVITE", "101") is AUTHENTICATED


@pytest.mark.parametrize("uri", ["sip:102@office", "nonsense", "*"])
def test_rfc8760_2_6_credentials_for_another_number_are_wrong(secured: Desk, uri: str) -> None:
    phone = Phone(secured, "100", PASSWORDS["100"])
    phone.uri = uri
    assert outcome(phone.try_twice("INVITE", "101")) == (407, Cause.WRONG)


def test_credentials_for_another_method_are_wrong(secured: Desk) -> None:
    phone = Phone(secured, "100", PASSWORDS["100"])
    first = challenged(secured, "MESSAGE", "101")
    line = phone.answer(first, message("MESSAGE", "100", "101"))
    request = message("INVITE", "100", "101", flow=STRANGER, answer=line)
    assert outcome(secured.admit(request, STRANGER)) == (407, Cause.WRONG)


def test_credentials_that_cannot_be_read_are_neither_wrong_nor_right(secured: Desk) -> None:
    line = Phone(secured, "100", PASSWORDS["100"]).answer(challenged(secured), message("REGISTER", "100"))
    request = message("REGISTER", "100", flow=STRANGER, answer=line.replace(", qop=auth", ""))
    refused = secured.refusal(request, STRANGER)
    assert outcome(refused) == (401, Cause.UNUSABLE)
    assert "qop is missing" in refused.words


def test_credentials_for_another_realm_or_in_the_other_header_are_none(secured: Desk) -> None:
    line = Phone(secured, "100", PASSWORDS["100"]).answer(challenged(secured), message("REGISTER", "100"))
    for changed in (line.replace('realm="sipserver"', 'realm="other"'), f"Proxy-{line}"):
        request = message("REGISTER", "100", flow=STRANGER, answer=changed)
        assert outcome(secured.admit(request, STRANGER)) == CHALLENGED_401


def test_the_realm_is_that_of_the_settings() -> None:
    desk = Desk(PASSWORDS, {"auth_realm": "Muller & Sons"})
    assert challenged(desk).headers[0][1].startswith('Digest realm="Muller & Sons",')
    assert Phone(desk, "100", PASSWORDS["100"]).try_twice("REGISTER") is AUTHENTICATED


# ------------------------------------------------------------------------------------------------ strangers


def seen(desk: Desk, request: Request, flow: Flow, *secrets: str) -> bytes:
    """The answer as its receiver sees it, with what differs from one request to the next blotted out."""
    response = desk.response(request, flow)
    nonce = find_nonce(response)
    text = response.to_bytes().decode()
    # What is random first: there may be a number in it.
    for secret in filter(None, (nonce, response.to.tag or "", *secrets)):
        text = text.replace(secret, "#" * 8)
    return text.encode()


def find_nonce(response: Response) -> str:
    for _, value in response.headers.items():
        if 'nonce="' in value:
            return value.split('nonce="')[1].split('"')[0]
    return ""


@pytest.mark.parametrize("method", ["REGISTER", *INITIAL])
@pytest.mark.parametrize(
    ("passwords", "settings"),
    [({}, {}), (PASSWORDS, {}), ({}, {"auth_required": True}), (PASSWORDS, {"auth_required": True})],
)
@pytest.mark.parametrize("position", ["caller", "target"])
def test_a_stranger_sees_no_difference_between_numbers(
    method: str, passwords: dict[str, str], settings: dict[str, Any], position: str
) -> None:
    desk = Desk(passwords, settings, bound={("101", "192.168.1.20")})
    answers = set()
    for number in ("100", "101", "102", "999", "abc"):
        caller, target = (number, "103") if position == "caller" else ("104", number)
        to = number if method == "REGISTER" else None
        answers.add(seen(desk, message(method, caller, target, flow=STRANGER, to=to), STRANGER, number))
    assert len(answers) == 1


@pytest.mark.parametrize("method", ["REGISTER", *INITIAL])
def test_a_stranger_with_wrong_credentials_sees_no_difference_either(secured: Desk, method: str) -> None:
    answers = set()
    for number in ("100", "102", "999", "abc"):
        phone = Phone(secured, number, "guess")
        target = "" if method == "REGISTER" else "103"
        first = secured.refusal(message(method, number, target, flow=STRANGER), STRANGER)
        line = phone.answer(first, message(method, number, target))
        answers.add(seen(secured, message(method, number, target, flow=STRANGER, answer=line), STRANGER, number))
    assert len(answers) == 1


def test_numbers_that_do_not_exist_cost_as_many_digests_as_others(
    secured: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Algorithm] = []
    original: Callable[..., str] = DigestAnswer.expected_response

    def count(answer: DigestAnswer, ha1: str, method: str) -> str:
        counted.append(answer.algorithm)
        return original(answer, ha1, method)

    monkeypatch.setattr(DigestAnswer, "expected_response", count)
    work = []
    for number in ("100", "102", "999"):
        counted.clear()
        Phone(secured, number, "guess").try_twice("REGISTER")
        work.append(len(counted))
    assert work == [work[0]] * 3
    assert work[0] == 2, "one by the phone, one by the server"


# ------------------------------------------------------------------------------------------------ answers and words


def test_8_2_7_copies_of_a_request_get_the_same_tag(secured: Desk) -> None:
    def tag(branch: str, flow: Flow) -> str | None:
        return secured.response(message("INVITE", "100", "101", flow=flow, branch=branch), flow).to.tag

    first = tag("z9hG4bK1", STRANGER)
    assert first
    assert first == tag("z9hG4bK1", STRANGER)
    assert len({first, tag("z9hG4bK2", STRANGER), tag("z9hG4bK1", LAN)}) == 3


def test_8_2_6_an_answer_copies_what_it_must_and_keeps_a_tag(secured: Desk) -> None:
    response = secured.response(message("MESSAGE", "100", "101", flow=STRANGER, to_tag="theirs"), STRANGER)
    assert response.headers.get("via") == (
        "SIP/2.0/UDP 203.0.113.66:5060;rport=5060;branch=z9hG4bK1;received=203.0.113.66"
    )
    assert response.to.tag == "theirs"
    assert (response.call_id, str(response.cseq)) == ("c", "1 MESSAGE")


def test_nothing_is_stored_for_strangers(secured: Desk) -> None:
    for count in range(50):
        Phone(secured, f"{count}", "guess").try_twice("REGISTER")
    assert secured.keeper._nonces.used_count == 0


@pytest.mark.parametrize(
    ("passwords", "number", "flow", "words"),
    [
        (
            {},
            "100",
            STRANGER,
            "100 at 203.0.113.66 is outside TRUSTED_NETWORKS, and no number has a password: set one by: "
            "python sipserver.py passwd 100, or add its network to TRUSTED_NETWORKS",
        ),
        ({}, "999", LAN, "999 is no number of this office (100-110): change it in the phone"),
    ],
)
def test_words_for_the_administrator(passwords: dict[str, str], number: str, flow: Flow, words: str) -> None:
    refused = Desk(passwords).refusal(message("REGISTER", number, flow=flow), flow)
    assert (refused.words, refused.number) == (words, number)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (
            "100",
            "wrong password for 100: enter the right one in the phone, or set a new one by: "
            "python sipserver.py passwd 100",
        ),
        (
            "102",
            "102 has no password, which it needs here: set one by: python sipserver.py passwd 102, "
            "and enter it in the phone",
        ),
        ("999", "999 is no number of this office (100-110): the phone's user name must be its number"),
    ],
)
def test_words_about_wrong_credentials(secured: Desk, number: str, words: str) -> None:
    refused = Phone(secured, number, "guess").try_twice("REGISTER")
    assert isinstance(refused, Refused)
    assert refused.words == words


@pytest.mark.parametrize("user", ["%0d%0a%1b%5b31m", "x" * 5000, "%ff%fe", "%d1%8e"])
def test_words_hold_nothing_that_breaks_a_line_or_is_endless(user: str) -> None:
    refused = Desk().refusal(message("REGISTER", user))
    assert refused.words.isascii() and refused.words.isprintable()
    assert len(refused.words) < 300


def test_trust_is_by_address() -> None:
    keeper = Desk().keeper
    assert keeper.is_trusted("192.168.1.10")
    assert not keeper.is_trusted("203.0.113.66")


def test_a_message_of_the_tests_is_what_it_seems() -> None:
    """The phone of this file answers like a real one: its line is found and read."""
    desk = Desk(PASSWORDS)
    line = Phone(desk, "100", "x").answer(challenged(desk), message("REGISTER", "100"))
    answer = find_answer(Headers.parse([line]), "authorization", "sipserver")
    assert answer is not None and (answer.username, answer.uri) == ("100", "sip:office")
