"""sip/click_to_dial.py: the server rings one number, then calls the other in its name (RFC 3725)."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import pytest

from sip.black_hole import black_hole_answer
from sip.click_to_dial import GLARE_S, DialRefused
from sip.first_leg import RING_S
from sip.ringback import DELAY_S
from sip.sdp import SessionDescription
from sip.sdp_values import Direction, SdpError
from sip.snapshots import CallSnapshot, CallState
from tests.support.bench_phone import Dialog, FakePhone
from tests.support.harness import CoreHarness, FakeEndpoint
from tests.support.rtp import media_addresses
from tests.support.sip_text import SipText


def dial(office: CoreHarness, *, auto_answer: bool = False) -> CallSnapshot:
    call = office.core.dial("100", "101", office.now, auto_answer=auto_answer)
    office.collect()
    return call


def ended(office: CoreHarness) -> tuple[str, str, str]:
    """Reason, by whom, in words; of the call that ended last, which leaves no tone."""
    assert office.relay.open_endpoints == []
    snapshot = office.ended_calls()[-1].snapshot
    return str(snapshot.termination_reason), snapshot.ended_by, snapshot.reason_text


def pick_up(alice: FakePhone) -> Dialog:
    """The first phone answers the INVITE without an offer by one of its own, and is led to the ringing tone."""
    invite = alice.expect("INVITE")
    assert invite.body == b""
    alice.respond(invite, 180)
    dialog = alice.answer(invite)
    ack = alice.expect("ACK")
    answer = SessionDescription.parse(ack.body)
    assert [(media.kind, media.direction) for media in answer.media] == [("audio", Direction.SENDRECV)]
    (endpoint,) = alice.office.relay.open_endpoints
    assert endpoint.program == "ringback"
    assert media_addresses(ack.body)[0] == ("192.0.2.1", endpoint.port)
    return dialog


def wait_for_second(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> tuple[FakeEndpoint, SipText]:
    """The first phone has picked up: its tone, and the INVITE to the second."""
    dial(office)
    pick_up(alice)
    (tone,) = office.relay.open_endpoints
    return tone, bob.expect("INVITE")


@dataclass
class Joined:
    """Both phones' halves, once they are connected."""

    caller: Dialog
    callee: Dialog


def join(alice: FakePhone, bob: FakePhone) -> None:
    """The first phone answers the offer of the second, which then gets its ACK."""
    alice.respond(alice.expect("INVITE"), 200, "OK", body=alice.sdp(version=2))
    alice.expect("ACK")
    assert bob.expect("ACK").body


