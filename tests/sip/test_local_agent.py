"""sip/local_agent.py: the server as the phone that is called (RFC 3261 12 to 15, RFC 3264, RFC 4028)."""

from __future__ import annotations

import pytest

from sip.local_agent import RINGING_S
from sip.service_numbers import MAX_AT_ONCE, MAX_PER_CALLER
from sip.snapshots import CallState
from tests.support.bench_phone import Dialog, FakePhone
from tests.support.harness import CoreHarness
from tests.support.rtp import media_addresses, media_direction
from tests.support.sip_text import SipText

ECHO = "*43"


def dial(
    office: CoreHarness, phone: FakePhone, body: bytes | None = None, number: str = ECHO
) -> tuple[Dialog, SipText]:
    """The server answers, and the phone has not acknowledged yet."""
    invite = phone.invite(number, body)
    phone.expect("180 INVITE")
    office.advance(RINGING_S)
    answer = phone.expect("200 INVITE")
    return phone.caller_dialog(invite, answer), answer


def connect(office: CoreHarness, phone: FakePhone, number: str = ECHO) -> Dialog:
    """An acknowledged call."""
    dialog, _ = dial(office, phone, number=number)
    dialog.request("ACK")
    return dialog


def end(dialog: Dialog) -> None:
    dialog.request("BYE")
    dialog.expect("200 BYE")


def ended(office: CoreHarness) -> tuple[str, int, str]:
    snapshot = office.ended_calls()[-1].snapshot
    return str(snapshot.termination_reason), snapshot.status, snapshot.ended_by


# ------------------------------------------------------------------------------------------------ a plain call


def test_a_call_rings_is_answered_and_looks_like_any_other(office: CoreHarness, alice: FakePhone) -> None:
    invite = alice.invite(ECHO)
    ringing = alice.expect("180 INVITE")
    (call,) = office.core.calls()
    assert (call.state, call.from_number, call.to_number) == (CallState.RINGING, "100", ECHO)
    assert (call.from_address, call.to_address) == ("192.0.2.10:5060", "192.0.2.1:5060")
    office.advance(RINGING_S)
    answer = alice.expect("200 INVITE")
    assert answer["To"] == ringing["To"]
    assert answer["Contact"] == ringing["Contact"] == "<sip:*43@192.0.2.1:5060>"
    (endpoint,) = office.relay.open_endpoints
    assert media_addresses(answer.body)[0] == ("192.0.2.1", endpoint.port)
    assert endpoint.told == []
    dialog = alice.caller_dialog(invite, answer)
    dialog.request("ACK")
    assert endpoint.told == ["start"]
    assert office.core.calls()[0].state is CallState.ESTABLISHED
    end(dialog)
    assert ended(office) == ("normal", 200, "caller")
    assert [(each.kind, each.side) for each in office.recorder.streams[-1]] == [("audio", 0), ("audio", 1)]
    assert office.core.call_totals().completed == 1


@pytest.mark.parametrize("uri", ["sip:%2A43@192.0.2.1", "sip:*43;phone-context=office@192.0.2.1", "tel:*43"])
def test_the_number_is_understood_however_the_phone_writes_it(office: CoreHarness, alice: FakePhone, uri: str) -> None:
    alice.send_request("INVITE", uri, body=alice.sdp())
    alice.expect("100 INVITE")
    alice.expect("180 INVITE")
    assert office.core.calls()[0].to_number == ECHO
    office.end_calls()
    office.forget()


def test_a_phone_over_tcp_is_told_to_come_back_over_tcp(office: CoreHarness) -> None:
    phone = FakePhone(office, "100", "192.0.2.10", connection=7).registered()
    dialog, answer = dial(office, phone)
    assert answer["Contact"] == "<sip:*43@192.0.2.1:5060;transport=tcp>"
    dialog.request("ACK")
    end(dialog)


