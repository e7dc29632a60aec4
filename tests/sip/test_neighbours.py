"""sip/neighbours.py, targets.py and sharing.py: other servers on the same database, their phones and their word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sip.facts import Departure
from sip.flow import Flow
from sip.message import Request, parse_datagram
from sip.neighbours import PASS_S, Neighbours
from sip.sharing import YOUNG_S
from sip.snapshots import NumberRecord, StoredBinding
from sip.targets import targets
from sip.uri import Uri
from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.harness import STARTED_AT, CoreHarness
from tests.support.sip_text import SipText
from tests.support.stored import BINDING

KEY = b"k" * 32
NOW_AT = 1_700_000_000.0
TWO = Flow("UDP", "192.0.2.1", 5060, "192.0.2.2", 5060)
"""How the first server reaches the second one."""
ONE = Flow("UDP", "192.0.2.2", 5060, "192.0.2.1", 5060)

INVITE = (
    "INVITE sip:101@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nMax-Forwards: 69\r\n"
    "From: <sip:100@192.0.2.1>;tag=a\r\nTo: <sip:101@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n"
    "Contact: <sip:100@192.0.2.10>\r\nContent-Length: 0\r\n\r\n"
)


def parse(text: str) -> Request:
    request = parse_datagram(text.encode())
    assert isinstance(request, Request)
    return request


def knowing(me: str, other: str, flow: Flow, *, key: bytes = KEY, clock_offset: float = 0.0) -> Neighbours:
    neighbours = Neighbours()
    neighbours.update(me, key, clock_offset, {other: flow})
    return neighbours


def addressed(one: Neighbours, text: str = INVITE, now_at: float = NOW_AT) -> str:
    """What the second server gets."""
    request = parse(text)
    one.address(request, TWO, now_at)
    return request.to_bytes().decode()


class TestPass:
    def test_what_one_server_says_the_other_believes(self) -> None:
        one, two = knowing("one", "two", TWO), knowing("two", "one", ONE)
        sent = addressed(one)
        assert re.search(r"\r\nRoute: <sip:192\.0\.2\.2:5060;lr;pass=one~[0-9a-f]+~[0-9a-f]{32}>\r\n", sent)
        request = parse(sent)
        assert two.is_forwarded(request)
        assert two.fault(request, ONE, NOW_AT + 1) is None
        assert request.uri_text == "sip:101@192.0.2.1"

    @pytest.mark.parametrize(
        ("was", "becomes"),
        [
            ("INVITE sip:101@", "INVITE sip:102@"),
            ("From: <sip:100@", "From: <sip:103@"),
            ("Call-ID: c", "Call-ID: d"),
            ("CSeq: 7 INVITE", "CSeq: 8 INVITE"),
            ("pass=one~", "pass=eno~"),
            ("pass=one~", "pass=one~f"),
        ],
    )
    def test_it_is_good_for_that_request_alone(self, was: str, becomes: str) -> None:
        sent = addressed(knowing("one", "two", TWO))
        assert was in sent
        changed = parse(sent.replace(was, becomes))
        fault = knowing("two", "one", ONE).fault(changed, ONE, NOW_AT)
        assert fault == "was not made by a server on this database for this request"

    def test_it_is_good_for_that_method_alone(self) -> None:
        sent = addressed(knowing("one", "two", TWO)).replace("INVITE", "MESSAGE")
        assert knowing("two", "one", ONE).fault(parse(sent), ONE, NOW_AT) is not None

    def test_another_key_opens_nothing(self) -> None:
        sent = parse(addressed(knowing("one", "two", TWO, key=b"x" * 32)))
        assert knowing("two", "one", ONE).fault(sent, ONE, NOW_AT) is not None

    def test_it_comes_from_the_server_that_it_names(self) -> None:
        sent = parse(addressed(knowing("one", "two", TWO)))
        elsewhere = ONE._replace(remote_host="192.0.2.66")
        fault = knowing("two", "one", ONE).fault(sent, elsewhere, NOW_AT)
        assert fault == "is that of one, which is reached at 192.0.2.1: see its PEER_ADDRESS"

    def test_a_server_that_is_out_of_service_forwards_nothing(self) -> None:
        sent = parse(addressed(knowing("one", "two", TWO)))
        fault = knowing("two", "three", ONE).fault(sent, ONE, NOW_AT)
        assert fault == "is that of one, which is out of service"

    @pytest.mark.parametrize(("later_s", "is_good"), [(0.0, True), (PASS_S - 1, True), (PASS_S + 1, False)])
    def test_it_is_good_for_half_a_minute(self, later_s: float, is_good: bool) -> None:
        sent = parse(addressed(knowing("one", "two", TWO)))
        fault = knowing("two", "one", ONE).fault(sent, ONE, NOW_AT + later_s)
        assert fault == (None if is_good else "is too old")

    def test_clocks_are_told_apart_by_that_of_the_database(self) -> None:
        """One is an hour slow, the other an hour fast."""
        one, two = knowing("one", "two", TWO, clock_offset=3600), knowing("two", "one", ONE, clock_offset=-3600)
        sent = parse(addressed(one, now_at=NOW_AT - 3600))
        assert two.fault(sent, ONE, NOW_AT + 3600 + 1) is None

    @pytest.mark.parametrize("value", ["", "one", "one~", "one~zz~", "~~", "one~1~\udcff", "%ff~%00~%ff"])
    def test_what_is_no_pass_at_all(self, value: str) -> None:
        text = INVITE.replace("CSeq", f"Route: <sip:192.0.2.2:5060;lr;pass={value}>\r\nCSeq")
        request = parse_datagram(text.encode("utf-8", "surrogateescape"))
        assert isinstance(request, Request)
        two = knowing("two", "one", ONE)
        if two.is_forwarded(request):
            assert two.fault(request, ONE, NOW_AT) is not None

    def test_without_neighbours_nothing_is_forwarded(self) -> None:
        assert not Neighbours().is_forwarded(parse(addressed(knowing("one", "two", TWO))))

    @pytest.mark.parametrize("route", ["", "Route: <sip:192.0.2.2;lr>\r\n", "Route: garbage\r\n"])
    def test_other_routes_say_nothing(self, route: str) -> None:
        assert not knowing("two", "one", ONE).is_forwarded(parse(INVITE.replace("CSeq", f"{route}CSeq")))

    def test_the_mark_of_that_server_in_a_route_set_gives_way(self) -> None:
        marks = "Route: <sip:192.0.2.2:5060;lr;r2>\r\nRoute: <sip:192.0.2.2;lr;r2>\r\nRoute: <sip:192.0.2.7;lr>\r\n"
        sent = parse(addressed(knowing("one", "two", TWO), INVITE.replace("CSeq", f"{marks}CSeq")))
        assert [route.uri.host for route in sent.routes] == ["192.0.2.2", "192.0.2.7"]


# ------------------------------------------------------------------------------------------------ in the core


@pytest.fixture
def office() -> Iterator[CoreHarness]:
    """The server "one", with "two" beside it."""
    harness = CoreHarness()
    harness.core.set_neighbours("one", KEY, 0.0, {"two": TWO})
    yield harness
    harness.assert_clean()


@pytest.fixture
def alice(office: CoreHarness) -> FakePhone:
    return FakePhone(office, "100", "192.0.2.10").registered()


@pytest.fixture
def two(office: CoreHarness) -> FakePhone:
    """The other server, as much of it as a phone at 5060 can be."""
    return FakePhone(office, "100", "192.0.2.2")


def elsewhere(number: str = "101", server: str = "two", **changes: object) -> StoredBinding:
    """A phone at another server."""
    stored = replace(
        BINDING,
        binding_id=f"b-{number}",
        number=number,
        contact=f"sip:{number}@192.0.2.30:5070",
        instance="",
        remote_host="192.0.2.30",
        expires_at=STARTED_AT + 3600,
        registered_at=STARTED_AT - 60,
        last_seen_at=STARTED_AT,
        password_mark="",
        server=server,
        behind_nat=True,
    )
    return replace(stored, **changes)  # type: ignore[arg-type]


def follow(office: CoreHarness, *changed: StoredBinding, gone: tuple[str, ...] = ()) -> None:
    office.core.sharing.follow(changed, gone, (), office.now)
    office.collect()


def forwarded(office: CoreHarness, request: SipText) -> SipText:
    """As server "two" would forward it."""
    message = parse_datagram(request.to_bytes())
    assert isinstance(message, Request)
    here = Flow("UDP", "192.0.2.2", 5060, "192.0.2.1", 5060)
    knowing("two", "one", here).address(message, here, office.now_at)
    return SipText.parse(message.to_bytes())


class TestCalls:
    def test_a_call_goes_to_the_server_that_has_the_phone(
        self, office: CoreHarness, alice: FakePhone, two: FakePhone
    ) -> None:
        follow(office, elsewhere())
        call = establish(alice, replace(two, number="101"))
        (invite,) = [each.message for each in office.sent if each.message.what == "INVITE"]
        assert invite.request_uri == alice.aor.replace("100", "101")
        assert invite["Route"].startswith("<sip:192.0.2.2:5060;lr;pass=one~")
        assert invite["P-Asserted-Identity"] == "<sip:100@192.0.2.1>"
        assert invite["Record-Route"] == "<sip:192.0.2.1:5060;lr>"
        hang_up(call.caller, call.callee)
        assert [each.snapshot.to_address for each in office.ended_calls()] == ["192.0.2.2:5060"]

    def test_several_phones_there_are_one_copy_and_those_here_get_theirs(
        self, office: CoreHarness, alice: FakePhone, two: FakePhone
    ) -> None:
        desk = FakePhone(office, "101", "192.0.2.11").registered()
        follow(office, elsewhere(), elsewhere(binding_id="b-2", contact="sip:101@192.0.2.31"))
        invite = alice.invite("101")
        copies = [desk.expect("INVITE"), two.expect("INVITE")]
        assert office.unread() == []
        for phone, copy in zip((desk, two), copies, strict=True):
            phone.respond(copy, 486)
            phone.expect("ACK")
        alice.ack_failure(invite, alice.expect("486 INVITE"))

    def test_what_was_forwarded_reaches_a_phone_here_and_is_not_in_our_history(
        self, office: CoreHarness, two: FakePhone
    ) -> None:
        bob = FakePhone(office, "101", "192.0.2.11").registered()
        invite = forwarded(office, _invite(two, bob))
        two.inject(invite.to_bytes())
        two.expect("100 INVITE")
        copy = bob.expect("INVITE")
        assert "Route" not in [name for name, _ in copy.headers]
        callee = bob.answer(copy)
        caller = two.caller_dialog(invite, two.expect("200 INVITE"))
        caller.request("ACK")
        callee.expect("ACK")
        hang_up(callee, caller)
        assert (office.recorder.calls, office.ended_calls()) == ([], [])

    def test_what_was_forwarded_is_never_forwarded_on(self, office: CoreHarness, two: FakePhone) -> None:
        follow(office, elsewhere("102", "three"), elsewhere("103"))
        office.core.set_neighbours("one", KEY, 0.0, {"two": TWO, "three": TWO._replace(remote_host="192.0.2.3")})
        for number in ("102", "103"):
            invite = forwarded(office, _invite(two, replace(two, number=number)))
            two.inject(invite.to_bytes())
            two.ack_failure(invite, two.expect("480 INVITE"))
        assert office.unread() == []

    def test_the_contact_of_a_forwarded_caller_was_judged_where_it_is(
        self, office: CoreHarness, two: FakePhone
    ) -> None:
        """A phone on the other server's own machine has a loopback address there."""
        bob = FakePhone(office, "101", "192.0.2.11").registered()
        invite = forwarded(office, _invite(replace(two, own="127.0.0.1:5080"), bob))
        two.inject(invite.to_bytes())
        two.expect("100 INVITE")
        bob.respond(bob.expect("INVITE"), 486)
        bob.expect("ACK")
        two.ack_failure(invite, two.expect("486 INVITE"))

    def test_a_forged_pass_leaves_no_trace(self, office: CoreHarness) -> None:
        bob = FakePhone(office, "101", "192.0.2.11").registered()
        stranger = FakePhone(office, "100", "192.0.2.66")
        invite = forwarded(office, _invite(stranger, bob))
        stranger.inject(invite.to_bytes())
        assert stranger.expect("403 INVITE").reason == "Not Forwarded By A Server"
        bob.expect_nothing()
        assert office.core._exchange.layer.server_count <= 1

    def test_a_number_whose_server_is_out_of_service_can_not_be_called(
        self, office: CoreHarness, alice: FakePhone, two: FakePhone
    ) -> None:
        follow(office, elsewhere(server="three"))
        invite = _invite(alice, replace(two, number="101"))
        alice.inject(invite.to_bytes())
        response = alice.expect("480 INVITE")
        alice.ack_failure(invite, response)
        assert response.reason == "Server Of Number Out Of Service"
        (ended,) = office.ended_calls()
        assert ended.snapshot.reason_text.startswith("101 is registered at the server three, which is out of service")

    def test_what_is_called_by_a_sips_address_does_not_leave_without_tls(self, office: CoreHarness) -> None:
        follow(office, elsewhere(contact="sips:101@192.0.2.30", transport="TLS"))
        location = office.core._exchange.location
        assert targets(Uri.parse("sips:101@h"), location.bindings("101"), office.core._exchange.neighbours) == []
        (target,) = targets(Uri.parse("sip:101@h"), location.bindings("101"), office.core._exchange.neighbours)
        assert (target.flow, target.server, target.uri.text) == (TWO, "two", "sip:101@h")
        assert target.details["server"] == "two"


