"""sip/proxy.py: admission, forwarding and the ways of a request (RFC 3261 16.3 to 16.6, 16.10, 16.12; RFC 5393)."""

from __future__ import annotations

import pytest

from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.harness import CoreHarness

# ------------------------------------------------------------------------------------------------ 16.3, house rules


def refused(caller: FakePhone, uri: str, status: str, method: str = "INVITE") -> str:
    """Send a request outside a dialog and see it refused; the reason phrase."""
    request = caller.send_request(method, uri)
    response = caller.expect(f"{status} {method}")
    if method == "INVITE":
        caller.ack_failure(request, response)
    return response.reason


def test_only_registered_numbers_call(office: CoreHarness, bob: FakePhone) -> None:
    assert refused(FakePhone(office, "100", "192.0.2.10"), "sip:101@192.0.2.1", "403") == "Caller Not Registered"
    bob.expect_nothing()


def test_a_number_registered_from_another_address_may_not_be_used(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    refused(FakePhone(office, alice.number, "192.0.2.66"), "sip:101@192.0.2.1", "403")
    refused(FakePhone(office, alice.number, "192.0.2.66"), "sip:101@192.0.2.1", "403", "MESSAGE")
    bob.expect_nothing()


def test_the_port_a_caller_sends_from_is_its_own_business(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    moved = FakePhone(office, alice.number, alice.host, 50_000)
    establish(moved, bob)


@pytest.mark.parametrize("user", ["99", "111", "0101", "%30101", "bob", "1010"])
def test_a_number_outside_the_range_is_404(alice: FakePhone, user: str) -> None:
    assert refused(alice, f"sip:{user}@192.0.2.1", "404") == "Number Not In Range 100-110"


def test_an_invite_to_nobody_is_404(alice: FakePhone) -> None:
    refused(alice, "sip:192.0.2.1", "404")


def test_a_number_not_registered_is_480(alice: FakePhone) -> None:
    assert refused(alice, "sip:102@192.0.2.1", "480") == "Number Not Registered"


@pytest.mark.parametrize(
    "uri", ["sip:%31%30%31@192.0.2.1", "sip:101@office.example:5080", "tel:101", "sip:101@h;user=phone"]
)
def test_the_dialled_number_is_matched_by_user_alone(alice: FakePhone, bob: FakePhone, uri: str) -> None:
    alice.send_request("INVITE", uri, body=alice.sdp())
    assert bob.expect("INVITE").request_uri == bob.contact_uri


@pytest.mark.parametrize("from_", ["sip:100@192.0.2.1;tag=x", "<sip:100@other.example>;tag=x", "tel:100;tag=x"])
def test_the_caller_is_matched_by_user_with_or_without_brackets_or_port(
    alice: FakePhone, bob: FakePhone, from_: str
) -> None:
    alice.send_request("INVITE", "sip:101@192.0.2.1", from_=from_, body=alice.sdp())
    assert bob.expect("INVITE")["From"] == from_


def test_16_3_max_forwards_0_is_483(alice: FakePhone, bob: FakePhone) -> None:
    text = (
        "{method} sip:101@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK{method}\nMax-Forwards: 0\n"
        "From: <sip:100@h>;tag=x\nTo: <sip:101@h>\nCall-ID: a\nCSeq: 1 {method}\nContent-Length: 0\n\n"
    )
    for method in ("INVITE", "MESSAGE"):
        alice.inject(text.format(method=method))
        alice.expect(f"483 {method}")
    bob.expect_nothing()


def test_16_6_step_3_max_forwards_counts_down_and_is_added_when_absent(alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("MESSAGE", "sip:101@192.0.2.1")
    assert bob.expect("MESSAGE").all("Max-Forwards") == ["69"]
    alice.inject(
        "MESSAGE sip:101@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKm\n"
        "From: sip:100@h;tag=x\nTo: sip:101@h\nCall-ID: a\nCSeq: 1 MESSAGE\n\n"
    )
    assert bob.expect("MESSAGE").all("Max-Forwards") == ["70"]


def test_16_3_step_5_unknown_proxy_require_is_420(alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("INVITE", "sip:101@192.0.2.1", headers=(("Proxy-Require", "sec-agree"),))
    assert alice.expect("420 INVITE")["Unsupported"] == "sec-agree"
    bob.expect_nothing()


def test_16_3_require_is_for_the_phones(alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("INVITE", "sip:101@192.0.2.1", headers=(("Require", "100rel"),))
    assert bob.expect("INVITE")["Require"] == "100rel"


def test_16_2_trying_at_once_and_before_anything_else(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    before = len(office.sent)
    alice.invite("101")
    bob.expect("INVITE")
    assert [sent.message.what for sent in office.sent[before:]] == ["100 INVITE", "INVITE"]


def test_a_repeated_invite_is_not_forwarded_again(alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    bob.expect("INVITE")
    alice.inject(invite.to_bytes())
    alice.expect("100 INVITE")
    bob.expect_nothing()


# ------------------------------------------------------------------------------------------------ 16.6


def test_16_6_the_forwarded_invite_on_the_wire(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    head = (
        b"INVITE sip:101@192.0.2.1 SIP/2.0\r\n"
        b"v: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKcaller;rport\r\n"
        b'f: "A, \\"B\\"" <sip:100@192.0.2.1>;tag=caller\r\n'
        b"t: sip:101@192.0.2.1\r\n"
        b"i: letter@192.0.2.10\r\n"
        b"CSeq: 7\r\n  INVITE\r\n"
        b"X-Odd:   caf\xe9\r\n"
        b"m: <sip:100@192.0.2.10:5060;ob>\r\n"
        b"c: application/sdp\r\n"
    )
    alice.inject(head + b"l: %d\r\n\r\n" % len(body) + body)
    sent = office.sent[-1]
    assert sent.flow.remote == (bob.host, bob.port)
    lines = sent.data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert lines[0] == b"INVITE sip:101@192.0.2.11:5060 SIP/2.0"
    assert lines[1].startswith(b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK")
    assert lines[2] == b"Record-Route: <sip:192.0.2.1:5060;lr>"
    assert lines[3] == b"v: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKcaller;rport=5060;received=192.0.2.10"
    # What the proxy has no business with stays byte for byte.
    assert b"\r\n".join(head.split(b"\r\n")[2:-1]) in sent.data
    rewritten = body.replace(b"192.0.2.10\r\nt", b"192.0.2.1\r\nt").replace(b"4000", b"10002")
    ours = b"P-Asserted-Identity: <sip:100@192.0.2.1>\r\nMax-Forwards: 70\r\nMax-Breadth: 60\r\n\r\n"
    assert sent.data.endswith(b"Content-Length: %d\r\n" % len(rewritten) + ours + rewritten)


def test_16_6_step_8_every_branch_is_new_and_has_the_cookie(alice: FakePhone, bob: FakePhone) -> None:
    branches = set()
    for _ in range(5):
        alice.send_request("MESSAGE", "sip:101@192.0.2.1")
        branches.add(bob.expect("MESSAGE").branch)
    assert len(branches) == 5
    assert all(branch.startswith("z9hG4bK") for branch in branches)


def test_several_vias_on_one_line_go_back_as_they_came(alice: FakePhone, bob: FakePhone) -> None:
    alice.inject(
        "MESSAGE sip:101@192.0.2.1 SIP/2.0\n"
        "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1 , SIP/2.0/TCP a.example;branch=z9hG4bK2,SIP/2.0/UDP b.example\n"
        "From: sip:100@h;tag=x\nTo: sip:101@h\nCall-ID: a\nCSeq: 1 MESSAGE\n\n"
    )
    bob.respond(bob.expect("MESSAGE"), 200, "OK")
    assert [via.partition(";")[0] for via in alice.expect("200 MESSAGE").all("Via")] == [
        "SIP/2.0/UDP 192.0.2.10",
        "SIP/2.0/TCP a.example",
        "SIP/2.0/UDP b.example",
    ]


def test_an_inbound_call_reaches_a_tcp_phone_over_the_connection_it_opened(
    office: CoreHarness, alice: FakePhone
) -> None:
    bob = FakePhone(office, "101", "198.51.100.7", 43210, own="10.0.0.5:5060", connection=7).registered()
    call = establish(alice, bob)
    hang_up(call.caller, call.callee)


def test_a_phone_behind_nat_is_reached_where_its_register_came_from(office: CoreHarness, alice: FakePhone) -> None:
    bob = FakePhone(office, "101", "198.51.100.7", 61234, own="10.0.0.5:5060").registered()
    call = establish(alice, bob)
    hang_up(call.callee, call.caller)


# ------------------------------------------------------------------------------------------------ Route, Record-Route


def test_rfc_5658_two_record_routes_between_transports(office: CoreHarness, alice: FakePhone) -> None:
    bob = FakePhone(office, "101", "192.0.2.11", 43210, connection=7).registered()
    alice.invite("101")
    assert bob.expect("INVITE").all("Record-Route") == [
        "<sip:192.0.2.1:5060;transport=tcp;lr;r2>",
        "<sip:192.0.2.1:5060;lr;r2>",
    ]


def test_rfc_5658_two_record_routes_between_networks(office: CoreHarness, alice: FakePhone) -> None:
    bob = FakePhone(office, "101", "198.51.100.7").registered()
    alice.invite("101")
    assert bob.expect("INVITE").all("Record-Route") == [
        "<sip:198.51.100.1:5060;lr;r2>",
        "<sip:192.0.2.1:5060;lr;r2>",
    ]


def test_rfc_5658_both_marks_are_ours_and_come_off(office: CoreHarness, alice: FakePhone) -> None:
    bob = FakePhone(office, "101", "198.51.100.7", 43210, connection=7).registered()
    call = establish(alice, bob)
    assert len(call.caller.route_set) == len(call.callee.route_set) == 2
    call.callee.request("INFO")
    assert "Route" not in alice.expect("INFO")
    call.caller.request("BYE")
    assert "Route" not in bob.expect("BYE")


def test_16_4_only_the_topmost_own_route_comes_off(alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    call.caller.route_set += ["<sip:next.example;lr>", "<sip:192.0.2.1:5060;lr>"]
    call.caller.request("INFO")
    assert bob.expect("INFO").all("Route") == ["<sip:next.example;lr>", "<sip:192.0.2.1:5060;lr>"]


def test_16_12_1_a_strict_router_before_us(alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    # It has put our Record-Route into the Request-URI and the remote target at the end.
    call.caller.target, call.caller.route_set = "sip:192.0.2.1:5060;lr", [f"<{bob.contact_uri}>"]
    call.caller.request("INFO")
    info = bob.expect("INFO")
    assert info.request_uri == bob.contact_uri
    assert "Route" not in info


def test_16_12_1_a_strict_router_before_us_in_two_networks(office: CoreHarness, alice: FakePhone) -> None:
    bob = FakePhone(office, "101", "198.51.100.7").registered()
    call = establish(alice, bob)
    first, second = call.caller.route_set
    call.caller.target, call.caller.route_set = first.strip("<>"), [second, f"<{bob.contact_uri}>"]
    call.caller.request("INFO")
    info = bob.expect("INFO")
    assert (info.request_uri, "Route" in info) == (bob.contact_uri, False)


def test_16_6_step_6_a_strict_router_behind_us(alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    call.caller.route_set.append("<sip:strict.example>")
    call.caller.request("INFO")
    info = bob.expect("INFO")
    assert info.request_uri == "sip:strict.example"
    assert info.all("Route") == [f"<{bob.contact_uri}>"]


def test_a_phone_with_an_outbound_proxy_setting_is_served(alice: FakePhone, bob: FakePhone) -> None:
    for route in ("<sip:192.0.2.1:5060;lr>", "<sip:192.0.2.1;lr>", "<sip:192.0.2.1;transport=udp;lr>"):
        alice.send_request("MESSAGE", "sip:101@192.0.2.1", headers=(("Route", route),))
        assert "Route" not in bob.expect("MESSAGE")


def test_the_outbound_proxy_may_be_named_by_the_domain_of_the_phone(alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("MESSAGE", "sip:101@pbx.example", headers=(("Route", "<sip:pbx.example:5060;lr>"),))
    assert "Route" not in bob.expect("MESSAGE")


@pytest.mark.parametrize("route", ["<sip:203.0.113.9;lr>", "<sip:evil.example;lr>", "<sip:192.0.2.1:5061;lr>"])
def test_a_foreign_route_is_refused(alice: FakePhone, bob: FakePhone, route: str) -> None:
    alice.send_request("INVITE", "sip:101@192.0.2.1", headers=(("Route", route),), body=alice.sdp())
    alice.expect("403 INVITE")
    bob.expect_nothing()


def test_a_malformed_route_is_400_and_an_empty_one_is_none(alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("INVITE", "sip:101@192.0.2.1", headers=(("Route", "<sip:"),), body=alice.sdp())
    alice.expect("400 INVITE")
    alice.send_request("MESSAGE", "sip:101@192.0.2.1", headers=(("Route", ""),))
    assert "Route" not in bob.expect("MESSAGE")


# ------------------------------------------------------------------------------------------------ loops, breadth


def looped(request_text: bytes, uri: str) -> bytes:
    """The request as a phone that forwards it would send it back: another Via on top."""
    start, _, rest = request_text.partition(b"\r\n")
    method = start.split(b" ")[0].decode()
    return f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKback\r\n".encode() + rest


def test_16_3_step_4_a_loop_is_482(alice: FakePhone, bob: FakePhone) -> None:
    alice.send_request("MESSAGE", "sip:101@192.0.2.1")
    forwarded = bob.expect_sent("MESSAGE").data
    alice.inject(looped(forwarded, "sip:101@192.0.2.1"))
    alice.expect("482 MESSAGE")
    bob.expect_nothing()


def test_rfc_5393_4_2_a_spiral_is_no_loop(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    carol = FakePhone(office, "102", "192.0.2.12").registered()
    alice.send_request("MESSAGE", "sip:101@192.0.2.1")
    forwarded = bob.expect_sent("MESSAGE").data
    alice.inject(looped(forwarded, "sip:102@192.0.2.1"))
    assert len(carol.expect("MESSAGE").all("Via")) == 4


def test_8_2_2_2_an_invite_that_comes_back_does_not_disturb_its_call(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite = alice.invite("101")
    received = bob.expect_sent("INVITE")
    alice.inject(looped(received.data, "sip:101@192.0.2.1"))
    alice.expect("482 INVITE")
    assert len(office.core.calls()) == 1
    bob.answer(received.message)
    alice.caller_dialog(invite, alice.expect("200 INVITE")).request("ACK")
    bob.expect("ACK")
    office.end_calls()
    assert office.core.calls() == ()
    bob.expect("BYE")
    alice.expect("BYE")


def test_a_caller_may_try_again_with_the_same_call_id(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    invite = alice.invite("101")
    bob.respond(bob.expect("INVITE"), 401, "Unauthorized")
    bob.expect("ACK")
    alice.ack_failure(invite, alice.expect("401 INVITE"))
    alice.invite("101", call_id=invite.call_id, from_=invite["From"], cseq=2)
    bob.expect("INVITE")
    assert (len(office.core.calls()), office.core.call_totals().total) == (1, 2)


@pytest.mark.parametrize(
    ("given", "shares"), [((), ["30", "30"]), (("7",), ["4", "3"]), (("99",), ["30", "30"]), (("2",), ["1", "1"])]
)
def test_rfc_5393_5_3_3_max_breadth_is_divided_among_the_branches(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, given: tuple[str, ...], shares: list[str]
) -> None:
    other = FakePhone(office, "101", "192.0.2.12").registered()
    alice.invite("101", headers=tuple(("Max-Breadth", value) for value in given))
    assert sorted([bob.expect("INVITE")["Max-Breadth"], other.expect("INVITE")["Max-Breadth"]], reverse=True) == shares


def test_rfc_5393_5_3_3_too_little_breadth_is_440(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    other = FakePhone(office, "101", "192.0.2.12").registered()
    alice.invite("101", headers=(("Max-Breadth", "1"),))
    alice.expect("440 INVITE")
    bob.expect_nothing()
    other.expect_nothing()
    assert office.relay.open_sessions == []


# ------------------------------------------------------------------------------------------------ inside dialogs


@pytest.mark.parametrize("method", ["INFO", "UPDATE", "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE", "OPTIONS", "PRACK"])
def test_16_requests_inside_a_call_travel_both_ways(alice: FakePhone, bob: FakePhone, method: str) -> None:
    call = establish(alice, bob)
    for sender, receiver in ((call.caller, call.callee), (call.callee, call.caller)):
        sender.request(method)
        received = receiver.expect(method)
        assert received.request_uri == receiver.phone.contact_uri
        assert len(received.all("Via")) == 2
        assert "Route" not in received
        receiver.phone.respond(received, 202, "Accepted")
        assert sender.expect(f"202 {method}").to_tag == received.to_tag


def test_12_2_2_a_request_of_no_dialog_is_481(alice: FakePhone, bob: FakePhone) -> None:
    for method in ("INVITE", "BYE", "UPDATE", "PRACK", "INFO"):
        alice.send_request(method, bob.contact_uri, to="<sip:101@192.0.2.1>;tag=nobody")
        alice.expect(f"481 {method}")
    bob.expect_nothing()


@pytest.mark.parametrize("method", ["BYE", "UPDATE", "PRACK"])
def test_15_1_2_a_request_that_needs_a_dialog_and_has_no_to_tag_is_481(
    alice: FakePhone, bob: FakePhone, method: str
) -> None:
    alice.send_request(method, "sip:101@192.0.2.1")
    alice.expect(f"481 {method}")
    bob.expect_nothing()


def test_a_wrong_tag_is_another_dialog(alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    call.caller.remote = "<sip:101@192.0.2.1>;tag=other"
    call.caller.request("BYE")
    alice.expect("481 BYE")
    bob.expect_nothing()


def test_13_2_2_4_the_ack_to_a_2xx_travels_the_dialog_with_a_via_of_ours(alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    call.caller.request("ACK")
    ack = bob.expect("ACK")
    assert ack.request_uri == bob.contact_uri
    assert len(ack.all("Via")) == 2
    assert (ack["Max-Forwards"], "Route" in ack, ack.cseq) == ("69", False, call.invite.cseq)


def test_16_11_copies_of_an_ack_are_passed_on_as_copies(alice: FakePhone, bob: FakePhone) -> None:
    """A 2xx that came twice is acknowledged twice; another ACK is another request."""
    call = establish(alice, bob)
    sent = call.caller.request("ACK")
    first = bob.expect("ACK")
    alice.inject(sent.to_bytes())
    assert bob.expect("ACK").to_bytes() == first.to_bytes()
    call.caller.request("ACK")
    assert bob.expect("ACK").all("Via")[0] != first.all("Via")[0]


def test_an_ack_without_hops_left_or_without_a_call_is_dropped(alice: FakePhone, bob: FakePhone) -> None:
    establish(alice, bob)
    alice.send_request("ACK", bob.contact_uri, to="<sip:101@h>;tag=nobody")
    bob.expect_nothing()
    alice.expect_nothing()


def test_a_subscription_between_phones_lives_without_a_call(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    subscribe = alice.send_request("SUBSCRIBE", "sip:101@192.0.2.1", headers=(("Event", "dialog"),))
    received = bob.expect("SUBSCRIBE")
    assert len(received.all("Record-Route")) == 1
    accepted = bob.respond(received, 200, "OK")
    subscriber = alice.caller_dialog(subscribe, alice.expect("200 SUBSCRIBE"))
    notifier = bob.callee_dialog(received, accepted)
    notifier.request("NOTIFY")
    notify = alice.expect("NOTIFY")
    assert (notify.request_uri, "Route" in notify) == (alice.contact_uri, False)
    alice.respond(notify, 200, "OK")
    notifier.expect("200 NOTIFY")
    subscriber.request("SUBSCRIBE")
    bob.respond(bob.expect("SUBSCRIBE"), 200, "OK")
    subscriber.expect("200 SUBSCRIBE")


def test_a_stranger_cannot_reach_a_phone_inside_a_pretended_dialog(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    stranger = FakePhone(office, alice.number, "192.0.2.66")
    stranger.send_request("NOTIFY", bob.contact_uri, to="<sip:101@192.0.2.1>;tag=x")
    stranger.expect("481 NOTIFY")
    bob.expect_nothing()


def test_a_request_of_a_phone_whose_port_changed_is_followed(alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    alice.port, alice.own = 45_000, "192.0.2.10:5060"
    call.caller.request("INFO")
    bob.respond(bob.expect("INFO"), 200, "OK")
    alice.expect("200 INFO")
    call.callee.request("INFO")
    alice.expect("INFO")


def test_a_request_from_elsewhere_does_not_divert_a_call(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    alice.host = "192.0.2.66"
    call.caller.request("INFO")
    alice.expect("481 INFO")
    bob.expect_nothing()
    alice.host = "192.0.2.10"
    call.callee.request("INFO")
    alice.expect("INFO")