def test_12_1_1_the_record_route_is_the_route_set(office: CoreHarness, alice: FakePhone) -> None:
    routes = ("<sip:one.example;lr>", "<sip:two.example;lr>")
    invite = alice.invite(ECHO, headers=tuple(("Record-Route", route) for route in routes))
    alice.expect("180 INVITE")
    office.advance(RINGING_S)
    answer = alice.expect("200 INVITE")
    assert answer.all("Record-Route") == list(routes)
    alice.caller_dialog(invite, answer).request("ACK")
    office.end_calls()
    bye = alice.expect("BYE")
    assert bye.all("Route") == list(routes)
    assert bye["From"] == answer["To"]
    alice.respond(bye, 200)


def test_a_stranger_may_not_call(office: CoreHarness) -> None:
    stranger = FakePhone(office, "100", "192.0.2.99")
    stranger.send_request("INVITE", "sip:*43@192.0.2.1", body=stranger.sdp())
    stranger.expect("403 INVITE")
    assert office.relay.opened == 0


# ------------------------------------------------------------------------------------------------ 13.3.1.4: no ACK


def test_13_3_1_4_the_answer_is_repeated_until_the_ack(office: CoreHarness, alice: FakePhone) -> None:
    dialog, answer = dial(office, alice)
    times = []
    for wait in (0.5, 1.0, 2.0, 4.0, 4.0):
        office.advance(wait - 0.01)
        alice.expect_nothing()
        office.advance(0.01)
        copy = alice.expect_sent("200 INVITE")
        assert copy.message.to_bytes() == answer.to_bytes()
        times.append(copy.at)
    dialog.request("ACK")
    office.advance(20)
    alice.expect_nothing()
    end(dialog)


def test_13_3_1_4_without_an_ack_the_call_ends_after_64_t1(office: CoreHarness, alice: FakePhone) -> None:
    dial(office, alice)
    office.advance(31.9)
    assert office.core.calls()
    office.forget()
    office.advance(0.2)
    bye = alice.expect("BYE")
    alice.respond(bye, 200)
    assert ended(office)[0] == "timeout"
    office.advance(60)
    facts = {entry.fact for entry in office.ended_calls()[-1].entries}
    assert "answer-not-acknowledged" in facts
    assert office.relay.open_endpoints == []


def test_an_ack_from_elsewhere_starts_nothing(office: CoreHarness, alice: FakePhone) -> None:
    dialog, _ = dial(office, alice)
    (endpoint,) = office.relay.open_endpoints
    forger = FakePhone(office, "100", "192.0.2.66")
    Dialog(forger, dialog.call_id, dialog.local, dialog.remote, dialog.target, [], dialog.cseq).request("ACK")
    assert endpoint.told == []
    dialog.request("ACK")
    end(dialog)


# ------------------------------------------------------------------------------------------------ the end


def test_9_2_cancel_while_it_rings(office: CoreHarness, alice: FakePhone) -> None:
    invite = alice.invite(ECHO)
    alice.expect("180 INVITE")
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    alice.ack_failure(invite, alice.expect("487 INVITE"))
    assert ended(office) == ("cancelled", 487, "caller")
    assert office.relay.open_endpoints == []


def test_9_2_a_cancel_that_comes_too_late_changes_nothing(office: CoreHarness, alice: FakePhone) -> None:
    invite = alice.invite(ECHO)
    alice.expect("180 INVITE")
    office.advance(RINGING_S)
    answer = alice.expect("200 INVITE")
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    dialog = alice.caller_dialog(invite, answer)
    dialog.request("ACK")
    end(dialog)


def test_15_1_2_bye_while_it_rings(office: CoreHarness, alice: FakePhone) -> None:
    invite = alice.invite(ECHO)
    dialog = alice.caller_dialog(invite, alice.expect("180 INVITE"))
    dialog.request("BYE")
    alice.ack_failure(invite, alice.expect("487 INVITE"))
    alice.expect("200 BYE")
    assert ended(office)[0] == "cancelled"


