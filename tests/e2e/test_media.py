"""Sound through the relay: bit by bit, both ways, through holds, moves and early media (RFC 3550, RFC 3264)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.office import Office, eventually
from tests.support.phone_call import PhoneCall
from tests.support.rtp import (
    MediaPort,
    RtpPacket,
    free_media_range,
    media_direction,
    receiver_report,
    session_description,
)


def talk(sender: PhoneCall, listener: PhoneCall, count: int = 5) -> None:
    """Packets sent arrive as they were sent."""
    packets = sender.media.make_packets(count)
    sender.media.send(*packets)
    assert [listener.media.receive() for _ in packets] == packets


def test_packets_pass_both_ways_bit_by_bit(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)

    talk(call, ring, 50)
    talk(ring, call, 50)


def test_each_side_sees_only_the_relay(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)

    ports = {call.media.port, ring.media.port}
    assert call.media.remote is not None
    assert ring.media.remote is not None
    assert call.media.remote[1] not in ports
    assert ring.media.remote[1] not in ports
    assert call.media.remote[1] % 2 == ring.media.remote[1] % 2 == 0
    assert call.media.remote != ring.media.remote


def test_unusual_packets_pass_untouched(office: Office) -> None:
    """Comfort noise, DTMF, an empty payload, a wrapped sequence number, another SSRC."""
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    packets = [
        RtpPacket(13, 65_535, 0xFFFFFFFF, 1, b"\x7f"),
        RtpPacket(101, 0, 0, 1, bytes.fromhex("058a00a0")),
        RtpPacket(0, 1, 160, 1, b""),
        RtpPacket(111, 40_000, 5, 0xFFFFFFFF, bytes(range(256)) * 4),
    ]

    call.media.send(*(packet.to_bytes() for packet in packets))

    assert [RtpPacket.parse(ring.media.receive()) for _ in packets] == packets


def test_rtcp_passes_both_ways(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    talk(call, ring)
    talk(ring, call)

    for sender, listener in ((call, ring), (ring, call)):
        report = receiver_report(sender.media.ssrc)
        sender.media.send_rtcp(report)
        assert listener.media.receive_rtcp() == report


def test_the_api_counts_the_packets_of_each_direction(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    talk(call, ring, 20)
    talk(ring, call, 10)

    def streams() -> dict[str, dict[str, object]]:
        return {each["sender"]: each for each in office.open_streams()}

    eventually(lambda: streams()["caller"]["packets"] == 20, "20 packets of the caller")
    eventually(lambda: streams()["callee"]["packets"] == 10, "10 packets of the callee")
    stream = streams()["caller"]
    assert (stream["callId"], stream["kind"], stream["codec"]) == (call.call_id, "audio", "PCMU")
    assert (stream["fromAddress"], stream["fromPort"]) == ("127.0.0.1", call.media.port)
    assert (stream["toAddress"], stream["toPort"]) == ("127.0.0.1", ring.media.port)
    assert call.media.remote is not None
    assert stream["relayPort"] == call.media.remote[1]
    assert stream["lost"] == 0
    assert stream["lastPacketAt"]


def test_lost_packets_are_counted(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    packets = call.media.make_packets(10)
    arriving = packets[:4] + packets[6:]

    call.media.send(*arriving)

    assert [ring.media.receive() for _ in arriving] == arriving
    eventually(lambda: sum(each["lost"] for each in office.open_streams()) == 2, "two lost packets")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"], ids=["same host", "other host"])
def test_packets_of_a_stranger_reach_nobody_and_divert_nothing(office: Office, host: str) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    talk(call, ring)
    talk(ring, call)
    stranger = MediaPort(host)
    try:
        stranger.remote = call.media.remote
        stranger.send(*stranger.make_packets(20))

        talk(call, ring)
        talk(ring, call)
    finally:
        stranger.close()
    eventually(lambda: sum(each["rejected"] for each in office.open_streams()) == 20, "20 rejected packets")


def test_early_media_is_heard_before_the_answer(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    ring = bob.expect_call()

    ring.progress()
    call.wait_progress()
    talk(ring, call)
    assert office.only_call()["state"] == "RINGING"

    ring.answer()
    call.wait_answered()
    talk(ring, call)
    talk(call, ring)


def test_early_media_of_a_call_that_fails_leaves_no_port_open(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    ring = bob.expect_call()
    ring.progress()
    call.wait_progress()
    talk(ring, call)

    ring.reject(486)

    call.wait_rejected()
    assert office.open_streams() == []


def test_late_offer(office: Office) -> None:
    """INVITE without SDP, offer in the 200, answer in the ACK (RFC 3261 13.2.1)."""
    alice, bob = office.phones("100", "101")
    call = alice.call("101", offer=False)
    ring = bob.expect_call()
    assert ring.invite.body == b""

    ack = ring.answer()
    call.wait_answered()

    assert b"m=audio" in ack.body
    assert str(call.media.port).encode() not in ack.body
    talk(call, ring)
    talk(ring, call)


def test_hold_and_resume(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    talk(call, ring)

    response = call.hold()
    assert media_direction(ring.remote_sdp) == "sendonly"
    assert media_direction(response.body) == "recvonly"
    assert office.only_call()["state"] == "ESTABLISHED"

    assert call.resume().status == 200
    assert media_direction(ring.remote_sdp) == "sendrecv"
    talk(call, ring)
    talk(ring, call)


def test_the_callee_holds(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)

    assert ring.hold().status == 200
    assert media_direction(call.remote_sdp) == "sendonly"
    talk(ring, call)
    assert ring.resume().status == 200
    talk(call, ring)


def test_a_phone_moves_its_media_to_another_port(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    talk(call, ring)
    relay_port = ring.media.remote

    assert call.move_media().status == 200

    talk(call, ring)
    talk(ring, call)
    assert ring.media.remote == relay_port, "the other side need not move"


def test_14_1_a_refused_reinvite_leaves_the_sound_as_it_was(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    talk(call, ring)
    talk(ring, call)
    bob.automatic.discard("INVITE")
    elsewhere = MediaPort()
    offer = session_description(elsewhere.host, elsewhere.port)
    elsewhere.close()

    sent = call.send("INVITE", body=offer)
    ring.expect("INVITE").respond(488)

    assert sent.wait_final().status == 488
    talk(call, ring)
    talk(ring, call)
    assert len(office.open_streams()) == 2


def test_a_call_without_any_sound_is_ended_on_both_sides(start_office: Callable[..., Office]) -> None:
    office = start_office(media_timeout=0.3)
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)

    assert call.wait_ended().method == "BYE"
    assert ring.wait_ended().method == "BYE"
    assert office.last_ended()["terminationReason"] == "media-timeout"
    assert office.open_streams() == []


def test_a_call_on_hold_may_be_silent(start_office: Callable[..., Office]) -> None:
    """The younger call, which is not on hold, shows that the time is over."""
    office = start_office(media_timeout=0.3)
    alice, bob, carol, dave = office.phones("100", "101", "102", "103")
    held, _ = office.connect(alice, bob)
    assert held.hold().status == 200
    silent, _ = office.connect(carol, dave)

    silent.wait_ended()

    assert office.only_call()["callId"] == held.call_id
    assert held.ended_by is None


def test_without_free_ports_a_call_is_refused_and_the_next_one_works(start_office: Callable[..., Office]) -> None:
    first_port = free_media_range(4)
    office = start_office(rtp_port=first_port, rtp_port_max=first_port + 3)
    alice, bob, carol, dave = office.phones("100", "101", "102", "103")
    call, ring = office.connect(alice, bob)

    response = carol.call("103").wait_rejected()
    assert (response.status, response.reason) == (503, "No Free Media Ports")
    assert dave.messages("received", "INVITE") == []
    talk(call, ring)

    call.hang_up()
    # The thread that was relaying gives them back.
    eventually(office.server.has_media_ports, "free media ports")
    second, second_ring = office.connect(carol, dave)
    talk(second, second_ring)
    ports = {address[1] for address in (second.media.remote, second_ring.media.remote) if address is not None}
    assert ports == {first_port, first_port + 2}


@pytest.mark.parametrize("ending", ["cancel", "busy", "hang up", "not forked"])
def test_every_port_is_free_again(start_office: Callable[..., Office], ending: str) -> None:
    """Four ports are enough for one call after the other, however each ends."""
    first_port = free_media_range(4)
    office = start_office(rtp_port=first_port, rtp_port_max=first_port + 3)
    alice, bob = office.phones("100", "101")
    if ending == "not forked":
        second = office.phone("101")
        assert alice.call("101").wait_rejected().status == 503
        second.unregister()
    else:
        call = alice.call("101")
        ring = bob.expect_call()
        if ending == "cancel":
            ring.progress()
            call.wait_progress()
            call.cancel()
        elif ending == "busy":
            ring.reject(486)
            call.wait_rejected()
        else:
            ring.answer()
            call.wait_answered()
            call.hang_up()

    talk(*office.connect(alice, bob))
