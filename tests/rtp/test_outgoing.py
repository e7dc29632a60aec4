"""rtp/outgoing.py: one stream of packets, whatever it is made of (RFC 3550 5.1)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from rtp.outgoing import OutgoingStream
from rtp.packet import RtpHeader

FIRST_SEQUENCE, FIRST_TIMESTAMP = 0xFFFE, 0xFFFFFF00


class Sent(NamedTuple):
    marker: bool
    payload_type: int
    sequence_number: int
    timestamp: int
    payload: bytes


def stream() -> OutgoingStream:
    return OutgoingStream(0xABCD, FIRST_SEQUENCE, FIRST_TIMESTAMP, 10.0)


def read(packet: bytes) -> Sent:
    header = RtpHeader.parse(packet)
    assert header.ssrc == 0xABCD
    payload = packet[header.length :]
    return Sent(header.marker, header.payload_type, header.sequence_number, header.rtp_timestamp, payload)


def phone_packet(
    number: int, timestamp: int, *, ssrc: int = 1, payload_type: int = 0, marker: bool = False, first: int = 0x80
) -> bytes:
    return struct.pack("!BBHII", first, marker << 7 | payload_type, number & 0xFFFF, timestamp, ssrc) + b"sound"


def send_back(stream: OutgoingStream, packet: bytes, now: float = 10.0) -> Sent:
    return read(stream.send_back(RtpHeader.parse(packet), packet, now))


def test_numbers_count_on_and_wrap_around() -> None:
    out = stream()
    sent = [read(out.play(8, bytes(160))) for _ in range(3)]
    assert [each.sequence_number for each in sent] == [0xFFFE, 0xFFFF, 0]
    assert [each.timestamp for each in sent] == [0xFFFFFF00, 0xFFFFFFA0, 0x40]
    assert [each.marker for each in sent] == [True, False, False]
    assert (out.packets, out.octets) == (3, 480)


def test_what_is_left_out_shows_in_the_timestamp_alone() -> None:
    out = stream()
    out.play(0, bytes(160))
    out.skip(1600)
    after = read(out.play(0, bytes(160)))
    assert (after.marker, after.sequence_number) == (True, 0xFFFF)
    assert after.timestamp == (FIRST_TIMESTAMP + 1760) & 0xFFFFFFFF


def test_the_clock_of_reports_is_that_of_the_packets() -> None:
    assert stream().timestamp_at(10.5) == (FIRST_TIMESTAMP + 4000) & 0xFFFFFFFF


def test_what_comes_back_keeps_steps_and_payload() -> None:
    out = stream()
    numbers = [50, 51, 53, 52, 54]
    sent = [send_back(out, phone_packet(number, number * 160)) for number in numbers]
    assert [(each.sequence_number - FIRST_SEQUENCE) & 0xFFFF for each in sent] == [0, 1, 3, 2, 4]
    assert [(each.timestamp - FIRST_TIMESTAMP) & 0xFFFFFFFF for each in sent] == [0, 160, 480, 320, 640]
    assert {each.payload for each in sent} == {b"sound"}


def test_key_presses_keep_their_common_timestamp_and_their_marker() -> None:
    out = stream()
    send_back(out, phone_packet(1, 160))
    keys = [send_back(out, phone_packet(2 + index, 320, payload_type=101, marker=index == 0)) for index in range(3)]
    assert len({each.timestamp for each in keys}) == 1
    assert [each.marker for each in keys] == [True, False, False]
    assert {each.payload_type for each in keys} == {101}


def test_an_echo_goes_on_where_the_notes_have_ended() -> None:
    out = stream()
    out.play(0, bytes(160))
    first = send_back(out, phone_packet(9000, 77), now=11.0)
    assert (first.sequence_number, first.marker) == (0xFFFF, True)
    assert first.timestamp == (FIRST_TIMESTAMP + 8000) & 0xFFFFFFFF
    assert read(out.play(0, bytes(160))).sequence_number == 0


def test_another_source_or_a_new_beginning_follows_what_was_sent() -> None:
    out = stream()
    send_back(out, phone_packet(100, 16_000))
    other = send_back(out, phone_packet(5, 5, ssrc=2))
    assert (other.sequence_number, other.marker) == (0xFFFF, True)
    again = send_back(out, phone_packet(30_000, 1 << 31, ssrc=2))
    assert (again.sequence_number, again.marker) == (0, True)


def test_after_a_pause_no_numbers_are_missing() -> None:
    out = stream()
    send_back(out, phone_packet(100, 16_000))
    out.pause()
    after = send_back(out, phone_packet(600, 96_000), now=20.0)
    assert (after.sequence_number, after.marker) == (0xFFFF, True)


def test_csrc_and_extension_are_left_out_padding_stays() -> None:
    out = stream()
    head = struct.pack("!BBHII", 0xB1, 0, 1, 160, 1) + bytes(4) + struct.pack("!HHI", 0xBEDE, 1, 0)
    packet = head + b"sound\x00\x00\x03"
    back = out.send_back(RtpHeader.parse(packet), packet, 10.0)
    assert back[0] == 0xA0
    assert back[12:] == b"sound\x00\x00\x03"