def test_the_administrator_hangs_up(office: CoreHarness, alice: FakePhone) -> None:
    dialog = connect(office, alice)
    office.end_calls()
    bye = dialog.expect("BYE")
    assert bye["To"] == dialog.local
    assert "shutting down" in bye["Reason"]
    alice.respond(bye, 200)
    assert ended(office) == ("admin", 200, "server")


def test_silence_ends_the_call(office: CoreHarness, alice: FakePhone) -> None:
    connect(office, alice)
    office.advance(60)
    alice.respond(alice.expect("BYE"), 200)
    assert ended(office)[0] == "media-timeout"


def test_a_bye_that_crosses_ours_is_answered_and_anything_else_is_not_known(
    office: CoreHarness, alice: FakePhone
) -> None:
    dialog = connect(office, alice)
    office.end_calls()
    alice.respond(alice.expect("BYE"), 200)
    end(dialog)
    invite = dialog.request("INVITE", alice.sdp())
    alice.ack_failure(invite, alice.expect("481 INVITE"))


# ------------------------------------------------------------------------------------------------ re-INVITE, UPDATE


def test_hold_and_resume_by_re_invite(office: CoreHarness, alice: FakePhone) -> None:
    dialog = connect(office, alice)
    (endpoint,) = office.relay.open_endpoints
    for direction, answered, may_send in (
        ("sendonly", "recvonly", False),
        ("inactive", "inactive", False),
        ("recvonly", "sendonly", True),
        ("sendrecv", "sendrecv", True),
    ):
        dialog.request("INVITE", alice.sdp(direction, 2))
        answer = alice.expect("200 INVITE")
        assert media_direction(answer.body) == answered
        assert endpoint.terms[-1].may_send is may_send
        dialog.request("ACK")
    assert endpoint.told == ["start"]
    end(dialog)


def test_a_held_call_may_be_silent(office: CoreHarness, alice: FakePhone) -> None:
    dialog = connect(office, alice)
    dialog.request("INVITE", alice.sdp("sendonly", 2))
    alice.expect("200 INVITE")
    dialog.request("ACK")
    office.advance(200)
    assert office.core.calls()
    end(dialog)


def test_hold_by_update(office: CoreHarness, alice: FakePhone) -> None:
    dialog = connect(office, alice)
    dialog.request("UPDATE", alice.sdp("sendonly", 2))
    answer = alice.expect("200 UPDATE")
    assert media_direction(answer.body) == "recvonly"
    assert "the caller has put the call on hold" in office.journal()
    end(dialog)


def test_what_was_negotiated_is_described_like_that_of_any_call(office: CoreHarness, alice: FakePhone) -> None:
    dialog = connect(office, alice)
    end(dialog)
    office.advance(60)
    (trace,) = office.recorder.traces.values()
    (stream,) = trace.describe()
    assert stream.caller is not None
    assert stream.callee is not None
    assert stream.caller.codecs == ("PCMU", "PCMA", "telephone-event")
    assert stream.callee.codecs == ("PCMU", "telephone-event")
    assert stream.callee.address.startswith("192.0.2.1:")


def test_a_description_that_can_not_be_served_leaves_the_session_as_it_was(
    office: CoreHarness, alice: FakePhone
) -> None:
    dialog = connect(office, alice)
    (endpoint,) = office.relay.open_endpoints
    dialog.request("UPDATE", alice.sdp().replace(b"RTP/AVP 0 8 101", b"RTP/AVP 96"))
    alice.expect("488 UPDATE")
    assert len(endpoint.terms) == 1
    end(dialog)


def test_rfc3264_8_the_version_counts_up_only_when_something_changes(office: CoreHarness, alice: FakePhone) -> None:
    dialog, first = dial(office, alice)
    dialog.request("ACK")
    dialog.request("UPDATE", alice.sdp())
    assert alice.expect("200 UPDATE").body == first.body
    dialog.request("UPDATE", alice.sdp("sendonly", 2))
    held = alice.expect("200 UPDATE").body
    assert origin_version(held) == origin_version(first.body) + 1
    end(dialog)


