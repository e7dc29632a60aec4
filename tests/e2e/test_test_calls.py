"""Numbers that the server answers itself: what a phone hears there, and what it can read in the API."""

from __future__ import annotations

from rtp.g711 import dbm0, energy
from tests.support.office import Office
from tests.support.phone_call import OutgoingCall
from tests.support.rtp import RtpPacket

EVENTS = 101


def dial(office: Office, number: str, phone_number: str = "100") -> OutgoingCall:
    call = office.phone(phone_number).call(number)
    call.wait_answered()
    return call


def hear(call: OutgoingCall) -> RtpPacket:
    return RtpPacket.parse(call.media.receive())


def test_echo_plays_a_beep_and_then_sends_back_what_comes(office: Office) -> None:
    call = dial(office, "*43")
    beep = [hear(call) for _ in range(10)]
    assert {packet.ssrc for packet in beep} == {beep[0].ssrc}
    assert all(dbm0(energy(packet.payload, is_a_law=False)) > -20 for packet in beep)
    sent = [RtpPacket.parse(data) for data in call.media.make_packets(6)]
    pressed = [RtpPacket(EVENTS, 0, 0, 0, bytes((5, end, 0, 160))) for end in (0x0A, 0x8A)]
    last = sent[-1]
    pressed = [
        RtpPacket(EVENTS, last.sequence_number + 1 + index, last.rtp_timestamp + 160, last.ssrc, each.payload)
        for index, each in enumerate(pressed)
    ]
    missing = 3
    talk = [packet for index, packet in enumerate([*sent, *pressed]) if index != missing]

    call.media.send(*(packet.to_bytes() for packet in talk))
    heard = [hear(call) for _ in talk]

    assert [packet.payload for packet in heard] == [packet.payload for packet in talk]
    assert [packet.payload_type for packet in heard] == [packet.payload_type for packet in talk]
    assert {packet.ssrc for packet in heard} == {beep[0].ssrc}
    assert heard[0].sequence_number == (beep[-1].sequence_number + 1) & 0xFFFF
    for one, other in ((talk, heard),):
        assert [packet.sequence_number - one[0].sequence_number for packet in one] == [
            (packet.sequence_number - other[0].sequence_number) & 0xFFFF for packet in other
        ]
        assert [packet.rtp_timestamp - one[0].rtp_timestamp for packet in one] == [
            (packet.rtp_timestamp - other[0].rtp_timestamp) & 0xFFFFFFFF for packet in other
        ]
    caller, server = office.open_streams()
    assert (caller["sender"], caller["packets"], caller["lost"]) == ("caller", len(talk), 1)
    assert (server["sender"], server["packets"], server["codec"]) == ("callee", 10 + len(talk), "PCMU")
    call.hang_up()
    ended = office.last_ended()
    assert (ended["toNumber"], ended["terminationReason"], ended["endedBy"]) == ("*43", "normal", "caller")
    assert [each["packets"] for each in ended["media"]] == [len(talk), 10 + len(talk)]
