"""Who may register and call, through the whole core: what is answered, what is left behind, and what a stranger learns.

The rules themselves are tested one by one with sip/gatekeeper.py; here they are in force.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import pytest

from sip.calls import LINGER_S
from sip.credentials import Credentials, PasswordDigests
from sip.facts import Denial
from sip.gatekeeper import MAX_GROWTH
from sip.nonces import NONCE_LIFETIME_S
from sip.snapshots import RegistrationFailure
from tests.sip.test_bounds import tables
from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.harness import CoreHarness
from tests.support.phone_credentials import Question, question, questions
from tests.support.sip_text import Header, SipText

PASSWORDS = {"100": "correct horse", "101": "battery staple"}
"""102 and above are numbers without one, 999 is no number."""

LAN, WAN = "192.0.2.10", "203.0.113.66"
"""A phone in the trusted network, and one outside."""

INITIAL = ("INVITE", "MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH", "INFO", "NOTIFY", "OPTIONS")
"""Methods that may begin something."""

USUAL = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE, MESSAGE")
"""Phones say at least as much in every request; what is much shorter gets a shorter answer."""

NOTHING: dict[str, str] = {}
REQUIRED = {"auth_required": True}


def make_office(passwords: dict[str, str] = PASSWORDS, **settings: Any) -> CoreHarness:
    """Only 192.0.2.0/24 is trusted."""
    office = CoreHarness(**{"trusted_networks": (ip_network("192.0.2.0/24"),), **settings})
    set_passwords(office, passwords)
    return office


def set_passwords(office: CoreHarness, passwords: dict[str, str]) -> int:
    """As the API does; how many registrations that ended."""
    realm = office.config.auth_realm
    digests = {number: PasswordDigests.of(number, realm, word) for number, word in passwords.items()}
    return office.core.set_credentials(Credentials(realm, digests), office.now)


@dataclass
class SafePhone(FakePhone):
    """A phone that knows a password, and answers when it is asked for it."""

    password: str = ""
    user: str = ""
    algorithm: str = ""
    asked: SipText = field(default_factory=lambda: SipText("SIP/2.0 200 OK"), repr=False)
    """The challenge it was given last."""

    def question(self) -> Question:
        return question(self.asked, self.algorithm)

    def credentials(self, method: str, uri: str, **details: Any) -> Header:
        return self.question().answer(self.user or self.number, self.password, method, uri, **details)

    def try_once(self, method: str, uri: str, **more: Any) -> tuple[SipText, SipText]:
        """A request without credentials, and its answer, which must ask for them."""
        request = self.send_request(method, uri, headers=(*more.pop("headers", ()), USUAL), **more)
        self.asked = self.expect("40[17] *")
        return request, self.asked

    def try_twice(self, method: str, uri: str, *, headers: tuple[Header, ...] = (), **more: Any) -> SipText:
        """What a phone does: the request, the challenge, the request with the answer.  The second request."""
        first, asked = self.try_once(method, uri, headers=headers, **more)
        if method == "INVITE":
            self.ack_failure(first, asked)
        again: dict[str, Any] = {"from_": first["From"], "call_id": first.call_id, "cseq": first.cseq + 1, **more}
        return self.send_request(method, uri, headers=(*headers, self.credentials(method, uri)), **again)

    def try_to_register(self, to: str = "", headers: tuple[Header, ...] = (), **more: Any) -> SipText:
        """REGISTER with credentials for its own contact; the final response."""
        contact = () if any(name == "Contact" for name, _ in headers) else (("Contact", f"<{self.contact_uri}>"),)
        options = {"to": to or f"<{self.aor}>", "headers": (*contact, *headers), **more}
        self.try_twice("REGISTER", f"sip:{self.server}", **options)
        return self.expect("* REGISTER")

    def registered(self) -> SafePhone:
        response = self.try_to_register()
        assert response.status == 200, response.start_line
        return self

    def dial(self, number: str, **more: Any) -> SipText:
        """INVITE with credentials and an offer; the second INVITE."""
        return self.try_twice("INVITE", f"sip:{number}@{self.server}", body=self.sdp(), **more)


def safe_phone(office: CoreHarness, number: str, host: str = WAN, **details: Any) -> SafePhone:
    """With the right password unless `details` say otherwise."""
    return SafePhone(office, number, host, **{"password": PASSWORDS.get(number, "none"), **details})


def knock(office: CoreHarness, method: str, number: str, host: str, target: str = "101", **more: Any) -> SipText:
    """One request without credentials; its first answer."""
    phone = FakePhone(office, number, host)
    if method == "REGISTER":
        phone.register()
    else:
        phone.send_request(method, f"sip:{target}@192.0.2.1", **more)
    return phone.expect("*")


def statuses(phone: FakePhone) -> list[str]:
    """Everything not read yet that was sent to the phone."""
    return phone.office.unread(phone.way)


def failures(office: CoreHarness) -> list[RegistrationFailure]:
    return list(office.core.admission.diary.snapshots())


@pytest.fixture
def office() -> CoreHarness:
    """100 and 101 have a password."""
    return make_office()


# ------------------------------------------------------------------------------------------------ who is asked


@pytest.mark.parametrize(
    ("passwords", "settings", "host", "number", "status"),
    [
        # The first start: phones in the own network register without a password, others don't.
        (NOTHING, {}, LAN, "100", 200),
        (NOTHING, {}, WAN, "100", 403),
        (NOTHING, {"trusted_networks": ()}, LAN, "100", 403),
        (NOTHING, REQUIRED, LAN, "100", 403),
        (NOTHING, REQUIRED, WAN, "100", 401),
        # A number that has a password needs it everywhere; who is outside needs one in any case.
        (PASSWORDS, {}, LAN, "100", 401),
        (PASSWORDS, {}, LAN, "102", 200),
        (PASSWORDS, {}, WAN, "100", 401),
        (PASSWORDS, {}, WAN, "102", 401),
        (PASSWORDS, {}, WAN, "999", 401),
        (PASSWORDS, REQUIRED, LAN, "102", 403),
    ],
)
def test_register_without_a_password(
    passwords: dict[str, str], settings: dict[str, Any], host: str, number: str, status: int
) -> None:
    office = make_office(passwords, **settings)
    assert knock(office, "REGISTER", number, host).status == status
    assert tables(office)["bindings"] == (status == 200)


@pytest.mark.parametrize("method", INITIAL)
@pytest.mark.parametrize(
    ("passwords", "settings", "host", "number", "status"),
    [
        (NOTHING, {}, LAN, "102", 403),
        (NOTHING, {}, WAN, "102", 403),
        (NOTHING, REQUIRED, LAN, "102", 403),
        (NOTHING, REQUIRED, WAN, "102", 407),
        (PASSWORDS, {}, LAN, "100", 407),
        (PASSWORDS, {}, LAN, "102", 403),
        (PASSWORDS, {}, WAN, "100", 407),
        (PASSWORDS, {}, WAN, "102", 407),
        (PASSWORDS, {}, WAN, "999", 407),
    ],
)
def test_what_starts_something_without_a_password_reaches_nobody(
    method: str, passwords: dict[str, str], settings: dict[str, Any], host: str, number: str, status: int
) -> None:
    office = make_office(passwords, **settings)
    callee = FakePhone(office, "103", "192.0.2.13")
    if not settings:
        callee.registered()
    assert knock(office, method, number, host, "103").status == status
    callee.expect_nothing()


@pytest.mark.parametrize(("method", "status"), [("REGISTER", 401), *((method, 407) for method in INITIAL)])
def test_rfc_8760_a_challenge_offers_both_algorithms_the_better_one_first(
    office: CoreHarness, method: str, status: int
) -> None:
    answer = knock(office, method, "100", LAN)
    asked = questions(answer)
    assert answer.status == status
    assert [(each.algorithm, each.qop, each.realm, each.stale) for each in asked] == [
        ("SHA-256", "auth", "sipserver", False),
        ("MD5", "auth", "sipserver", False),
    ]


@pytest.mark.parametrize("method", ["REGISTER", *INITIAL])
@pytest.mark.parametrize("host", [LAN, WAN])
def test_a_challenge_leaves_nothing_behind(office: CoreHarness, method: str, host: str) -> None:
    """No transaction, no call, no timer, no line of history; and it isn't repeated, as a transaction would."""
    before = tables(office)
    assert knock(office, method, "100", host).status in (401, 407)
    assert tables(office) == before
    assert office.core.next_deadline() is None
    assert office.ended_calls() == []
    assert failures(office) == []
    office.advance(100.0)
    assert office.unread() == []


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "MESSAGE"])
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_8_2_7_copies_of_a_request_get_the_same_to_tag(office: CoreHarness, method: str, transport: str) -> None:
    phone = FakePhone(office, "100", WAN, connection=7 if transport == "TCP" else 0)
    request = phone.send_request(method, "sip:101@192.0.2.1")
    first = phone.expect("40[17] *")
    office.advance(0.5)
    phone.inject(request.to_bytes())
    assert phone.expect("40[17] *").to_tag == first.to_tag != ""
    phone.send_request(method, "sip:101@192.0.2.1", from_=request["From"], call_id=request.call_id)
    assert phone.expect("40[17] *").to_tag != first.to_tag