def origin_version(sdp: bytes) -> int:
    return int(sdp.split(b"o=", 1)[1].split()[2])


def test_14_2_a_re_invite_before_the_answer_has_to_wait(office: CoreHarness, alice: FakePhone) -> None:
    invite = alice.invite(ECHO)
    dialog = alice.caller_dialog(invite, alice.expect("180 INVITE"))
    dialog.request("UPDATE", alice.sdp("sendonly", 2))
    assert alice.expect("500 UPDATE")["Retry-After"]
    office.end_calls()
    office.forget()


def test_14_2_a_re_invite_before_the_ack_is_refused_and_costs_nothing(office: CoreHarness, alice: FakePhone) -> None:
    dialog, _ = dial(office, alice)
    for _ in range(3):
        invite = dialog.request("INVITE", alice.sdp("sendonly", 2))
        alice.ack_failure(invite, alice.expect("491 INVITE"))
    dialog.cseq -= 3
    dialog.request("ACK")
    dialog.cseq += 3
    dialog.request("INVITE", alice.sdp("sendonly", 2))
    alice.expect("200 INVITE")
    dialog.request("ACK")
    end(dialog)


def test_a_server_that_says_what_it_is_says_it_here_too() -> None:
    office = CoreHarness(server_header="office")
    alice = FakePhone(office, "100", "192.0.2.10").registered()
    dialog, answer = dial(office, alice)
    assert answer["Server"] == "office"
    dialog.request("ACK")
    end(dialog)
    office.assert_clean()


def test_12_2_2_a_request_out_of_order_is_refused(office: CoreHarness, alice: FakePhone) -> None:
    dialog = connect(office, alice)
    dialog.request("OPTIONS")
    alice.expect("200 OPTIONS")
    dialog.cseq -= 2
    dialog.request("OPTIONS")
    alice.expect("500 OPTIONS")
    dialog.cseq += 2
    end(dialog)


# ------------------------------------------------------------------------------------------------ offer in the answer


def test_13_2_1_an_invite_without_an_offer_gets_one(office: CoreHarness, alice: FakePhone) -> None:
    dialog, answer = dial(office, alice, b"")
    (endpoint,) = office.relay.open_endpoints
    assert b"m=audio %d RTP/AVP 0 8 101" % endpoint.port in answer.body
    assert endpoint.terms == []
    dialog.request("UPDATE", alice.sdp())
    alice.expect("491 UPDATE")
    dialog.cseq -= 1
    dialog.request("ACK", alice.sdp().replace(b"AVP 0 8 101", b"AVP 8 101"))
    assert (endpoint.terms[-1].payload_type, endpoint.terms[-1].is_a_law) == (8, True)
    assert endpoint.told == ["start"]
    dialog.cseq += 1
    end(dialog)