def connect(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> Joined:
    dial(office)
    caller = pick_up(alice)
    callee = bob.answer(bob.expect("INVITE"))
    join(alice, bob)
    return Joined(caller, callee)


# ------------------------------------------------------------------------------------------------ the way there


def test_the_first_phone_rings_then_the_second_then_they_are_connected(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    call = dial(office)
    assert (call.from_number, call.to_number, call.state) == ("100", "101", CallState.INITIATED)
    bob.expect_nothing()
    invite = alice.expect("INVITE")
    assert '"101" <sip:101@' in invite["From"]
    assert "Call-Info" not in invite
    alice.answer(invite)
    alice.expect("ACK")

    second = bob.expect("INVITE")
    assert "sip:100@" in second["From"]
    assert second.call_id == invite.call_id == call.call_id
    bob.respond(second, 180)
    assert office.core.calls()[0].state is CallState.RINGING
    assert second.body == b""
    bob.answer(second)
    rejoin = alice.expect("INVITE")
    assert (rejoin.call_id, rejoin.cseq, rejoin["From"]) == (invite.call_id, invite.cseq + 1, invite["From"])
    (stream,) = office.relay.open_sessions
    bob.expect_nothing()
    assert media_addresses(rejoin.body)[0] == ("192.0.2.1", stream.ports[0])
    alice.respond(rejoin, 200, "OK", body=alice.sdp(version=2).replace(b"20000", b"20100"))
    alice.expect("ACK")
    assert media_addresses(bob.expect("ACK").body)[0] == ("192.0.2.1", stream.ports[1])
    assert stream.peers == {0: ("192.0.2.10", 20_100), 1: ("192.0.2.11", 20_000)}
    assert office.core.calls()[0].state is CallState.ESTABLISHED
    kinds = [kind for kind in office.events.kinds() if kind.startswith("call.")]
    assert kinds == ["call.started", "call.ringing", "call.answered"]
    office.end_calls()
    office.forget()


@pytest.mark.parametrize("by_caller", [True, False])
def test_either_phone_hangs_up(office: CoreHarness, alice: FakePhone, bob: FakePhone, by_caller: bool) -> None:
    call = connect(office, alice, bob)
    one, other, phone = (call.caller, bob, alice) if by_caller else (call.callee, alice, bob)
    one.request("BYE")
    bye = other.expect("BYE")
    half = call.callee if by_caller else call.caller
    assert (bye["From"], bye["To"]) == (half.remote, half.local)
    other.respond(bye, 200, "OK")
    answer = phone.expect("200 BYE")
    assert (answer["From"], answer["To"], answer.cseq) == (one.local, one.remote, one.cseq)
    assert ended(office)[:2] == ("normal", "caller" if by_caller else "callee")
    assert office.relay.open_sessions == []


def test_requests_inside_keep_to_the_dialog_of_each_phone(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    """Hold by the first, then by the second: tags, numbers, contacts and ACKs as each phone knows them."""
    call = connect(office, alice, bob)
    for one, phone, half, other in (
        (call.caller, alice, call.callee, bob),
        (call.callee, bob, call.caller, alice),
        (call.caller, alice, call.callee, bob),
    ):
        one.request("INVITE", phone.sdp("sendonly", version=3))
        phone.expect("100 INVITE")
        received = other.expect("INVITE")
        assert (received["From"], received["To"]) == (half.remote, half.local)
        assert received.request_uri == other.contact_uri
        other.respond(received, 200, "OK", body=other.sdp("recvonly", version=3))
        answer = phone.expect("200 INVITE")
        assert (answer["From"], answer["To"], answer.cseq) == (one.local, one.remote, one.cseq)
        if phone is alice:
            assert "192.0.2.1:5060" in answer["Contact"]  # never past the server
        one.request("ACK")
        assert other.expect("ACK").cseq == received.cseq
    numbers = [
        sent.message.cseq for sent in office.sent if sent.message.what == "INVITE" and sent.flow.remote[0] == alice.host
    ]
    assert numbers == sorted(set(numbers))
    office.end_calls()
    for phone, half in ((alice, call.caller), (bob, call.callee)):
        bye = phone.expect("BYE")
        assert (bye["From"], bye["To"]) == (half.remote, half.local)
        phone.respond(bye, 200, "OK")
    assert ended(office)[0] == "admin"


def test_a_phone_is_asked_to_answer_by_itself_only_if_that_is_wanted(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    dial(office, auto_answer=True)
    invite = alice.expect("INVITE")
    assert invite["Call-Info"].endswith(";answer-after=0")
    assert invite["Alert-Info"].endswith(";info=alert-autoanswer")
    office.end_calls()
    alice.respond(invite, 487)
    office.forget()


def test_a_phone_on_a_connection_is_rung_over_it_and_sends_what_follows_the_same_way(office: CoreHarness) -> None:
    alice = FakePhone(office, "100", "192.0.2.10", connection=7).registered()
    bob = FakePhone(office, "101", "192.0.2.11").registered()
    dial(office)
    invite = alice.expect("INVITE")
    assert (invite.request_uri, invite["Contact"]) == (alice.contact_uri, "<sip:101@192.0.2.1:5060;transport=tcp>")
    alice.answer(invite)
    alice.expect("ACK")
    bob.answer(bob.expect("INVITE"))
    join(alice, bob)
    office.end_calls()
    office.forget()


# ------------------------------------------------------------------------------------------------ how it fails


@pytest.mark.parametrize(
    ("numbers", "status"), [(("100", "999"), 404), (("99", "101"), 404), (("100", "100"), 409), (("102", "101"), 409)]
)
def test_what_can_not_be_connected_is_refused_and_leaves_nothing(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, numbers: tuple[str, str], status: int
) -> None:
    with pytest.raises(DialRefused) as refused:
        office.core.dial(*numbers, office.now, auto_answer=False)
    assert refused.value.status == status
    with pytest.raises(DialRefused):
        office.core.dial("100", "103", office.now, auto_answer=False)
    assert office.core.calls() == ()
    alice.expect_nothing()


@pytest.mark.parametrize(("status", "reason"), [(486, "busy"), (603, "rejected"), (480, "rejected")])
def test_the_first_phone_does_not_take_it(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, status: int, reason: str
) -> None:
    dial(office)
    alice.respond(alice.expect("INVITE"), status)
    alice.expect("ACK")
    bob.expect_nothing()
    assert ended(office)[:2] == (reason, "caller")
    assert "100" in ended(office)[2]


def test_the_first_phone_rings_in_vain(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    invite = alice.expect("INVITE")
    alice.respond(invite, 180)
    office.advance(RING_S + 0.1)
    alice.respond(alice.expect("CANCEL"), 200, "OK")
    alice.respond(invite, 487)
    alice.expect("ACK")
    assert ended(office) == ("noanswer", "caller", "100 rang, but nobody answered")


def test_the_first_phone_is_off(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    office.advance(33)
    assert ended(office)[0] == "unreachable"
    office.forget()


@pytest.mark.parametrize(("status", "reason"), [(486, "busy"), (603, "rejected"), (500, "error")])
def test_the_second_phone_does_not_take_it(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, status: int, reason: str
) -> None:
    dial(office)
    caller = pick_up(alice)
    bob.respond(bob.expect("INVITE"), status)
    bob.expect("ACK")
    bye = alice.expect("BYE")
    assert (bye["From"], bye["To"], bye.cseq) == (caller.remote, caller.local, 2)
    alice.respond(bye, 200, "OK")
    assert ended(office)[0] == reason
    assert office.relay.open_sessions == []


def test_the_second_phone_rings_in_vain(alice: FakePhone, bob: FakePhone, office: CoreHarness) -> None:
    dial(office)
    pick_up(alice)
    invite = bob.expect("INVITE")
    bob.respond(invite, 180)
    office.advance(180.1)
    bob.respond(bob.expect("CANCEL"), 200, "OK")
    bob.respond(invite, 487)
    bob.expect("ACK")
    alice.respond(alice.expect("BYE"), 200, "OK")
    assert ended(office)[0] == "noanswer"


def test_the_first_hangs_up_while_the_second_rings(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    caller = pick_up(alice)
    invite = bob.expect("INVITE")
    bob.respond(invite, 180)
    caller.request("BYE")
    caller.expect("200 BYE")
    bob.respond(bob.expect("CANCEL"), 200, "OK")
    bob.respond(invite, 487)
    bob.expect("ACK")
    alice.expect_nothing()
    assert ended(office) == ("cancelled", "caller", "100 hung up before 101 answered")


def test_the_first_wants_to_hold_while_the_second_rings(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    caller = pick_up(alice)
    caller.request("INVITE", alice.sdp("sendonly", version=2))
    caller.expect("491 INVITE")
    caller.request("OPTIONS")
    caller.expect("200 OPTIONS")
    office.end_calls()
    office.forget()


def test_it_is_ended_while_the_first_rings(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    invite = alice.expect("INVITE")
    alice.respond(invite, 180)
    office.end_calls()
    alice.respond(alice.expect("CANCEL"), 200, "OK")
    alice.respond(invite, 487)
    alice.expect("ACK")
    assert ended(office)[0] == "admin"


def test_it_is_ended_while_the_second_rings(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    pick_up(alice)
    invite = bob.expect("INVITE")
    bob.respond(invite, 180)
    office.end_calls()
    alice.respond(alice.expect("BYE"), 200, "OK")
    alice.expect_nothing()
    bob.respond(bob.expect("CANCEL"), 200, "OK")
    bob.respond(invite, 487)
    bob.expect("ACK")
    assert ended(office)[0] == "admin"


def test_a_phone_that_picks_up_when_it_is_too_late_is_hung_up_on(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    dial(office)
    invite = alice.expect("INVITE")
    alice.respond(invite, 180)
    office.end_calls()
    alice.expect("CANCEL")
    alice.answer(invite)
    alice.expect("ACK")
    alice.respond(alice.expect("BYE"), 200, "OK")
    bob.expect_nothing()


def test_of_two_phones_of_the_first_number_one_picks_up(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    other = FakePhone(office, "100", "192.0.2.13").registered()
    dial(office)
    invite, twin = alice.expect("INVITE"), other.expect("INVITE")
    alice.respond(invite, 180)
    other.respond(twin, 180)
    alice.answer(invite)
    alice.expect("ACK")
    cancel = other.expect("CANCEL")
    assert "Call completed elsewhere" in cancel["Reason"]
    other.answer(twin)  # crosses the CANCEL
    other.expect("ACK")
    other.respond(other.expect("BYE"), 200, "OK")
    bob.answer(bob.expect("INVITE"))
    join(alice, bob)
    office.end_calls()
    office.forget()


def test_a_200_that_comes_again_is_acknowledged_again(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    invite = alice.expect("INVITE")
    first = alice.respond(invite, 200, "OK", body=alice.sdp())
    acks = [alice.expect("ACK")]
    alice.inject(first.to_bytes())
    acks.append(alice.expect("ACK"))
    assert acks[0].body == acks[1].body
    received = bob.expect("INVITE")
    second = bob.respond(received, 200, "OK", body=bob.sdp())
    bob.inject(second.to_bytes())  # before there is anything to acknowledge it with
    bob.expect_nothing()
    rejoin = alice.expect("INVITE")
    answer = alice.respond(rejoin, 200, "OK", body=alice.sdp(version=2))
    alice.expect("ACK")
    acks = [bob.expect("ACK")]
    bob.inject(second.to_bytes())
    acks.append(bob.expect("ACK"))
    assert acks[0].body == acks[1].body != b""
    alice.inject(answer.to_bytes())
    alice.expect("ACK")
    bob.expect_nothing()
    office.end_calls()
    office.forget()


def test_a_phone_without_an_offer_is_hung_up_on(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    alice.respond(alice.expect("INVITE"), 200, "OK")
    alice.expect("ACK")
    alice.respond(alice.expect("BYE"), 200, "OK")
    bob.expect_nothing()
    assert ended(office)[0] == "error"


def test_a_reinvite_that_crosses_one_of_the_phone_is_tried_again(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    dial(office)
    pick_up(alice)
    bob.answer(bob.expect("INVITE"))
    alice.respond(alice.expect("INVITE"), 491)
    alice.expect("ACK")
    office.advance(GLARE_S)
    join(alice, bob)
    assert len(office.core.calls()) == 1
    office.end_calls()
    office.forget()


def test_a_phone_that_does_not_take_the_sound_ends_the_call(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    dial(office)
    pick_up(alice)
    bob.answer(bob.expect("INVITE"))
    alice.respond(alice.expect("INVITE"), 488)
    alice.expect("ACK")
    assert b"a=inactive" in bob.expect("ACK").body
    for phone in (alice, bob):
        phone.respond(phone.expect("BYE"), 200, "OK")
    assert ended(office) == ("error", "server", "the phone of 100 did not take the sound of 101")


def test_a_second_phone_without_an_offer_ends_the_call(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    pick_up(alice)
    bob.respond(bob.expect("INVITE"), 200, "OK")
    bob.expect("ACK")
    for phone in (alice, bob):
        phone.respond(phone.expect("BYE"), 200, "OK")
    assert ended(office) == ("error", "server", "the phone of 101 offers no sound")


def test_it_is_ended_between_the_answer_of_the_second_and_its_ack(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    dial(office)
    pick_up(alice)
    bob.answer(bob.expect("INVITE"))
    rejoin = alice.expect("INVITE")
    office.end_calls()
    bob.expect("ACK")
    bob.respond(bob.expect("BYE"), 200, "OK")
    alice.respond(rejoin, 200, "OK", body=alice.sdp(version=2))
    bye, ack = alice.expect("BYE"), alice.expect("ACK")
    assert ack.cseq == rejoin.cseq
    alice.respond(bye, 200, "OK")
    bob.expect_nothing()


def test_the_first_hangs_up_between_the_answer_of_the_second_and_its_ack(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    dial(office)
    caller = pick_up(alice)
    bob.answer(bob.expect("INVITE"))
    rejoin = alice.expect("INVITE")
    caller.request("BYE")
    bob.expect("ACK")
    bob.respond(bob.expect("BYE"), 200, "OK")
    caller.expect("200 BYE")
    alice.respond(rejoin, 487)
    alice.expect("ACK")
    assert ended(office)[:2] == ("normal", "caller")


def test_a_call_of_the_server_leaves_no_reference_cycle(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    """Cycles wait for the garbage collector, and its pauses are heard in every call."""

    def calls() -> None:
        call = connect(office, alice, bob)
        call.caller.request("BYE")
        bob.respond(bob.expect("BYE"), 200, "OK")
        alice.expect("200 BYE")
        dial(office)
        alice.respond(alice.expect("INVITE"), 486)
        alice.expect("ACK")
        dial(office)
        pick_up(alice)
        bob.respond(bob.expect("INVITE"), 486)
        alice.respond(alice.expect("BYE"), 200, "OK")
        office.advance(100)
        office.forget()

    calls()
    office.events.forget()
    gc.collect()
    gc.disable()
    try:
        calls()
        assert gc.collect() == 0
    finally:
        gc.enable()


# ------------------------------------------------------------------------------------------------ the ringing tone


def test_the_first_hears_ringing_from_the_first_ring_of_the_second_to_its_answer(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    tone, second = wait_for_second(office, alice, bob)
    assert tone.terms[-1].rtp == ("192.0.2.10", 20_000)
    assert tone.told == []
    bob.respond(second, 100)
    assert tone.told == []
    bob.respond(second, 180)
    assert tone.told == []
    office.advance(DELAY_S)
    bob.respond(second, 180)
    office.advance(DELAY_S)
    assert tone.told == ["start"]
    bob.answer(second)
    assert tone.told[-1] == "announce "
    assert office.relay.open_endpoints == [tone]
    join(alice, bob)
    assert office.relay.open_endpoints == []


def test_a_phone_that_answers_by_itself_is_joined_without_a_tone(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    tone, second = wait_for_second(office, alice, bob)
    bob.respond(second, 180)
    bob.answer(second)
    office.advance(DELAY_S)
    assert "start" not in tone.told
    join(alice, bob)


OPUS = b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n" + (
    b"m=audio 20000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n"
)
ENCRYPTED = OPUS.replace(b"RTP/AVP 96\r\na=rtpmap:96 opus/48000/2", b"RTP/SAVP 0\r\na=crypto:1 %b") % (
    b"AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
)


@pytest.mark.parametrize("offer", [OPUS, ENCRYPTED], ids=["opus", "encrypted"])
def test_a_phone_that_the_server_cannot_play_to_waits_in_silence(
    office: CoreHarness, alice: FakePhone, bob: FakePhone, offer: bytes
) -> None:
    dial(office)
    alice.respond(alice.expect("INVITE"), 200, "OK", body=offer)
    assert alice.expect("ACK").body == black_hole_answer(offer)
    assert office.relay.open_endpoints == []
    bob.answer(bob.expect("INVITE"))
    join(alice, bob)


def test_without_a_free_port_the_first_waits_in_silence(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    office.relay.free = 0
    dial(office)
    dialog = alice.answer(alice.expect("INVITE"))
    assert b"a=inactive" in alice.expect("ACK").body
    bob.expect("INVITE")
    dialog.request("BYE")
    assert ended(office)[1] == "caller"


def test_the_tone_ends_when_the_first_hangs_up(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    dial(office)
    dialog = pick_up(alice)
    bob.respond(bob.expect("INVITE"), 180)
    dialog.request("BYE")
    assert office.relay.open_endpoints == []


# ------------------------------------------------------------------------------------------------ the black hole


def test_an_answer_that_holds_the_sound_keeps_the_formats_and_rejects_the_rest() -> None:
    offer = (
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
        b"m=video 4000 RTP/AVP 34\r\n"
        b"m=audio 4002 RTP/AVP 96 0\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=ptime:20\r\n"
        b"m=audio 4004 RTP/AVP 0\r\n"
    )
    answer = black_hole_answer(offer)
    described = SessionDescription.parse(answer)
    assert [(media.kind, media.is_rejected, media.direction) for media in described.media] == [
        ("video", True, Direction.SENDRECV),
        ("audio", False, Direction.INACTIVE),
        ("audio", True, Direction.SENDRECV),
    ]
    assert b"m=audio 9 RTP/AVP 96 0\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=inactive" in answer


def test_no_key_is_made_up_for_sound_that_is_to_be_encrypted() -> None:
    offer = (
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
        b"m=audio 4002 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"
    )
    (media,) = SessionDescription.parse(black_hole_answer(offer)).media
    assert (media.is_rejected, media.protocol) == (True, "RTP/SAVP")


@pytest.mark.parametrize("offer", [b"", b"nonsense", b"v=0\r\nm=audio x RTP/AVP 0\r\n"])
def test_a_broken_offer_is_none(offer: bytes) -> None:
    with pytest.raises(SdpError):
        black_hole_answer(offer)