def test_22_1_ack_and_cancel_are_never_challenged(office: CoreHarness) -> None:
    phone = FakePhone(office, "100", WAN)
    invite = phone.send_request("INVITE", "sip:101@192.0.2.1")
    challenged = phone.expect("407 INVITE")
    phone.ack_failure(invite, challenged)
    phone.send_request("ACK", "sip:101@192.0.2.1", to="<sip:101@192.0.2.1>;tag=none")
    phone.expect_nothing()
    phone.cancel(invite)
    assert phone.expect("* CANCEL").status == 481


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "PRACK"])
@pytest.mark.parametrize("host", [LAN, WAN])
def test_what_begins_nothing_is_481_outside_a_call(office: CoreHarness, method: str, host: str) -> None:
    before = tables(office)
    assert knock(office, method, "100", host).status == 481
    assert tables(office) == before


# ------------------------------------------------------------------------------------------------ the password


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
@pytest.mark.parametrize("host", [LAN, WAN])
@pytest.mark.parametrize("connection", [0, 7])
def test_phones_with_the_password_register_and_call(
    office: CoreHarness, algorithm: str, host: str, connection: int
) -> None:
    alice = safe_phone(office, "100", host, algorithm=algorithm, connection=connection).registered()
    bob = safe_phone(office, "101", "203.0.113.7", algorithm=algorithm).registered()
    invite = alice.dial("101")
    alice.expect("100 INVITE")
    received = bob.expect("INVITE")
    callee = bob.answer(received)
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    caller.request("ACK")
    bob.expect("ACK")
    hang_up(caller, callee)


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "REFER", "INFO", "NOTIFY", "OPTIONS"])
def test_whatever_carries_the_password_is_forwarded_without_it(office: CoreHarness, method: str) -> None:
    """22.3: what has proven it stays here."""
    bob = safe_phone(office, "101").registered()
    safe_phone(office, "100").try_twice(method, "sip:101@192.0.2.1")
    forwarded = bob.expect(method)
    assert "Proxy-Authorization" not in forwarded
    assert forwarded["P-Asserted-Identity"] == "<sip:100@192.0.2.1>"