@pytest.mark.parametrize("answer", [b"", b"v=0\r\nm=audio 0 RTP/AVP 0\r\n"])
def test_an_ack_without_a_usable_answer_ends_the_call(office: CoreHarness, alice: FakePhone, answer: bytes) -> None:
    dialog, _ = dial(office, alice, b"")
    dialog.request("ACK", answer)
    alice.respond(alice.expect("BYE"), 200)
    assert ended(office)[0] == "error"


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        (b"RTP/AVP 0 8 101", b"RTP/AVP 9 101", "305"),
        (b"RTP/AVP 0 8 101", b"RTP/SAVP 0 8 101", "302"),
        (b"m=audio", b"m=video", "304"),
        (b"m=audio 20000", b"m=audio 0", "304"),
    ],
)
def test_an_offer_without_plain_g711_is_refused_with_the_reason(
    office: CoreHarness, alice: FakePhone, old: bytes, new: bytes, warning: str
) -> None:
    invite = alice.invite(ECHO, alice.sdp().replace(old, new))
    refusal = alice.expect("488 INVITE")
    assert refusal["Warning"].startswith(f'{warning} 192.0.2.1:5060 "')
    alice.ack_failure(invite, refusal)
    assert ended(office) == ("rejected", 488, "server")
    assert office.relay.open_endpoints == []


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (420, (("Require", "something"),), None),
        (415, (("Content-Type", "application/xml"),), b"<offer/>"),
        (415, (("Content-Encoding", "gzip"),), None),
        (400, (), b"v=0\r\nm=audio\r\n"),
        (422, (("Session-Expires", "60"), ("Supported", "timer")), None),
    ],
)
def test_what_the_server_does_not_understand_is_refused(
    office: CoreHarness, alice: FakePhone, status: int, headers: tuple[tuple[str, str], ...], body: bytes | None
) -> None:
    invite = alice.invite(ECHO, body, headers)
    alice.ack_failure(invite, alice.expect(f"{status} INVITE"))
    assert office.relay.open_endpoints == []


def test_no_ports_left(office: CoreHarness, alice: FakePhone) -> None:
    office.relay.free = 0
    invite = alice.invite(ECHO)
    alice.ack_failure(invite, alice.expect("503 INVITE"))
    assert ended(office)[0] == "error"


def test_drained_means_no_test_calls_either(office: CoreHarness, alice: FakePhone) -> None:
    office.core.drain()
    alice.send_request("INVITE", "sip:*43@192.0.2.1", body=alice.sdp())
    alice.expect("503 INVITE")
    office.forget()


def test_calls_at_once_are_bounded(office: CoreHarness) -> None:
    phones = [FakePhone(office, str(100 + index), f"192.0.2.{10 + index}").registered() for index in range(6)]
    for phone in phones[: MAX_AT_ONCE // MAX_PER_CALLER]:
        for _ in range(MAX_PER_CALLER):
            phone.invite(ECHO)
            phone.expect("180 INVITE")
    phones[0].invite(ECHO)
    phones[0].expect("486 INVITE")
    phones[-1].invite(ECHO)
    phones[-1].expect("486 INVITE")
    assert len(office.relay.open_endpoints) == MAX_AT_ONCE
    office.end_calls()
    office.forget()


def test_rfc3262_a_phone_that_requires_reliable_ringing_gets_none(office: CoreHarness, alice: FakePhone) -> None:
    invite = alice.invite(ECHO, headers=(("Require", "100rel"),))
    alice.expect_nothing()
    office.advance(RINGING_S)
    dialog = alice.caller_dialog(invite, alice.expect("200 INVITE"))
    dialog.request("ACK")
    end(dialog)


# ------------------------------------------------------------------------------------------------ the other methods


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 200), ("MESSAGE", 405), ("REFER", 405)])
def test_requests_outside_a_dialog(office: CoreHarness, alice: FakePhone, method: str, status: int) -> None:
    alice.send_request(method, "sip:*43@192.0.2.1", headers=(("Refer-To", "<sip:101@192.0.2.1>"),))
    assert "INVITE" in alice.expect(f"{status} {method}")["Allow"]
    office.advance(40)


