"""Numbers that the server answers itself: what a phone hears there, and what it can read in the API."""

from __future__ import annotations

import struct

import pytest

from rtp.g711 import dbm0, energy
from rtp.packet import RtpHeader
from rtp.sounds import KEYS, MELODY, Note, piece
from sip import service_numbers
from tests.support.office import Office, eventually
from tests.support.phone_call import OutgoingCall
from tests.support.rtp import RtpPacket

EVENTS = 101


def dial(office: Office, number: str, phone_number: str = "100") -> OutgoingCall:
    call = office.phone(phone_number).call(number)
    call.wait_answered()
    return call


def hear(call: OutgoingCall) -> RtpPacket:
    return RtpPacket.parse(call.media.receive())


def packet_of(note: Note, number: int) -> bytes:
    """Twenty milliseconds of a note."""
    return b"".join(piece(note, 2 * number + half, is_a_law=False) for half in (0, 1))


def steps(packets: list[RtpPacket]) -> list[tuple[int, int]]:
    """How sequence numbers and timestamps go on after the first packet."""
    first = packets[0]
    return [
        (
            (packet.sequence_number - first.sequence_number) & 0xFFFF,
            (packet.rtp_timestamp - first.rtp_timestamp) & 0xFFFFFFFF,
        )
        for packet in packets
    ]


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
    assert steps(heard) == steps(talk)
    caller, server = office.open_streams()
    assert (caller["sender"], caller["packets"], caller["lost"]) == ("caller", len(talk), 1)
    assert (server["sender"], server["packets"], server["codec"]) == ("callee", 10 + len(talk), "PCMU")
    call.hang_up()
    ended = office.last_ended()
    assert (ended["toNumber"], ended["terminationReason"], ended["endedBy"]) == ("*43", "normal", "caller")
    assert [each["packets"] for each in ended["media"]] == [len(talk), 10 + len(talk)]


def test_the_tone_plays_and_each_key_is_heard(office: Office) -> None:
    call = dial(office, "*41")
    assert hear(call).payload == packet_of(MELODY[0], 0)
    call.media.send(RtpPacket(EVENTS, 1, 160, 7, bytes((5, 0x0A, 0, 160))).to_bytes())
    start = packet_of(KEYS["5"], 0)
    for _ in range(50):
        if hear(call).payload == start:
            break
    else:
        pytest.fail("the key was not heard")
    assert hear(call).payload == packet_of(KEYS["5"], 1)
    call.hang_up()
    assert office.last_ended()["toNumber"] == "*41"


def test_the_quality_test_tells_how_both_directions_were(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_numbers, "MEASURE_S", 0.5)
    call = dial(office, "*44")
    heard = RtpHeader.parse(call.media.receive())
    packets = call.media.make_packets(12)
    call.media.send(*packets[:5], *packets[7:])
    block = struct.pack("!IIIIII", heard.ssrc, 3, heard.sequence_number, 16, 0, 0)
    call.media.send_rtcp(struct.pack("!BBHI", 0x81, 201, 7, call.media.ssrc) + block)

    (result,) = eventually(lambda: office.api.get("/api/test-calls"), "the result of the test")

    assert (result["number"], result["fromNumber"]) == ("*44", "100")
    to_server, to_phone = result["toServer"], result["toPhone"]
    assert (to_server["packets"], to_server["lost"], to_server["lostPercent"]) == (10, 2, 16.67)
    assert to_server["verdict"] == "poor"
    assert to_server["loudest"] > -20
    assert (to_phone["lost"], to_phone["jitter"]) == (3, 2.0)
    assert to_phone["packets"] > 10
    assert "packets lost" in to_phone["text"]
    call.hang_up()
    office.last_ended()