def test_credentials_for_another_proxy_are_none_of_ours(office: CoreHarness) -> None:
    """22.3: a line for another realm is neither an answer nor a fault."""
    other = ("Proxy-Authorization", 'Digest username="100", realm="elsewhere", nonce="n", uri="sip:a", response="r"')
    assert knock(office, "INVITE", "100", WAN, headers=(other,)).status == 407
    assert not office.core.admission.bans.suspect_count


@pytest.mark.parametrize("user", ["100", "101", "102", "999", "bob"])
def test_a_wrong_password_is_asked_for_again_whosoever_it_is(office: CoreHarness, user: str) -> None:
    phone = safe_phone(office, user, password="guessed")
    response = phone.try_to_register()
    assert (response.status, question(response).stale) == (401, False)
    assert tables(office)["bindings"] == 0
    (entry,) = failures(office)
    assert (entry.number, entry.address, entry.status, entry.transport) == (user, WAN, 401, "UDP")


def test_the_diary_says_in_words_what_to_do(office: CoreHarness) -> None:
    safe_phone(office, "100", LAN, password="guessed").try_to_register()
    safe_phone(office, "102", WAN).try_to_register()
    safe_phone(office, "bob", WAN).try_to_register()
    reasons = {entry.number: entry.reason for entry in failures(office)}
    assert "wrong password" in reasons["100"]
    assert "python sipserver.py passwd 100" in reasons["100"]
    assert "has no password" in reasons["102"]
    assert "python sipserver.py passwd 102" in reasons["102"]
    assert "no number of this office (100-110)" in reasons["bob"]


def test_outside_without_any_password_the_diary_says_why_and_what_to_do() -> None:
    office = make_office(NOTHING)
    knock(office, "REGISTER", "100", WAN)
    (entry,) = failures(office)
    assert "TRUSTED_NETWORKS" in entry.reason
    assert "python sipserver.py passwd 100" in entry.reason


def test_a_challenge_is_no_failure(office: CoreHarness) -> None:
    for number in range(100, 150):
        knock(office, "REGISTER", str(number), WAN)
        knock(office, "INVITE", "100", WAN)
    assert failures(office) == []
    assert not office.core.admission.bans.suspect_count


def test_a_phone_that_never_shows_a_password_is_a_failure_in_the_end(office: CoreHarness) -> None:
    phone = FakePhone(office, "100", LAN)
    for _ in range(6):
        phone.register()
        phone.expect("401 REGISTER")
    (failure,) = failures(office)
    assert (failure.number, failure.denial, failure.count) == ("100", Denial.NOT_SHOWN, 3)


def test_a_phone_that_answers_is_asked_as_often_as_it_registers(office: CoreHarness) -> None:
    phone = safe_phone(office, "100", LAN)
    for _ in range(6):
        assert phone.try_to_register().status == 200
    assert failures(office) == []


def test_a_phone_whose_nonces_are_always_too_old_is_a_failure_in_the_end(office: CoreHarness) -> None:
    phone = safe_phone(office, "100", LAN)
    for _ in range(3):
        phone.try_once("REGISTER", f"sip:{phone.server}", to=f"<{phone.aor}>")
        office.advance(NONCE_LIFETIME_S + 1)
        uri = f"sip:{phone.server}"
        phone.send_request("REGISTER", uri, to=f"<{phone.aor}>", headers=(phone.credentials("REGISTER", uri),))
        assert "stale=true" in phone.expect("401 REGISTER")["WWW-Authenticate"]
    (failure,) = failures(office)
    assert (failure.number, failure.denial) == ("100", Denial.TOO_LATE)