@pytest.mark.parametrize(
    ("content_type", "body", "status", "told"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", 200, ["press 5"]),
        ("application/dtmf-relay", b"Signal= *\nDuration= 160", 200, ["press *"]),
        ("application/dtmf", b"d", 200, ["press D"]),
        ("application/dtmf-relay", b"Signal=11\r\nDuration=250", 200, ["press #"]),
        ("application/dtmf-relay", b"Signal=seven", 400, []),
        ("text/plain", b"5", 415, []),
        ("", b"", 200, []),
    ],
)
def test_keys_told_by_info(
    office: CoreHarness, alice: FakePhone, content_type: str, body: bytes, status: int, told: list[str]
) -> None:
    dialog = connect(office, alice)
    (endpoint,) = office.relay.open_endpoints
    dialog.request("INFO", body, (("Content-Type", content_type),) if body else ())
    alice.expect(f"{status} INFO")
    assert endpoint.told == ["start", *told]
    end(dialog)


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 200), ("PRACK", 481), ("REFER", 405), ("MESSAGE", 405)])
def test_requests_inside_the_dialog(office: CoreHarness, alice: FakePhone, method: str, status: int) -> None:
    dialog = connect(office, alice)
    dialog.request(method)
    alice.expect(f"{status} {method}")
    end(dialog)


def test_nobody_speaks_for_the_server(office: CoreHarness, alice: FakePhone) -> None:
    """A request with the tags turned round, from the server's own address."""
    dialog = connect(office, alice)
    forger = FakePhone(office, ECHO, "192.0.2.1")
    Dialog(forger, dialog.call_id, dialog.remote, dialog.local, alice.contact_uri, [], 1).request("BYE")
    forger.expect("481 BYE")
    alice.expect_nothing()
    end(dialog)


# ------------------------------------------------------------------------------------------------ session timer


def timed(
    office: CoreHarness, phone: FakePhone, expires: str, *, allow: str = "INVITE, UPDATE"
) -> tuple[Dialog, SipText]:
    headers = (("Session-Expires", expires), ("Supported", "timer"), ("Allow", allow))
    invite = phone.invite(ECHO, headers=headers)
    phone.expect("180 INVITE")
    office.advance(RINGING_S)
    answer = phone.expect("200 INVITE")
    dialog = phone.caller_dialog(invite, answer)
    dialog.request("ACK")
    office.relay.open_endpoints[0].packet_at = office.now + 10_000
    return dialog, answer


def test_rfc4028_9_the_phone_refreshes_if_it_says_nothing_else(office: CoreHarness, alice: FakePhone) -> None:
    dialog, answer = timed(office, alice, "120")
    assert answer["Session-Expires"] == "120;refresher=uac"
    assert answer["Require"] == "timer"
    office.advance(100)
    dialog.request("UPDATE", headers=(("Session-Expires", "120;refresher=uac"), ("Supported", "timer")))
    assert alice.expect("200 UPDATE")["Session-Expires"] == "120;refresher=uac"
    office.advance(151)
    assert office.core.calls()
    office.advance(2)
    alice.respond(alice.expect("BYE"), 200)
    assert ended(office)[0] == "timeout"


def test_rfc4028_10_the_server_refreshes_at_half_the_interval(office: CoreHarness, alice: FakePhone) -> None:
    dialog, answer = timed(office, alice, "120;refresher=uas")
    assert answer["Session-Expires"] == "120;refresher=uas"
    for _ in range(3):
        office.advance(60)
        update = alice.expect("UPDATE")
        assert update["From"] == dialog.remote
        assert update["Session-Expires"] == "120;refresher=uac"
        assert update["Contact"] == answer["Contact"]
        assert update.body == b""
        alice.respond(update, 200, headers=(("Session-Expires", "120;refresher=uac"),))
    assert office.core.calls()
    end(dialog)


def test_a_phone_that_has_forgotten_the_call_ends_it(office: CoreHarness, alice: FakePhone) -> None:
    timed(office, alice, "120;refresher=uas")
    office.advance(60)
    alice.respond(alice.expect("UPDATE"), 481)
    alice.respond(alice.expect("BYE"), 481)
    assert ended(office)[0] == "timeout"


def test_a_phone_that_takes_no_update_gets_no_session_timer(office: CoreHarness, alice: FakePhone) -> None:
    dialog, answer = timed(office, alice, "120;refresher=uas", allow="INVITE")
    assert "Session-Expires" not in dict(answer.headers)
    end(dialog)
