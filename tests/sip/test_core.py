"""sip/core.py: requests to the server itself, what is malformed, lost connections, what real phones send."""

from __future__ import annotations

import gc

import pytest

from sip.transaction_user import ALLOW
from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.harness import CoreHarness
from tests.support.sip_text import SipText


def text(method: str, uri: str = "sip:192.0.2.1", **headers: str) -> str:
    """A request as a terse phone sends it over UDP: no Content-Length, no Max-Forwards, no brackets, no port."""
    lines = {
        "Via": f"SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK{method}",
        "From": "sip:100@192.0.2.1;tag=a",
        "To": "sip:100@192.0.2.1",
        "Call-ID": "terse",
        "CSeq": f"1 {method}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return f"{method} {uri} SIP/2.0\n" + "".join(f"{name}: {value}\n" for name, value in lines.items() if value) + "\n"


@pytest.fixture
def nobody(office: CoreHarness) -> FakePhone:
    """A phone at an address from which nobody is registered."""
    return FakePhone(office, "100", "192.0.2.10")


# ------------------------------------------------------------------------------------------------ to the server


def test_11_2_options_to_the_server(nobody: FakePhone) -> None:
    nobody.inject(text("OPTIONS"))
    response = nobody.expect("200 OPTIONS")
    assert (response["Allow"], response["Accept"], bool(response.to_tag)) == (ALLOW, "application/sdp", True)


@pytest.mark.parametrize("uri", ["sip:192.0.2.1", "sip:100@192.0.2.1"])
def test_11_options_with_max_forwards_0_or_about_oneself_are_for_the_server(nobody: FakePhone, uri: str) -> None:
    nobody.inject(text("OPTIONS", uri, Max_Forwards="0"))
    nobody.expect("200 OPTIONS")


def test_11_options_to_a_number_reach_its_phone(alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("OPTIONS", "sip:101@192.0.2.1")
    bob.respond(bob.expect("OPTIONS"), 200, "OK", headers=(("Allow", "INVITE"),))
    assert alice.expect("200 OPTIONS")["Allow"] == "INVITE"


def test_8_2_2_3_require_to_the_server_is_420(nobody: FakePhone) -> None:
    nobody.inject(text("OPTIONS", Require="foo"))
    assert nobody.expect("420 OPTIONS")["Unsupported"] == "foo"


@pytest.mark.parametrize("method", ["PUBLISH", "SUBSCRIBE"])
@pytest.mark.parametrize("uri", ["sip:100@192.0.2.1", "sip:192.0.2.1"])
def test_presence_and_message_summary_at_start_get_489(nobody: FakePhone, method: str, uri: str) -> None:
    nobody.inject(text(method, uri, Event="message-summary"))
    assert nobody.expect(f"489 {method}").reason == "Bad Event"


def test_publish_about_others_is_489_too(alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("PUBLISH", "sip:101@192.0.2.1")
    alice.expect("489 PUBLISH")
    bob.expect_nothing()


def test_8_2_1_other_methods_to_the_server_are_405_with_allow(nobody: FakePhone) -> None:
    nobody.inject(text("MESSAGE"))
    assert nobody.expect("405 MESSAGE")["Allow"] == "OPTIONS, REGISTER"


def test_8_2_1_an_unknown_method_is_501_with_allow(alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("TELEPORT", "sip:101@192.0.2.1")
    assert alice.expect("501 TELEPORT")["Allow"] == ALLOW
    bob.expect_nothing()


# ------------------------------------------------------------------------------------------------ malformed


def test_8_1_3_what_is_missing_is_said(nobody: FakePhone) -> None:
    nobody.inject(text("OPTIONS", Call_ID=""))
    assert nobody.expect_sent("400 OPTIONS").data.startswith(b"SIP/2.0 400 Call-ID: missing\r\n")


def test_a_request_that_cannot_be_parsed_is_answered_when_its_sender_is_known(
    nobody: FakePhone, office: CoreHarness
) -> None:
    nobody.inject(text("OPTIONS").replace("SIP/2.0\n", "SIP/3.0\n", 1))
    assert office.sent[-1].data.startswith(b"SIP/2.0 505 ")
    count = len(office.sent)
    nobody.inject("nonsense nonsense nonsense\n\n")
    nobody.inject(text("OPTIONS", Via=""))
    assert len(office.sent) == count


def test_17_an_ack_is_never_answered(nobody: FakePhone, office: CoreHarness) -> None:
    nobody.inject(text("ACK", Call_ID=""))
    nobody.inject(text("ACK"))
    nobody.inject(text("ACK", Route="<sip:"))
    assert office.sent == []


def test_a_response_nobody_waits_for_is_dropped(nobody: FakePhone, office: CoreHarness) -> None:
    response = text("OPTIONS").replace("OPTIONS sip:192.0.2.1 SIP/2.0", "SIP/2.0 200 OK")
    nobody.inject(response)
    nobody.inject(response.replace("Call-ID", "X-Call"))
    assert office.sent == []


# ------------------------------------------------------------------------------------------------ real phones


def test_terse_messages_without_brackets_port_and_content_length(office: CoreHarness, bob: FakePhone) -> None:
    alice = FakePhone(office, "100", "192.0.2.10")
    alice.inject(text("REGISTER", Contact="sip:100@192.0.2.10", Expires="60"))
    alice.expect("200 REGISTER")
    alice.inject(text("INVITE", "sip:101@192.0.2.1", To="sip:101@192.0.2.1", Contact="sip:100@192.0.2.10"))
    alice.expect("100 INVITE")
    received = bob.expect("INVITE")
    assert (received["From"], received["Content-Length"]) == ("sip:100@192.0.2.1;tag=a", "0")
    bob.respond(received, 200, "OK")
    alice.expect("200 INVITE")
    alice.inject(text("BYE", bob.contact_uri, To="sip:101@192.0.2.1;tag=to101", CSeq="2 BYE"))
    bob.expect("BYE")


def test_rfc_3581_a_phone_behind_nat_that_asks_for_no_rport_is_answered_where_it_is(office: CoreHarness) -> None:
    phone = FakePhone(office, "100", "198.51.100.7", 61_234)
    phone.inject(text("OPTIONS", Via="SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKn"))
    assert phone.expect("200 OPTIONS")["Via"].endswith(";received=198.51.100.7")


def test_18_2_2_another_is_answered_at_the_port_of_its_via(office: CoreHarness) -> None:
    phone = FakePhone(office, "100", "192.0.2.10", 61_234)
    phone.inject(text("OPTIONS", Via="SIP/2.0/UDP 192.0.2.10:5070;branch=z9hG4bKn"))
    office.expect("200 OPTIONS", ("192.0.2.10", 5070))


@pytest.mark.parametrize("method", ["REFER", "NOTIFY", "INFO"])
def test_in_dialog_requests_of_real_phones(alice: FakePhone, bob: FakePhone, method: str) -> None:
    call = establish(alice, bob)
    call.callee.request(method, headers=(("Refer-To", "<sip:102@192.0.2.1>"), ("Event", "refer")))
    received = alice.expect(method)
    assert received["Refer-To"] == "<sip:102@192.0.2.1>"
    alice.respond(received, 202, "Accepted")
    bob.expect(f"202 {method}")


# ------------------------------------------------------------------------------------------------ TCP connections


def tcp_phone(office: CoreHarness, number: str, connection: int, port: int = 43_210) -> FakePhone:
    return FakePhone(office, number, "192.0.2.12", port, own="192.0.2.12:5060", connection=connection)


def test_a_call_between_two_tcp_phones(office: CoreHarness) -> None:
    caller = tcp_phone(office, "100", 1).registered()
    callee = FakePhone(office, "101", "198.51.100.9", 40_000, own="10.1.1.1:5060", connection=2).registered()
    call = establish(caller, callee)
    assert call.caller.route_set == [
        "<sip:192.0.2.1:5060;transport=tcp;lr;r2>",
        "<sip:198.51.100.1:5060;transport=tcp;lr;r2>",
    ]
    hang_up(call.callee, call.caller)


def test_a_lost_connection_is_replaced_by_one_to_the_contact(office: CoreHarness, alice: FakePhone) -> None:
    phone = tcp_phone(office, "101", 7).registered()
    office.close_connection(("192.0.2.12", 43_210), 7)
    alice.invite("101")
    sent = office.sent[-1]
    assert (sent.flow.transport, sent.flow.remote, sent.flow.connection) == ("TCP", ("192.0.2.12", 5060), 0)
    assert sent.message.request_uri == phone.contact_uri


def test_a_phone_that_came_back_may_call_before_it_registers_again(office: CoreHarness, bob: FakePhone) -> None:
    FakePhone(office, "100", "198.51.100.7", 43_210, own="10.0.0.5:5060", connection=7).registered()
    office.close_connection(("198.51.100.7", 43_210), 7)
    again = FakePhone(office, "100", "198.51.100.7", 43_999, own="10.0.0.5:5060", connection=8)
    establish(again, bob)


def test_a_call_survives_the_reconnection_of_a_phone(office: CoreHarness, alice: FakePhone) -> None:
    FakePhone(office, "101", "192.0.2.13").registered()
    phone = tcp_phone(office, "101", 7).registered()
    invite = alice.invite("101")
    callee = phone.answer(phone.expect("INVITE"))
    caller = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    caller.request("ACK")
    office.close_connection(("192.0.2.12", 43_210), 7)
    office.forget()
    phone.connection, phone.port = 8, 43_999
    phone.register()
    phone.expect("200 REGISTER")
    caller.request("INFO")
    callee.expect("INFO")


def test_a_call_follows_a_phone_whose_old_connection_is_not_known_to_be_dead(
    office: CoreHarness, alice: FakePhone
) -> None:
    """A phone that lost its network comes back by a new connection; the old one seems to live on for long."""
    FakePhone(office, "101", "192.0.2.13").registered()
    phone = tcp_phone(office, "101", 7).registered()
    call = establish(alice, phone)
    phone.connection, phone.port = 8, 43_999
    phone.registered()
    hang_up(call.caller, call.callee)
    office.close_connection(("192.0.2.12", 43_210), 7)
    assert "101 is reached at tcp:192.0.2.12:43999 from now on" in office.journal()


def test_a_call_follows_a_phone_that_comes_back_with_another_contact(office: CoreHarness, alice: FakePhone) -> None:
    """One that writes the port of its connection into its Contact."""
    FakePhone(office, "101", "192.0.2.13").registered()
    phone = tcp_phone(office, "101", 7)
    phone.contact_parameters = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"'
    call = establish(phone.registered(), alice)
    phone.connection, phone.port, phone.own = 8, 43_999, "192.0.2.12:43999"
    phone.register()
    call.callee.request("INFO")
    assert office.sent[-1].flow.connection == 8


def test_a_call_follows_a_phone_into_another_network(office: CoreHarness, alice: FakePhone) -> None:
    phone = FakePhone(office, "101", "192.0.2.12")
    phone.contact_parameters = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"'
    call = establish(alice, phone.registered())
    phone.host = "192.0.2.77"
    phone.register()
    call.caller.request("INFO")
    assert office.sent[-1].flow.remote == ("192.0.2.77", 5060)


def test_a_call_stays_with_its_phone_when_another_registers_the_same_contact(
    office: CoreHarness, alice: FakePhone
) -> None:
    """Behind two routers two phones may have the same private address."""
    phone = FakePhone(office, "101", "198.51.100.9", 40_000, own="10.0.0.5:5060").registered()
    call = establish(alice, phone)
    FakePhone(office, "101", "203.0.113.4", 41_000, own="10.0.0.5:5060").registered()
    call.caller.request("INFO")
    assert office.sent[-1].flow.remote == ("198.51.100.9", 40_000)


def test_a_lost_connection_with_a_live_call_leaves_nothing(office: CoreHarness, alice: FakePhone) -> None:
    phone = tcp_phone(office, "101", 7).registered()
    call = establish(alice, phone)
    office.close_connection(("192.0.2.12", 43_210), 7)
    call.caller.request("BYE")
    assert office.sent[-1].flow.remote == ("192.0.2.12", 5060)
    assert office.relay.open_sessions == []


def test_a_connection_lost_before_the_phone_rings_is_told_to_the_caller_at_once(
    office: CoreHarness, alice: FakePhone
) -> None:
    """Not after the 32 seconds of Timer B: nothing will come over that connection any more (17.1.4)."""
    tcp_phone(office, "101", 7).registered()
    alice.invite("101")
    office.close_connection(("192.0.2.12", 43_210), 7)
    assert alice.expect("480 INVITE")
    assert office.ended_calls()[-1].snapshot.termination_reason == "unreachable"


@pytest.mark.parametrize("ringing", [True, False])
def test_a_lost_connection_while_a_call_is_set_up_leaves_nothing(
    office: CoreHarness, alice: FakePhone, ringing: bool
) -> None:
    phone = tcp_phone(office, "101", 7).registered()
    alice.invite("101")
    received = phone.expect("INVITE")
    if ringing:
        phone.respond(received, 180)
    office.close_connection(("192.0.2.12", 43_210), 7)
    office.advance(300)
    assert office.core.calls() == ()
    office.forget()


# ------------------------------------------------------------------------------------------------ sending fails


def test_rfc_6026_a_response_that_cannot_be_sent_does_not_disturb_the_call(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    alice.invite("101")
    received = bob.expect("INVITE")
    office.unreachable.add(alice.host)
    bob.respond(received, 180)
    assert "a response could not be sent: Connection refused" in office.journal()
    office.unreachable.clear()
    bob.respond(received, 180)
    alice.expect("180 INVITE")


def test_one_device_that_cannot_be_reached_does_not_keep_the_other_from_ringing(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    FakePhone(office, "101", "192.0.2.66").registered()
    office.unreachable.add("192.0.2.66")
    invite = alice.invite("101")
    bob.answer(bob.expect("INVITE"))
    alice.caller_dialog(invite, alice.expect("200 INVITE")).request("BYE")


def test_17_2_1_a_failure_the_caller_never_acknowledges_is_noted(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    alice.invite("101")
    bob.respond(bob.expect("INVITE"), 486)
    office.advance(33)
    assert "the caller's phone never acknowledged the final response" in office.journal()
    assert office.unread(alice.way).count("486 INVITE") == 11
    office.forget()


def test_a_fault_while_an_invite_is_served_is_answered_with_500_and_leaves_nothing(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(call_id: str, kind: str) -> None:
        raise RuntimeError("a fault of the relay")

    with monkeypatch.context() as fault:
        fault.setattr(office.relay, "open", fail)
        invite = alice.invite("101")
        alice.ack_failure(invite, alice.expect("500 INVITE"))
    bob.expect_nothing()
    assert office.ended_calls()[-1].snapshot.termination_reason == "error"
    call = establish(alice, bob)
    hang_up(call.caller, call.callee)


def test_an_ended_call_leaves_no_reference_cycle(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    """Cycles wait for the garbage collector, and its pauses are heard in every call."""

    def one_call() -> None:
        call = establish(alice, bob)
        hang_up(call.caller, call.callee)
        invite = alice.invite("*43")
        office.advance(1)
        dialog = alice.caller_dialog(invite, alice.expect("180 INVITE"))
        dialog.request("ACK")
        dialog.request("BYE")
        office.advance(100)
        office.forget()

    one_call()
    gc.collect()
    gc.disable()
    try:
        one_call()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_many_calls_leave_nothing_behind(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    for _ in range(50):
        call = establish(alice, bob)
        hang_up(call.caller, call.callee)
        office.advance(1)
    assert isinstance(call.invite, SipText)
    assert office.core.call_totals().completed == 50
    assert office.relay.opened == 50


# ------------------------------------------------------------------------------------------------ who we are


@pytest.mark.parametrize("text", ["", "Exchange/1"])
def test_20_35_the_server_says_what_it_is_only_when_it_is_told_to(text: str) -> None:
    office = CoreHarness(server_header=text)
    phone = FakePhone(office, "100", "192.0.2.10")
    phone.register()
    phone.send_request("OPTIONS", "sip:192.0.2.1")
    for answer in (phone.expect("200 REGISTER"), phone.expect("200 OPTIONS")):
        assert answer.all("Server") == ([text] if text else [])
        assert answer.all("User-Agent") == []