def test_7616_3_4_a_second_use_of_the_count_is_stale_and_changes_nothing(office: CoreHarness) -> None:
    phone = safe_phone(office, "100").registered()
    bindings = [binding.snapshot(office.now, office.now_at) for binding in office.core._exchange.location.all()]
    line = phone.credentials("REGISTER", "sip:192.0.2.1")
    thief = FakePhone(office, "100", WAN, port=6060)
    thief.register(headers=(line,))
    refused = thief.expect("401 REGISTER")
    assert question(refused).stale
    assert [each.snapshot(office.now, office.now_at) for each in office.core._exchange.location.all()] == bindings
    assert not office.core.admission.bans.suspect_count


def test_the_next_count_of_the_nonce_is_good(office: CoreHarness) -> None:
    """As phones do that spare themselves the challenge."""
    phone = safe_phone(office, "100").registered()
    for count in (2, 3, 5, 4):
        phone.register(headers=(phone.credentials("REGISTER", "sip:192.0.2.1", count=count),))
        # The series of `register` is another one than that of the first REGISTER.
        phone.expect("200 REGISTER")


def test_an_old_nonce_is_stale_and_the_phone_gets_a_new_one(office: CoreHarness) -> None:
    phone = safe_phone(office, "100").registered()
    office.advance(NONCE_LIFETIME_S + 1.0)
    phone.register(headers=(phone.credentials("REGISTER", "sip:192.0.2.1", count=2),))
    phone.asked = phone.expect("401 REGISTER")
    assert phone.question().stale
    phone.register(headers=(phone.credentials("REGISTER", "sip:192.0.2.1"),))
    phone.expect("200 REGISTER")
    assert failures(office) == []


def test_a_nonce_is_good_only_from_where_it_was_given_to(office: CoreHarness) -> None:
    phone = safe_phone(office, "100")
    phone.try_once("REGISTER", "sip:192.0.2.1")
    thief = FakePhone(office, "100", "203.0.113.99")
    thief.register(headers=(phone.credentials("REGISTER", "sip:192.0.2.1"),))
    assert question(thief.expect("401 REGISTER")).stale
    assert tables(office)["bindings"] == 0


def test_credentials_for_another_method_or_number_are_wrong(office: CoreHarness) -> None:
    phone = safe_phone(office, "100")
    uri = "sip:101@192.0.2.1"
    phone.try_once("MESSAGE", uri)
    phone.send_request("INVITE", uri, headers=(phone.credentials("MESSAGE", uri),))
    phone.expect("407 INVITE")
    phone.send_request("MESSAGE", "sip:102@192.0.2.1", headers=(phone.credentials("MESSAGE", uri),))
    phone.expect("407 MESSAGE")


def test_credentials_that_cannot_be_used_are_no_guess(office: CoreHarness) -> None:
    phone = safe_phone(office, "100")
    phone.try_once("REGISTER", "sip:192.0.2.1")
    name, value = phone.credentials("REGISTER", "sip:192.0.2.1")
    phone.register(headers=((name, value.replace("qop=auth", "qop=auth-int")),))
    phone.expect("401 REGISTER")
    assert not office.core.admission.bans.suspect_count
    (entry,) = failures(office)
    assert "can't be used" in entry.reason


# ------------------------------------------------------------------------------------------------ who is who


@pytest.mark.parametrize(("from_", "to"), [("101", "101"), ("100", "101"), ("101", "100"), ("100", "102")])
def test_the_authenticated_user_is_from_and_to_of_a_register(office: CoreHarness, from_: str, to: str) -> None:
    phone = safe_phone(office, "100")
    names = {"from_": f"<sip:{from_}@192.0.2.1>;tag=f", "to": f"<sip:{to}@192.0.2.1>"}
    response = phone.try_to_register(**names)
    assert (response.status, response.reason) == (403, "Credentials Of Another Number")
    assert tables(office)["bindings"] == 0
    (entry,) = failures(office)
    assert "user and number must be the same" in entry.reason


@pytest.mark.parametrize("method", INITIAL)
@pytest.mark.parametrize("caller", ["101", "102", "anonymous"])
def test_credentials_give_no_other_name(office: CoreHarness, method: str, caller: str) -> None:
    callee = FakePhone(office, "103", "192.0.2.13").registered()
    phone = safe_phone(office, "100").registered()
    phone.try_twice(method, "sip:103@192.0.2.1", from_=f"<sip:{caller}@192.0.2.1>;tag=f")
    assert phone.expect(f"* {method}").status == 403
    callee.expect_nothing()


