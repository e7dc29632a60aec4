"""One number, several phones: all ring, the best answer wins, the others are told why it stopped (RFC 3261 16.7)."""

from __future__ import annotations

from tests.support.office import Office, eventually


def test_both_phones_ring_and_the_loser_is_told_why_it_stops(office: Office) -> None:
    alice, desk, mobile = office.phones("100", "101", "101")
    call = alice.call("101")
    desk_ring, mobile_ring = desk.expect_call(), mobile.expect_call()
    desk_ring.ring()
    mobile_ring.ring()
    call.wait_ringing()

    mobile_ring.answer()

    assert call.wait_answered().to_tag == mobile_ring.request.tag
    cancel = desk_ring.wait_ended()
    assert cancel.method == "CANCEL"
    assert cancel["Reason"].startswith("SIP")
    assert "cause=200" in cancel["Reason"]
    assert "elsewhere" in cancel["Reason"]
    assert desk_ring.request.wait_ack().to_tag == desk_ring.request.tag
    assert office.only_call()["toAddress"] == mobile.address
    packets = call.media.make_packets(5)
    call.media.send(*packets)
    assert [mobile_ring.media.receive() for _ in packets] == packets


def test_the_ports_of_the_loser_are_free_again(office: Office) -> None:
    alice, desk, mobile = office.phones("100", "101", "101")
    call = alice.call("101")
    desk_ring, mobile_ring = desk.expect_call(), mobile.expect_call()
    desk_ring.progress()
    call.wait_progress()
    assert len(office.open_streams()) == 4

    mobile_ring.answer()
    call.wait_answered()
    desk_ring.request.wait_ack()

    eventually(lambda: len(office.open_streams()) == 2, "two directions of one stream")


def test_one_busy_phone_lets_the_other_ring_on(office: Office) -> None:
    alice, desk, mobile = office.phones("100", "101", "101")
    call = alice.call("101")
    mobile_ring = mobile.expect_call()
    desk.expect_call().reject(486)

    mobile_ring.answer()

    assert call.wait_answered().to_tag == mobile_ring.request.tag


def test_16_7_step_6_the_best_refusal_is_the_answer(office: Office) -> None:
    alice, desk, mobile = office.phones("100", "101", "101")
    call = alice.call("101")
    desk_ring, mobile_ring = desk.expect_call(), mobile.expect_call()

    desk_ring.reject(503)
    mobile_ring.reject(486)

    assert call.wait_rejected().status == 486
    assert office.last_ended()["terminationReason"] == "busy"


def test_a_decline_for_everybody_stops_the_other_phone(office: Office) -> None:
    alice, desk, mobile = office.phones("100", "101", "101")
    call = alice.call("101")
    desk_ring, mobile_ring = desk.expect_call(), mobile.expect_call()
    desk_ring.ring()

    mobile_ring.reject(603)

    assert desk_ring.wait_ended().method == "CANCEL"
    assert call.wait_rejected().status == 603


def test_the_caller_cancels_both(office: Office) -> None:
    alice, desk, mobile = office.phones("100", "101", "101")
    call = alice.call("101")
    rings = [desk.expect_call(), mobile.expect_call()]
    for ring in rings:
        ring.ring()
    call.wait_ringing()

    assert call.cancel().status == 487

    assert [ring.wait_ended().method for ring in rings] == ["CANCEL", "CANCEL"]
    assert office.open_streams() == []


def test_early_media_of_two_phones_do_not_mix(office: Office) -> None:
    """Each fork has a relay stream of its own, so the caller can tell them apart by the port."""
    alice, desk, mobile = office.phones("100", "101", "101")
    call = alice.call("101")
    desk_ring, mobile_ring = desk.expect_call(), mobile.expect_call()
    desk_ring.progress()
    from_desk = call.wait_progress()
    mobile_ring.progress()
    from_mobile = alice.wait(
        lambda: next((each for each in call.invite.responses if each.to_tag == mobile_ring.request.tag), None),
        "183 of the other phone",
    )

    assert from_desk.body != from_mobile.body
    packet, other = desk_ring.media.make_packets(1)[0], mobile_ring.media.make_packets(1)[0]
    desk_ring.media.send(packet)
    assert call.media.receive() == packet
    mobile_ring.media.send(other)
    assert call.media.receive() == other


def test_a_second_answer_reaches_the_caller_who_hangs_it_up(office: Office) -> None:
    """Both phones answer before the CANCEL arrives: every 2xx is forwarded (16.7 step 5)."""
    alice, desk, mobile = office.phones("100", "101", "101")
    desk.automatic.discard("CANCEL")
    call = alice.call("101")
    desk_ring, mobile_ring = desk.expect_call(), mobile.expect_call()

    mobile_ring.answer()
    assert call.wait_answered().to_tag == mobile_ring.request.tag
    desk_ring.send_answer()

    assert desk_ring.wait_ended().method == "BYE"
    assert desk_ring.wait_ack().to_tag == desk_ring.request.tag
    packets = call.media.make_packets(3)
    call.media.send(*packets)
    assert [mobile_ring.media.receive() for _ in packets] == packets
    assert call.hang_up().status == 200
    assert mobile_ring.wait_ended().method == "BYE"
    assert office.last_ended()["terminationReason"] == "normal"
    assert office.open_streams() == []