def _invite(caller: FakePhone, callee: FakePhone) -> SipText:
    """An INVITE of that phone, not sent yet."""
    contact = f"<sip:{caller.number}@{caller.own or caller.host}>"
    text = (
        f"INVITE {callee.aor} SIP/2.0\r\nVia: {caller.via('z9hG4bKf' + callee.number)}\r\nMax-Forwards: 70\r\n"
        f"From: <{caller.aor}>;tag=f\r\nTo: <{callee.aor}>\r\nCall-ID: f{callee.number}\r\nCSeq: 1 INVITE\r\n"
        f"Contact: {contact}\r\nContent-Type: application/sdp\r\nContent-Length: {len(caller.sdp())}\r\n\r\n"
    )
    return SipText.parse(text.encode() + caller.sdp())


class TestRegistrations:
    def bindings(self, office: CoreHarness, number: str = "101") -> list[tuple[str, str]]:
        return [(each.binding_id, each.server) for each in office.core._exchange.location.bindings(number)]

    def test_a_phone_of_another_server_is_known_and_not_ours(self, office: CoreHarness) -> None:
        follow(office, elsewhere())
        assert self.bindings(office) == [("b-101", "two")]
        assert office.core._exchange.location.local("101") == []
        assert "192.0.2.30" not in office.core.admission.live
        office.core.set_wall_offset(STARTED_AT - 1_000.0 + 3600)
        office.advance(60)
        assert (office.recorder.bindings, office.sent) == ({}, [])

    def test_it_goes_quietly_when_its_time_is_over(self, office: CoreHarness) -> None:
        follow(office, elsewhere(expires_at=STARTED_AT + 100))
        office.advance(101)
        assert self.bindings(office) == []
        assert office.core._exchange.location.departures("101") == ()

    def test_a_phone_that_comes_here_has_moved(self, office: CoreHarness) -> None:
        """Its contact is the same, and it may count its requests anew."""
        follow(office, elsewhere(call_id="the same", cseq=1_000))
        phone = FakePhone(office, "101", "192.0.2.30", 5070).registered()
        assert self.bindings(office) == [("b-101", "")]
        assert office.recorder.bindings["b-101"].server == ""
        assert phone.host in office.core.admission.live

    def test_a_phone_that_comes_here_with_a_new_contact_replaces_its_old_one(self, office: CoreHarness) -> None:
        removed: list[tuple[str, str]] = []
        instance = '"<urn:uuid:1>"'
        follow(office, elsewhere(instance="<urn:uuid:1>;"))
        remove = office.recorder.remove_binding

        def note(binding_id: str, server: str = "") -> int:
            removed.append((binding_id, server))
            return remove(binding_id, server)

        office.recorder.remove_binding = note  # type: ignore[method-assign]
        phone = FakePhone(office, "101", "192.0.2.31", contact_parameters=f";+sip.instance={instance}")
        phone.registered()
        assert removed == [("b-101", "two")]
        assert [server for _, server in self.bindings(office)] == [""]

    def test_a_phone_that_has_moved_away_is_let_go(self, office: CoreHarness) -> None:
        phone = FakePhone(office, "101", "192.0.2.11").registered()
        (binding,) = office.core._exchange.location.bindings("101")
        kept = dict(office.recorder.bindings)
        follow(office, elsewhere(binding_id=binding.binding_id, last_seen_at=office.now_at + 1))
        assert self.bindings(office) == [(binding.binding_id, "two")]
        assert office.recorder.bindings == kept
        assert phone.host not in office.core.admission.live
        (departure,) = office.core._exchange.location.departures("101")
        assert departure.why is Departure.MOVED

    def test_what_is_known_here_and_newer_stays(self, office: CoreHarness) -> None:
        """The phone was there, and is back before the word of it."""
        FakePhone(office, "101", "192.0.2.11").registered()
        (binding,) = office.core._exchange.location.bindings("101")
        follow(office, elsewhere(binding_id=binding.binding_id, last_seen_at=office.now_at - 1))
        assert self.bindings(office) == [(binding.binding_id, "")]

    def test_what_was_removed_elsewhere_is_gone(self, office: CoreHarness) -> None:
        FakePhone(office, "101", "192.0.2.11").registered()
        (binding,) = office.core._exchange.location.bindings("101")
        follow(office, elsewhere("102"))
        follow(office, gone=(binding.binding_id, "b-102", "never known"))
        assert (self.bindings(office), self.bindings(office, "102")) == ([], [])

    def test_a_contact_that_makes_no_sense_hinders_nobody(self, office: CoreHarness) -> None:
        follow(office, elsewhere(contact="rubbish"), elsewhere("102"))
        assert (self.bindings(office), self.bindings(office, "102")) == ([], [("b-102", "two")])

    def test_after_a_time_without_the_database_both_sides_agree(self, office: CoreHarness) -> None:
        old = FakePhone(office, "101", "192.0.2.11").registered()
        office.advance(YOUNG_S + 1)
        FakePhone(office, "102", "192.0.2.12").registered()
        follow(office, elsewhere("103"), elsewhere("104"))
        (mine,) = office.core._exchange.location.bindings("101")
        office.recorder.bindings.clear()
        records = [NumberRecord("104", STARTED_AT - 500, STARTED_AT, 7)]
        office.core.sharing.reconcile([elsewhere("104")], records, office.now)
        assert office.recorder.bindings.keys() == {mine.binding_id}
        assert old.host == mine.flow.remote_host
        assert (self.bindings(office, "103"), self.bindings(office, "104")) == ([], [("b-104", "two")])
        assert office.core._exchange.location.count("104") == 7

    def test_what_comes_from_a_neighbour_comes_from_many_phones(self, office: CoreHarness) -> None:
        live = office.core.admission.live
        assert "192.0.2.2" in live
        office.core.set_neighbours("one", KEY, 0.0, {})
        assert "192.0.2.2" not in live

    def test_a_phone_that_signs_off_everywhere_does(self, office: CoreHarness) -> None:
        follow(office, elsewhere())
        phone = FakePhone(office, "101", "192.0.2.11").registered()
        phone.register("*", expires=0)
        phone.expect("200 REGISTER")
        assert self.bindings(office) == []