@pytest.mark.parametrize("method", [method for method in INITIAL if method != "PUBLISH"])
def test_without_a_password_a_caller_is_who_it_registered_as_from_there(office: CoreHarness, method: str) -> None:
    callee = FakePhone(office, "103", "192.0.2.13").registered()
    FakePhone(office, "102", LAN).registered()
    assert knock(office, method, "102", "192.0.2.99", "103").status == 403
    assert knock(office, method, "104", LAN, "103").status == 403
    callee.expect_nothing()
    FakePhone(office, "102", LAN, port=6000).send_request(method, "sip:103@192.0.2.1")
    callee.expect(method)


def test_a_registration_does_not_replace_the_password(office: CoreHarness) -> None:
    """Anybody behind the same NAT, or who forges the address, could speak in its name."""
    phone = safe_phone(office, "100").registered()
    assert knock(office, "INVITE", "100", phone.host).status == 407


@pytest.mark.parametrize("name", ["P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"])
def test_what_phones_claim_to_be_is_replaced_on_requests_and_responses(office: CoreHarness, name: str) -> None:
    claim = (name, '"The Boss" <sip:110@192.0.2.1>')
    alice = FakePhone(office, "102", LAN).registered()
    bob = FakePhone(office, "103", "192.0.2.13").registered()
    invite = alice.invite("103", headers=(claim,))
    received = bob.expect("INVITE")
    assert received.all("P-Asserted-Identity") == ["<sip:102@192.0.2.1>"]
    bob.respond(received, 180, headers=(claim,))
    ringing = alice.expect("180 INVITE")
    callee = bob.answer(received, headers=(claim,))
    answer = alice.expect("200 INVITE")
    for response in (ringing, answer):
        assert response.all("P-Asserted-Identity") == ["<sip:103@192.0.2.1>"]
    caller = alice.caller_dialog(invite, answer)
    caller.request("ACK", headers=(claim,))
    ack = bob.expect("ACK")
    callee.request("INFO", headers=(claim,))
    info = alice.expect("INFO")
    assert (ack.all("P-Asserted-Identity"), info.all("P-Asserted-Identity")) == (
        ["<sip:102@192.0.2.1>"],
        ["<sip:103@192.0.2.1>"],
    )
    claimed = [message.get(name) for message in (received, ringing, answer, ack, info)]
    assert "110" not in " ".join(claimed)


def test_inside_a_call_a_phone_stays_who_it_is(office: CoreHarness) -> None:
    """The dialog goes by tags alone (12.2.2): another number in the From does not become our word."""
    alice, bob = (
        FakePhone(office, number, host).registered() for number, host in (("102", LAN), ("103", "192.0.2.13"))
    )
    call = establish(alice, bob)
    call.caller.local = call.caller.local.replace("sip:102@", "sip:110@")
    call.caller.request("INFO")
    assert bob.expect("INFO")["P-Asserted-Identity"] == "<sip:102@192.0.2.1>"
    call.caller.request("ACK")
    assert bob.expect("ACK")["P-Asserted-Identity"] == "<sip:102@192.0.2.1>"


def test_rfc_3325_privacy_id_is_kept(office: CoreHarness) -> None:
    alice = FakePhone(office, "102", LAN).registered()
    bob = FakePhone(office, "103", "192.0.2.13").registered()
    alice.invite("103", headers=(("Privacy", "id"), ("P-Asserted-Identity", "<sip:110@192.0.2.1>")))
    assert "P-Asserted-Identity" not in bob.expect("INVITE")


# ------------------------------------------------------------------------------------------------ inside a call


@pytest.mark.parametrize("method", ["BYE", "INVITE", "UPDATE", "INFO", "MESSAGE", "REFER", "NOTIFY", "OPTIONS"])
@pytest.mark.parametrize("host", ["192.0.2.99", WAN])
@pytest.mark.parametrize("side", ["caller", "callee"])
def test_a_request_in_a_call_comes_from_its_phones(office: CoreHarness, method: str, host: str, side: str) -> None:
    """Somebody who has seen the dialog's tags, but sits elsewhere, gets 481 and changes nothing."""
    alice = FakePhone(office, "102", LAN).registered()
    bob = FakePhone(office, "103", "192.0.2.13").registered()
    call = establish(alice, bob)
    before = tables(office)
    thief = FakePhone(office, "102", host)
    dialog = call.caller if side == "caller" else call.callee
    dialog.phone = thief
    dialog.request(method, alice.sdp() if method in ("INVITE", "UPDATE") else b"")
    assert thief.expect(f"* {method}").status == 481
    assert (statuses(alice), statuses(bob), statuses(thief)) == ([], [], [])
    assert tables(office) == before
    dialog.phone = alice if side == "caller" else bob
    hang_up(call.caller, call.callee)


def test_an_ack_from_elsewhere_is_dropped(office: CoreHarness) -> None:
    alice = FakePhone(office, "102", LAN).registered()
    bob = FakePhone(office, "103", "192.0.2.13").registered()
    call = establish(alice, bob)
    call.caller.phone = FakePhone(office, "102", WAN)
    call.caller.request("ACK", alice.sdp())
    assert office.unread() == []


def test_a_cancel_from_elsewhere_stops_no_call(office: CoreHarness) -> None:
    """22.1: the one hop that may cancel is the one that sent the INVITE."""
    alice = FakePhone(office, "102", LAN).registered()
    bob = FakePhone(office, "103", "192.0.2.13").registered()
    invite = alice.invite("103")
    bob.respond(bob.expect("INVITE"), 180)
    alice.expect("180 INVITE")
    thief = FakePhone(office, "102", WAN, own=f"{LAN}:5060")
    thief.cancel(invite)
    assert thief.expect("* CANCEL").status == 481
    bob.expect_nothing()
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    bob.expect("CANCEL")


@pytest.mark.parametrize("by", ["UDP", "TCP"])
def test_a_phone_that_registers_from_a_new_address_goes_on_with_its_call(office: CoreHarness, by: str) -> None:
    alice = safe_phone(office, "100").registered()
    bob = FakePhone(office, "102", LAN).registered()
    invite = alice.dial("102")
    alice.expect("100 INVITE")
    callee = bob.answer(bob.expect("INVITE"))
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    caller.request("ACK")
    bob.expect("ACK")
    moved = safe_phone(office, "100", "198.51.100.20", server="198.51.100.1", connection=9 if by == "TCP" else 0)
    caller.phone = moved
    caller.request("INFO")
    moved.expect("481 INFO")
    moved.registered()
    hang_up(caller, callee)


# ------------------------------------------------------------------------------------------------ contacts


CONTACT_FAULTS = {
    "192.0.2.1:5060": "Contact points at this server itself",
    "224.0.1.75": "Contact points at a multicast group",
    "[ff02::1]": "Contact points at a multicast group",
    "255.255.255.255": "Contact points at nobody or everybody",
    "0.0.0.0": "Contact points at nobody or everybody",
    "[::]": "Contact points at nobody or everybody",
    "127.0.0.1": "Contact points at the phone itself (loopback)",
    "localhost": "Contact points at the phone itself (loopback)",
}


@pytest.mark.parametrize(("host", "phrase"), CONTACT_FAULTS.items())
@pytest.mark.parametrize("number", ["100", "102"])
def test_a_contact_that_would_hit_others_is_refused(office: CoreHarness, host: str, phrase: str, number: str) -> None:
    """With a password and without."""
    contact = ("Contact", f"<sip:{number}@{host}>")
    phone = safe_phone(office, number, LAN)
    if number in PASSWORDS:
        response = phone.try_to_register(headers=(contact,))
    else:
        phone.register(contact[1])
        response = phone.expect("* REGISTER")
    assert (response.status, response.reason) == (403, phrase)
    assert tables(office)["bindings"] == 0
    (entry,) = failures(office)
    assert phrase in entry.reason


@pytest.mark.parametrize(("host", "phrase"), CONTACT_FAULTS.items())
def test_an_invite_with_such_a_contact_is_refused_too(office: CoreHarness, host: str, phrase: str) -> None:
    alice = FakePhone(office, "102", LAN).registered()
    bob = FakePhone(office, "103", "192.0.2.13").registered()
    alice.send_request("INVITE", "sip:103@192.0.2.1", headers=(("Contact", f"<sip:102@{host}>"),), body=alice.sdp())
    response = alice.expect("* INVITE")
    assert (response.status, response.reason) == (403, phrase)
    bob.expect_nothing()
    (ended,) = office.ended_calls()
    assert phrase.removeprefix("Contact ") in ended.snapshot.reason_text


def test_a_phone_on_this_machine_may_have_a_loopback_contact() -> None:
    office = CoreHarness()
    FakePhone(office, "100", "127.0.0.1").registered()


# ------------------------------------------------------------------------------------------------ records


def test_a_refused_caller_of_our_own_network_stands_in_the_history_with_words(office: CoreHarness) -> None:
    knock(office, "INVITE", "102", LAN, "103")
    (ended,) = office.ended_calls()
    call = ended.snapshot
    assert (call.from_number, call.to_number, call.status, call.from_address) == ("102", "103", 403, f"{LAN}:5060")
    assert call.reason_text == f"102 may not call: it is not registered from {LAN}"
    invite, decision, answer = ended.entries
    assert decision.text == "refused with 403 Caller Not Registered"
    assert (invite.data.split()[0], answer.data.split()[1]) == (b"INVITE", b"403")
    assert office.core.call_totals().failed == 1


def test_there_are_not_more_such_lines_than_a_person_can_read(office: CoreHarness) -> None:
    for _ in range(500):
        knock(office, "INVITE", "102", LAN, "103")
    assert 1 <= len(office.ended_calls()) <= 20
    office.advance(LINGER_S)
    knock(office, "INVITE", "104", LAN, "103")
    assert office.ended_calls()[-1].snapshot.from_number == "104"


def test_a_call_that_a_restart_has_forgotten_is_no_new_one(office: CoreHarness) -> None:
    """Its phones refresh it, and hear that it is over."""
    phone = FakePhone(office, "102", LAN).registered()
    phone.send_request("INVITE", "sip:103@192.0.2.1", to="<sip:103@192.0.2.1>;tag=before")
    phone.expect("481 INVITE")
    assert office.ended_calls() == []


def test_a_stranger_is_neither_in_the_history_nor_in_the_totals(office: CoreHarness) -> None:
    for number in ("100", "102", "999"):
        knock(office, "INVITE", number, WAN, "103")
    assert (office.ended_calls(), office.core.call_totals().total) == ([], 0)


# ------------------------------------------------------------------------------------------------ changes, bans


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({**PASSWORDS, "100": "a new one"}, {"101", "102"}),
        ({"101": PASSWORDS["101"]}, {"101", "102"}),
        ({**PASSWORDS, "102": "its first one"}, {"100", "101"}),
        (PASSWORDS, {"100", "101", "102"}),
    ],
)
def test_a_change_of_passwords_ends_the_registrations_made_with_the_old_ones(
    office: CoreHarness, changed: dict[str, str], left: set[str]
) -> None:
    safe_phone(office, "100").registered()
    safe_phone(office, "101", "203.0.113.7").registered()
    FakePhone(office, "102", LAN).registered()
    assert set_passwords(office, changed) == 3 - len(left)
    assert set(office.core._exchange.location.numbers()) == left


def test_a_new_password_is_in_force_at_once(office: CoreHarness) -> None:
    phone = safe_phone(office, "100").registered()
    set_passwords(office, {"100": "a new one"})
    phone.register(headers=(phone.credentials("REGISTER", "sip:192.0.2.1", count=2),))
    phone.expect("401 REGISTER")
    safe_phone(office, "100", password="a new one").registered()


def test_so_many_wrong_passwords_ban_a_source(office: CoreHarness) -> None:
    admission = office.core.admission
    phone = safe_phone(office, "100", password="guessed")
    for _ in range(office.config.ban_after):
        assert not admission.bans.is_banned(WAN, office.now)
        phone.try_to_register()
    assert admission.bans.is_banned(WAN, office.now)


def test_calls_with_wrong_passwords_count_as_well(office: CoreHarness) -> None:
    phone = safe_phone(office, "100", password="guessed")
    for _ in range(office.config.ban_after):
        phone.dial("101")
        phone.expect("407 INVITE")
    assert office.core.admission.bans.is_banned(WAN, office.now)


def test_forged_packets_ban_nobody(office: CoreHarness) -> None:
    """A nonce that was given to another address proves nothing about this one."""
    guesser = safe_phone(office, "100", password="guessed")
    guesser.try_once("REGISTER", "sip:192.0.2.1")
    for victim in (LAN, "203.0.113.7"):
        for count in range(1, 10 * office.config.ban_after):
            forged = FakePhone(office, "100", victim)
            forged.register(headers=(guesser.credentials("REGISTER", "sip:192.0.2.1", count=count),))
        assert not office.core.admission.bans.is_banned(victim, office.now)
    assert not office.core.admission.bans.suspect_count


def test_a_phone_with_a_wrong_password_does_not_silence_its_office(office: CoreHarness) -> None:
    safe_phone(office, "100").registered()
    broken = safe_phone(office, "101", WAN, port=6060, password="guessed")
    for _ in range(office.config.ban_after):
        broken.try_to_register()
    assert not office.core.admission.bans.is_banned(WAN, office.now)


# ------------------------------------------------------------------------------------------------ enumeration


def unmarked(data: bytes, number: str) -> bytes:
    """An answer without what is different each time, and without the number, which the request has named."""
    text = re.sub(rb'nonce="[^"]+"', b"nonce", data)
    text = re.sub(rb";tag=[0-9a-f]{12}", b";tag", text)
    return text.replace(number.encode(), b"NUMBER")


def probe(method: str, caller: str, target: str) -> str:
    lines = [
        f"{method} sip:{target}@192.0.2.1 SIP/2.0",
        f"Via: SIP/2.0/UDP {WAN}:5060;branch=z9hG4bKprobe;rport",
        f"From: <sip:{caller}@192.0.2.1>;tag=f",
        f"To: <sip:{target}@192.0.2.1>",
        "Call-ID: probe",
        f"CSeq: 1 {method}",
        f"Contact: <sip:x@{WAN}>",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ]
    return "\n".join([*lines, "", ""])


def answers(office: CoreHarness, text: str, number: str) -> list[bytes]:
    """To a probe, and to its copy: everything that is sent to the stranger until long after."""
    office.forget()
    office.inject(text, (WAN, 5060))
    office.inject(text, (WAN, 5060))
    office.advance(64.0)
    return [unmarked(sent.data, number) for sent in office._unread if sent.flow.remote_host == WAN]


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE", "MESSAGE", "PUBLISH", "NONSENSE"])
@pytest.mark.parametrize("passwords", [PASSWORDS, NOTHING], ids=["passwords", "none"])
@pytest.mark.parametrize("as_itself", [True, False])
def test_a_stranger_is_told_the_same_of_every_number(method: str, passwords: dict[str, str], as_itself: bool) -> None:
    """100: password and registered; 101: password; 102: registered; 103: neither; 111, 999, 777: no numbers here."""
    office = make_office(passwords)
    FakePhone(office, "102", LAN).registered()
    if passwords:
        safe_phone(office, "100", "203.0.113.7").registered()
    found = set()
    for number in ("100", "101", "102", "103", "111", "999", "777"):
        text = probe(method, number if as_itself else "555", number)
        found.add(tuple(answers(office, text, number)))
    assert len(found) == 1
    assert all(len(told) == 2 for told in found)


def test_nobody_is_told_what_program_this_is(office: CoreHarness) -> None:
    for method in ("REGISTER", *INITIAL, "NONSENSE", "BYE"):
        answer = knock(office, method, "100", WAN)
        assert not {"Server", "User-Agent", "Warning", "Date", "Organization"} & {name for name, _ in answer.headers}


# ------------------------------------------------------------------------------------------------ size


def padded(method: str, size: int) -> str:
    """A request of exactly that many bytes on the wire; `probe` alone has fewer than 300."""
    text = probe(method, "100", "100")
    missing = size - len(text.replace("\n", "\r\n")) - len("User-Agent: \r\n")
    return text.replace("Content-Length", f"User-Agent: {'x' * missing}\nContent-Length")


def answer_to(office: CoreHarness, text: str, host: str = WAN, transport: str = "UDP") -> bytes:
    office.forget()
    office.inject(text, (host, 5060), transport, 7 if transport == "TCP" else 0)
    (sent,) = office._unread
    return sent.data


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE", "MESSAGE"])
@pytest.mark.parametrize("size", range(300, 700, 20))
def test_no_answer_to_a_stranger_is_larger_than_about_the_request(office: CoreHarness, method: str, size: int) -> None:
    """Else a forged source would be flooded with more than the attacker has to send."""
    text = padded(method, size)
    answer = SipText.parse(data := answer_to(office, text))
    assert len(text.replace("\n", "\r\n")) == size
    assert len(data) <= MAX_GROWTH * size
    # Whatever the size, there is a way to go on.
    assert [each.algorithm for each in questions(answer)][-1] == "MD5"


@pytest.mark.parametrize(("host", "transport"), [(LAN, "UDP"), (WAN, "TCP")])
def test_whose_address_is_known_may_have_a_longer_answer(office: CoreHarness, host: str, transport: str) -> None:
    answer = SipText.parse(answer_to(office, padded("REGISTER", 300), host, transport))
    assert [each.algorithm for each in questions(answer)] == ["SHA-256", "MD5"]


@pytest.mark.parametrize("size", [420, 600])
def test_a_phone_of_usual_length_is_offered_both_algorithms(office: CoreHarness, size: int) -> None:
    answer = SipText.parse(answer_to(office, padded("REGISTER", size)))
    assert [each.algorithm for each in questions(answer)] == ["SHA-256", "MD5"]


def test_a_short_answer_has_the_same_to_tag_each_time(office: CoreHarness) -> None:
    tags = {SipText.parse(answer_to(office, padded("INVITE", 300))).to_tag for _ in range(3)}
    assert len(tags) == 1


VARIANTS = {
    "as it is": ("", ""),
    "no Call-ID": ("Call-ID: probe\n", ""),
    "other CSeq": ("CSeq: 1", "CSeq: x"),
    "other version": ("SIP/2.0\n", "SIP/9.9\n"),
    "no Max-Forwards": ("Max-Forwards: 70", "Max-Forwards: many"),
    "tag": (">\nCall-ID", ">;tag=none\nCall-ID"),
}


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("method", ["INVITE", "BYE", "CANCEL", "NOTIFY"])
@pytest.mark.parametrize("passwords", [PASSWORDS, NOTHING], ids=["passwords", "none"])
def test_other_refusals_are_short_too(passwords: dict[str, str], method: str, change: tuple[str, str]) -> None:
    text = padded(method, 350)
    assert change[0] in text
    text = text.replace(*change)
    assert len(answer_to(make_office(passwords), text)) <= MAX_GROWTH * len(text.replace("\n", "\r\n"))


def test_a_phone_that_gives_up_on_sha_256_comes_in_with_md5_the_next_time(office: CoreHarness) -> None:
    """RFC 2617 3.2.1 has it ignore what it doesn't know, but not every phone does."""
    phone = safe_phone(office, "100", LAN)
    phone.register()
    assert [each.algorithm for each in questions(phone.expect("401 REGISTER"))] == ["SHA-256", "MD5"]
    phone.registered()
    assert [each.algorithm for each in questions(phone.asked)] == ["MD5"]
    phone.dial("100")
    assert [each.algorithm for each in questions(phone.asked)] == ["MD5"]
